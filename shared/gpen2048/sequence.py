"""Restoring the frames of a film or an animation, so that they stay as steady as they were."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from .errors import InvalidOptionError
from .faces import Face
from .geometry.enlarging import Background
from .options import RestoreOptions
from .restoration import Restoration
from .restorer import FaceRestorer
from .selection import Choice
from .task import Progress, Request
from .tracking import steady_masks, tracks
from .tracking.steady_masks import SteadyMasks
from .tracking.tracks import Tracker

# Frames that a piece of a film needs before its own, to come out as in the whole, and after its own.
CONTEXT_BEFORE = tracks.FRAMES_BEFORE + steady_masks.LEAD
CONTEXT_AFTER = tracks.FRAMES_AFTER
UNSURE = 0.5  # of the threshold: such faces count where surer sightings before or after confirm them
LOWEST_THRESHOLD = 0.02  # as of the option
NEARLY = 0.75  # of the smallest size: such faces are looked for too, lest one at the border be seen in some frames only


def restore_sequence(
    frames: Iterable[Tensor],
    restorer: FaceRestorer,
    options: RestoreOptions = RestoreOptions(),  # noqa: B008  frozen, so safe to share
    *,
    faces: Iterable[Sequence[Face]] | None = None,
    scale: float | None = None,
    background: Background | None = None,
    region: Tensor | Callable[[int], Tensor | None] | None = None,
    context: tuple[int, int] = (0, 0),
    total: int = 0,
    on_progress: Progress | None = None,
) -> Iterator[Restoration]:
    """The Restorations of `frames` (3, H, W), float32 RGB in [0, 1], in order, made as they are asked for.

    Each is as FaceRestorer's, but faces are followed: the detector's jitter is smoothed away, misses are bridged, faces
    that come and go are faded, parsed masks steadied, all within a scene. CONTEXT_AFTER frames are held in memory,
    however long the film is.

    `faces` are those of each frame, instead of the detector's; unless the options give another order, they are numbered
    from left to right. Only faces whose middle lies where `region` (h, w) in [0, 1], or that of the frame with this
    number, is above a half are restored. All results have one `scale`, by default the option's, where "auto" goes by
    the first CONTEXT_AFTER frames; together they hold the crops of `options.max_crops` faces. `context` frames at both
    ends are looked at only: a film done in pieces with (CONTEXT_BEFORE, CONTEXT_AFTER) frames more, and with a given
    `scale`, has the very frames of one done at once. `on_progress(done, total, what)` counts frames, of `total` or of
    len(frames); whatever it raises passes through.

    Raises ValueError when frames differ in size, or have faces for some only.
    """
    before, after = context
    if before < 0 or not 0 <= after <= CONTEXT_AFTER:
        raise InvalidOptionError(f"context is {context}; wanted 0 or more frames, and 0 to {CONTEXT_AFTER}")
    length = total or (len(frames) if isinstance(frames, Sequence) else 0)
    clock = _Clock(on_progress, before, max(0, length - before - after))
    found = _found(frames, restorer, options, faces, clock)
    tracker = Tracker(options, given=faces is not None)
    regions: Callable[[int], Tensor | None] = region if callable(region) else lambda _: region
    lead = min(before, steady_masks.LEAD) if options.needs_parser else 0  # restored for the sake of their masks
    masks, crops = SteadyMasks(), _Crops(options.max_crops)
    results = restorer.each(
        Request(
            plan.image, crops.limited(options, number >= before), plan.faces, plan.scale, background, clock.at(number),
            plan.choices, steadied=partial(masks.steadied, number), grey=plan.grey,
        )
        for number, plan in enumerate(_planned(found, tracker, restorer, options, scale, after, regions))
        if number >= before - lead
    )  # fmt: skip
    return map(crops.counted, islice(results, lead, None))


@dataclass
class _Crops:
    """How many crops are still wanted; frames that are under way together may keep more than that."""

    left: int

    def limited(self, options: RestoreOptions, wanted: bool) -> RestoreOptions:
        return replace(options, max_crops=self.left if wanted else 0)

    def counted(self, result: Restoration) -> Restoration:
        crops = result.crops[: self.left]
        self.left -= len(crops)
        return replace(result, crops=crops)


@dataclass(frozen=True)
class _Clock:
    """Tells of a frame's stages as of a step in a film, whose first `skipped` frames do not count."""

    on_progress: Progress | None
    skipped: int
    total: int

    def at(self, number: int) -> Progress:
        done = max(0, number - self.skipped)

        def tell(_done: int, _total: int, what: str) -> None:
            if self.on_progress is not None:
                self.on_progress(done, self.total, f"frame {done + 1}: {what}")

        return tell


@dataclass(frozen=True)
class _Plan:
    """A frame of which everything is known that it takes to restore it."""

    image: Tensor
    faces: list[Face]
    choices: list[Choice]
    scale: float
    grey: bool


def _found(
    frames: Iterable[Tensor],
    restorer: FaceRestorer,
    options: RestoreOptions,
    faces: Iterable[Sequence[Face]] | None,
    clock: _Clock,
) -> Iterator[tuple[Tensor, Sequence[Face]]]:
    """Every frame with the faces in it, unsure ones among them."""
    given = None if faces is None else iter(faces)
    size: torch.Size | None = None
    for number, frame in enumerate(frames):
        size = size or frame.shape
        if frame.shape != size:
            raise ValueError(f"frame {number} is {tuple(frame.shape)}; wanted {tuple(size)}, as the first")
        clock.at(number - CONTEXT_AFTER)(0, 0, "finding faces")
        found = _find(frame, restorer, options) if given is None else next(given, None)
        if found is None:
            raise ValueError(f"faces for {number} frames, and more frames; wanted faces for each")
        yield frame, found


def _find(frame: Tensor, restorer: FaceRestorer, options: RestoreOptions) -> list[Face]:
    threshold = max(LOWEST_THRESHOLD, UNSURE * options.threshold)
    return restorer.find_faces(frame, replace(options, threshold=threshold, min_face=int(NEARLY * options.min_face)))


def _planned(
    found: Iterable[tuple[Tensor, Sequence[Face]]],
    tracker: Tracker,
    restorer: FaceRestorer,
    options: RestoreOptions,
    scale: float | None,
    context_after: int,
    regions: Callable[[int], Tensor | None],
) -> Iterator[_Plan]:
    """Frames with their faces as they truly are, once CONTEXT_AFTER more have been seen."""
    waiting: deque[tuple[Tensor, Sequence[Face]]] = deque()
    done = 0

    def plan() -> _Plan:
        nonlocal scale, done
        if scale is None:
            numbered = replace(options, order=tracker.order)
            scale = max(
                restorer.output_scale(_unpacked(image), tracker.sure(faces), numbered, regions(number))
                for number, (image, faces) in enumerate(waiting)
            )
        image, _ = waiting.popleft()
        steady, grey = tracker.faces(done), tracker.is_grey(done)
        done += 1
        return _Plan(_unpacked(image), [face for face, _ in steady], [choice for _, choice in steady], scale, grey)

    for number, (image, faces) in enumerate(found):
        tracker.take(image, faces, regions(number))
        waiting.append((_packed(image), faces))
        if len(waiting) > CONTEXT_AFTER:
            yield plan()
    tracker.end()
    while len(waiting) > context_after:
        yield plan()


def _packed(image: Tensor) -> Tensor:
    """`image` in a quarter of the memory, if it has 8 bits, as the frames of most films have."""
    packed = (image * 255).round_().to(torch.uint8)
    return packed if torch.equal(_unpacked(packed), image) else image


def _unpacked(packed: Tensor) -> Tensor:
    return packed.float() / 255 if packed.dtype == torch.uint8 else packed
