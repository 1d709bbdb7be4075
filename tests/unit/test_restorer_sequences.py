"""Several pictures through one restorer: order, shared network batches, and how many are held at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from gpen2048 import FaceRestorer, Request, RestoreOptions
from gpen2048.faces import Face
from gpen2048.inference import Network
from torch import Tensor

FACES_OF = (2, 0, 1, 5, 0, 3)  # faces of each picture: none, fewer and more than a batch


class Counting:
    """The network, noting the sizes of its batches."""

    def __init__(self, network: Network):
        self.config = network.config
        self.batches: list[int] = []
        self._network = network

    def __call__(self, crops: Tensor, **rest: Any) -> Tensor:
        self.batches.append(len(crops))
        return self._network(crops, **rest)


def _requests(photo: Tensor, faces: list[Face], pulled: list[int] | None = None) -> Iterator[Request]:
    for number, count in enumerate(FACES_OF):
        if pulled is not None:
            pulled.append(number)
        yield Request(photo * (1 - number / 10), RestoreOptions(strength=1.0), faces=faces[:count])


def test_faces_of_several_pictures_share_a_batch_and_nothing_else(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]
) -> None:
    photo = group_photo[:, :300].contiguous()
    counting = Counting(tiny_passthrough)
    together = FaceRestorer(counting, batch=4)  # pyright: ignore[reportArgumentType]  a stand-in
    alone = FaceRestorer(tiny_passthrough)
    results = list(together.each(_requests(photo, group_faces)))
    assert counting.batches == [4, 4, 3]
    assert [len(result.faces) for result in results] == list(FACES_OF)
    for result, request in zip(results, _requests(photo, group_faces)):
        expected = alone(request.image, request.options, faces=request.faces)
        assert (result.image - expected.image).abs().max() <= 1e-5  # batches may round differently
        assert torch.equal(result.mask, expected.mask) and len(result.crops) == len(result.faces)


def test_pictures_are_asked_for_only_when_needed(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]
) -> None:
    pulled: list[int] = []
    restorations = FaceRestorer(tiny_passthrough, batch=4).each(_requests(group_photo, group_faces, pulled))
    assert not pulled
    asked = []
    for _ in restorations:
        asked.append(len(pulled))
    # 2+0+1+5 faces make the first batches; the picture without faces after them is ready at once; then the end
    assert asked == [4, 4, 4, 4, 5, 6]


def test_pictures_without_faces_do_not_gather_behind_one_that_waits(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]
) -> None:
    given = 0

    def requests() -> Iterator[Request]:
        nonlocal given
        for number in range(12):
            given += 1
            yield Request(group_photo, faces=group_faces[:1] if number == 0 else [])

    held = [given - number for number, _ in enumerate(FaceRestorer(tiny_passthrough, batch=3).each(requests()))]
    assert max(held) == 3


def test_every_face_of_a_batch_is_told_of_every_stage(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]
) -> None:
    told: list[list[int]] = [[], []]
    requests = [
        Request(group_photo, faces=group_faces[:2], on_progress=lambda done, total, what, to=to: to.append(done))
        for to in told
    ]
    list(FaceRestorer(tiny_passthrough, batch=4).each(requests))
    assert told[0] == told[1]
    assert told[0].count(0) - 1 == told[0].count(1) > 8  # "preparing the picture" has no face's number, but 0


def test_gradients_are_off_inside_and_untouched_outside(tiny_passthrough: Network, group_photo: Tensor) -> None:
    for result in FaceRestorer(tiny_passthrough).each([Request(group_photo, faces=[]) for _ in range(2)]):
        assert torch.is_grad_enabled() and not result.image.requires_grad
