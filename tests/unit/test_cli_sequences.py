"""Films and numbered pictures on the command line, end to end with a small network."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.cli import main
from gpen2048.cli.progress import FaceBar
from gpen2048.faces import Face
from gpen2048.films.opening import open_film
from gpen2048.images import Picture, read_image, write_image
from gpen2048.sequence import restore_sequence
from torch import Tensor

FRAMES = 18
av: Any = pytest.importorskip("av", reason="needs PyAV")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 128 px network that sharpens."""
    path = tmp_path_factory.mktemp("network") / "net.pth"
    assert main(["passthrough", str(path), "--size", "128", "--sharpen", "2"]) == 0
    return path


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch, portrait_face: Face) -> list[Tensor]:
    """Finds the portrait's face, 2 px further in each frame, with its landmarks shaken; the frames it was shown."""
    rng = np.random.default_rng(0)
    seen: list[Tensor] = []

    def find(image: Tensor, threshold: float) -> list[Face]:
        shift = np.array([2.0 * len(seen) - 100, 0])
        seen.append(image)
        landmarks = portrait_face.landmarks + shift + rng.normal(0, 1, (5, 2))
        return [Face(portrait_face.box + np.tile(shift, 2), landmarks, 0.99)]

    monkeypatch.setattr("gpen2048.cli.loading._detector_file", lambda *_: None)
    monkeypatch.setattr("gpen2048.cli.loading._detector", lambda *_: (find, "made up"))
    return seen


@pytest.fixture(scope="module")
def frames(portrait: Tensor) -> list[Tensor]:
    """A pan over the portrait, (3, 240, 256)."""
    return [portrait[:, :240, 100 - 2 * n : 356 - 2 * n].contiguous() for n in range(FRAMES)]


@pytest.fixture
def film(tmp_path: Path, frames: list[Tensor]) -> Path:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "6"})
        tone = container.add_stream("aac", rate=44100, layout="mono")
        video.height, video.width = frames[0].shape[1:]
        for number, pixels in enumerate(frames):
            samples = (pixels * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            container.mux(video.encode(av.VideoFrame.from_ndarray(samples, format="rgb24")))
            wave = (np.sin(np.arange(1764) / 20) * 9000).astype(np.int16)[None]
            sound = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            sound.sample_rate, sound.pts = 44100, number * 1764
            container.mux(tone.encode(sound))
        container.mux([*video.encode(None), *tone.encode(None)])
    return path


def _sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0)]


@pytest.mark.usefixtures("detector")
def test_a_film_is_restored_with_its_sound(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path, network: Path
) -> None:
    out, report = tmp_path / "out" / "film.mp4", tmp_path / "report.json"
    arguments = ["restore", film, "-o", out, "--network", network, "--device", "cpu", "--crf", "4", "--report", report]
    assert main([str(argument) for argument in arguments]) == 0
    assert "18 frames, 18 faces restored in them, scale 1" in capsys.readouterr().out
    with open_film(film) as before, open_film(out) as after:
        pairs = list(zip(before.frames(), after.frames()))
        assert [a.pts * before.time_base for a, _ in pairs] == [b.pts * after.time_base for _, b in pairs]
    assert len(pairs) == FRAMES
    change = torch.stack([(a.pixels - b.pixels).abs().mean(dim=0) for a, b in pairs])
    face, corner = change[:, 60:180, 90:160].mean(), change[:, 200:, 200:].mean()
    assert face > 0.01 and corner < 0.004  # the face is sharper, the rest is what the encoder makes of it
    assert _sound(film) == _sound(out)
    (told,) = json.loads(report.read_text())["films"]
    assert (told["frames"], told["restored"], told["problems"]) == (FRAMES, FRAMES, [])


def test_numbered_pictures_are_restored_in_the_order_of_their_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, frames: list[Tensor], network: Path, detector: list[Tensor]
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number, pixels in enumerate(frames):
        write_image(source / f"frame{number}.png", Picture(pixels, alpha=torch.full((240, 256), 0.5)))
    arguments = ["restore", source, "-o", out, "--sequence", "--network", network, "--device", "cpu"]
    assert main([str(argument) for argument in arguments]) == 0
    assert "18 frames, 18 faces restored" in capsys.readouterr().out
    for number, pixels in enumerate(frames):
        result = read_image(out / f"frame{number}.png")
        assert result.alpha is not None and result.alpha.mean() == pytest.approx(0.5, abs=0.01)
        assert torch.equal(detector[number], pixels)  # frame 10 comes after frame 9
        assert torch.equal(result.pixels[:, :, :20], pixels[:, :, :20])
        assert (result.pixels - pixels).abs()[:, 100:170, 100:160].mean() > 0.005


@pytest.mark.usefixtures("detector")
def test_pictures_that_are_damaged_or_of_another_size_do_not_stop_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, frames: list[Tensor], network: Path
) -> None:
    source, out, report = tmp_path / "in", tmp_path / "out", tmp_path / "report.json"
    source.mkdir()
    for number, pixels in enumerate(frames):
        write_image(source / f"{number}.png", Picture(pixels if number != 3 else pixels[:, :50]))
    (source / "15.png").write_bytes((source / "15.png").read_bytes()[:500])
    arguments = ["restore", source, "-o", out, "--sequence", "--network", network, "--report", report]
    assert main([str(argument) for argument in arguments]) == 1
    errors = capsys.readouterr().err
    assert "3.png: 256 x 50 pixels; wanted 256 x 240, as the first" in errors and "15.png: PNG, but damaged" in errors
    assert {path.name for path in out.iterdir()} == {
        f"{number}.png" for number in range(FRAMES) if number not in (3, 15)
    }
    assert torch.equal(read_image(out / "16.png").pixels[:, :, :20], frames[16][:, :, :20])
    (told,) = json.loads(report.read_text())["films"]
    assert told["frames"] == FRAMES - 2 and len(told["problems"]) == 2


@pytest.mark.usefixtures("detector")
def test_what_was_written_before_the_disk_was_full_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: Any, tmp_path: Path, frames: list[Tensor], network: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        write_image(tmp_path / "in" / f"{number}.png", Picture(frames[number]))

    def full(path: Path, *rest: Any, **how: Any) -> None:
        if path.name == "2.png":
            raise OSError(28, "No space left on device", str(path))
        write_image(path, *rest, **how)

    monkeypatch.setattr("gpen2048.cli.frame_files.write_image", full)
    arguments = ["restore", tmp_path / "in", "-o", tmp_path / "out", "--sequence", "--network", network]
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert "2 frames, 2 faces restored" in printed.out and printed.err.count("No space left on device") == 1


@pytest.mark.usefixtures("detector")
def test_pictures_that_have_been_replaced_are_not_restored_once_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: Any, tmp_path: Path, frames: list[Tensor], network: Path
) -> None:
    """Out of memory a command begins anew, but not with what it has made itself."""
    for number in range(4):
        write_image(tmp_path / f"{number}.png", Picture(frames[number]))
    begun: list[int] = []

    def full(images: Iterable[Tensor], *rest: Any, **how: Any) -> Iterator[Any]:
        begun.append(1)
        yield from islice(restore_sequence(images, *rest, **how), 2)
        raise MemoryError

    monkeypatch.setattr("gpen2048.cli.frame_files.restore_sequence", full)
    arguments = ["restore", tmp_path, "-o", tmp_path, "--sequence", "--overwrite", "--network", network]
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert "too little memory after 2 pictures, which have been replaced" in printed.err and len(begun) == 1
    kept = [torch.equal(read_image(tmp_path / f"{n}.png").pixels, frames[n]) for n in range(4)]
    assert kept == [False, False, True, True]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, film: Path) -> Path:
    """`film` without its end."""
    monkeypatch.setattr("gpen2048.films.reading.MISSING", 0.05)
    broken = tmp_path / "broken.mkv"
    with av.open(str(film)) as container, av.open(str(broken), "w") as target:
        stream = target.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size * 9 // 10])
    return broken


@pytest.mark.usefixtures("detector")
def test_a_film_that_ends_too_early_is_restored_and_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path, broken: Path, network: Path
) -> None:
    arguments = ["restore", broken, film, "-o", tmp_path / "out", "--network", network, "--device", "cpu"]
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert "broken.mkv: the video ends at" in printed.err and printed.out.count("faces restored") == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["broken.mkv", "film.mp4"]


def test_a_batch_refuses_a_codec_that_the_name_of_a_film_cannot_hold(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path, network: Path
) -> None:
    arguments = ["batch", film, tmp_path / "out", "--network", network, "--codec", "ffv1"]
    assert main([str(argument) for argument in arguments]) == 1
    assert f"{tmp_path / 'out' / 'film.mp4'}: ffv1 wants a name ending in .mkv" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("detector")
def test_a_batch_names_such_a_film_each_time_and_ends_with_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, broken: Path, network: Path
) -> None:
    arguments = ["batch", broken, tmp_path / "out", "--network", network, "--device", "cpu"]
    for done in ("1 done", "0 done, 1 left as before"):
        assert main([str(argument) for argument in arguments]) == 1
        printed = capsys.readouterr()
        assert "broken.mkv: the video ends at" in printed.err and done in printed.out


@pytest.mark.usefixtures("detector")
def test_a_film_that_is_none_does_not_stop_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path, network: Path
) -> None:
    (tmp_path / "none.mp4").write_text("no film")
    arguments = ["restore", tmp_path / "none.mp4", film, "-o", tmp_path / "out", "--network", network]
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert "none.mp4: not a sound film" in printed.err and "faces restored" in printed.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["film.mp4"]


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("below", ["", "*", "fil*.*"])
def test_a_folder_or_pattern_is_of_films_unless_there_are_pictures(
    capsys: pytest.CaptureFixture[str], film: Path, network: Path, below: str
) -> None:
    folder = film.parent / "clips"
    folder.mkdir()
    film.rename(folder / "film.mp4")
    out = film.parent / "out"
    command = ["restore", str(folder / below), "-o", str(out), "--network", str(network), "--device", "cpu"]
    assert main(command) == 0
    assert [path.name for path in out.iterdir()] == ["film.mp4"]
    write_image(folder / "film.png", Picture(torch.zeros(3, 200, 200)))
    main(command)
    assert sorted(path.name for path in out.iterdir()) == ["film.mp4", "film.png"]
    assert f"{folder / below}: its films are left out" in capsys.readouterr().err


@pytest.mark.usefixtures("detector")
def test_ctrl_c_leaves_no_half_film(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, film: Path, network: Path
) -> None:
    def interrupted(_bar: object, done: int, _total: int, _what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("gpen2048.cli.progress.FaceBar.update", interrupted)
    arguments = ["restore", film, "-o", tmp_path / "out" / "f.mp4", "--network", network, "--device", "cpu"]
    assert main([str(argument) for argument in arguments]) == 130
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("detector")
def test_ctrl_c_among_films_reports_those_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, film: Path, network: Path
) -> None:
    def interrupted_at_the_second(bar: Any, done: int, _total: int, _what: str) -> None:
        if done == 3 and bar.name == "second.mp4":
            raise KeyboardInterrupt

    begin = FaceBar.__init__

    def named(bar: Any, name: str, **how: Any) -> None:
        bar.name = name
        begin(bar, name, **how)

    monkeypatch.setattr(FaceBar, "__init__", named)
    monkeypatch.setattr(FaceBar, "update", interrupted_at_the_second)
    second, report = shutil.copy(film, tmp_path / "second.mp4"), tmp_path / "r.json"
    arguments = ["restore", film, second, "-o", tmp_path / "out", "--network", network, "--report", report]
    assert main([str(argument) for argument in arguments]) == 130
    assert [told["frames"] for told in json.loads(report.read_text())["films"]] == [FRAMES]


@pytest.mark.usefixtures("detector")
def test_a_service_that_is_stopped_leaves_no_half_film(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, film: Path, network: Path
) -> None:
    def stopped(_bar: object, done: int, _total: int, _what: str) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("gpen2048.cli.progress.FaceBar.update", stopped)
    before = signal.getsignal(signal.SIGTERM)
    arguments = ["restore", film, "-o", tmp_path / "out" / "f.mp4", "--network", network, "--device", "cpu"]
    assert main([str(argument) for argument in arguments]) == 143
    assert list((tmp_path / "out").iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.usefixtures("detector")
def test_a_phones_film_is_one(capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path, network: Path) -> None:
    film.rename(tmp_path / "film.3gp")
    command = ["restore", str(tmp_path / "film.3gp"), "--network", str(network), "--device", "cpu", "-o"]
    assert main([*command, str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["film.mov"]
    assert main([*command, str(tmp_path / "out.3gp")]) == 1
    assert "out.3gp: wanted a folder, or a name ending in .mp4" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["out.mp4", "out.webm"])
def test_pictures_do_not_become_a_folder_with_a_films_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.png").write_bytes(b"")
    assert main(["restore", str(tmp_path / "in"), "-o", str(tmp_path / name), "--sequence"]) == 1
    assert f"{name}: pictures stay pictures; wanted a folder" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["photo.png", "-o", "out"], "films and pictures in one command"),
        (["-o", "out.webm"], "out.webm: wanted a folder, or a name ending in .mp4"),
        (["-o", "out.mp4", "--compare", "sheet.png"], "--compare is for single pictures"),
        (["-o", "out.mp4", "--landmarks", "faces.json"], "--landmarks is for single pictures"),
        (["-o", "out.mp4", "--codec", "divx"], "codec is 'divx'; wanted one of h264, h265, ffv1"),
        (["-o", "out.mp4", "--crf", "70"], "quality (crf) of a film is 70; wanted 0"),
    ],
)
@pytest.mark.usefixtures("detector")
def test_what_cannot_be_done_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, film: Path, network: Path,
    arguments: list[str], wanted: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["restore", str(film), *arguments, "--network", str(network)]) == 1
    errors = capsys.readouterr().err
    assert wanted in errors and len(errors.strip().splitlines()) == 1
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


@pytest.fixture(params=["film", "pictures"])
def footage(request: pytest.FixtureRequest, tmp_path: Path, film: Path, frames: list[Tensor]) -> list[object]:
    """What `restore` is to be told to restore the pan, as a film and as numbered JPEGs."""
    if request.param == "film":
        return [film, "-o", tmp_path / "out.mp4"]
    (tmp_path / "in").mkdir()
    for number, pixels in enumerate(frames):
        write_image(tmp_path / "in" / f"{number}.jpg", Picture(pixels), quality=95)
    return [tmp_path / "in", "-o", tmp_path / "out", "--sequence"]


def _restored(footage: list[object], network: Path, *flags: object) -> list[Tensor]:
    """The pictures that come out."""
    arguments = ["restore", *footage, "--network", network, "--device", "cpu", *flags]
    assert main([str(argument) for argument in arguments]) == 0
    out = Path(str(footage[2]))
    if out.is_dir():
        return [read_image(out / f"{number}.jpg").pixels for number in range(FRAMES)]
    with open_film(out) as film:
        return [frame.pixels for frame in film.frames()]


@pytest.mark.usefixtures("detector")
def test_outside_a_region_nobody_is_restored(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, footage: list[object], network: Path
) -> None:
    write_image(tmp_path / "nowhere.png", Picture(torch.zeros(3, 4, 4)))
    _restored(footage, network, "--region", tmp_path / "nowhere.png")
    assert "18 frames, 0 faces restored" in capsys.readouterr().out


@pytest.mark.usefixtures("detector")
def test_behind_the_faces_is_the_upscalers_picture(
    monkeypatch: pytest.MonkeyPatch, footage: list[object], network: Path
) -> None:
    class Red:
        scale = 2

        def __call__(self, image: Tensor, size: tuple[int, int]) -> Tensor:
            return image.new_tensor([1.0, 0, 0])[:, None, None].expand(3, *size)

    monkeypatch.setattr("gpen2048.cli.loading.load_upscaler", lambda *_, **__: Red())
    for pixels in _restored(footage, network, "--scale", "2", "--upscaler", "red.pth"):
        assert pixels.shape[1:] == (480, 512)
        assert (pixels[:, -40:, -40:].mean((1, 2)) - torch.tensor([1.0, 0, 0])).abs().max() < 0.03


@pytest.mark.usefixtures("detector")
def test_numbered_jpegs_have_the_quality_asked_for(tmp_path: Path, frames: list[Tensor], network: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, pixels in enumerate(frames):
        write_image(tmp_path / "in" / f"{number}.jpg", Picture(pixels))
    sizes = []
    for quality in (20, 95):
        _restored([tmp_path / "in", "-o", tmp_path / f"{quality}", "--sequence"], network, "--quality", quality)
        sizes.append(sum(path.stat().st_size for path in (tmp_path / f"{quality}").iterdir()))
    assert 2 * sizes[0] < sizes[1]
