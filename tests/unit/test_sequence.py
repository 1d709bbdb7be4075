"""Sequences made from a photo, through a network that visibly sharpens."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.alignment import crop_transform
from gpen2048.errors import InvalidOptionError, WeightsNotFoundError
from gpen2048.faces import Face
from gpen2048.geometry.transforms import invert
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig
from gpen2048.options import RestoreOptions
from gpen2048.restorer import FaceRestorer
from gpen2048.sequence import CONTEXT_AFTER, CONTEXT_BEFORE, restore_sequence
from gpen2048.tracking.tracks import FADE
from gpen2048.weight_files.passthrough import passthrough_state_dict
from torch import Tensor

CONFIG = NetworkConfig(128, 1, 0.125)
FULL = RestoreOptions(strength=1.0)


@pytest.fixture(scope="module")
def restorer() -> FaceRestorer:
    return FaceRestorer(Network.from_state_dict(CONFIG, passthrough_state_dict(CONFIG, 2.0)), batch=4)


class Contrast:
    """In place of a network: no work, and a change that one sees."""

    config = CONFIG

    def __call__(self, x: Tensor, on_stage: Callable[[], None]) -> Tensor:
        return x * 0.7


@pytest.fixture(scope="module")
def fast() -> FaceRestorer:
    return FaceRestorer(Contrast())  # pyright: ignore[reportArgumentType]  # it plays the network's part


def _shaken(face: Face, rng: np.random.Generator, noise: float = 1.5) -> Face:
    return Face(face.box + rng.normal(0, noise, 4), face.landmarks + rng.normal(0, noise, (5, 2)), face.score)


def _moved(face: Face, x: float) -> Face:
    return Face(face.box + [x, 0, x, 0], face.landmarks + [x, 0], face.score)


def _change(frames: Sequence[Tensor]) -> float:
    """Mean change from frame to frame."""
    return float(torch.stack([(a - b).abs().mean() for a, b in pairwise(frames)]).mean())


def test_a_still_photo_with_shaken_landmarks_is_still(
    restorer: FaceRestorer, portrait: Tensor, portrait_face: Face
) -> None:
    rng = np.random.default_rng(0)
    photo = portrait[:, :256, 100:356].contiguous()
    seen = [[_shaken(_moved(portrait_face, -100), rng)] for _ in range(24)]
    alone = [restorer(photo, FULL, faces=faces).image for faces in seen]
    together = [result.image for result in restore_sequence([photo] * 24, restorer, FULL, faces=seen)]
    assert _change(alone) > 4 / 255 * 0.25  # in the face's quarter of the picture it is visible
    assert _change(together) < _change(alone) / 6


def test_a_pan_is_followed(restorer: FaceRestorer, group_photo: Tensor, group_faces: list[Face]) -> None:
    """8 px per frame, as a crop of the photo that moves; the truth is where the photo's faces then are."""
    shown = [face for face in group_faces if face.box[0] > 260 and face.box[2] < 390]
    assert shown
    frames = [group_photo[:, 100:400, 8 * t : 8 * t + 500].contiguous() for t in range(26)]
    truth = [[Face(f.box - [8 * t, 100] * 2, f.landmarks - [8 * t, 100]) for f in shown] for t in range(26)]
    results = list(restore_sequence(frames, restorer, RestoreOptions(min_face=0), faces=truth))
    for result, faces in zip(results, truth):
        assert len(result.faces) == len(faces) and all(report.restored for report in result.faces)
        for report, face in zip(result.faces, sorted(faces, key=lambda f: f.box[0])):
            difference = invert(crop_transform(report.landmarks, 128)) - invert(crop_transform(face.landmarks, 128))
            corners = [[x, y, 1] for x in (0, 127) for y in (0, 127)]
            assert np.abs(difference @ np.array(corners).T).max() < 1.5


def test_a_missed_detection_is_bridged(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    seen = [[_moved(portrait_face, 3 * t)] if t not in (8, 9, 10) else [] for t in range(20)]
    results = list(restore_sequence([portrait] * 20, fast, FULL, faces=seen))
    for t, result in enumerate(results):
        (report,) = result.faces
        assert report.strength == 1
        assert np.abs(report.landmarks - portrait_face.landmarks - [3 * t, 0]).max() < 1e-6


def test_faces_that_are_given_are_sure(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    faint = Face(portrait_face.box, portrait_face.landmarks, 0.5)  # below the threshold
    results = list(restore_sequence([portrait] * 3, fast, FULL, faces=[[faint]] * 3))
    assert [[face.strength for face in result.faces] for result in results] == [[1.0]] * 3


def test_nothing_is_smoothed_nor_faded_across_a_cut(
    fast: FaceRestorer, group_photo: Tensor, portrait: Tensor, portrait_face: Face
) -> None:
    first, second = portrait, group_photo[:, :512, :512].contiguous()
    other = Face(portrait_face.box + 9, portrait_face.landmarks + 9)
    results = list(
        restore_sequence([first] * 9 + [second] * 9, fast, FULL, faces=[[portrait_face]] * 9 + [[other]] * 9)
    )
    for t, result in enumerate(results):
        (report,) = result.faces
        assert report.strength == 1
        assert np.abs(report.landmarks - (portrait_face if t < 9 else other).landmarks).max() < 1e-6


def test_a_face_comes_and_goes_softly(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    seen = [[portrait_face] if 10 <= t < 30 else [] for t in range(40)]
    results = list(restore_sequence([portrait] * 40, fast, FULL, faces=seen))
    strengths = [result.faces[0].strength if result.faces else 0.0 for result in results]
    assert strengths[9] == 0 and strengths[30] == 0 and strengths[10 + FADE : 30 - FADE] == [1.0] * (20 - 2 * FADE)
    assert np.abs(np.diff(strengths)).max() < 0.35
    assert results[10].mask.max() == 1  # the mask is that of the whole face; its share grows
    assert "comes or goes: strength x " in results[11].faces[0].note and results[20].faces[0].note == ""


def test_a_false_alarm_of_one_frame_is_hardly_seen(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    seen = [[portrait_face] if t == 10 else [] for t in range(20)]
    results = list(restore_sequence([portrait] * 20, fast, FULL, faces=seen))
    assert sum(report.strength for result in results for report in result.faces) < 0.05


def test_who_is_seen_for_a_moment_gets_less_away_from_it(portrait: Tensor, portrait_face: Face) -> None:
    unsure = Face(portrait_face.box, portrait_face.landmarks, 0.6)
    seen = iter([portrait_face if t == 0 else unsure] for t in range(24))
    found = FaceRestorer(Contrast(), lambda *_, **__: next(seen))  # pyright: ignore[reportArgumentType]  # stand-ins
    reports = [result.faces[0] for result in restore_sequence([portrait] * 24, found, FULL)]
    assert reports[4].strength == 1 and 0 < reports[9].strength < 0.9 and reports[16].strength == 0
    assert "seen for a moment: strength x " in reports[9].note and reports[4].note == ""


def test_choices_do_not_flicker(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    """Two faces of nearly one size, either the largest by chance: each keeps a steady strength."""
    rng = np.random.default_rng(3)
    small = portrait[:, ::4, ::4].contiguous()
    face = Face(portrait_face.box / 4, portrait_face.landmarks / 4)
    seen = [[_shaken(face, rng, 0.1), _shaken(_moved(face, 50), rng, 0.1)] for _ in range(40)]
    options = RestoreOptions(strength=1, select="largest")
    results = list(restore_sequence([small] * 40, fast, options, faces=seen))
    strengths = np.array([[report.strength for report in result.faces] for result in results])
    assert np.abs(np.diff(strengths, axis=0)).max() < 0.4
    assert np.allclose(strengths.sum(axis=1), 1, atol=0.011)  # shares that are not seen are left out


def test_a_refused_face_keeps_its_reason(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    seen = [[portrait_face]] * 5
    for result in restore_sequence([portrait] * 5, fast, RestoreOptions(min_face=400), faces=seen):
        assert not result.faces[0].restored and result.faces[0].reason == "smaller than 400 px"
        assert torch.equal(result.image, portrait)


def test_unsure_sightings_count_beside_sure_ones_only(portrait: Tensor, portrait_face: Face) -> None:
    unsure = Face(portrait_face.box, portrait_face.landmarks, 0.6)
    doubted = Face(portrait_face.box + [200, 0, 200, 0], portrait_face.landmarks + [200, 0], 0.6)
    seen = iter([portrait_face if t % 3 == 0 else unsure, doubted] for t in range(20))
    found = FaceRestorer(Contrast(), lambda *_, **__: next(seen))  # pyright: ignore[reportArgumentType]  # stand-ins
    for result in restore_sequence([portrait] * 20, found, FULL):
        assert [report.strength for report in result.faces] == [1, 0]


def _film(group_photo: Tensor, portrait: Tensor, face: Face) -> tuple[list[Tensor], list[list[Face]]]:
    """A pan with shaken landmarks, misses and a second face, then a cut."""
    rng = np.random.default_rng(5)
    frames: list[Tensor] = []
    faces: list[list[Face]] = []
    for t in range(70):
        frames.append((portrait if t < 45 else group_photo[:, :512, t : t + 512])[:, ::4, ::4].contiguous())
        small = Face(face.box / 4, face.landmarks / 4)
        both = [_shaken(_moved(small, t / 2), rng, 0.4), _shaken(_moved(small, 75 - t / 2), rng, 0.4)]
        faces.append([f for n, f in enumerate(both) if rng.random() > 0.2 and (n == 0 or t > 20)])
    return frames, faces


class Brightness:
    """In place of a parser: what is bright is skin."""

    def classes(self, crops: Sequence[Tensor]) -> Tensor:
        return (torch.stack(list(crops)).mean(dim=1) > 0.4).long()


@pytest.mark.parametrize("mask", ["box", "face"])
def test_pieces_with_context_give_the_frames_of_one_pass(
    mask: Any, group_photo: Tensor, portrait: Tensor, portrait_face: Face
) -> None:
    frames, faces = _film(group_photo, portrait, portrait_face)
    fast = FaceRestorer(Contrast(), parser=Brightness())  # pyright: ignore[reportArgumentType]  # they play their parts
    options = RestoreOptions(mask=mask)
    whole = list(restore_sequence(frames, fast, options, faces=faces, scale=1))
    pieces: list[Tensor] = []
    for first in range(0, 70, 14):
        begin, end = max(0, first - CONTEXT_BEFORE), min(70, first + 14 + CONTEXT_AFTER)
        context = (first - begin, max(0, end - first - 14))
        part = restore_sequence(frames[begin:end], fast, options, faces=faces[begin:end], scale=1, context=context)
        pieces += [result.image for result in part]
    assert len(pieces) == 70
    assert all(torch.equal(piece, result.image) for piece, result in zip(pieces, whole))


def test_memory_does_not_grow_with_the_film(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    small = portrait[:, ::4, ::4].contiguous()
    face = Face(portrait_face.box / 4, portrait_face.landmarks / 4)
    alive: weakref.WeakSet[Face] = weakref.WeakSet()
    most = 0

    def found() -> Iterator[list[Face]]:
        nonlocal most
        for number in range(120):
            seen = Face(face.box, face.landmarks)
            alive.add(seen)
            if number % 20 == 19:
                gc.collect()
                most = max(most, len(alive))
            yield [seen]

    options = RestoreOptions(min_face=0, max_crops=0)
    for _ in restore_sequence((small.clone() for _ in range(120)), fast, options, faces=found()):
        pass
    assert most <= CONTEXT_BEFORE + 2 * CONTEXT_AFTER + 4


def test_frames_come_as_soon_as_they_can(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    read = 0

    def frames() -> Iterator[Tensor]:
        nonlocal read
        for _ in range(40):
            read += 1
            yield portrait

    results = restore_sequence(frames(), fast, faces=[[portrait_face]] * 40)
    assert read == 0
    next(results)
    assert read == CONTEXT_AFTER + 1


def test_the_detector_is_asked_for_unsure_faces_too(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    asked: list[float] = []

    def detector(image: Tensor, threshold: float) -> list[Face]:
        asked.append(threshold)
        return [portrait_face]

    restorer = FaceRestorer(fast.network, detector)  # pyright: ignore[reportArgumentType]  # as hosts may give one
    assert len(list(restore_sequence([portrait] * 3, restorer))) == 3
    assert asked == [0.45] * 3


def test_the_detector_is_spared_faces_far_too_small(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    asked: list[float] = []

    def detector(image: Tensor, threshold: float, *, smallest: float) -> list[Face]:
        asked.append(smallest)
        return [portrait_face]

    restorer = FaceRestorer(fast.network, detector)  # pyright: ignore[reportArgumentType]  # as hosts may give one
    assert len(list(restore_sequence([portrait] * 2, restorer, RestoreOptions(min_face=80)))) == 2
    assert asked == [60, 60]  # somewhat smaller ones count where the face grows beyond the limit later


def test_all_results_have_one_scale(fast: FaceRestorer, portrait: Tensor, portrait_face: Face) -> None:
    small = Face(portrait_face.box / 2, portrait_face.landmarks / 2)  # its 64 px crop shows 80 px: 1.6 would be too few
    photo = portrait[:, ::8, ::8].contiguous()
    tiny = [[Face(small.box / 4, small.landmarks / 4)]] * 3
    results = list(restore_sequence([photo] * 3, fast, RestoreOptions(scale="auto", min_face=0), faces=tiny))
    assert {result.scale for result in results} == {results[0].scale} and results[0].scale > 1
    assert results[0].image.shape[1] == round(photo.shape[1] * results[0].scale)


def test_only_faces_that_may_be_restored_count_for_the_scale(portrait: Tensor, portrait_face: Face) -> None:
    """The detector is asked for unsure faces too, and a region leaves faces out: neither enlarges a single picture."""

    small = Face(portrait_face.box / 2, portrait_face.landmarks / 2)  # anywhere: 50 px, for a network of 128

    def scale(score: float, region: Tensor | None = None, **how: Any) -> float:
        face = replace(small, score=score)
        finding = FaceRestorer(Contrast(), lambda image, threshold: [face] if score >= threshold else [])  # pyright: ignore[reportArgumentType]
        options = RestoreOptions(scale="auto")
        first = next(restore_sequence([portrait] * 2, finding, options, region=region, **how))
        if not how:
            assert first.scale == finding(portrait, options, region=region).scale
        return first.scale

    assert scale(0.95) > 1 == scale(0.5)
    assert scale(0.95, torch.zeros(4, 4)) == 1
    assert scale(0.5, faces=[[replace(small, score=0.5)]] * 2) > 1  # those that are given are sure


def test_the_scale_is_that_of_the_face_that_is_meant(portrait: Tensor, portrait_face: Face) -> None:
    """In a film face 0 is the leftmost, however sure the detector is of others."""
    small = Face(portrait_face.box / 2, portrait_face.landmarks / 2, score=0.9)
    tiny = Face(portrait_face.box / 8 + 400, portrait_face.landmarks / 8 + 400, score=0.99)
    options = RestoreOptions(scale="auto", select=(0,), min_face=0)
    finding = FaceRestorer(Contrast(), lambda image, threshold: [tiny, small])  # pyright: ignore[reportArgumentType]
    wanted = finding.output_scale(portrait, [small], options)
    assert 1 < wanted < finding.output_scale(portrait, [tiny], options)
    assert next(restore_sequence([portrait] * 2, finding, options)).scale == wanted


def test_progress_counts_frames_and_may_stop_everything(
    fast: FaceRestorer, portrait: Tensor, portrait_face: Face
) -> None:
    told: list[tuple[int, int, str]] = []
    list(restore_sequence([portrait] * 4, fast, faces=[[portrait_face]] * 4,
                          on_progress=lambda *what: told.append(what)))  # fmt: skip
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {total for _, total, _ in told} == {4}
    assert told[0] == (0, 4, "frame 1: finding faces") and told[-1] == (3, 4, "frame 4: finishing the picture")

    class StoppedError(Exception):
        pass

    def stop(done: int, total: int, what: str) -> None:
        if "restoring" in what:
            raise StoppedError

    with pytest.raises(StoppedError):
        list(restore_sequence([portrait] * 4, fast, faces=[[portrait_face]] * 4, on_progress=stop))


def test_deep_frames_keep_their_bits(fast: FaceRestorer, portrait: Tensor) -> None:
    deep = portrait + torch.rand(portrait.shape, generator=torch.Generator().manual_seed(0)) / 1000
    for photo in (portrait, deep):
        for result in restore_sequence([photo] * 2, fast, faces=[[]] * 2):
            assert torch.equal(result.image, photo)


@pytest.mark.parametrize(
    ("call", "error", "wanted"),
    [
        (lambda r, p: list(restore_sequence([p], r)), WeightsNotFoundError, "no face detector"),
        (lambda r, p: list(restore_sequence([p, p[:, 1:]], r, faces=[[], []])), ValueError, r"frame 1 is .*\(3, 512"),
        (lambda r, p: list(restore_sequence([p, p], r, faces=[[]])), ValueError, "faces for 1 frames"),
        (lambda r, p: restore_sequence([p], r, context=(0, 99)), InvalidOptionError, r"context is \(0, 99\)"),
    ],
)
def test_wrong_arguments_are_named(
    fast: FaceRestorer, portrait: Tensor, call: Callable[..., object], error: type[Exception], wanted: str
) -> None:
    with pytest.raises(error, match=wanted):
        call(fast, portrait)


def test_no_frames_give_nothing(fast: FaceRestorer) -> None:
    assert list(restore_sequence([], fast)) == []


def test_the_scale_is_that_of_the_first_frames_together(portrait: Tensor, portrait_face: Face) -> None:
    """A face that is smaller in the second frame wants more than the first frame does."""
    small = Face(portrait_face.box / 2, portrait_face.landmarks / 2)
    tiny = Face(portrait_face.box / 3, portrait_face.landmarks / 3)
    restorer = FaceRestorer(Contrast())  # pyright: ignore[reportArgumentType]  # it plays the network's part
    options = RestoreOptions(scale="auto", min_face=0)
    wanted = restorer.output_scale(portrait, [tiny], options)
    assert 1 <= restorer.output_scale(portrait, [small], options) < wanted
    assert next(restore_sequence([portrait] * 2, restorer, options, faces=[[small], [tiny]])).scale == wanted


def test_a_film_in_black_and_white_does_not_flicker_into_colour(
    network_that: Any, portrait: Tensor, portrait_face: Face
) -> None:
    """Some frames have noise in their chroma that others lack; a scene in colours stays in colours."""
    tint = torch.tensor([0.1, 0, -0.1])[:, None, None]
    restorer = FaceRestorer(network_that(lambda crops: crops + tint))
    grey = (portrait * 0.6 + 0.2).mean(dim=0).expand(3, -1, -1)
    noise = torch.tensor([3, 0, -3])[:, None, None] / 255
    coloured = (1 - portrait).flip(2) * torch.tensor([1, 0.6, 0.3])[:, None, None]
    clean, noisy, scene = [grey] * 24, [grey + noise * (n % 3 == 0) for n in range(24)], [coloured] * 10

    def reds(frames: list[Tensor], options: RestoreOptions = FULL) -> list[float]:
        faces = [[portrait_face]] * len(frames)
        results = restore_sequence(frames, restorer, options, faces=faces)
        return [float((r.image[0] - r.image[2])[r.mask == 1].mean()) for r in results]

    shown = reds([*clean, *scene])
    assert max(shown[:24]) < 1e-4 and min(shown[24:]) > 0.1
    assert min(reds(clean, replace(FULL, colour="coloured"))) > 0.1
    shown = reds(noisy)
    assert np.ptp(shown) < 0.06 and min(shown) > 0.1  # coloured throughout: of the noise alone comes 0.024


def test_a_region_may_be_another_in_each_frame(
    tiny_passthrough: Network, portrait: Tensor, portrait_face: Face
) -> None:
    asked: list[int] = []

    def region(number: int) -> Tensor | None:
        asked.append(number)
        return torch.zeros(4, 4) if number >= 12 else None

    frames, faces = [portrait] * 24, [[portrait_face]] * 24
    results = restore_sequence(frames, FaceRestorer(tiny_passthrough), FULL, faces=faces, region=region)
    reports = [result.faces[0] for result in results]
    assert reports[4].strength > 0.95 and reports[18].strength < 0.05
    assert reports[21].strength == 0 and not reports[21].restored  # what is not seen costs no run of the network
    assert set(asked) == set(range(24)) and reports[8].strength > reports[12].strength > reports[16].strength


@pytest.mark.parametrize("batch", [1, 3])
def test_crops_are_counted_over_the_whole_film(
    tiny_passthrough: Network, portrait: Tensor, portrait_face: Face, batch: int
) -> None:
    other = Face(portrait_face.box + [60, 0, 60, 0], portrait_face.landmarks + [60, 0])
    frames, faces = [portrait] * 8, [[portrait_face, other]] * 8
    restorer = FaceRestorer(tiny_passthrough, batch=batch)
    results = restore_sequence(frames, restorer, replace(FULL, max_crops=5), faces=faces)
    assert [len(result.crops) for result in results] == [2, 2, 1, 0, 0, 0, 0, 0]
    (first, *_) = restore_sequence(frames[:4], restorer, replace(FULL, max_crops=1), faces=faces[:4], context=(2, 0))
    assert len(first.crops) == 1
