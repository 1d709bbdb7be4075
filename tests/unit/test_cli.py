"""The command line, end to end with small networks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gpen2048
import numpy as np
import pytest
import torch
from gpen2048.cli import main, restoring
from gpen2048.cli.progress import ByteBar
from gpen2048.images import read_image
from gpen2048.sheets.layout import GAP, LABEL_BRIGHTNESS, LABEL_SIZE, MARGIN, column_width, resize, text_row
from PIL import Image

Command = tuple[int, str, str]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 256 px network that returns its input."""
    path = tmp_path_factory.mktemp("network") / "GPEN-BFR-256.pth"
    assert main(["passthrough", str(path), "--size", "256"]) == 0
    return path


@pytest.fixture(scope="module")
def landmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two faces of the group photo."""
    golden = json.loads((Path(__file__).parents[1] / "golden" / "alignment.json").read_text())
    path = tmp_path_factory.mktemp("landmarks") / "faces.json"
    path.write_text(json.dumps([{"landmarks": face["landmarks"]} for face in golden["faces"][:2]]))
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: object) -> Command:
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def test_restore_writes_picture_report_and_sheet(
    run: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path
) -> None:
    out, report, sheet = tmp_path / "o.png", tmp_path / "o.json", tmp_path / "sheet.png"
    code, printed, _ = run(
        "restore", photo_path, "-o", out, "--network", network, "--landmarks", landmarks,
        "--report", report, "--compare", sheet, "--scale", "2", "--strength", "1", "--device", "cpu",
    )  # fmt: skip
    assert code == 0
    assert "2 faces found, 2 restored, scale 2" in printed
    assert Image.open(out).size == (2656, 1136)
    assert Image.open(sheet).width == 1600
    content = json.loads(report.read_text())
    (picture,) = content["pictures"]
    assert len(picture["faces"]) == 2 and picture["faces"][0]["restored"] and picture["options"]["strength"] == 1
    assert content["network"].startswith(str(network)) and content["precision"] == "fp32"


def test_the_sheet_shows_the_input_beside_the_output_and_each_face(
    run: Any, tmp_path: Path, photo_path: Path, landmarks: Path
) -> None:
    out, sheet = tmp_path / "o.png", tmp_path / "sheet.png"
    sharpening = tmp_path / "GPEN-BFR-256.pth"
    run("passthrough", sharpening, "--size", "256", "--sharpen", "3")
    faces = ["--network", sharpening, "--landmarks", landmarks, "--strength", "1", "--device", "cpu"]
    code, *_ = run("restore", photo_path, "-o", out, "--compare", sheet, *faces)
    assert code == 0
    shown = read_image(sheet).pixels
    width, height = column_width(2), round(568 * column_width(2) / 1328)
    top = MARGIN + text_row(["before"], LABEL_SIZE, LABEL_BRIGHTNESS).shape[1]
    for path, left in ((photo_path, MARGIN), (out, MARGIN + width + GAP)):
        wanted = resize(read_image(path).pixels, height, width)
        assert (shown[:, top : top + height, left : left + width] - wanted).abs().max() < 2 / 255, path.name
    assert shown.shape[1] > top + height + 2 * column_width(4)  # a row for each face


def test_a_report_serves_as_landmarks(
    run: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path
) -> None:
    first, second, report = tmp_path / "1.png", tmp_path / "2.png", tmp_path / "r.json"
    run("restore", photo_path, "-o", first, "--network", network, "--landmarks", landmarks, "--report", report)
    code, printed, _ = run("restore", photo_path, "-o", second, "--network", network, "--landmarks", report)
    assert code == 0 and "2 faces found" in printed
    assert first.read_bytes() == second.read_bytes()


def test_a_folder_gives_a_folder_and_a_bad_file_is_named(
    run: Any, tmp_path: Path, network: Path, landmarks: Path
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a.jpg", "b.webp"):
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(source / name)
    (source / "c.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (source / "notes.txt").write_text("not a picture")
    code, printed, errors = run("restore", source, "-o", out, "--network", network, "--landmarks", landmarks)
    assert code == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg", "b.webp"]
    assert "c.png" in errors and len(errors.strip().splitlines()) == 1
    assert printed.count("faces found") == 2


def test_depth_alpha_and_profile_survive(run: Any, tmp_path: Path, network: Path, landmarks: Path) -> None:
    import cv2

    deep = np.random.default_rng(2).integers(0, 65535, (50, 70, 4), dtype=np.uint16)
    source, out = tmp_path / "deep.png", tmp_path / "out.png"
    source.write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    assert run("restore", source, "-o", out, "--network", network, "--landmarks", landmarks)[0] == 0
    written = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16 and np.array_equal(written, deep)  # the faces lie outside: nothing may change


@pytest.mark.parametrize("pattern", ["*.png", "sub/../*.png"])
def test_patterns_are_expanded(run: Any, tmp_path: Path, network: Path, landmarks: Path, pattern: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (20, 20)).save(tmp_path / name)
    run("restore", tmp_path / pattern, "-o", tmp_path / "out", "--network", network, "--landmarks", landmarks)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_an_input_is_not_overwritten_unless_told(run: Any, tmp_path: Path, network: Path, landmarks: Path) -> None:
    source = tmp_path / "a.png"
    Image.new("RGB", (20, 20)).save(source)
    before = source.read_bytes()
    arguments = ("restore", source, "-o", source, "--network", network, "--landmarks", landmarks)
    code, _, errors = run(*arguments)
    assert code == 1 and "is an input; wanted another output, or --overwrite" in errors
    assert source.read_bytes() == before
    assert run(*arguments, "--overwrite")[0] == 0


def test_two_inputs_of_one_name_are_refused(run: Any, tmp_path: Path, network: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (20, 20)).save(tmp_path / folder / "a.png")
    code, _, errors = run("restore", tmp_path / "x", tmp_path / "y", "-o", tmp_path / "out", "--network", network)
    assert code == 1 and "would both be written to" in errors


def test_without_weights_it_says_what_to_put_where(run: Any, tmp_path: Path, photo_path: Path, network: Path) -> None:
    code, _, errors = run("restore", photo_path, "-o", tmp_path / "o.png", "--weights", tmp_path)
    assert code == 1 and "GPEN-BFR-2048.pth" in errors and str(tmp_path) in errors and "--network" in errors
    code, _, errors = run("restore", photo_path, "-o", tmp_path / "o.png", "--weights", tmp_path, "--network", network)
    assert code == 1 and "detection_Resnet50_Final.pth" in errors and "--detector" in errors
    assert not (tmp_path / "o.png").exists()


def test_the_largest_network_that_is_there_is_taken(
    run: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path
) -> None:
    where = ("-o", tmp_path / "o.png", "--weights", tmp_path, "--landmarks", landmarks)
    for name in ("GPEN-BFR-256.pth", "GPEN-BFR-512.pth", "GPEN-BFR-2048.pth"):
        shutil.copy(network, tmp_path / name)
        code, told, _ = run("restore", photo_path, *where)
        assert code == 0 and f"network   {tmp_path / name}" in told


def test_a_number_that_no_face_has_is_told_of(
    run: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path
) -> None:
    _, told, _ = run(
        "restore", photo_path, "-o", tmp_path / "o.png", "--network", network, "--landmarks", landmarks,
        "--select", "0,7",
    )  # fmt: skip
    assert "2 faces found, 1 restored (not selected; there is no face 7; the first is 0)" in told


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--strength", "1.5"], "strength is 1.5; wanted a number from 0 to 1"),
        (["--scale", "3"], "scale is '3'; wanted one of 1, 2, 4, auto"),
        (["--select", "best"], "select is 'best'"),
        (["--device", "toaster"], "device is 'toaster'"),
        (["--precision", "fp8"], "precision is 'fp8'"),
        (["--network", "none.pth"], "none.pth: no such file"),
    ],
)
def test_a_wrong_option_is_one_line(
    run: Any, tmp_path: Path, photo_path: Path, arguments: list[str], wanted: str
) -> None:
    code, _, errors = run("restore", photo_path, "-o", tmp_path / "o.png", *arguments)
    assert code == 1 and wanted in errors and len(errors.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("not json", "not JSON"),
        ("3", "holds int"),
        ('[{"box": [1, 2, 3, 4]}]', "face 0 is not usable"),
        ('[{"landmarks": [[1, 2]]}]', "face 0 is not usable"),
        ('{"pictures": []}', "no faces for"),
        ('{"pictures": [{}]}', "pictures that are not usable ('input')"),
        ('{"pictures": 3}', "pictures that are not usable"),
    ],
)
def test_wrong_landmarks_are_named(
    run: Any, tmp_path: Path, photo_path: Path, network: Path, content: str, wanted: str
) -> None:
    path = tmp_path / "faces.json"
    path.write_text(content)
    code, _, errors = run("restore", photo_path, "-o", tmp_path / "o.png", "--network", network, "--landmarks", path)
    assert code == 1 and wanted in errors


def test_ctrl_c_leaves_no_half_file(
    run: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gpen2048.cli.progress.FaceBar.update", interrupted)
    out = tmp_path / "out"
    code, _, errors = run("restore", photo_path, "-o", out / "o.png", "--network", network, "--landmarks", landmarks)
    assert code == 130 and "interrupted" in errors
    assert not out.exists() or not list(out.iterdir())


def test_a_reader_that_has_had_enough_is_no_failure(network: Path) -> None:
    command = [sys.executable, "-m", "gpen2048", "inspect", network]
    environment = {**os.environ, "PYTHONPATH": str(Path(gpen2048.__file__).parents[1])}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == "" and child.wait() == 141


def test_what_sigterm_did_before_it_does_again(run: Any, network: Path) -> None:
    before = signal.signal(signal.SIGTERM, print_stack)
    try:
        assert run("inspect", network)[0] == 0
        assert signal.getsignal(signal.SIGTERM) is print_stack
    finally:
        signal.signal(signal.SIGTERM, before)


def print_stack(*_: object) -> None:
    """A program's own way to meet a signal."""


@pytest.mark.parametrize(
    ("given", "taken"), [({}, "4000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "None")]
)
def test_threads_wait_less_actively_unless_told(given: dict[str, str], taken: str) -> None:
    """The variable is read when PyTorch is loaded: it is to be set before."""
    code = """
import os, sys
from gpen2048.__main__ import main
assert "torch" not in sys.modules
try:
    main()
finally:
    print(os.environ.get("GOMP_SPINCOUNT"))
"""
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment = {**kept, **given, "PYTHONPATH": str(Path(gpen2048.__file__).parents[1])}
    command = [sys.executable, "-c", code, "--version"]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == taken


def test_a_program_without_output_works(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["inspect", str(network)]) == 0


def test_inspect_says_what_a_file_is(run: Any, network: Path, tmp_path: Path) -> None:
    code, printed, _ = run("inspect", network)
    assert code == 0
    assert "a GPEN network" in printed and "256 px, channel multiplier 1, narrow 0.5" in printed and "sound" in printed
    state = torch.load(network, weights_only=True)
    state["ecd0.0.0.weight"][0] = float("nan")
    torch.save(state, tmp_path / "bad.pth")
    code, printed, errors = run("inspect", tmp_path / "bad.pth")
    assert code == 1 and "NaN" in errors and "sound" not in printed


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_passthrough_writes_whole_files_only(run: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"p{suffix}"
    assert run("passthrough", path, "--size", "256", "--sharpen", "1")[0] == 0
    assert [child.name for child in tmp_path.iterdir()] == [path.name]
    code, _, errors = run("passthrough", tmp_path / "p.txt", "--size", "256")
    assert code == 1 and "wanted a name ending in .pth" in errors


def test_the_demo_says_what_it_is(run: Any, tmp_path: Path, photo_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage", reason="needs scikit-image's frontal face cascade")
    from gpen2048.network import NetworkConfig

    monkeypatch.setattr("gpen2048.cli.loading.DEMO_NETWORK", NetworkConfig(256, 1, 0.5))
    out = tmp_path / "o.png"
    code, printed, _ = run("restore", photo_path, "-o", out, "--weights", tmp_path, "--demo")
    assert code == 0
    assert "shows the whole pipeline, restores nothing" in printed and "lbp: scikit-image's frontal cascade" in printed
    change = (read_image(out).pixels - read_image(photo_path).pixels).abs()
    assert change.max() > 0.05  # visibly sharper


def test_lbp_finds_most_faces(group_photo: torch.Tensor, golden_alignment: Any) -> None:
    pytest.importorskip("skimage", reason="needs scikit-image's frontal face cascade")
    from gpen2048.detectors.lbp import LbpDetector

    faces = LbpDetector()(group_photo)
    close = 0
    for known in golden_alignment["faces"]:
        landmarks = np.array(known["landmarks"])
        eyes = np.linalg.norm(landmarks[1] - landmarks[0])
        close += any(np.abs(face.landmarks - landmarks).mean() < 0.25 * eyes for face in faces)
    assert close >= 25 and len(faces) <= 28
    assert LbpDetector()(torch.zeros(3, 10, 10)) == []


def test_jpegs_have_the_quality_asked_for(
    run: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path
) -> None:
    sizes = []
    for quality in (20, 95):
        out = tmp_path / f"{quality}.jpg"
        run("restore", photo_path, "-o", out, "--network", network, "--landmarks", landmarks, "--quality", quality)
        sizes.append(out.stat().st_size)
    assert 2 * sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("colour", "restored"),
    [((0, 255, 0), 2), ((255, 255, 255), 2), ((0, 0, 255), 0), ((255, 255, 255, 255), 2), ((255, 255, 255, 90), 0)],
)
def test_a_region_is_where_its_picture_is_light(
    run: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path, colour: Any, restored: int
) -> None:
    region = tmp_path / "region.png"
    Image.new("RGBA" if len(colour) == 4 else "RGB", (8, 8), colour).save(region)
    told = run(
        "restore", photo_path, "-o", tmp_path / "o.png", "--network", network, "--landmarks", landmarks,
        "--region", region,
    )  # fmt: skip
    assert f"2 faces found, {restored} restored" in told[1]


def test_an_interrupted_run_reports_what_was_done(
    run: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, seen = restoring.read_image, []

    def stop_at_the_second(path: Path, *where: Any) -> Any:
        seen.append(path)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return read(path, *where)

    monkeypatch.setattr(restoring, "read_image", stop_at_the_second)
    for name in ("a.png", "b.png"):
        shutil.copy(photo_path, tmp_path / name)
    code, _, _ = run(
        "restore", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "out", "--network", network,
        "--landmarks", landmarks, "--report", tmp_path / "r.json",
    )  # fmt: skip
    assert code == 130
    (picture,) = json.loads((tmp_path / "r.json").read_text())["pictures"]
    assert picture["input"] == str(tmp_path / "a.png") and len(picture["faces"]) == 2


def test_without_stderr_pictures_are_restored_and_bars_say_nothing(
    tmp_path: Path, photo_path: Path, network: Path, landmarks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    flags = ["--network", str(network), "--landmarks", str(landmarks)]
    assert main(["restore", str(photo_path), "-o", str(tmp_path / "o.png"), *flags]) == 0
    assert main(["batch", str(photo_path), str(tmp_path / "out"), *flags]) == 0
    with ByteBar() as bar:
        bar.update(1, 2)


def test_a_report_gives_no_picture_the_faces_of_another_of_its_name(
    run: Any, tmp_path: Path, photo_path: Path, network: Path, landmarks: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(photo_path, tmp_path / folder / "p.png")
    report, flags = tmp_path / "r.json", ["--network", network]
    run("restore", tmp_path / "a/p.png", "-o", tmp_path / "o.png", *flags, "--landmarks", landmarks, "--report", report)
    again = ["-o", tmp_path / "o.png", *flags, "--landmarks", report]
    code, _, errors = run("restore", tmp_path / "b/p.png", *again)
    assert code == 1 and "no faces for p.png" in errors
    assert run("restore", tmp_path / "a/p.png", *again)[0] == 0
    (tmp_path / "a/p.png").unlink()
    assert run("restore", tmp_path / "b/p.png", *again)[0] == 0  # moved since
