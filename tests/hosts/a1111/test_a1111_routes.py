"""The API's routes: when they are there, for whom, and what the two that only tell say."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest


class App:
    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}

    def add_api_route(self, path: str, endpoint: Any, **how: Any) -> None:
        self.routes[path] = how


def routes(host: Any) -> dict[str, Any]:
    app = App()
    for callback in host.callbacks["on_app_started"]:
        callback(None, app)
    return app.routes


def test_routes_are_open_where_the_hosts_are(host: Any) -> None:
    made = routes(host)
    assert {path: how["methods"] for path, how in made.items()} == {
        "/gpen/v1/restore": ["POST"],
        "/gpen/v1/models": ["GET"],
        "/gpen/v1/options": ["GET"],
    }
    assert all(how["dependencies"] == [] for how in made.values())


def test_no_routes_without_the_hosts_api(host: Any) -> None:
    host.shared.cmd_opts.api = False
    assert routes(host) == {}
    host.shared.cmd_opts.nowebui = True
    assert len(routes(host)) == 3


@pytest.mark.parametrize(
    ("user", "password", "allowed"),
    [("ann", "one", True), ("bob", "t:wö", True), ("ann", "t:wö", False), ("ann", "", False), ("eve", "one", False)],
)
def test_accounts_are_the_hosts(
    host: Any, monkeypatch: pytest.MonkeyPatch, user: str, password: str, allowed: bool
) -> None:
    host.shared.cmd_opts.api_auth = "ann:one,bob:t:wö"
    monkeypatch.setattr(host.api, "Depends", lambda check=None: check)
    for how in routes(host).values():
        (check,) = how["dependencies"]
        credentials = SimpleNamespace(username=user, password=password)
        if allowed:
            check(credentials)
        else:
            with pytest.raises(host.api.HTTPException) as caught:
                check(credentials)
            assert caught.value.status_code == 401


def test_models(host: Any) -> None:
    answer = host.api_answers.models()
    assert answer["models"] == [{"name": "GPEN-BFR-64.pth", "hash": None}]
    assert answer["detectors"] == ["detection_mobilenet0.25_Final.pth"]


def test_options_are_a_schema_of_what_restore_takes(host: Any) -> None:
    schema = json.loads(json.dumps(host.api_answers.options_schema()))
    assert schema["properties"]["strength"] == {
        "type": "number",
        "minimum": 0.0,
        "maximum": 1.0,
        "default": 0.8,
        "description": schema["properties"]["strength"]["description"],
    }
    assert schema["properties"]["scale"]["enum"] == [1, 2, 4, "auto"]
    assert {info.name for info in host.controls.shown_options()} < set(schema["properties"])
