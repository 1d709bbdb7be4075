"""What the API answers, without HTTP: mappings in, JSON-ready ones out; refusals carry a status and a reason."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from ..shared.gpen2048 import (
    CheckpointError,
    DeviceError,
    DownloadError,
    GpenError,
    InvalidOptionError,
    MissingPackageError,
    OptionInfo,
    OutOfMemoryError,
    Restoration,
    RestoreOptions,
    UnsoundResultError,
    UnsupportedImageError,
    WeightsNotFoundError,
    is_out_of_memory,
    read_image,
    write_image,
)
from . import controls, host, settings, weights
from .attempts import sentence
from .equipment import EQUIPMENT, Choice

FORMATS = ("png", "jpeg", "webp", "tiff")
MEGA = 1_000_000
STATUSES = {WeightsNotFoundError: 404, CheckpointError: 409, OutOfMemoryError: 413, DownloadError: 502}
UNUSABLE = 422  # every other GpenError: options out of range, no picture


class Refused(Exception):  # noqa: N818  an answer, not a fault
    """A request that cannot be met: HTTP `status` and a `reason` for the client."""

    def __init__(self, status: int, reason: str):
        self.status = status
        self.reason = reason.encode("utf-8", "replace").decode()  # JSON can spell what is no text
        super().__init__(self.reason)


def restore(request: Mapping[str, Any]) -> dict[str, Any]:
    """The restored picture, base64, and a report of its faces; `request` has the image, as text or bytes, and options.

    Waits for the host's queue. Raises Refused, and whatever is the server's fault and not the request's.
    """
    try:
        return _restore(request)
    except (DeviceError, MissingPackageError, UnsoundResultError):
        raise
    except GpenError as error:
        raise Refused(STATUSES.get(type(error), UNUSABLE), sentence(error)) from error
    except host.Stopped:
        raise Refused(409, "stopped by the user") from None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise Refused(STATUSES[OutOfMemoryError], sentence(error)) from error


def models() -> dict[str, Any]:
    """The weight files there are."""
    networks = [{"name": name, "hash": host.known_hash(path)} for name, path in weights.networks().items()]
    return {"folder": str(host.weight_folders()[0]), "models": networks, "detectors": list(weights.detectors())}


def options_schema() -> dict[str, Any]:
    """JSON Schema of what `restore` takes."""
    own = {
        "image": {"type": "string", "description": "the picture, base64 or a data URL; in a form, a file"},
        "model": {"type": "string", "default": weights.AUTOMATIC, "description": "a name from /gpen/v1/models"},
        "format": {"enum": list(FORMATS), "default": FORMATS[0], "description": "of the answer's picture"},
    }
    properties = {**own, **{info.name: _schema(info) for info in controls.shown_options()}}
    return {"type": "object", "properties": properties, "required": ["image"], "additionalProperties": False}


def _schema(info: OptionInfo) -> dict[str, Any]:
    described = {"default": info.default, "description": info.help}
    if info.choices:
        return {"enum": list(info.choices), **described}
    if info.minimum is None:
        numbers = {"type": "array", "items": {"type": "integer", "minimum": 0}}
        return {"anyOf": [{"type": "string"}, numbers], **described}
    kind = "integer" if isinstance(info.default, int) else "number"
    return {"type": kind, "minimum": info.minimum, "maximum": info.maximum, **described}


def _restore(request: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(request) - set(options_schema()["properties"])
    if unknown:
        raise InvalidOptionError(
            f"unknown field {', '.join(sorted(unknown))}; GET /gpen/v1/options lists what there is"
        )
    options = controls.read_options(request)
    image_format = _given(request, "format", FORMATS[0])
    if image_format not in FORMATS:
        raise InvalidOptionError(f"format is {image_format!r}; wanted one of {', '.join(FORMATS)}")
    choice = Choice(str(_given(request, "model", weights.AUTOMATIC)))
    data = _image_bytes(request.get("image"))
    _check_size(data, options)
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "picture"), Path(folder, f"restored.{image_format}")
        source.write_bytes(data)
        started = time.perf_counter()
        try:
            result = _restore_file(source, target, options, choice)
        except UnsupportedImageError as error:
            raise UnsupportedImageError(_without_paths(error, source, target)) from error
        report = _report(result, choice, time.perf_counter() - started)
        return {
            "image": base64.b64encode(target.read_bytes()).decode("ascii"),
            "format": image_format,
            "report": report,
        }


def _given(request: Mapping[str, Any], name: str, default: str) -> Any:
    """A field, which an empty text or null leaves to the `default`."""
    value = request.get(name)
    return default if value is None or value == "" else value


def _restore_file(source: Path, target: Path, options: RestoreOptions, choice: Choice) -> Restoration:
    with host.queue_lock:
        picture = read_image(source)  # not before: decoded pictures would wait in memory
        host.shared.state.begin("gpen")
        try:
            result = EQUIPMENT.restore(picture.pixels, options, choice)
        finally:
            host.shared.state.end()
    write_image(target, picture.with_pixels(result.image))
    return result


def _without_paths(error: Exception, source: Path, target: Path) -> str:
    """The message with the client's words for what lies in a temporary folder here."""
    return str(error).replace(str(source), "image").replace(str(target), "result")


def _image_bytes(image: Any) -> bytes:
    if isinstance(image, bytes):
        return image
    if not isinstance(image, str) or not image:
        raise Refused(400, "no image: wanted it base64-encoded in the field image, or as a file in a form")
    text = image.partition(",")[2] if image.startswith("data:") else image
    try:
        return base64.b64decode("".join(text.split()), validate=True)  # many encoders break it into lines
    except ValueError as error:
        raise Refused(400, f"image is not base64 ({error})") from error


def _check_size(data: bytes, options: RestoreOptions) -> None:
    """Refuses by the size that the file's header tells, before anything is decoded."""
    most = host.option("gpen_api_megapixels", settings.MEGAPIXELS_IN)
    try:
        width, height = Image.open(BytesIO(data)).size
    except Image.DecompressionBombError as error:
        raise Refused(413, f"{error}; wanted at most {most} megapixels (Settings > GPEN-2048)") from error
    except Exception:
        return  # read_image will say what it is
    if width * height > most * MEGA:
        raise Refused(413, f"{width} x {height} pixels; wanted at most {most} megapixels (Settings > GPEN-2048)")
    scale = options.max_scale if options.scale == "auto" else options.scale
    made = width * height * scale**2 / MEGA
    if made > settings.MEGAPIXELS_OUT:
        limit = f"wanted at most {settings.MEGAPIXELS_OUT}"
        raise Refused(413, f"scale {options.scale} may make {made:.0f} megapixels of this; {limit}")


def _report(result: Restoration, choice: Choice, seconds: float) -> dict[str, Any]:
    path = choice.network_path()
    faces = [asdict(face) for face in result.faces]
    for face in faces:
        face.update(box=face["box"].tolist(), landmarks=face["landmarks"].tolist())
    return {
        "model": path.name,
        "hash": host.known_hash(path),
        "scale": result.scale,
        "seconds": round(seconds, 2),
        "faces": faces,
    }
