"""What a pickle of tensors says, read opcode by opcode. Nothing in it is looked up, called or built but what is here.

torch's own `weights_only` reader is not enough for files from strangers: up to torch 2.5 it hands some archives to
loaders that do run code (CVE-2025-32434), and in every version a small file may claim memory without end, or nest so
deeply that the interpreter crashes. The two hundred tensors of a network need two dozen opcodes and five names.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, cast

import torch

from ..errors import CheckpointError

MOST_OPCODES = 200_000  # the 2048 network's pickle has 7 000
ORDERED_DICT = "collections.OrderedDict"
PARAMETER = "torch._utils._rebuild_parameter"
TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}


@dataclass(frozen=True)
class Storage:
    """A run of `count` numbers, kept elsewhere in the file under `key`."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage, in elements, as the file claims it."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """What a pickle calls by its name."""

    text: str


def read_pickle(stream: IO[bytes]) -> object:
    """The next pickle in `stream`: numbers, text, lists, tuples, dicts, StoredTensor.

    Raises CheckpointError when it holds anything else, and any other exception when it is damaged.
    """
    machine = _Machine()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if number > MOST_OPCODES:
            raise CheckpointError(f"refused, the pickle has more than {MOST_OPCODES} opcodes")
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.do(opcode.name, argument)
    raise CheckpointError("damaged or truncated, not a whole PyTorch file (the pickle has no end)")


class _Machine:
    """A pickle's stack, marks and memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        if name in PLAIN:
            self.stack.append(argument)
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name in ACTIONS:
            ACTIONS[name](self, argument)
        elif name not in IGNORED:
            raise CheckpointError(f"refused, the pickle holds more than tensors (operation {name})")

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def get(self, number: int) -> None:
        self.stack.append(self.memo[number])

    def put(self, number: int | None) -> None:
        self.memo[len(self.memo) if number is None else number] = self.stack[-1]

    def name(self, text: str | None) -> None:
        if text is None:
            text = " ".join(_expect(part, str) for part in self.take(2))
        text = text.replace(" ", ".")
        if text not in (ORDERED_DICT, PARAMETER, *TENSORS, *STORAGES):
            raise CheckpointError(f"refused, the pickle wants to run code ({text[:80]})")
        self.stack.append(_Name(text))

    def tuple(self, length: int | None) -> None:
        self.stack.append(tuple(self.marked() if length is None else self.take(length)))

    def extend(self, items: list[Any]) -> None:
        cast("list[Any]", _expect(self.stack[-1], list)).extend(items)

    def update(self, items: list[Any]) -> None:
        _fill(_expect(self.stack[-1], dict), zip(items[::2], items[1::2], strict=True))

    def storage(self, _: Any) -> None:
        kind, storage_type, key, _location, count, *view = _expect(self.stack.pop(), tuple)
        if _expect(kind, str) != "storage" or any(part is not None for part in view):
            raise CheckpointError(f"refused, the pickle refers to {kind[:40]!r}; wanted a storage of its own")
        dtype = STORAGES[_expect(storage_type, _Name).text]
        self.stack.append(Storage(_expect(key, str), dtype, _expect(count, int)))

    def call(self, _: Any) -> None:
        arguments = _expect(self.stack.pop(), tuple)
        name = _expect(self.stack.pop(), _Name).text
        if name == ORDERED_DICT:
            self.stack.append(_fill({}, *arguments))
        elif name == PARAMETER:
            self.stack.append(_expect(arguments[0], StoredTensor))
        elif name in TENSORS:
            storage, offset, size, stride = arguments[:4]
            self.stack.append(
                StoredTensor(_expect(storage, Storage), _expect(offset, int), _numbers(size), _numbers(stride))
            )
        else:
            raise CheckpointError(f"refused, the pickle wants to run code ({name})")

    def build(self, _: Any) -> None:
        """State of an OrderedDict is the versions of modules, which nobody needs."""
        self.stack.pop()
        _expect(self.stack[-1], dict)

    def take(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("the pickle's stack is empty")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def marked(self) -> list[Any]:
        return self.take(len(self.stack) - self.marks.pop())


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise CheckpointError(f"refused, the pickle has {type(value).__name__} in the place of {kind.__name__}")
    return value


def _fill(target: dict[Any, Any], pairs: Any = ()) -> dict[Any, Any]:
    """Keys are names or numbers: the hash of a deeply nested tuple would overflow the interpreter's own stack."""
    for key, value in pairs:
        if type(key) not in (str, int):
            raise CheckpointError(f"refused, the pickle has a key of type {type(key).__name__}; wanted names")
        target[key] = value
    return target


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(_expect(value, int) for value in _expect(values, tuple))


Action = Callable[[_Machine, Any], None]
PLAIN = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
)
EMPTY: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": lambda: (),
    "EMPTY_LIST": lambda: list[Any](),
    "EMPTY_DICT": lambda: dict[Any, Any](),
}
IGNORED = ("PROTO", "FRAME")
ACTIONS: dict[str, Action] = {
    "MARK": _Machine.mark,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name,
    "TUPLE": _Machine.tuple,
    "TUPLE1": lambda machine, _: machine.tuple(1),
    "TUPLE2": lambda machine, _: machine.tuple(2),
    "TUPLE3": lambda machine, _: machine.tuple(3),
    "APPEND": lambda machine, _: machine.extend(machine.take(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.marked()),
    "SETITEM": lambda machine, _: machine.update(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.marked()),
    "BINPERSID": _Machine.storage,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}
