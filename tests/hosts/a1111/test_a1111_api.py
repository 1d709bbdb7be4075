"""The HTTP API: answers, refusals with a reason, limits, accounts, and the host's queue."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

MODEL = {"model": "GPEN-BFR-64.pth"}


@pytest.fixture
def encoded(photo: Any) -> str:
    return encode(Image.fromarray(photo))


def encode(image: Image.Image) -> str:
    file = BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def decode(text: str) -> Any:
    return np.asarray(Image.open(BytesIO(base64.b64decode(text)))).astype(int)


def post(host: Any, body: Any, **headers: str) -> Any:
    """What POST /gpen/v1/restore answers to a JSON body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def read() -> bytes:
        return data

    sent = {"content-type": "application/json", "content-length": str(len(data)), **headers}
    return asyncio.run(host.api.restore(SimpleNamespace(headers=sent, body=read)))


def refused(host: Any, body: Any, **headers: str) -> tuple[int, str]:
    """Status and reason of a refusal."""
    with pytest.raises(host.api.HTTPException) as caught:
        post(host, body, **headers)
    return caught.value.status_code, caught.value.detail


def test_pixels_are_the_command_lines(
    host: Any, photo: Any, encoded: str, tiny_weights: Path, command_line: Any
) -> None:
    answer = post(host, {"image": encoded, "strength": 0.9, "scale": 2, "select": [1], **MODEL})
    expected = command_line(photo, tiny_weights, ["--strength=0.9", "--scale=2", "--select=1"])
    assert np.abs(decode(answer["image"]) - expected).max() <= 1


def test_the_report(host: Any, encoded: str) -> None:
    report = post(host, {"image": "data:image/png;base64," + encoded, "max_faces": 1, **MODEL})["report"]
    assert json.loads(json.dumps(report)) == report
    assert report["model"] == "GPEN-BFR-64.pth" and report["scale"] == 1
    assert [face["restored"] for face in report["faces"]] == [True, False]
    assert report["faces"][1]["reason"] and len(report["faces"][0]["landmarks"]) == 5


def test_base64_may_be_broken_into_lines(host: Any, encoded: str) -> None:
    lines = base64.encodebytes(base64.b64decode(encoded)).decode()
    assert "\n" in lines
    assert post(host, {"image": lines, **MODEL})["image"] == post(host, {"image": encoded, **MODEL})["image"]


def test_a_failed_download_is_another_servers_fault(host: Any, encoded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise host.api_answers.DownloadError("could not be fetched")

    monkeypatch.setattr(host.weights, "fetch_missing", fail)
    (host.folder / "GPEN" / "detection_mobilenet0.25_Final.pth").unlink()
    assert refused(host, {"image": encoded, **MODEL}) == (502, "could not be fetched")


def test_pictures_are_decoded_one_at_a_time(host: Any, encoded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, held = host.api_answers.read_image, []

    def watched(path: Path) -> Any:
        held.append(host.call_queue.queue_lock.locked())
        return read(path)

    monkeypatch.setattr(host.api_answers, "read_image", watched)
    post(host, {"image": encoded, **MODEL})
    assert held == [True]


def test_automatic_takes_the_network_there_is(host: Any, encoded: str) -> None:
    assert post(host, {"image": encoded, "model": "Automatic"})["report"]["model"] == "GPEN-BFR-64.pth"


def test_a_file_in_a_form(host: Any, encoded: str) -> None:
    class Upload:
        async def read(self) -> bytes:
            return base64.b64decode(encoded)

    async def form() -> dict[str, Any]:
        return {"image": Upload(), "strength": "0.9", "scale": "2", "select": "largest", "format": "jpeg", **MODEL}

    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": "100"}
    answer = asyncio.run(host.api.restore(SimpleNamespace(headers=headers, form=form)))
    assert decode(answer["image"]).shape == (480, 640, 3) and base64.b64decode(answer["image"])[:2] == b"\xff\xd8"


def test_sixteen_bits_and_alpha_survive(host: Any, photo: Any) -> None:
    answer = post(host, {"image": encode(Image.fromarray(photo).convert("RGBA")), **MODEL})
    assert decode(answer["image"]).shape == (240, 320, 4)


def test_the_queue_is_held_and_the_state_told(host: Any, encoded: str) -> None:
    seen: list[Any] = []
    host.when_detecting.append(lambda: seen.append((host.call_queue.queue_lock.locked(), host.shared.state.job)))
    post(host, {"image": encoded, **MODEL})
    assert seen == [(True, "gpen")]
    assert not host.call_queue.queue_lock.locked() and host.shared.state.job == ""


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"image": None}, 400, "no image"),
        ({"image": "§"}, 400, "base64"),
        ({"image": base64.b64encode(b"hello").decode()}, 422, "image: not a picture"),
        ({"image": "http://127.0.0.1/x.png"}, 400, "base64"),
        ({"strength": 2}, 422, "strength is 2"),
        ({"strength": "strong"}, 422, "strength is 'strong'"),
        ({"strength": float("nan")}, 422, "strength is nan"),
        ({"select": "nobody"}, 422, "nobody"),
        ({"scale": 3}, 422, "1, 2, 4, auto"),
        ({"format": "bmp"}, 422, "png"),
        ({"size": 3}, 422, "unknown field size"),
        ({"model": "../../etc/passwd"}, 404, "no file"),
        ({"model": []}, 404, "no file"),
        ({"mask": "parse"}, 404, "parsing_parsenet.pth"),
    ],
)
def test_refusals_have_a_reason(host: Any, encoded: str, change: Any, status: int, reason: str) -> None:
    seen_status, seen_reason = refused(host, {"image": encoded, **MODEL, **change})
    assert seen_status == status and reason in seen_reason


def test_refusals_are_text_whatever_was_sent(host: Any, encoded: str) -> None:
    """JSON can spell half a surrogate pair."""
    for change, status in (({"model": "\ud800"}, 404), ({"\ud800": 1}, 422)):
        seen_status, seen_reason = refused(host, {"image": encoded, **MODEL, **change})
        assert seen_status == status and seen_reason.encode()


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b"", 400), (b"\xff", 400), (b"[" * 100_000, 400)]
)
def test_bodies_that_are_no_object(host: Any, body: bytes, status: int) -> None:
    assert refused(host, body)[0] == status


@pytest.mark.parametrize(("length", "status"), [("134217729", 413), ("many", 411), ("-1", 411)])
def test_the_length_is_checked_before_anything_is_read(host: Any, length: str, status: int) -> None:
    assert refused(host, {}, **{"content-length": length})[0] == status


def test_large_pictures_are_refused_unread(host: Any) -> None:
    host.opts["gpen_api_megapixels"] = 1
    status, reason = refused(host, {"image": encode(Image.new("L", (1000, 1001))), **MODEL})
    assert status == 413 and "1000 x 1001" in reason


def test_a_limit_that_is_no_number_is_the_usual_one(host: Any) -> None:
    host.opts["gpen_api_megapixels"] = "lots"
    status, reason = refused(host, {"image": encode(Image.new("L", (8000, 4001))), **MODEL})
    assert status == 413 and "wanted at most 32 megapixels" in reason


def test_a_picture_too_large_to_be_opened_is_too_large(
    host: Any, encoded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    status, reason = refused(host, {"image": encoded})
    assert status == 413 and "wanted at most 32 megapixels (Settings" in reason


@pytest.mark.parametrize("scale", [4, "auto"])
def test_large_results_are_refused(host: Any, scale: Any) -> None:
    status, reason = refused(host, {"image": encode(Image.new("L", (4100, 4000))), "scale": scale, **MODEL})
    assert status == 413 and "256" in reason


def test_interrupt_is_a_refusal(host: Any, encoded: str) -> None:
    host.when_detecting.append(lambda: setattr(host.shared.state, "interrupted", True))
    assert refused(host, {"image": encoded, **MODEL}) == (409, "stopped by the user")
    assert not host.call_queue.queue_lock.locked()


def test_the_unforeseen_is_reported(host: Any, encoded: str) -> None:
    host.when_detecting.append(lambda: 1 / 0)
    assert refused(host, {"image": encoded, **MODEL}) == (500, "division by zero")
    assert "/gpen/v1/restore" in host.errors_reported[0]
    assert not host.call_queue.queue_lock.locked()


@pytest.mark.parametrize("error", ["DeviceError", "MissingPackageError"])
def test_faults_of_the_server_are_no_fault_of_the_request(host: Any, encoded: str, error: str) -> None:
    errors = importlib.import_module(host.api_answers.GpenError.__module__)
    fault = getattr(errors, error)("PyTorch computes wrongly on mps")
    host.when_detecting.append(lambda: _raise(fault))
    assert refused(host, {"image": encoded, **MODEL}) == (500, "PyTorch computes wrongly on mps")
    assert "/gpen/v1/restore" in host.errors_reported[0]


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("MPS: out of memory")]
)
def test_too_little_memory_is_told_as_such(
    host: Any, photo: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(host.equipment.FaceRestorer, "__call__", full)
    status, reason = refused(host, {"image": encode(Image.fromarray(photo)), **MODEL})
    assert status == 413 and "out of memory" in reason
