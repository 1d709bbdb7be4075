"""What errors hold on to."""

from __future__ import annotations

import pickle
import traceback
import weakref

import pytest
import torch
from gpen2048.errors import MissingPackageError, forget_variables


def _fail(held: list[weakref.ref[torch.Tensor]]) -> None:
    work = torch.zeros(3)
    held.append(weakref.ref(work))
    raise ValueError("within")


def _fail_because_of_it(held: list[weakref.ref[torch.Tensor]]) -> None:
    try:
        _fail(held)
    except ValueError as error:
        more = torch.zeros(4)
        held.append(weakref.ref(more))
        raise RuntimeError("without") from error


def test_an_error_and_its_causes_hold_no_tensors_afterwards() -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    with pytest.raises(RuntimeError) as caught:
        _fail_because_of_it(held)
    assert None not in [tensor() for tensor in held]
    forget_variables(caught.value)
    assert [tensor() for tensor in held] == [None, None]
    told = "".join(traceback.format_exception(RuntimeError, caught.value, caught.tb))
    assert "_fail(held)" in told and "within" in told and "without" in told


def test_what_is_missing_and_what_cannot_be_loaded() -> None:
    missing = MissingPackageError.after(ModuleNotFoundError("No module named 'cv2'", name="cv2"))
    broken = MissingPackageError.after(ImportError("libGL.so.1: cannot open shared object file", name="cv2"))
    assert str(missing).startswith("the package cv2 is missing; wanted what requirements.txt lists")
    assert "libGL.so.1: cannot open" in str(broken) and "missing" not in str(broken)
    assert str(pickle.loads(pickle.dumps(missing))) == str(missing)
