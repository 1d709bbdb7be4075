"""Reads weight files one after another, as told on stdin, and says on stdout what came of each and what it took.

A line in: "state PATH", or "network PATH" to build the network too. A line out, as JSON: `outcome` (loaded, refused, or
the name of an exception that should not be), `message`, `peak` bytes of memory beyond those before, `keys` with a
digest of every tensor. Linux only: the peak is the kernel's.
"""

from __future__ import annotations

import gc
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from gpen2048.checkpoint import load_network
from gpen2048.errors import GpenError
from gpen2048.weight_files.state_dicts import read_state_dict

torch.set_num_threads(1)


def _memory(what: str) -> int:
    match = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) * 1024


def read(how: str, path: str) -> dict[str, Any]:
    gc.collect()
    gc.freeze()  # what is left stays, and need not be looked at again
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of now
    before = _memory("VmRSS")
    answer: dict[str, Any] = {"outcome": "loaded", "message": "", "keys": {}}
    try:
        state = read_state_dict(path) if how == "state" else load_network(path).state_dict()
        for key, tensor in state.items():
            numbers = tensor.contiguous().view(-1).view(torch.uint8).numpy() if tensor.numel() else b""
            answer["keys"][key] = hashlib.sha1(numbers).hexdigest()[:12] + str(tuple(tensor.shape))
    except GpenError as error:
        answer |= {"outcome": "refused", "message": str(error), "keys": {}}
    except BaseException as error:
        answer |= {"outcome": type(error).__name__, "message": str(error)[:300], "keys": {}}
    return answer | {"peak": _memory("VmHWM") - before}


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(read(*line.rstrip("\n").split(" ", 1))), flush=True)
