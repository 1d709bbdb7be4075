"""HTTP routes under /gpen/v1, with the host's own basic authentication; docs/a1111-api.md shows how to call them."""

from __future__ import annotations

import json
from collections.abc import Callable
from secrets import compare_digest
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from starlette.concurrency import run_in_threadpool

from . import api_answers, host
from .attempts import sentence

PREFIX = "/gpen/v1"
MOST_BYTES = 128 * 2**20  # of a request


def add_routes(demo: object, app: FastAPI) -> None:
    """The host's on_app_started callback; does nothing when the user runs the host without its API."""
    if hasattr(host.shared.cmd_opts, "api") and not (host.flag("api") or host.flag("nowebui")):
        return
    guard = _guard()
    schema = {"application/json": {"schema": api_answers.options_schema()}}
    app.add_api_route(
        f"{PREFIX}/restore",
        restore,
        methods=["POST"],
        dependencies=guard,
        openapi_extra={"requestBody": {"content": schema, "required": True}},
    )
    app.add_api_route(f"{PREFIX}/models", api_answers.models, methods=["GET"], dependencies=guard)
    app.add_api_route(f"{PREFIX}/options", api_answers.options_schema, methods=["GET"], dependencies=guard)


async def restore(request: Request) -> dict[str, Any]:
    """Restores the faces of a picture sent as JSON with base64, or as a file in a form."""
    fields = await _fields(request)
    try:
        return await run_in_threadpool(api_answers.restore, fields)
    except api_answers.Refused as refused:
        raise HTTPException(refused.status, refused.reason) from refused
    except Exception as error:
        host.report(f"/gpen/v1/restore: {sentence(error)}", exc_info=True)
        raise HTTPException(500, sentence(error)) from error


async def _fields(request: Request) -> dict[str, Any]:
    """The request's fields, by name; HTTPException when it is too large or not what it says."""
    _check_length(request.headers.get("content-length"))
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        form = await request.form()
        return {name: await _form_value(value) for name, value in form.items()}
    try:
        fields = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"not JSON ({error}); wanted JSON or multipart/form-data") from error
    if not isinstance(fields, dict):
        raise HTTPException(400, f"JSON holds {type(fields).__name__}; wanted an object with the field image")
    return fields


def _check_length(length: str | None) -> None:
    if length is None or not length.isdigit():
        raise HTTPException(411, "wanted a Content-Length")
    if int(length) > MOST_BYTES:
        raise HTTPException(413, f"{length} bytes; wanted at most {MOST_BYTES}")


async def _form_value(value: Any) -> Any:
    """A file's bytes; text as the number it spells, or as it is."""
    if not isinstance(value, str):
        return await value.read()
    try:
        return json.loads(value)
    except ValueError:
        return value


def _guard() -> list[Any]:
    """Dependencies that ask for one of the accounts in --api-auth, as the host does for its own routes."""
    accounts = dict(pair.partition(":")[::2] for pair in (host.flag("api_auth") or "").split(",") if pair)
    return [Depends(_checker(accounts))] if accounts else []


def _checker(accounts: dict[str, str]) -> Callable[..., None]:
    def check(credentials: HTTPBasicCredentials = Depends(HTTPBasic())) -> None:  # noqa: B008  FastAPI's way
        password = accounts.get(credentials.username)
        if password is None or not compare_digest(credentials.password.encode(), password.encode()):
            raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Basic"})

    return check
