"""Films in a batch: cut, restored in pieces, and joined, they are what they are in one pass."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.batch.engine_local import LocalEngine
from gpen2048.batch.film_cutting import spans
from gpen2048.batch.film_folders import remove_leftovers
from gpen2048.batch.manifest import Manifest
from gpen2048.batch.recipe import Recipe, file_hash, what_to_do
from gpen2048.batch.records import Record
from gpen2048.batch.restoring import PictureRestorer
from gpen2048.batch.running import run
from gpen2048.batch.sources import find_items
from gpen2048.faces import Face
from gpen2048.films.opening import open_film
from gpen2048.films.restoring import restore_film
from gpen2048.films.stream_copy import StreamCopy
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig
from gpen2048.options import RestoreOptions
from gpen2048.restorer import FaceRestorer
from gpen2048.weight_files.passthrough import passthrough_state_dict
from torch import Tensor

av: Any = pytest.importorskip("av", reason="needs PyAV")

FRAMES, HEIGHT, WIDTH, STEP = 70, 64, 128, 2
RECIPE = Recipe("options", "network", codec="ffv1", piece=15)
FIVE = np.array([[-9.0, -8], [9, -8], [0, 2], [-7, 12], [7, 12]])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pan over noise, beside a tone; every tenth frame is a keyframe. Its first column counts the frames."""
    noise = torch.rand(3, HEIGHT, WIDTH + STEP * FRAMES, generator=torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("film") / "in" / "a" / "pan.mkv"
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25, options={"g": "10"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "bgr0"
        tone = container.add_stream("aac", rate=48000, layout="mono")
        for number in range(FRAMES):
            pixels = noise[:, :, STEP * number : STEP * number + WIDTH].clone()
            pixels[:, :8, :8] = number / 255
            samples = (pixels * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            frame = av.VideoFrame.from_ndarray(samples, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
            wave = (np.sin(np.arange(1920) / 20 + number) * 9000).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            sound.sample_rate, sound.pts = 48000, 1920 * number
            container.mux(tone.encode(sound))
        container.mux(video.encode(None))
        container.mux(tone.encode(None))
    return path


class Shaky:
    """Finds one face that the pan moves, shaken by what depends on the frame only, and misses it now and then."""

    def __call__(self, image: Tensor, threshold: float) -> list[Face]:
        number = round(float(image[0, 4, 4]) * 255)
        if number % 17 == 5:
            return []
        shake = np.random.default_rng(number).normal(0, 1.0, (5, 2))
        landmarks = FIVE + shake + (100 - STEP * (number % 40), 32)
        low, high = landmarks.min(axis=0) - 8, landmarks.max(axis=0) + 8
        return [Face(np.concatenate((low, high)), landmarks, 0.99)]


@pytest.fixture(scope="module")
def restorer() -> FaceRestorer:
    config = NetworkConfig(64, 1, 0.25)
    network = Network.from_state_dict(config, passthrough_state_dict(config, 2))
    return FaceRestorer(network, Shaky())


def batch(
    film: Path, out: Path, restorer: FaceRestorer, options: RestoreOptions, recipe: Recipe = RECIPE, **how: Any
) -> Iterator[Record]:
    items = find_items([str(film.parents[1])], out)
    engine = LocalEngine(PictureRestorer(restorer, torch.device("cpu"), options, quality=95, **how), in_flight=2)
    with Manifest(out, [item.output for item in items]) as manifest:
        yield from run([item for item, _ in what_to_do(items, manifest, recipe)], engine, manifest, recipe)


def shown(path: Path) -> tuple[list[Tensor], list[float]]:
    with open_film(path) as opened:
        frames = list(opened.frames())
        return [frame.pixels for frame in frames], [float(frame.pts * opened.time_base) for frame in frames]


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def test_pieces_are_the_frames_of_one_pass(film: Path, tmp_path: Path, restorer: FaceRestorer) -> None:
    options = RestoreOptions(scale="auto", strength=1)
    records = list(batch(film, tmp_path / "out", restorer, options))
    whole, times = shown(tmp_path / "out" / "a" / "pan.mkv")
    restore_film(film, tmp_path / "one.mkv", restorer, options, codec="ffv1")
    wanted, wanted_times = shown(tmp_path / "one.mkv")
    assert times == wanted_times and len(times) == FRAMES
    assert all(torch.equal(a, b) for a, b in zip(whole, wanted))
    original = shown(film)[0]
    changed = [a.shape != b.shape or bool((a - b).abs().amax() > 0.05) for a, b in zip(whole, original)]
    assert sum(changed) > 0.9 * FRAMES
    assert sound(tmp_path / "out" / "a" / "pan.mkv") == sound(film) != []
    assert sorted(record.frames for record in records if record.film) == [10, 20, 20, 20]
    assert (records[-1].frames, records[-1].output) == (FRAMES, "a/pan.mkv")
    assert records[-1].restored == sum(record.restored for record in records[:-1]) > 0.9 * FRAMES


def test_a_film_whose_subtitles_were_left_out_is_whole(
    film: Path, tmp_path: Path, restorer: FaceRestorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other run could keep them; the user is told."""

    def leave(copied: StreamCopy) -> None:
        copied._film.notes.append("subtitles left out (none)")

    monkeypatch.setattr(StreamCopy, "_add_subtitles", leave)
    faceless = FaceRestorer(restorer.network, lambda image, threshold: [])
    record = list(batch(film, tmp_path / "out", faceless, RestoreOptions()))[-1]
    assert (record.error, record.note, record.remark) == ("", "", "subtitles left out (none)")


def test_a_film_with_a_damaged_place_is_not_called_whole(
    film: Path, tmp_path: Path, restorer: FaceRestorer, spoiled: Any
) -> None:
    """Neither where the pictures are, in whatever piece, nor where its sound is."""
    damaged = tmp_path / "in" / "a" / "pan.mkv"
    damaged.parent.mkdir(parents=True)
    spoiled(film, damaged, 12)
    record = list(batch(damaged, tmp_path / "out", restorer, RestoreOptions()))[-1]
    assert (record.output, record.error, record.note) == ("a/pan.mkv", "", "8 frames are damaged")
    assert record.frames == FRAMES - 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpen2048.films.stream_copy.StreamCopy._readdressed", _fail_to_read)
        record = list(batch(film, tmp_path / "other", restorer, RestoreOptions()))[-1]
    assert record.output == "a/pan.mkv" and record.note.startswith("the sound is damaged")


@pytest.mark.parametrize("lost", [range(12, 58), range(20, FRAMES)])
def test_a_hole_longer_than_a_piece_costs_no_more_than_in_one_pass(
    film: Path, tmp_path: Path, restorer: FaceRestorer, lost: range
) -> None:
    """In the middle, and up to the end; as on a disk, the file tells of all its frames."""
    source = film_with_hole(film, tmp_path / "in" / "a" / "hole.mov", lost)
    faceless = FaceRestorer(restorer.network, lambda image, threshold: [])
    report = restore_film(source, tmp_path / "one.mkv", faceless, codec="ffv1")
    recipe = replace(RECIPE, codec="h264", quality=0)
    *pieces, record = batch(source, tmp_path / "out", faceless, RestoreOptions(), recipe)
    assert (record.output, record.error, record.frames) == ("a/hole.mov", "", report.frames)
    assert any(not piece.frames for piece in pieces) and "frames are damaged" in record.note
    (whole, times), (wanted, wanted_times) = shown(tmp_path / "out" / record.output), shown(tmp_path / "one.mkv")
    assert times == pytest.approx(wanted_times, abs=0.002) and len(times) == FRAMES - len(lost)
    assert all((a - b).abs().amax() < 0.03 for a, b in zip(whole, wanted))
    assert not list((tmp_path / "out").rglob(".*"))


def film_with_hole(film: Path, target: Path, lost: range) -> Path:
    """The pictures of `film` in another file, where the bytes of the `lost` ones are zeros."""
    target.parent.mkdir(parents=True)
    with av.open(str(film)) as source, av.open(str(target), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "0", "qp": "0"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in source.decode(video=0):
            container.mux(video.encode(frame.reformat(format="yuv420p")))
        container.mux(video.encode(None))
    content = bytearray(target.read_bytes())
    with av.open(str(target)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        for number in lost:
            place, size = packets[number].pos, packets[number].size
            content[place : place + size] = bytes(size)
    target.write_bytes(content)
    return target


def test_a_broadcast_that_breaks_off_is_restored_up_to_there(tmp_path: Path, restorer: FaceRestorer) -> None:
    """FFmpeg gives up where it finds no packet for 64 KiB, also when it only looks for the times of frames."""
    source = tmp_path / "in" / "a" / "film.ts"
    source.parent.mkdir(parents=True)
    with av.open(str(source), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "10", "qp": "0"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        chance = np.random.default_rng(0)
        for _ in range(60):
            samples = chance.integers(0, 255, (64, 64, 3), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(samples, format="rgb24")))
        container.mux(video.encode(None))
    content = source.read_bytes()
    begin, end = len(content) // 2, len(content) * 9 // 10
    source.write_bytes(content[:begin] + bytes(end - begin) + content[end:])
    *_, record = batch(source, tmp_path / "out", restorer, RestoreOptions())
    assert not record.error and record.frames == len(shown(source)[0]) >= 20  # of 30; encoders differ


def _fail_to_read(*_: object) -> None:
    raise av.error.InvalidDataError(1, "Invalid data")


def test_a_run_that_was_cut_short_goes_on_with_the_pieces_that_are_left(
    film: Path, tmp_path: Path, restorer: FaceRestorer
) -> None:
    out, options = tmp_path / "out", RestoreOptions()
    first = batch(film, out, restorer, options)
    begun = next(first)
    first.close()
    assert begun.film == "a/pan.mkv" and not (out / "a" / "pan.mkv").exists()
    rest = list(batch(film, out, restorer, options))
    assert begun.output not in [record.output for record in rest] and rest[-1].output == "a/pan.mkv"
    assert list(batch(film, out, restorer, options)) == []
    assert sorted(path.name for path in out.rglob("*")) == ["a", "manifest.jsonl", "pan.mkv"]
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len({line["output"] for line in lines}) == len(lines) == 5


def test_a_film_that_was_touched_is_read_once_to_find_out_what_is_left_of_it(
    film: Path, tmp_path: Path, restorer: FaceRestorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once for every piece: films are long."""
    source = tmp_path / "in" / "a" / "pan.mkv"
    source.parent.mkdir(parents=True)
    source.write_bytes(film.read_bytes())
    first = batch(source, tmp_path / "out", restorer, RestoreOptions())
    done = [next(first).output for _ in range(2)]
    first.close()
    os.utime(source, ns=(0, 0))
    hashed: list[Path] = []
    for module in ("film_jobs", "recipe"):
        what = f"gpen2048.batch.{module}.file_hash"
        monkeypatch.setattr(what, lambda path: [hashed.append(path), file_hash(path)][1])
    rest = list(batch(source, tmp_path / "out", restorer, RestoreOptions()))
    assert hashed == [source]
    assert not {record.output for record in rest} & set(done) and rest[-1].frames == FRAMES


def test_pieces_that_were_all_done_are_only_joined(film: Path, tmp_path: Path, restorer: FaceRestorer) -> None:
    out, options = tmp_path / "out", RestoreOptions()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpen2048.batch.film_jobs.JoiningWriter.join", _fail)
        with pytest.raises(KeyboardInterrupt):
            list(batch(film, out, restorer, options))
    (record,) = batch(film, out, restorer, options)
    assert (record.output, record.frames) == ("a/pan.mkv", FRAMES)


def _fail(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_region_is_the_same_in_pieces(film: Path, tmp_path: Path, restorer: FaceRestorer) -> None:
    """The right half, into which the face comes again and again."""
    region, options = torch.tensor([[0.0, 1.0]]), RestoreOptions(strength=1)
    (*_, record) = batch(film, tmp_path / "out", restorer, options, region=region)
    restore_film(film, tmp_path / "one.mkv", restorer, options, codec="ffv1", region=region)
    whole, wanted = shown(tmp_path / "out" / "a" / "pan.mkv")[0], shown(tmp_path / "one.mkv")[0]
    assert all(torch.equal(a, b) for a, b in zip(whole, wanted)) and len(whole) == FRAMES
    assert 0.2 * FRAMES < record.restored < 0.8 * FRAMES


def begin(film: Path, out: Path, restorer: FaceRestorer) -> Path:
    """Does a piece of a film, no more; the folder of its pieces."""
    begun = batch(film, out, restorer, RestoreOptions())
    next(begun)
    begun.close()
    return out / "a" / ".pan.mkv.pieces"


def sweep(out: Path) -> None:
    with Manifest(out) as manifest:
        remove_leftovers(manifest)


def test_pieces_of_a_film_that_has_vanished_are_removed(
    film: Path, tmp_path: Path, restorer: FaceRestorer, monkeypatch: pytest.MonkeyPatch, unsearchable: Any
) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    source = tmp_path / "in" / "a" / "pan.mkv"
    source.write_bytes(film.read_bytes())
    pieces = begin(source, tmp_path / "out", restorer)
    source.parent.rename(tmp_path / "elsewhere")  # as a volume that is not mounted
    sweep(tmp_path / "out")
    assert pieces.is_dir()
    (tmp_path / "elsewhere").rename(source.parent)
    sweep(tmp_path / "out")
    assert pieces.is_dir()
    with monkeypatch.context() as patch:
        unsearchable(patch, source.parent)
        sweep(tmp_path / "out")
    assert pieces.is_dir()
    source.unlink()
    sweep(tmp_path / "out")
    assert not pieces.exists()


def test_pieces_stay_whatever_folder_the_next_run_begins_in(
    film: Path, tmp_path: Path, restorer: FaceRestorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for folder in (tmp_path, elsewhere):
        (folder / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "pan.mkv").write_bytes(film.read_bytes())
    monkeypatch.chdir(tmp_path)
    pieces = begin(Path("in/a/pan.mkv"), tmp_path / "out", restorer)
    monkeypatch.chdir(elsewhere)
    sweep(tmp_path / "out")
    assert pieces.is_dir()
    with Manifest(tmp_path / "out") as manifest:
        for record in manifest.records():  # as earlier versions had it
            manifest.add(replace(record, source="in/a/pan.mkv", part=""))
    sweep(tmp_path / "out")
    assert pieces.is_dir()


def test_pieces_of_other_options_or_cuts_go_before_new_ones_come(
    film: Path, tmp_path: Path, restorer: FaceRestorer
) -> None:
    pieces = begin(film, tmp_path / "out", restorer)
    old = {path.name for path in pieces.iterdir()}
    assert old
    recipe = Recipe("others", "network", codec="ffv1", piece=35)
    other = batch(film, tmp_path / "out", restorer, RestoreOptions(), recipe)
    record = next(other)
    other.close()
    left = {path.name for path in pieces.iterdir()}
    assert Path(record.output).name in left and not old & left


def test_pieces_that_a_kill_left_beside_the_whole_film_are_removed(
    film: Path, tmp_path: Path, restorer: FaceRestorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("gpen2048.batch.film_jobs.shutil", SimpleNamespace(rmtree=_fail))
        with pytest.raises(KeyboardInterrupt):
            list(batch(film, tmp_path / "out", restorer, RestoreOptions()))
    pieces = tmp_path / "out" / "a" / ".pan.mkv.pieces"
    assert pieces.is_dir() and (tmp_path / "out" / "a" / "pan.mkv").is_file()
    sweep(tmp_path / "out")
    assert not pieces.exists()
    assert list(batch(film, tmp_path / "out", restorer, RestoreOptions())) == []


def test_pieces_of_another_size_are_left_out_and_named(tmp_path: Path, restorer: FaceRestorer) -> None:
    """As in a broadcast; the clock goes on, but from the 30th frame on the pictures are lower."""
    parts = [
        _part(tmp_path / f"{first}.ts", first, count, height) for first, count, height in ((0, 30, 64), (30, 60, 48))
    ]
    source = tmp_path / "in" / "x" / "film.ts"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    *pieces, record = batch(source, tmp_path / "out", restorer, RestoreOptions())
    assert len(pieces) > 3 and (record.error, record.frames) == ("", 30)
    assert "pictures of 64 x 48 px are left out, as the first has 64 x 64" in record.note.split("; ")
    assert len(shown(tmp_path / "out" / "x" / "film.mkv")[0]) == 30


def _part(path: Path, first: int, count: int, height: int) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "0"})
        video.height, video.width, video.pix_fmt = height, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 25)
        for number in range(first, first + count):
            frame = av.VideoFrame.from_ndarray(np.full((height, 64, 3), number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("h265", ".mkv")])
def test_codecs_that_reorder_frames_keep_every_time(
    film: Path, tmp_path: Path, restorer: FaceRestorer, codec: str, suffix: str
) -> None:
    """Encoded in pieces, a film is as near to the original as encoded in one pass."""
    source = film.parent / "pan.mkv"
    faceless = FaceRestorer(restorer.network, lambda image, threshold: [])
    restore_film(source, tmp_path / f"one{suffix}", faceless, codec=codec, quality=20)
    (tmp_path / "in" / "x").mkdir(parents=True)
    (tmp_path / "in" / "x" / f"pan{suffix}").write_bytes(source.read_bytes())  # the name does not matter to PyAV
    recipe = Recipe("options", "network", codec=codec, quality=20, piece=20)
    (*_, last) = batch(tmp_path / "in" / "x" / "y", tmp_path / "out", faceless, RestoreOptions(), recipe)
    assert (last.error, last.frames) == ("", FRAMES)
    whole, times = shown(tmp_path / "out" / "x" / f"pan{suffix}")
    wanted, wanted_times = shown(tmp_path / f"one{suffix}")
    assert times == wanted_times
    original = torch.stack(shown(source)[0])
    noise, wanted_noise = ((torch.stack(f) - original).pow(2).mean().sqrt().item() for f in (whole, wanted))
    assert noise < 1.15 * wanted_noise  # every piece begins with a new rate control


def test_a_film_that_is_none_is_named_and_others_go_on(film: Path, tmp_path: Path, restorer: FaceRestorer) -> None:
    folder = tmp_path / "in"
    (folder / "x").mkdir(parents=True)
    (folder / "bad.mp4").write_text("no film")
    (folder / "cut.mkv").write_bytes(film.read_bytes()[:300])
    records = list(batch(folder / "x" / "y", tmp_path / "out", restorer, RestoreOptions()))
    failed = {record.output: record for record in records if record.error}
    assert sorted(failed) == ["bad.mp4", "cut.mkv"]
    assert failed["bad.mp4"].error.startswith("not a sound film")  # the report names it


def test_cuts_are_at_keyframes_unless_none_comes() -> None:
    class Timed:
        def __init__(self, keys: set[int], count: int):
            self.times = lambda: [(10 * number, number in keys) for number in range(count)]

    def firsts(keys: set[int], count: int, length: int) -> list[int | None]:
        return [span.first for span in spans(Timed(keys, count), length)]

    assert firsts({0, 10, 20, 30, 40}, 50, 15) == [None, 200, 400]
    assert firsts({0, 10, 20, 30, 40}, 46, 15) == [None, 200]  # six frames are too few for a piece
    assert firsts({0}, 100, 20) == [None, 400, 800]
    assert firsts({0}, 30, 20) == [None]
    assert firsts(set(), 0, 20) == [None]
    (_, middle, _) = spans(Timed({0, 40, 80}, 120), 40)
    assert middle.first == 400 and middle.last == 800
    assert middle.begin is not None and middle.end is not None and middle.begin < 400 and middle.end > 800


def test_a_film_of_the_longest_name_is_restored(film: Path, tmp_path: Path, restorer: FaceRestorer) -> None:
    """Its pieces lie in a folder whose name would be longer still."""
    long = tmp_path / "in" / "sub" / f"{'n' * 251}.mkv"
    long.parent.mkdir(parents=True)
    long.write_bytes(film.read_bytes())
    *_, record = batch(long, tmp_path / "out", restorer, RestoreOptions())
    assert not record.error and (tmp_path / "out" / "sub" / long.name).is_file()
