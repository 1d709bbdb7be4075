"""A real HTTP server on this machine that behaves as badly as one wants, and small weight files to fetch from it."""

from __future__ import annotations

import importlib.util
import io
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from gpen2048.catalogue import WeightFile
from gpen2048.fetching import Patience
from gpen2048.network import NetworkConfig

IMPATIENT = Patience(silence=1.0, attempts=3, pause=0.01, slowest=1000, window=0.5)
Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """What lies under which path, and what was asked for."""

    address: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return f"{self.address}{path}"

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append((self.path, dict(self.headers)))
        with suppress(BrokenPipeError, ConnectionResetError):
            self.site.answers.get(self.path, status(404))(self)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    known = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": known}))
    server.daemon_threads = True
    known.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield known
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def content() -> bytes:
    """A sound weight file of 0.6 MB."""
    buffer = io.BytesIO()
    generator = torch.Generator().manual_seed(1)
    torch.save({f"layer{number}.weight": torch.randn(150, 100, generator=generator) for number in range(10)}, buffer)
    return buffer.getvalue()


@pytest.fixture
def entry(content: bytes) -> Callable[..., WeightFile]:
    def make(*sources: str, sha256: str | None = None, config: NetworkConfig | None = None) -> WeightFile:
        bounds = (len(content), len(content)) if sha256 else (len(content) - 1000, len(content) + 1000)
        return WeightFile("TINY", "TINY.pth", "detector", "testing", bounds, sources, "licence", (), sha256, config)

    return make


@pytest.fixture(scope="session")
def impatient() -> Patience:
    return IMPATIENT


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "GPEN2048_MIRROR", "GPEN2048_FETCH"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def whole(
    content: bytes,
    *,
    ranges: bool = True,
    version: str = '"1"',
    cut: int | None = None,
    announced: int | None = None,
    pause: float = 0.0,
    chunk: int = 1 << 16,
    kind: str = "application/octet-stream",
) -> Answer:
    """Sends `content`, or from where it was asked; `cut` ends every answer after so many bytes."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "")) if ranges else None
        same = version and handler.headers.get("If-Range") in (version, None)
        start = int(asked[1]) if asked and same else 0
        if start and start >= len(content):
            return status(416, **{"Content-Range": f"bytes */{announced or len(content)}"})(handler)
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content) - start if announced is None else announced))
        if version:
            handler.send_header("ETag", version)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.end_headers()
        body = content[start:][: len(content) if cut is None else cut]
        for position in range(0, len(body), chunk):
            handler.wfile.write(body[position : position + chunk])
            time.sleep(pause)
        return None

    return answer


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def in_turn(*answers: Answer) -> Answer:
    """One after another, the last one for ever."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


@pytest.fixture(scope="session")
def behaviours() -> Any:
    """whole, status and in_turn, which a test file cannot import from here."""
    from types import SimpleNamespace

    return SimpleNamespace(whole=whole, status=status, in_turn=in_turn)


FUZZ = Path(__file__).parents[1] / "fuzz"


def _load(name: str) -> Any:
    """A module of tests/fuzz, which is a folder of scripts."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FUZZ / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


corpus, mutating, watching = (_load(name) for name in ("corpus", "mutating", "watching"))


@pytest.fixture(scope="session")
def malicious() -> Any:
    return corpus.CORPUS


@pytest.fixture(scope="session")
def mutation() -> Any:
    return mutating


@pytest.fixture(scope="session")
def reader() -> Iterator[Any]:
    """Reads files in a process that is watched."""
    if sys.platform != "linux":
        pytest.skip("measures memory as Linux has it")
    watched = watching.Reader()
    watched.fault = watching.fault
    yield watched
    watched.close()
