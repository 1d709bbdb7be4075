"""Which files the commands read and write: no input is lost, and what cannot be written is told before any work."""

from __future__ import annotations

import json
import os
import shutil
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
from gpen2048.cli import main
from gpen2048.pictures.decoding import SUFFIXES, readable_suffixes
from PIL import Image

Run = Any


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "net.pth"
    assert main(["passthrough", str(path), "--size", "64"]) == 0
    return path


@pytest.fixture(autouse=True)
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photo.png and faces.json in the working folder."""
    monkeypatch.chdir(tmp_path)
    samples = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(samples).save("photo.png")
    face = {"landmarks": [[30, 25], [50, 25], [40, 33], [32, 42], [48, 42]]}
    Path("faces.json").write_text(json.dumps([face]))
    return Path("photo.png")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], network: Path) -> Run:
    def command(name: str, *arguments: object) -> tuple[int, str, str]:
        given = ("--network", network, "--landmarks", "faces.json", "--device", "cpu")
        code = main([name, *(str(argument) for argument in (*arguments, *given))])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


@pytest.mark.parametrize("flag", ["--save-mask", "--compare", "--report"])
def test_no_flag_replaces_an_input(run: Run, photo: Path, flag: str) -> None:
    before = photo.read_bytes()
    code, _, errors = run("restore", photo, "-o", "o.png", flag, f"../{photo.resolve().parent.name}/photo.png")
    assert code == 1 and "photo.png is an input; wanted another output, or --overwrite" in errors
    assert photo.read_bytes() == before and not Path("o.png").exists()


def test_a_report_does_not_replace_the_landmarks_unless_told(run: Run, photo: Path) -> None:
    before = Path("faces.json").read_bytes()
    code, _, errors = run("restore", photo, "-o", "o.png", "--report", "faces.json")
    assert code == 1 and "faces.json is an input" in errors and Path("faces.json").read_bytes() == before
    assert run("restore", photo, "-o", "o.png", "--report", "faces.json", "--overwrite")[0] == 0
    assert "pictures" in json.loads(Path("faces.json").read_text())


@pytest.mark.parametrize("command", ["restore", "compare-sheet"])
def test_a_result_does_not_replace_what_a_flag_names(run: Run, photo: Path, command: str) -> None:
    mask = shutil.copy(photo, "mask.png")
    flags = ("--region", mask, "-o", mask) if command == "restore" else ("--upscaler", mask, "-o", mask)
    before = Path(mask).read_bytes()
    code, _, errors = run(command, photo, *flags)
    assert code == 1 and "mask.png is an input; wanted another output" in errors and Path(mask).read_bytes() == before


def test_a_sheet_does_not_replace_its_photo(run: Run, photo: Path) -> None:
    before = photo.read_bytes()
    code, _, errors = run("compare-sheet", photo, "-o", photo, "--vary", "strength=0/1")
    assert code == 1 and errors == "gpen2048: photo.png is an input; wanted another output\n"
    assert photo.read_bytes() == before


def test_another_name_of_an_input_is_the_input(run: Run, photo: Path) -> None:
    """As PHOTO.PNG is where capitals do not count; here by a link."""
    os.link(photo, "other.png")
    code, _, errors = run("restore", photo, "-o", "other.png")
    assert code == 1 and "other.png is an input" in errors
    Path("in").mkdir()
    os.link(photo, "in/other.png")
    code, _, errors = run("batch", "in", ".")
    assert code == 1 and "in/other.png would be written over itself" in errors


def test_no_file_is_written_twice(run: Run, photo: Path) -> None:
    code, _, errors = run("restore", photo, "-o", "o.png", "--compare", "o.png")
    assert code == 1 and "o.png would be written twice" in errors and not Path("o.png").exists()


@pytest.mark.parametrize("flags", [[], ["--sequence"]])
def test_a_page_does_not_replace_all_pages(
    network: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.setattr("gpen2048.cli.loading._detector_file", lambda *_: None)
    monkeypatch.setattr("gpen2048.cli.loading._detector", lambda *_: (lambda *_: [], "finds nothing"))
    pages = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    Path("in").mkdir()
    pages[0].save("in/scan.tif", save_all=True, append_images=pages[1:])
    before = Path("in/scan.tif").read_bytes()
    for output, code in (("in", 1), ("out", 0)):
        command = ["restore", "in", "-o", output, "--overwrite", "--network", str(network), "--device", "cpu", *flags]
        assert main(command) == code
        errors = capsys.readouterr().err
        assert ("scan.tif: its 3 pages or frames would become one; wanted another output" in errors) == (code == 1)
    assert Path("in/scan.tif").read_bytes() == before and Path("out/scan.tif").exists()


def test_several_pictures_want_a_folder(run: Run, photo: Path) -> None:
    shutil.copy(photo, "other.png")
    code, _, errors = run("restore", photo, "other.png", "-o", "o.png")
    assert code == 1 and "o.png is one file; wanted a folder for photo.png, other.png" in errors
    assert not Path("o.png").exists()


def test_folders_of_all_outputs_are_made(run: Run, photo: Path) -> None:
    flags = ("--save-mask", "a/m.png", "--compare", "b/c.png", "--report", "d/e/r.json")
    assert run("restore", photo, "-o", "f/o.png", *flags)[0] == 0
    assert all(Path(name).is_file() for name in ("a/m.png", "b/c.png", "d/e/r.json", "f/o.png"))


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("restore", "photo.png", "-o", "out.bmp"), "out.bmp: cannot write '.bmp'; wanted .png, .jpg"),
        (("restore", "photo.png", "-o", "o.png", "--save-mask", "m.bmp"), "cannot write '.bmp'"),
        (("restore", "photo.png", "-o", "o.png", "--compare", "sheet"), "cannot write"),
        (("restore", "photo.png", "-o", "o.jpg", "--quality", "500"), "quality is 500; wanted 1 to 100"),
        (("restore", "photo.png", "-o", "o.jpg", "--quality", "0"), "quality is 0; wanted 1 to 100"),
        (("compare-sheet", "photo.png", "-o", "sheet.gif"), "cannot write '.gif'"),
        (("restore", "", "-o", "o.png"), "an input has an empty name; wanted a file"),
        (("restore", "photo.png", "-o", "faces.json"), "faces.json: cannot write '.json'"),
        (("restore", "photo.png", "-o", os.devnull), f"{os.devnull} is no folder; wanted one, or another output"),
    ],
)
def test_what_cannot_be_written_is_told_before_any_work(run: Run, arguments: Any, wanted: str) -> None:
    code, printed, errors = run(*arguments)
    assert code == 1 and wanted in errors and len(errors.splitlines()) == 1 and not printed
    assert sorted(path.name for path in Path().iterdir()) == ["faces.json", "photo.png"]


@pytest.mark.parametrize("flag", ["--report", "--save-mask", "--compare", "-o"])
def test_a_folder_in_the_place_of_an_output_is_told_before_any_work(run: Run, photo: Path, flag: str) -> None:
    Path("there.png").mkdir()
    command = ("compare-sheet", photo) if flag == "-o" else ("restore", photo, "-o", "o.png")
    code, printed, errors = run(*command, flag, "there.png")
    assert code == 1 and errors == "gpen2048: there.png is a folder; wanted another output\n" and not printed
    assert not Path("o.png").exists()


@pytest.mark.parametrize("command", [("restore", "-o", "o.png", "--report"), ("compare-sheet", "-o")])
def test_a_folder_that_takes_no_files_is_told_before_any_work(run: Run, photo: Path, command: Any) -> None:
    Path("locked").mkdir(mode=0o555)
    locked = Path("/proc") if os.access("locked", os.W_OK) else Path("locked")  # root may do anything
    if not locked.is_dir():
        pytest.skip("every folder can be written to")
    code, printed, errors = run(command[0], photo, *command[1:], locked / "a.png")
    assert code == 1 and str(locked) in errors and len(errors.splitlines()) == 1 and not printed
    assert not Path("o.png").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_is_not_replaced(run: Run, photo: Path) -> None:
    os.mkfifo("r.json")
    code, _, errors = run("restore", photo, "-o", "o.png", "--report", "r.json")
    assert code == 1 and "r.json is no file but a device or a pipe" in errors and Path("r.json").is_fifo()


def test_a_folder_may_have_any_name_once_it_is_there(run: Run, photo: Path) -> None:
    Path("holiday.2024").mkdir()
    assert run("restore", photo, "-o", "holiday.2024")[0] == 0 and Path("holiday.2024/photo.png").is_file()


def test_hidden_files_of_a_folder_are_passed_over(run: Run, photo: Path) -> None:
    Path("in").mkdir()
    photo.rename("in/a.png")
    Path("in/._a.png").write_bytes(b"\0\5\x16\7as macOS leaves it on foreign disks")
    if hasattr(os, "mkfifo"):
        os.mkfifo("in/pipe.png")  # whoever reads it waits for ever
    code, printed, errors = run("restore", "in", "-o", "out")
    assert code == 0 and not errors and printed.count("faces found") == 1


@pytest.mark.parametrize("command", ["restore", "batch"])
def test_further_names_of_pictures_are_found_in_folders(run: Run, photo: Path, command: str) -> None:
    Path("in").mkdir()
    Image.open(photo).save("in/web.jfif", "JPEG")
    names = ["web.png"]
    if ".avif" in Image.registered_extensions():
        Image.open(photo).save("in/phone.avif")
        names = ["phone.png", "web.png"]
    assert run(command, "in", *(("-o", "out") if command == "restore" else ("out",)))[0] == 0
    assert sorted(path.name for path in Path("out").iterdir() if path.suffix != ".jsonl") == names


def test_avif_is_looked_for_where_pillow_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in ({".png": "PNG"}, {".png": "PNG", ".avif": "AVIF"}):
        monkeypatch.setattr(Image, "registered_extensions", lambda known=known: known)
        readable_suffixes.cache_clear()
        assert readable_suffixes() == (*SUFFIXES, ".avif") if ".avif" in known else SUFFIXES
    readable_suffixes.cache_clear()


@pytest.mark.parametrize("command", ["restore photo.png -o", "compare-sheet photo.png -o", "batch photo.png"])
def test_an_output_has_a_name(photo: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That of a variable that was not set is none."""
    with pytest.raises(SystemExit, match="2"):
        main([*command.split(), ""])
    assert "an empty name; wanted a file or a folder" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[" * 100_000, '[{"landmarks": [[1e9, 0], [0, 0], [0, 1], [1, 1], [1, 0]]}]'])
def test_landmarks_that_would_take_all_memory_are_refused(run: Run, photo: Path, content: str) -> None:
    Path("faces.json").write_text(content)
    code, _, errors = run("restore", photo, "-o", "o.png")
    assert code == 1 and "faces.json: " in errors and len(errors.splitlines()) == 1 and not Path("o.png").exists()


@pytest.mark.parametrize("sharpen", ["nan", "inf", "-1", "1000"])
def test_a_passthrough_sharpens_by_a_number(sharpen: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["passthrough", "a.pth", "--size", "64", f"--sharpen={sharpen}"]) == 1
    assert f"sharpen is {float(sharpen)}; wanted a number from 0 to 100" in capsys.readouterr().err
    assert not Path("a.pth").exists()


def test_a_network_is_not_replaced_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("weights/GPEN-BFR-2048.pth")
    path.parent.mkdir()
    path.write_bytes(b"the real one")
    assert main(["passthrough", str(path), "--size", "64"]) == 1
    assert "is there already; wanted another name, or --overwrite" in capsys.readouterr().err
    assert path.read_bytes() == b"the real one"
    assert main(["passthrough", str(path), "--size", "64", "--overwrite"]) == 0 and path.stat().st_size > 1000


def test_networks_go_into_new_folders(network: Path) -> None:
    for name in ("new/a.pth", "new/b/a.safetensors"):
        assert main(["passthrough", name, "--size", "64"]) == 0 and Path(name).is_file()
    assert main(["weights", "convert", str(network), "-o", "other/a.safetensors"]) == 0


def test_a_network_that_cannot_be_written_is_one_line(capsys: Any, network: Path, monkeypatch: Any) -> None:
    def full(*_: object, **__: object) -> None:
        raise safetensors.SafetensorError("I/O error: No space left on device")

    def also_full(*_: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    monkeypatch.setattr("torch.save", also_full)
    for command in (
        ["weights", "convert", str(network), "-o", "a.safetensors"],
        ["passthrough", "a.pth", "--size", "64"],
    ):
        assert main(command) == 1
        errors = capsys.readouterr().err
        assert "cannot be written" in errors and len(errors.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["faces.json", "photo.png"]


def test_a_user_s_own_part_files_are_left_alone(run: Run, photo: Path, network: Path) -> None:
    """As downloads have that go on later, ours among them."""
    names = ("r.json.part", "a.pth.part", "b.safetensors.part", "c.safetensors.part")
    for name in names:
        Path(name).write_text("mine")
    assert run("restore", photo, "-o", "o.png", "--report", "r.json")[0] == 0
    assert main(["passthrough", "a.pth", "--size", "64"]) == main(["passthrough", "b.safetensors", "--size", "64"]) == 0
    assert main(["weights", "convert", str(network), "-o", "c.safetensors"]) == 0
    assert all(Path(name).read_text() == "mine" for name in names)
    assert not list(Path().glob(".*.part"))


def test_a_passthrough_is_the_same_file_each_time() -> None:
    for name in ("a.pth", "b.pth"):
        assert main(["passthrough", name, "--size", "64"]) == 0
    assert Path("a.pth").read_bytes() == Path("b.pth").read_bytes()


def test_a_name_that_the_terminal_cannot_show_is_no_failure(photo: Path, network: Path, monkeypatch: Any) -> None:
    photo.rename("写真.png")
    terminal = TextIOWrapper(BytesIO(), "cp1252")
    monkeypatch.setattr(sys, "stdout", terminal)
    arguments = ["restore", "写真.png", "-o", "out", "--network", str(network), "--landmarks", "faces.json"]
    assert main([*arguments, "--device", "cpu"]) == 0
    terminal.flush()
    assert rb"\u5199\u771f.png" in terminal.buffer.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out.startswith("gpen2048 ")
