"""The threads that all compiled loops run on: PyTorch's number of them, and none of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache

import torch

CHUNKS = 2  # per thread, so that a disturbed thread does not hold up the others by much


@lru_cache(maxsize=1)
def thread_pool(number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number, thread_name_prefix="gpen2048")


def in_rows(count: int, kernel: Callable[..., None], *arguments: object) -> None:
    """The kernel over 0 to `count`, divided among threads."""
    threads = torch.get_num_threads()
    chunks = min(count, threads * CHUNKS)
    if threads == 1:
        kernel(*arguments, 0, count)
        return
    pool = thread_pool(threads)
    parts = [(count * number // chunks, count * (number + 1) // chunks) for number in range(chunks)]
    finish([pool.submit(kernel, *arguments, a, b) for a, b in parts])


def finish(tasks: Sequence[Future[None]]) -> None:
    """Waits for all tasks, also when one fails or the user stops: no memory is given back that one still writes to."""
    try:
        for task in tasks:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        wait(tasks)
