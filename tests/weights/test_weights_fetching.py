"""Fetching from a server that does what servers do: be slow, cut off, lie, send pages, send something else."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import gpen2048
import pytest
from gpen2048.errors import DownloadError
from gpen2048.fetching import Patience, fetch
from gpen2048.weight_files.state_dicts import read_state_dict

RANGE_OF_ALL = None


@pytest.fixture
def get(tmp_path: Path, impatient: Patience) -> Any:
    def run(entry: Any, **options: Any) -> Path:
        return fetch(entry, tmp_path / "weights", **{"patience": impatient, **options})

    return run


def _left(path: Path) -> list[str]:
    return sorted(child.name for child in path.iterdir())


def _fails(get: Any, entry: Any, **options: Any) -> str:
    with pytest.raises(DownloadError) as caught:
        get(entry, **options)
    return str(caught.value)


def test_a_file_comes_whole_and_alone(site: Any, entry: Any, content: bytes, behaviours: Any, get: Any) -> None:
    told: list[tuple[int, int | None]] = []
    path = get(entry(site.put("/a", behaviours.whole(content))), tell=lambda *what: told.append(what))
    assert path.read_bytes() == content and _left(path.parent) == ["TINY.pth"]
    assert told[-1] == (len(content), len(content)) and [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(read_state_dict(path)) == 10


def test_what_is_there_is_not_fetched_again(site: Any, entry: Any, content: bytes, behaviours: Any, get: Any) -> None:
    wanted = entry(site.put("/a", behaviours.whole(content)))
    get(wanted)
    get(wanted)
    assert len(site.asked) == 1
    get(wanted, force=True)
    assert len(site.asked) == 2


def test_what_is_there_and_wrong_is_left_alone(
    site: Any, entry: Any, behaviours: Any, get: Any, tmp_path: Path
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "TINY.pth").write_bytes(b"mine")
    assert "left as it is; --force replaces it" in _fails(get, entry(f"{site.address}/a"))
    assert (tmp_path / "weights" / "TINY.pth").read_bytes() == b"mine" and not site.asked


@pytest.mark.parametrize("kept", [0.03, 0.3, 0.9])
def test_a_cut_connection_is_taken_up_where_it_ended(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, kept: float
) -> None:
    cut = int(len(content) * kept)
    path = get(entry(site.put("/a", behaviours.whole(content, cut=cut)), sha256=hashlib.sha256(content).hexdigest()))
    assert path.read_bytes() == content
    assert site.ranges == [RANGE_OF_ALL, *(f"bytes={start}-" for start in range(cut, len(content), cut))]
    assert {headers.get("If-Range") for _, headers in site.asked[1:]} == {'"1"'}


def test_a_later_run_goes_on(site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, tmp_path: Path) -> None:
    bad = behaviours.status(503)
    url = site.put("/a", behaviours.in_turn(behaviours.whole(content, cut=200_000), bad, bad, bad))
    assert "503" in _fails(get, entry(url))
    assert (tmp_path / "weights" / "TINY.pth.part").stat().st_size == 200_000
    site.put("/a", behaviours.whole(content))
    assert get(entry(url)).read_bytes() == content and site.ranges[-1] == "bytes=200000-"
    assert _left(tmp_path / "weights") == ["TINY.pth"]


def test_a_file_that_changed_meanwhile_starts_anew(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any
) -> None:
    older = behaviours.whole(b"\1" * len(content), cut=200_000, version='"0"')
    url = site.put("/a", behaviours.in_turn(older, behaviours.whole(content)))
    assert get(entry(url)).read_bytes() == content
    assert site.ranges == [RANGE_OF_ALL, "bytes=200000-"]


def test_nothing_is_resumed_without_a_version(site: Any, entry: Any, content: bytes, behaviours: Any, get: Any) -> None:
    cut = behaviours.whole(content, cut=200_000, version="")
    url = site.put("/a", behaviours.in_turn(cut, behaviours.whole(content, version="")))
    assert get(entry(url)).read_bytes() == content and site.ranges == [RANGE_OF_ALL] * 2


def test_a_server_without_ranges(site: Any, entry: Any, content: bytes, behaviours: Any, get: Any) -> None:
    cut = behaviours.whole(content, cut=200_000, ranges=False)
    url = site.put("/a", behaviours.in_turn(cut, behaviours.whole(content, ranges=False)))
    assert get(entry(url)).read_bytes() == content


def _begun(folder: Path, url: str, content: bytes) -> None:
    """What an earlier try has left of the file at `url`."""
    folder.mkdir()
    (folder / "TINY.pth.part").write_bytes(content)
    (folder / "TINY.pth.part.json").write_text(f'{{"address": "{url}", "version": "\\"1\\""}}')


def test_a_partial_file_longer_than_the_file(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, tmp_path: Path
) -> None:
    url = site.put("/a", behaviours.whole(content))
    _begun(tmp_path / "weights", url, bytes(len(content) + 5))
    assert get(entry(url)).read_bytes() == content


def test_a_whole_file_that_was_not_verified_is_not_fetched_again(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, tmp_path: Path
) -> None:
    """Whoever pressed Ctrl-C meanwhile is told what takes so long, and loses nothing."""
    wanted = entry(site.put("/a", behaviours.whole(content)), sha256=hashlib.sha256(content).hexdigest())

    def stop(text: str) -> None:
        if text == "verifying TINY.pth":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(wanted, note=stop)
    assert get(wanted).read_bytes() == content and _left(tmp_path / "weights") == ["TINY.pth"]
    assert site.ranges == [RANGE_OF_ALL, f"bytes={len(content)}-"]


def test_a_whole_file_that_is_wrong_is_discarded(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, tmp_path: Path
) -> None:
    folder, url = tmp_path / "weights", site.put("/a", behaviours.whole(content))
    _begun(folder, url, bytes(len(content)))
    wanted = entry(url, sha256=hashlib.sha256(content).hexdigest())
    assert "SHA-256 is" in _fails(get, wanted) and _left(folder) == []
    assert get(wanted).read_bytes() == content


@pytest.mark.parametrize("place", [{}, {"Content-Range": "bytes 0-9/10"}])
def test_a_server_that_sends_another_part_is_asked_for_all(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, place: Any, tmp_path: Path
) -> None:
    part, cut = behaviours.status(206, **place), behaviours.whole(content, cut=200_000)
    url = site.put("/a", behaviours.in_turn(cut, part, behaviours.whole(content)))
    assert get(entry(url)).read_bytes() == content
    assert site.ranges == [RANGE_OF_ALL, "bytes=200000-", RANGE_OF_ALL]


def test_a_server_that_always_sends_another_part_keeps_nothing(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, tmp_path: Path
) -> None:
    part, cut = behaviours.status(206), behaviours.whole(content, cut=200_000)
    message = _fails(get, entry(site.put("/a", behaviours.in_turn(cut, part))))
    assert "the server sends None; wanted bytes from 0" in message and _left(tmp_path / "weights") == []
    assert site.ranges == [RANGE_OF_ALL, "bytes=200000-", RANGE_OF_ALL]


FAULTS: dict[str, tuple[Any, str]] = {
    "404": (lambda b, _: b.status(404), "answered 404"),
    "403": (lambda b, _: b.status(403), "answered 403"),
    "500 for ever": (lambda b, _: b.status(500), "answered 500"),
    "cut at once": (lambda b, c: b.whole(c, cut=0), "cut after 0 of"),
    "cut, never more": (lambda b, c: b.whole(c, cut=1000, ranges=False), "cut after 1000 of"),
    "a page": (lambda b, c: b.whole(b"<html>" + c[6:], kind="text/html; charset=utf-8"), "web page"),
    "a page by another name": (lambda b, c: b.whole(b"\n<!DOCTYPE html>" + c[16:]), "web page"),
    "announces too much": (lambda b, c: b.whole(c, announced=10**13), "has 10000000000000 bytes; wanted"),
    "announces a little more": (lambda b, c: b.whole(c, announced=len(c) + 900), "did not fit"),
    "announces too little": (lambda b, c: b.whole(c, announced=len(c) - 900), "damaged or truncated"),
    "another file": (lambda b, c: b.whole(c[:100_000]), "has 100000 bytes"),
    "the size right, the content not": (lambda b, c: b.whole(bytes(reversed(c))), "not a whole PyTorch file"),
    "one bit turned": (lambda b, c: b.whole(c[:300_000] + bytes([c[300_000] ^ 4]) + c[300_001:]), "not a whole"),
    "to a file": (lambda b, _: b.status(302, Location="file:///etc/passwd"), "answered 302"),
    "to FTP": (lambda b, _: b.status(302, Location="ftp://127.0.0.1/a"), "leads to ftp:"),
    "round in circles": (lambda b, _: b.status(302, Location="/bad"), "redirect"),
    "compressed": (lambda b, _: b.status(200, **{"Content-Encoding": "gzip"}), "encoded (gzip)"),
    "trickling": (lambda b, c: b.whole(c, pause=0.1, chunk=10), "only"),
    "silent": (lambda b, c: b.whole(c, pause=1.5, chunk=100), "timed out"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_server_is_named_and_the_next_one_asked(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, fault: str, tmp_path: Path
) -> None:
    make, reason = FAULTS[fault]
    bad = site.put("/bad", make(behaviours, content))
    notes: list[str] = []
    patience = Patience(silence=0.3, attempts=2, pause=0.01, slowest=1000, window=0.5)
    wanted = entry(bad, site.put("/good", behaviours.whole(content)))
    assert get(wanted, note=notes.append, patience=patience).read_bytes() == content
    assert reason in "".join(notes) and _left(tmp_path / "weights") == ["TINY.pth"]


def test_no_good_server_leaves_no_file_and_says_what_to_do(site: Any, entry: Any, behaviours: Any, get: Any) -> None:
    message = _fails(get, entry(f"{site.address}/none", "http://127.0.0.1:9/refused"))
    assert "404" in message and "refused" in message.lower() and "by hand" in message and "TINY.pth" in message


def test_a_wrong_hash_and_a_wrong_network(site: Any, entry: Any, content: bytes, behaviours: Any, get: Any) -> None:
    url = site.put("/a", behaviours.whole(content))
    assert "SHA-256 is" in _fails(get, entry(url, sha256="0" * 64))
    assert "wanted a GPEN network" in _fails(get, entry(url, config=gpen2048.NetworkConfig(2048)))


def test_redirects_are_followed(site: Any, entry: Any, content: bytes, behaviours: Any, get: Any) -> None:
    site.put("/there", behaviours.whole(content, cut=300_000))
    url = site.put("/a", behaviours.status(302, Location="/there"))
    assert get(entry(url)).read_bytes() == content
    assert [path for path, _ in site.asked] == ["/a", "/there"] * 3


def test_a_slow_but_steady_server_is_borne_with(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any
) -> None:
    url = site.put("/a", behaviours.whole(content, pause=0.05, chunk=len(content) // 10))
    assert get(entry(url), patience=Patience(silence=0.5, window=0.2)).read_bytes() == content


def test_mirrors_come_first(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPEN2048_MIRROR", f"{site.address}/second/ {site.address}/third")
    wanted = entry(site.put("/last", behaviours.whole(content)))
    get(wanted, mirrors=[f"{site.address}/first"])
    assert [path for path, _ in site.asked] == ["/first/TINY.pth", "/second/TINY.pth", "/third/TINY.pth", "/last"]


def test_a_proxy_of_the_environment_is_used(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.address)
    site.answers["http://nowhere.invalid/a"] = behaviours.whole(content)
    assert get(entry("http://nowhere.invalid/a")).read_bytes() == content


def test_too_little_room_is_said_before(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000_000})())
    assert "has 1 MB free; wanted" in _fails(get, entry(site.put("/a", behaviours.whole(content))))
    assert _left(tmp_path / "weights") == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX has it")
def test_a_disk_that_fills_up_meanwhile(site: Any, entry: Any, content: bytes, behaviours: Any, get: Any) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    url = site.put("/a", behaviours.whole(content))
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        message = _fails(get, entry(url))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "weights cannot be written to (File too large)" in message
    assert get(entry(url)).read_bytes() == content


def test_folders_that_cannot_be_written_to(site: Any, entry: Any, impatient: Patience, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="cannot be written to"):
        fetch(entry(site.address), tmp_path / "file" / "weights", patience=impatient)
    locked = tmp_path / "read-only"
    locked.mkdir(mode=0o555)
    if os.access(locked, os.W_OK):  # root may do anything
        locked = Path("/proc")
    with pytest.raises(DownloadError, match="cannot be written to"):
        fetch(entry(site.address), locked, patience=impatient)
    assert not site.asked


def test_a_read_only_folder_that_has_the_file_is_fine(
    entry: Any, content: bytes, impatient: Patience, tmp_path: Path
) -> None:
    (tmp_path / "TINY.pth").write_bytes(content)
    tmp_path.chmod(0o555)
    assert fetch(entry("http://127.0.0.1:9"), tmp_path, patience=impatient) == tmp_path / "TINY.pth"
    tmp_path.chmod(0o755)


TOGETHER = """
import sys
sys.path.insert(0, {path!r})
from pathlib import Path
from gpen2048.catalogue import WeightFile
from gpen2048.fetching import fetch
entry = WeightFile("TINY", "TINY.pth", "detector", "", (0, 10**7), ({url!r},), "")
print("ready", flush=True)
sys.stdin.readline()
fetch(entry, Path({folder!r}), note=print)
"""


def test_two_processes_fetch_one_file(site: Any, content: bytes, behaviours: Any, tmp_path: Path) -> None:
    url = site.put("/a", behaviours.whole(content, pause=0.2, chunk=len(content) // 8))
    code = TOGETHER.format(path=str(Path(gpen2048.__file__).parents[1]), url=url, folder=str(tmp_path))
    pipe = subprocess.PIPE
    both = [subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    notes = [process.communicate(timeout=60)[0] for process in _all_started(both)]
    assert [process.returncode for process in both] == [0, 0]
    assert len(site.asked) == 1 and "waiting for it" in "".join(notes)
    assert _left(tmp_path) == ["TINY.pth"] and (tmp_path / "TINY.pth").read_bytes() == content


def _all_started(processes: list[Any]) -> list[Any]:
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def test_two_threads_fetch_one_file(site: Any, entry: Any, content: bytes, behaviours: Any, get: Any) -> None:
    wanted = entry(site.put("/a", behaviours.whole(content, pause=0.02, chunk=len(content) // 10)))
    threads = [threading.Thread(target=get, args=(wanted,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get(wanted).read_bytes() == content and len(site.asked) == 1


def test_ctrl_c_keeps_what_has_come(site: Any, entry: Any, content: bytes, behaviours: Any, get: Any) -> None:
    def stop(done: int, _: int | None) -> None:
        if done > 200_000:
            raise KeyboardInterrupt

    url = site.put("/a", behaviours.whole(content))
    with pytest.raises(KeyboardInterrupt):
        get(entry(url), tell=stop)
    assert get(entry(url)).read_bytes() == content and site.ranges[-1] is not None


def test_waiting_for_another_process_can_be_stopped(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, tmp_path: Path
) -> None:
    (tmp_path / "weights").mkdir()
    code = (
        "import pathlib, sys, time; from gpen2048.fetching.locking import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), print, lambda: None): print('mine', flush=True); time.sleep(60)"
    )
    target = tmp_path / "weights" / "TINY.pth"
    where = {**os.environ, "PYTHONPATH": str(Path(gpen2048.__file__).parents[1])}
    other = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, env=where)
    try:
        assert other.stdout is not None and other.stdout.readline().strip() == b"mine"
        notes: list[str] = []
        told: list[tuple[int, int | None]] = []

        def tell(done: int, total: int | None) -> None:
            told.append((done, total))
            if len(told) == 3:
                raise InterruptedError("enough")

        with pytest.raises(InterruptedError):
            get(entry(site.put("/a", behaviours.whole(content))), tell=tell, note=notes.append)
        assert told == [(0, None)] * 3 and notes == ["another process is fetching TINY.pth; waiting for it"]
    finally:
        other.kill()
        other.wait()
    assert get(entry(site.put("/a", behaviours.whole(content)))).read_bytes() == content


def test_a_damaged_file_that_is_taken_first_is_named(
    site: Any, entry: Any, content: bytes, behaviours: Any, get: Any, tmp_path: Path
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "TINY.safetensors").write_bytes(b"mine")
    wanted = entry(site.put("/a", behaviours.whole(content)))
    assert "left as it is; remove it, and TINY.pth can be fetched" in _fails(get, wanted)
    notes: list[str] = []
    get(wanted, force=True, note=notes.append)
    assert notes[-1].endswith("TINY.safetensors is still taken before it; remove that file")
