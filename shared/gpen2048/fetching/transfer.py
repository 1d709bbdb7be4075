"""One file from one address, over HTTP: resumed after a cut, never longer than announced, never a web page."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..errors import DownloadError
from .partial import Partial

AGENT = "gpen2048 (https://github.com/gpen2048/gpen2048)"
BLOCK = 1 << 16  # bytes
SPARE = 16 << 20  # bytes of disk to leave free
WORTHWHILE = 0.01  # of the file: an attempt that got less beyond the furthest one before counts as failed
PASSING = (408, 425, 429, 500, 502, 503, 504)  # status codes of a server that may do better in a moment
Tell = Callable[[int, int | None], None]


class Unavailable(Exception):  # noqa: N818  not ours to raise to users
    """This address will not give the file."""


class Interrupted(Exception):  # noqa: N818
    """The transfer broke off and may be taken up again."""


class Unfit(Exception):  # noqa: N818
    """What is kept does not go with what the server sends: it is to begin anew."""


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server: seconds of silence, failed attempts, seconds between them, bytes a second."""

    silence: float = 30.0
    attempts: int = 3
    pause: float = 1.0
    slowest: float = 2000.0
    window: float = 30.0  # seconds over which the rate is taken


def transfer(partial: Partial, bounds: tuple[int, int], tell: Tell, patience: Patience) -> str | None:
    """Brings `partial` to its full length and returns its SHA-256, or None where it was whole already.

    The file has `bounds` bytes, at least and at most. What does not fit is discarded, and all is fetched, once. Raises
    Unavailable when the address does not give it, and DownloadError when there is no room for it.
    """
    failed, furthest, anew = 0, partial.resumable()[0], False
    while True:
        try:
            return _attempt(partial, bounds, tell, patience)
        except Unfit as error:
            partial.discard()
            if anew:
                raise Unavailable(str(error)) from error
            anew, furthest = True, 0
        except Interrupted as error:
            position = partial.resumable()[0]
            failed = failed + 1 if position - furthest < WORTHWHILE * bounds[1] else 0
            furthest = max(furthest, position)
            if failed >= patience.attempts:
                raise Unavailable(str(error)) from error
            time.sleep(patience.pause * 2**failed)


def _attempt(partial: Partial, bounds: tuple[int, int], tell: Tell, patience: Patience) -> str | None:
    start, version = partial.resumable()
    try:
        with _open(partial.address, start, version, patience.silence) as response:
            start = _granted_start(response, start)
            total = _announced(response.headers, start)
            _refuse_wrong(response.headers, total, bounds)
            _require_space(partial, (total or bounds[1]) - start)
            return _receive(response, partial, start, total, bounds[1], tell, patience)
    except HTTPError as error:
        if _is_whole(error, start):
            return None
        raise _from_status(error) from error
    except (HTTPException, OSError) as error:  # the disk's own errors come as DownloadError
        raise Interrupted(_reason(error)) from error


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to the web only, and never from https to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _require_web(newurl, "https" if req.type == "https" else "http")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_web(address: str, scheme: str) -> None:
    if urlsplit(address).scheme not in ("https", scheme):
        raise Unavailable(f"it leads to {address[:80]}; wanted an address with {scheme}")


def _open(address: str, start: int, version: str, timeout: float) -> Any:
    """The response; proxies are those of the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY)."""
    _require_web(address, "http")
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    return build_opener(_Redirects).open(Request(address, headers=headers), timeout=timeout)


def _granted_start(response: Any, start: int) -> int:
    """Where the body begins: `start`, or 0 when the server sends all of it."""
    if response.status != 206:
        return 0
    place = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if not place or int(place[1]) != start:
        raise Unfit(f"the server sends {response.headers.get('Content-Range')}; wanted bytes from {start}")
    return start


def _announced(headers: HTTPMessage, start: int) -> int | None:
    """Bytes of the whole file, if the server says."""
    length = headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _refuse_wrong(headers: HTTPMessage, total: int | None, bounds: tuple[int, int]) -> None:
    """What the head of the answer already tells."""
    if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise Unavailable("it sent a web page instead of the file")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise Unavailable(f"it sent the file encoded ({headers.get('Content-Encoding')})")
    if total is not None and not bounds[0] <= total <= bounds[1]:
        wanted = f"{bounds[0]}" if bounds[0] == bounds[1] else f"{bounds[0]} to {bounds[1]}"
        raise Unavailable(f"it has {total} bytes; wanted {wanted}")


def _require_space(partial: Partial, needed: int) -> None:
    free = shutil.disk_usage(partial.path.parent).free
    if free < needed + SPARE:
        raise DownloadError(
            f"{partial.path.parent} has {free / 1e6:.0f} MB free; wanted {(needed + SPARE) / 1e6:.0f} MB for "
            f"{partial.target.name}"
        )


def _receive(
    response: Any, partial: Partial, start: int, total: int | None, most: int, tell: Tell, patience: Patience
) -> str:
    done, pace = start, _Pace(patience)
    with partial.begin(start, _version(response.headers)) as writing:
        while block := response.read1(BLOCK):
            if done == 0 and block.lstrip()[:1] == b"<":
                raise Unavailable("it sent a web page instead of the file")
            done += len(block)
            if done > most:
                raise Unavailable(f"it sends more than {most} bytes")
            writing.write(block)
            tell(done, total)
            pace.keep(done - start)
    if total is not None and done < total:
        raise Interrupted(f"the connection was cut after {done} of {total} bytes")
    return writing.digest.hexdigest()


class _Pace:
    """Gives up on a server that sends next to nothing."""

    def __init__(self, patience: Patience):
        self._patience = patience
        self._since, self._had = time.monotonic(), 0

    def keep(self, done: int) -> None:
        now = time.monotonic()
        if now - self._since < self._patience.window:
            return
        rate = (done - self._had) / (now - self._since)
        if rate < self._patience.slowest:
            raise Unavailable(f"it sends only {rate:.0f} bytes a second")
        self._since, self._had = now, done


def _version(headers: HTTPMessage) -> str:
    """What names this version of the file for If-Range; "" if nothing does."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _is_whole(error: HTTPError, start: int) -> bool:
    """Whether nothing follows because all `start` bytes of the file are there, only not verified yet."""
    return error.code == 416 and start > 0 and error.headers.get("Content-Range") == f"bytes */{start}"


def _from_status(error: HTTPError) -> Exception:
    if error.code == 416:
        return Unfit("the partial file did not fit")
    reason = f"it answered {error.code} {error.reason}"
    return Interrupted(reason) if error.code in PASSING else Unavailable(reason)


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    return str(cause) or type(cause).__name__
