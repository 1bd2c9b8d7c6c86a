"""State dicts are read as torch reads them."""

from __future__ import annotations

import collections
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l3ac_jax.official.torch_files import read_state_dict

DTYPES = {
    torch.float64: np.float64,
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.bfloat16: ml_dtypes.bfloat16,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.int16: np.int16,
    torch.int8: np.int8,
    torch.uint8: np.uint8,
    torch.bool: np.bool_,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torch_files")


def assert_read_as_torch_reads(path: Path) -> None:
    expected = torch.load(path, weights_only=False)  # the restricted one knows protocol 2 only
    found = read_state_dict(path)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == DTYPES[tensor.dtype]
        assert found[name].shape == tuple(tensor.shape)
        packed = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor).view(-1)
        assert found[name].tobytes() == packed.view(torch.uint8).numpy().tobytes()


@st.composite
def tensors(draw) -> torch.Tensor:
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    dtype = draw(st.sampled_from(list(DTYPES)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    tensor = torch.randint(0, 2 if dtype == torch.bool else 100, shape, generator=generator)
    tensor = tensor.to(dtype)
    for _ in range(draw(st.integers(0, 2))):
        if tensor.ndim:
            first, second = (draw(st.integers(0, tensor.ndim - 1)) for _ in range(2))
            match draw(st.sampled_from(["transpose", "slice", "step", "expand"])):
                case "transpose":
                    tensor = tensor.transpose(first, second)
                case "slice":
                    tensor = tensor.narrow(first, 0, draw(st.integers(0, tensor.shape[first])))
                case "step" if tensor.shape[first]:
                    tensor = tensor[(slice(None),) * first + (slice(1, None, 2),)]
                case "expand":
                    tensor = tensor.unsqueeze(0).expand(3, *tensor.shape)
    return tensor


@given(st.dictionaries(st.text(min_size=1, max_size=8), tensors(), max_size=4), st.integers(2, 5))
@settings(max_examples=60)
def test_any_dict_of_tensors_is_read_as_torch_reads_it(folder, state_dict, protocol):
    path = folder / "any.pt"
    torch.save(collections.OrderedDict(state_dict), path, pickle_protocol=protocol)
    assert_read_as_torch_reads(path)


def test_special_values_keep_their_bits(folder):
    values = torch.tensor([np.nan, -0.0, np.inf, -np.inf, 1e-45]).view(torch.int32)
    values[0] |= 12345  # a NaN with a payload
    torch.save({"x": values.view(torch.float32)}, folder / "special.pt")
    found = read_state_dict(folder / "special.pt")["x"]
    np.testing.assert_array_equal(found.view(np.int32), values.numpy())


def test_tensors_that_share_a_storage_share_memory(folder):
    x = torch.arange(12.0)
    torch.save({"x": x, "tail": x[6:], "table": x.view(3, 4).T}, folder / "shared.pt")
    found = read_state_dict(folder / "shared.pt")
    assert np.shares_memory(found["x"], found["tail"])
    assert np.shares_memory(found["x"], found["table"])
    assert_read_as_torch_reads(folder / "shared.pt")
    with pytest.raises(ValueError, match="read-only"):
        found["x"][0] = 1


def test_parameters_and_module_state_dicts_are_read(folder):
    torch.save({"p": torch.nn.Parameter(torch.ones(2, 3))}, folder / "parameter.pt")
    np.testing.assert_array_equal(read_state_dict(folder / "parameter.pt")["p"], np.ones((2, 3)))
    torch.save(torch.nn.LSTM(3, 4, num_layers=2).state_dict(), folder / "module.pt")
    assert_read_as_torch_reads(folder / "module.pt")
