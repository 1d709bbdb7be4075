"""Sound weight files of every kind, and ways to damage them."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import torch
from safetensors.torch import save

CHECKED = ("zip",)  # kinds with checksums
Mutation = tuple[str, bytes, int]  # what was done, the damaged file, in how many places


def sound_files(state: dict[str, torch.Tensor]) -> dict[str, bytes]:
    """`state` in each kind of file."""
    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save(state, zipped)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    return {"zip": zipped.getvalue(), "legacy": legacy.getvalue(), "safetensors": save(state)}


def small_state() -> dict[str, torch.Tensor]:
    """Ten tensors, 0.2 MB."""
    generator = torch.Generator().manual_seed(1)
    return {f"layer{number}.weight": torch.randn(50, 100, generator=generator) for number in range(10)}


def mutate(content: bytes, chance: random.Random) -> Mutation:
    """One of the ways, at random."""
    return chance.choice(WAYS)(content, chance)


def _truncate(content: bytes, chance: random.Random) -> Mutation:
    return "truncated", content[: chance.randrange(len(content))], len(content)


def _truncate_a_little(content: bytes, chance: random.Random) -> Mutation:
    return "truncated a little", content[: -chance.randint(1, 64)], len(content)


def _flip(content: bytes, chance: random.Random, start: int = 0, stop: int | None = None) -> Mutation:
    damaged = bytearray(content)
    count = chance.randint(1, 8)
    for _ in range(count):
        damaged[chance.randrange(start, stop or len(content))] ^= 1 << chance.randrange(8)
    return "bits flipped", bytes(damaged), count


def _flip_head(content: bytes, chance: random.Random) -> Mutation:
    return ("bits flipped in the head", *_flip(content, chance, 0, min(len(content), 2000))[1:])


def _flip_tail(content: bytes, chance: random.Random) -> Mutation:
    return ("bits flipped in the tail", *_flip(content, chance, max(0, len(content) - 2000))[1:])


def _blot(content: bytes, chance: random.Random) -> Mutation:
    position, length = chance.randrange(len(content)), chance.randint(1, 200)
    filling = chance.choice([bytes(length), b"\xff" * length, chance.randbytes(length)])
    return "a block overwritten", content[:position] + filling + content[position + length :], 3


def _insert(content: bytes, chance: random.Random) -> Mutation:
    position = chance.randrange(len(content))
    return "bytes inserted", content[:position] + chance.randbytes(chance.randint(1, 32)) + content[position:], 10**6


def _drop(content: bytes, chance: random.Random) -> Mutation:
    position = chance.randrange(len(content))
    return "bytes dropped", content[:position] + content[position + chance.randint(1, 32) :], 10**6


def _swap(content: bytes, chance: random.Random) -> Mutation:
    a, b = sorted((chance.randrange(len(content)), chance.randrange(len(content))))
    return "ends swapped", content[b:] + content[a:b] + content[:a], 10**6


WAYS: tuple[Callable[[bytes, random.Random], Mutation], ...] = (
    *(_truncate, _truncate_a_little, _flip, _flip_head, _flip_head, _flip_tail, _blot, _insert, _drop, _swap),
)
