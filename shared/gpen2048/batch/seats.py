"""Work spread over seats: each is a thread that takes the next piece of work as soon as it has done its last one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
Work = Callable[[Task], Result]

AHEAD = 2  # pieces of work for each seat that are on their way at most: one being done, one ready to be taken


def spread(
    seats: Sequence[Callable[[], Work[Task, Result]]], tasks: Iterable[Task], stop: Callable[[], None]
) -> Iterator[Result]:
    """The results of all `tasks`, in the order in which they are done.

    A seat first calls its entry of `seats`, which may wait, for what then does its work. `tasks` are asked for as
    seats become free. What a seat raises is raised here. In the end, or when the caller goes no further, `stop` is
    called to cut short what is under way, and all threads have ended before this returns.
    """
    todo: SimpleQueue[Task | None] = SimpleQueue()
    done: SimpleQueue[Result | BaseException] = SimpleQueue()
    threads = [threading.Thread(target=_sit, args=(seat, todo, done), daemon=True) for seat in seats]
    for thread in threads:
        thread.start()
    under_way = 0
    try:
        for task in tasks:
            todo.put(task)
            under_way += 1
            while under_way >= AHEAD * len(seats):
                yield _result(done)
                under_way -= 1
        for _ in range(under_way):
            yield _result(done)
    finally:
        _empty(todo)
        for _ in threads:
            todo.put(None)
        stop()
        for thread in threads:
            thread.join()


def _empty(queue: SimpleQueue[Any]) -> None:
    with suppress(Empty):
        while True:
            queue.get_nowait()


def _sit(
    seat: Callable[[], Work[Task, Result]],
    todo: SimpleQueue[Task | None],
    done: SimpleQueue[Result | BaseException],
) -> None:
    try:
        work = seat()
        while (task := todo.get()) is not None:
            done.put(work(task))
    except BaseException as error:
        done.put(error)


def _result(done: SimpleQueue[Result | BaseException]) -> Result:
    result = done.get()
    if isinstance(result, BaseException):
        raise result
    return result
