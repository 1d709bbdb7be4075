"""Samples of files to floats and back: exact both ways, for every value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gpen2048.samples import to_planes, to_samples


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16)])
def test_every_value_is_the_nearest_float_and_comes_back(dtype: type, bits: int) -> None:
    values = np.arange(2**bits, dtype=dtype)
    samples = np.stack((values, values[::-1]), axis=1).reshape(16, -1, 2)
    planes = to_planes(samples)
    assert planes.dtype == torch.float32 and planes.is_contiguous() and planes.shape == (2, *samples.shape[:2])
    wanted = samples.transpose(2, 0, 1).astype(np.float64) / (2**bits - 1)
    np.testing.assert_array_equal(planes.numpy(), wanted.astype(np.float32))
    back = to_samples(planes, bits)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, samples)


def test_arrays_that_lie_otherwise_or_cannot_be_written() -> None:
    samples = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    read_only = samples.copy()
    read_only.setflags(write=False)
    for given in (np.asfortranarray(samples), samples[::-1][::-1], read_only):
        np.testing.assert_array_equal(to_samples(to_planes(given)), samples)


def test_floats_are_clamped_and_rounded_half_to_even() -> None:
    planes = torch.tensor([-1.0, 0.5 / 255, 1.5 / 255, 254.6 / 255, 7.0]).reshape(1, 1, 5)
    assert to_samples(planes)[0, :, 0].tolist() == [0, 0, 2, 255, 255]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_has_the_same_floats() -> None:
    samples = np.arange(2**16, dtype=np.uint16).reshape(64, -1, 1)
    cuda = torch.device("cuda")
    for given in (samples, samples.astype(np.uint8)):
        assert torch.equal(to_planes(given, cuda).cpu(), to_planes(given))
        np.testing.assert_array_equal(to_samples(to_planes(given, cuda), 8 * given.itemsize), given)
