"""`gpen2048 batch`, end to end with a small network."""

from __future__ import annotations

import argparse
import json
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.batch.pictures import Original
from gpen2048.batch.places import Places, places
from gpen2048.batch.recipe import options_hash
from gpen2048.batch.restoring import PictureRestorer
from gpen2048.batch.seats import spread
from gpen2048.batch.stage import Door, NetworkStage, StoppedError
from gpen2048.cli import batching, main
from gpen2048.cli.flags import read_option_flags
from gpen2048.cli.landmarks import FaceFile
from gpen2048.faces import Face
from gpen2048.inference import Network
from gpen2048.options import RestoreOptions
from gpen2048.restorer import FaceRestorer
from PIL import Image

Command = tuple[int, str, str]
TILE = 300


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 64 px network that sharpens, so that what it did can be seen."""
    path = tmp_path_factory.mktemp("network") / "net.pth"
    assert main(["passthrough", str(path), "--size", "64", "--sharpen", "2"]) == 0
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photo_path: Path, group_faces: list[Face]) -> Path:
    """Tiles of the group photo in PNG and JPEG, a broken one among them, and a report of their faces."""
    folder = tmp_path_factory.mktemp("tiles")
    photo = Image.open(photo_path).convert("RGB")
    pictures = []
    for number, left in enumerate(range(0, photo.width - TILE, TILE)):
        name = f"{number % 2}/{number}.{'png' if number % 3 else 'jpg'}"
        (folder / name).parent.mkdir(exist_ok=True)
        photo.crop((left, 100, left + TILE, 100 + TILE)).save(folder / name)
        moved = [face.landmarks - (left, 100) for face in group_faces]
        inside = [m.tolist() for m in moved if m.min() > 0 and m.max() < TILE]
        pictures.append({"input": name, "faces": [{"landmarks": landmarks} for landmarks in inside]})
    (folder / "1" / "broken.png").write_bytes(b"\x89PNG and no more")
    (folder / "faces.json").write_text(json.dumps({"pictures": [*pictures, {"input": "broken.png", "faces": []}]}))
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], folder: Path, network: Path) -> Any:
    def command(*arguments: object) -> Command:
        given = ["--network", network, "--landmarks", folder / "faces.json", "--device", "cpu"]
        code = main([str(argument) for argument in (*arguments, *given)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*") if p.suffix != ".jsonl"}


@pytest.mark.parametrize("extra", [("--in-flight", "1"), ("--scale", "2", "--strength", "1")])
def test_a_batch_gives_the_same_files_as_restore(run: Any, folder: Path, tmp_path: Path, extra: tuple[str]) -> None:
    code, printed, errors = run("batch", folder, tmp_path / "batch", *extra)
    assert code == 1 and "4 done, 1 failed; " in printed and "network busy" in printed
    assert "broken.png: not a picture" in errors
    restore_options = () if "--in-flight" in extra else extra
    for number in (0, 1):
        run("restore", folder / str(number), "-o", tmp_path / "restore" / str(number), *restore_options)
    assert files(tmp_path / "batch") == files(tmp_path / "restore")
    tile, first = Image.open(folder / "1/1.png"), Image.open(tmp_path / "batch" / "1/1.png")
    assert np.abs(np.asarray(tile.resize(first.size), int) - np.asarray(first, int)).max() > 20  # it did restore


def test_a_region_is_that_of_restore_and_another_one_does_all_again(run: Any, folder: Path, tmp_path: Path) -> None:
    """The left half of every picture, in which some faces lie and others do not."""
    region, everywhere = tmp_path / "region.png", tmp_path / "everywhere.png"
    Image.fromarray(np.repeat([[255, 0]], 2, axis=0).astype(np.uint8)).save(region)
    Image.new("L", (1, 1), 255).save(everywhere)
    assert "2 done" in run("batch", folder / "0", tmp_path / "batch", "--region", region)[1]
    run("restore", folder / "0", "-o", tmp_path / "restore", "--region", region)
    run("restore", folder / "0", "-o", tmp_path / "whole")
    assert files(tmp_path / "batch") == files(tmp_path / "restore") != files(tmp_path / "whole")
    records = [json.loads(line) for line in (tmp_path / "batch" / "manifest.jsonl").read_text().splitlines()]
    found, restored = (sum(r.get(name, 0) for r in records) for name in ("faces", "restored"))
    assert 0 < restored < found
    assert run("batch", folder / "0", tmp_path / "batch", "--region", region)[1] == "0 done, 2 left as before\n"
    assert "2 done" in run("batch", folder / "0", tmp_path / "batch", "--region", everywhere)[1]
    assert files(tmp_path / "batch") == files(tmp_path / "whole")
    code, _, errors = run("batch", folder / "0", tmp_path / "batch", "--region", folder / "1" / "broken.png")
    assert code == 1 and "broken.png" in errors and len(errors.splitlines()) == 1


def test_a_second_run_does_what_failed_only(run: Any, folder: Path, tmp_path: Path) -> None:
    assert run("batch", folder / "0", tmp_path)[0] == 0
    code, printed, _ = run("batch", folder / "0", tmp_path)
    assert code == 0 and printed == "0 done, 2 left as before\n"
    records = (tmp_path / "manifest.jsonl").read_text()
    code, printed, errors = run("batch", folder, tmp_path, "--retry-failed")
    assert code == 1 and printed == "0 done, 5 left to do\n"
    assert (tmp_path / "manifest.jsonl").read_text() == records
    (tmp_path / "0.png").unlink(missing_ok=True)
    code, printed, errors = run("batch", folder / "1", tmp_path / "1")
    assert code == 1 and "2 done, 1 failed" in printed
    code, printed, errors = run("batch", folder / "1", tmp_path / "1", "--retry-failed")
    assert code == 1 and "0 done, 1 failed, 2 left as before" in printed and "broken.png" in errors


def test_a_picture_of_several_pages_is_named(network: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = [Image.new("RGB", (60, 50), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    given = ["--network", str(network), "--detector", "lbp", "--device", "cpu"]
    assert main(["batch", str(path), str(tmp_path / "out"), *given]) == 0
    assert f"{path}: only the first of 3 frames or pages is used" in caplog.text


def test_landmarks_are_for_no_films_and_that_is_said_before_any_work(run: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").touch()
    code, _, errors = run("batch", tmp_path / "in", tmp_path / "out")
    assert code == 1 and "--landmarks is for single pictures; wanted none with films" in errors
    assert "a.mp4" in errors and len(errors.splitlines()) == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["batch", "restore"])
def test_a_report_of_many_pictures_is_read_once(
    run: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    read: list[Path] = []
    original = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, *how, **more: read.append(path) or original(path, *how, **more))
    assert run(command, folder / "0", *(["-o"] if command == "restore" else []), tmp_path / "out")[0] == 0
    assert len(files(tmp_path / "out")) == 2 and read.count(folder / "faces.json") == 1


def test_faces_of_many_pictures_are_looked_up_without_going_through_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.png" for number in range(100)]
    report = [{"input": name, "faces": [{"landmarks": [[n, 0], [n + 9, 0], [n + 4, 4], [n, 9], [n + 9, 9]]}]}
              for n, name in enumerate(names)]  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps({"pictures": report}))
    resolved: list[Path] = []
    original = Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda path, *how: resolved.append(path) or original(path, *how))
    find_faces = FaceFile(tmp_path / "r.json")
    found = [find_faces(tmp_path / name) for name in names]  # by their names, as they were elsewhere
    assert [[face.landmarks[0, 0] for face in faces] for faces in found] == [[n] for n in range(100)]
    assert len(resolved) == 200


@pytest.mark.parametrize("report", [[{}], {"pictures": [{"input": "a\0.png", "faces": []}]}])
def test_a_report_that_is_none_ends_a_batch_before_it_begins(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, report: Any
) -> None:
    (tmp_path / "r.json").write_text(json.dumps(report))
    code = main(["batch", str(folder / "0"), str(tmp_path / "out"), "--demo", "--landmarks", str(tmp_path / "r.json")])
    assert code == 1 and not (tmp_path / "out").exists()
    assert f"{tmp_path / 'r.json'}: " in capsys.readouterr().err


def test_other_options_do_all_again(run: Any, folder: Path, tmp_path: Path) -> None:
    run("batch", folder / "0", tmp_path)
    assert "2 done" in run("batch", folder / "0", tmp_path, "--strength", "0.5")[1]
    facts = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines() if "started" in line]
    assert [fact["options"]["strength"] for fact in facts] == [0.8, 0.5]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--quality", "0"), "quality is 0; wanted 1 to 100"),
        (("--crf", "52"), "crf is 52; wanted 0 (without loss) to 51"),
        (("--address", "auto"), "--address is of --engine ray"),
        (("--strength", "2"), "strength is 2.0"),
        (("--network", "none.pth"), "none.pth"),
    ],
)
def test_wrong_options_are_one_line(folder: Path, tmp_path: Path, capsys: Any, arguments: Any, wanted: str) -> None:
    assert main(["batch", str(folder), str(tmp_path), "--detector", "lbp", *arguments]) == 1
    errors = capsys.readouterr().err
    assert wanted in errors and len(errors.splitlines()) == 1


def test_a_forgotten_destination_is_named(folder: Path, capsys: Any) -> None:
    assert main(["batch", str(folder / "0"), str(folder / "1" / "1.png"), "--demo"]) == 1
    assert "1.png is a file; wanted a folder to write to" in capsys.readouterr().err


def test_originals_are_not_replaced_where_the_destination_was_forgotten(run: Any, folder: Path, tmp_path: Path) -> None:
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        shutil.copy(folder / "0/0.jpg", tmp_path / number / "0.jpg")
    before = files(tmp_path)
    code, _, errors = run("batch", tmp_path / "1", tmp_path / "2")
    assert code == 1 and f"{tmp_path / '2' / '0.jpg'} is there and not on record; wanted a new folder" in errors
    assert files(tmp_path) == before and not (tmp_path / "2" / "manifest.jsonl").exists()
    (tmp_path / "2" / "manifest.jsonl").touch()  # of a run that was killed as it began
    assert run("batch", tmp_path / "1", tmp_path / "2")[0] == 1 and files(tmp_path) == before


def test_outputs_whose_record_was_lost_are_made_again(run: Any, folder: Path, tmp_path: Path) -> None:
    assert run("batch", folder / "0", tmp_path)[0] == 0
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:-1]))
    assert "1 done, 1 left as before" in run("batch", folder / "0", tmp_path)[1]


def test_ctrl_c_ends_the_run_and_the_next_one_goes_on(
    run: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpen2048.cli import batching

    def interrupted(*arguments: Any) -> Any:
        records = original(*arguments)
        yield next(records)
        raise KeyboardInterrupt

    original = batching.run
    with monkeypatch.context() as patch:
        patch.setattr(batching, "run", interrupted)
        code, printed, _ = run("batch", folder / "0", tmp_path, "--in-flight", "1")
    assert code == 130 and "1 done, 1 left to do" in printed
    assert not list(tmp_path.rglob("*.part"))
    assert run("batch", folder / "0", tmp_path)[0] == 0
    assert len(files(tmp_path)) == 2


def test_crops_of_several_threads_share_a_batch_and_each_gets_its_own(tiny_passthrough: Network) -> None:
    sizes: list[int] = []

    class Slow:
        config, last_note = tiny_passthrough.config, "a note"

        def __call__(self, x: torch.Tensor, on_stage: Any) -> torch.Tensor:
            sizes.append(len(x))
            time.sleep(0.05)
            return -x

    stage = NetworkStage(Slow(), batch=4)
    crops = [torch.full((1 + number % 2, 3, 4, 4), float(number)) for number in range(9)]
    seats = [lambda: lambda crop: (crop, Door(stage)(crop))] * 6
    results = list(spread(seats, crops, stage.stop))
    assert len(results) == 9 and all(torch.equal(result, -crop) for crop, result in results)
    assert max(sizes) in (3, 4) and sum(sizes) == 13
    assert 0.05 * len(sizes) <= stage.busy <= stage.span


def test_a_network_error_is_its_pictures_error(group_photo: torch.Tensor, group_faces: list[Face]) -> None:
    class Failing:
        config = type("C", (), {"size": 64})

        def __call__(self, x: torch.Tensor, on_stage: Any) -> torch.Tensor:
            raise RuntimeError("no such luck")

    restorer = PictureRestorer(
        FaceRestorer(Failing()), torch.device("cpu"), RestoreOptions(), quality=95
    )  # fmt: skip
    data = Path(__file__).parents[1].joinpath("data", "solvay-1927.png").read_bytes()
    (result,) = restorer([Original(data, ".png", group_faces[:1])])
    assert (result.error, result.data) == ("no such luck", b"")
    restorer.stop()


def test_stop_ends_what_waits_and_what_runs(tiny_passthrough: Network) -> None:
    entered = threading.Event()

    class Endless:
        config, last_note = tiny_passthrough.config, None

        def __call__(self, x: torch.Tensor, on_stage: Any) -> torch.Tensor:
            while True:
                entered.set()
                on_stage()
                time.sleep(0.001)

    stage = NetworkStage(Endless())
    outcomes: list[str] = []

    def call() -> None:
        try:
            stage.restore(torch.zeros(1, 3, 4, 4))
        except StoppedError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    entered.wait()
    stage.stop()
    for thread in threads:
        thread.join(10)
    assert outcomes == ["the run was stopped"] * 3


def test_an_error_of_a_seat_ends_the_run_and_all_its_threads() -> None:
    before = threading.active_count()
    stopped: list[bool] = []

    def work(task: int) -> int:
        if task == 5:
            raise OSError("disk full")
        return task

    results = spread([lambda: work] * 3, range(1000), lambda: stopped.append(True))
    with pytest.raises(OSError, match="disk full"):
        list(results)
    assert stopped == [True] and threading.active_count() == before


@pytest.mark.parametrize(
    ("nodes", "cores", "wanted"),
    [
        ([{"CPU": 16.0}], 4, Places(4, 4, 0)),
        ([{"CPU": 6.0}, {"CPU": 6.0}], 4, Places(2, 4, 0)),  # 12 CPUs in all, but no third worker fits
        ([{"CPU": 2.0}], 4, Places(1, 2, 0)),
        ([{"memory": 1.0}], 4, Places(1, 1, 0)),
        ([{"CPU": 64.0, "GPU": 8.0}], 4, Places(8, 4, 1)),
        ([{"CPU": 4.0}, {"CPU": 16.0, "GPU": 8.0}, {"CPU": 32.0, "GPU": 8.0}], 4, Places(16, 2, 1)),
        ([{"CPU": 2.0, "GPU": 4.0}], 4, Places(4, 1, 1)),
    ],
)
def test_workers_are_as_many_as_the_machines_have_room_for(nodes: Any, cores: int, wanted: Places) -> None:
    assert places(nodes, cores) == wanted


def test_without_ray_it_says_how_to_get_it(run: Any, folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, errors = run("batch", folder, tmp_path, "--engine", "ray")
    assert code == 1 and 'needs Ray, which the extra "ray" brings' in errors


def _facts(flags: tuple[str, ...], files: dict[str, Path]) -> str:
    parser = argparse.ArgumentParser()
    batching.add_to(parser.add_subparsers())
    arguments = parser.parse_args(["batch", "in", "out", *flags])
    return options_hash(batching._facts(arguments, read_option_flags(arguments), files))


def test_whatever_changes_a_result_makes_it_outdated(tmp_path: Path) -> None:
    """A result is left as before only if all of this is as it was."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    flags = [("--quality", "50"), ("--crf", "30"), ("--codec", "h265"), ("--precision", "bf16"), ("--strength", "0.3")]
    flags += [(name, str(path)) for name in ("--landmarks", "--region") for path in (one, other)]
    files: list[dict[str, Path]] = [{kind: p} for kind in ("detector", "parser", "upscaler") for p in (one, other)]
    found = [_facts(given, {}) for given in [(), *flags]] + [_facts((), given) for given in files]
    assert len(set(found)) == len(found)
    assert _facts(("--in-flight", "3"), {}) == _facts((), {})


def test_what_a_batch_is_told_reaches_its_restorer(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(batching, "PictureRestorer", lambda *_, **how: given.update(how))
    parser = argparse.ArgumentParser()
    batching.add_to(parser.add_subparsers())
    arguments = parser.parse_args(["batch", "in", "out", "--quality", "31", "--face-batch", "5"])
    equipment: Any = SimpleNamespace(restorer=None, device=None, upscaler="an upscaler")
    region = torch.zeros(2, 2)
    batching.Build(arguments, RestoreOptions(), region).restorer(equipment)
    assert given == {"quality": 31, "batch": 5, "background": "an upscaler", "region": region}


def test_jpegs_of_a_batch_have_the_quality_asked_for(run: Any, folder: Path, tmp_path: Path) -> None:
    sizes = []
    for quality in (20, 95):
        run("batch", folder / "0", tmp_path / f"{quality}", "--quality", quality)
        sizes.append(sum(path.stat().st_size for path in (tmp_path / f"{quality}").rglob("*.jpg")))
    assert 0 < 2 * sizes[0] < sizes[1]


def test_results_of_other_pictures_are_not_replaced(
    run: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsearchable: Any
) -> None:
    """Cameras give many pictures one name."""
    for year in ("2019", "2020"):
        (tmp_path / year).mkdir()
        shutil.copy(folder / "0/0.jpg", tmp_path / year / "0.jpg")
    assert run("batch", tmp_path / "2019", tmp_path / "out")[0] == 0
    before = files(tmp_path / "out")
    code, _, errors = run("batch", tmp_path / "2020", tmp_path / "out")
    assert code == 1 and f"holds what became of {tmp_path / '2019' / '0.jpg'}" in errors
    with monkeypatch.context() as patch:
        unsearchable(patch, tmp_path / "2019")
        code, _, errors = run("batch", tmp_path / "2020", tmp_path / "out")
    assert code == 1 and f"holds what became of {tmp_path / '2019' / '0.jpg'}" in errors
    assert files(tmp_path / "out") == before
    shutil.rmtree(tmp_path / "2019")
    assert run("batch", tmp_path / "2020", tmp_path / "out")[0] == 0
