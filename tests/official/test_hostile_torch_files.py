"""Files that are no state dicts, would run code or are damaged: WeightsError, and nothing else."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._utils import _rebuild_tensor_v2

from l3ac_jax.errors import WeightsError
from l3ac_jax.official.torch_files import read_state_dict


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torch_files")


@pytest.fixture(scope="module")
def plain_file(folder) -> bytes:
    """A state dict of a small module, as bytes."""
    path = folder / "plain.pt"
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)).state_dict(), path)
    return path.read_bytes()


def write_archive(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """A file with the form of torch.save's, whatever it holds."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        for key, raw in (storages or {}).items():
            file.writestr(f"archive/data/{key}", raw)
        file.writestr("archive/version", "3\n")
    return path


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


executed: list[str] = []


def record(*arguments) -> None:
    executed.append("executed")


@pytest.mark.parametrize(
    "harm",
    [
        Calls(os.system, "true"),
        Calls(record),
        Calls(eval, "1"),
        Calls(getattr, Calls(__import__, "builtins"), "eval"),
        Calls(__import__, "os"),
        Calls(torch.load, "x.pt"),
        {"x": Calls(record)},
        {"x": Calls(collections.OrderedDict, Calls(record))},
        {Calls(record): 1},
        Calls(Calls, Calls(record)),
        Calls(np.frombuffer, b"1"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_calls_in_a_pickle_are_refused_and_not_executed(folder, harm, protocol):
    path = write_archive(folder / "harm.pt", pickle.dumps(harm, protocol))
    with pytest.raises(WeightsError, match=r"harm\.pt: .*(names|instruction)"):
        read_state_dict(path)
    assert not executed


HAND_WRITTEN = {
    "a global behind a known module": b"\x80\x02ctorch._utils\nos.system\n.",
    "an attribute of a known name": b"\x80\x02ctorch\nFloatStorage.from_file\n.",
    "a known function on nonsense": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "a storage type called": b"\x80\x02ctorch\nFloatStorage\nK\x01\x85R.",
    "a call of a call": b"\x80\x02ccollections\nOrderedDict\n)R)R.",
    "state for a function": b"\x80\x02ccollections\nOrderedDict\n}b.",
    "the INST instruction": b"(S'true'\nios\nsystem\n.",
    "the OBJ instruction": b"(cos\nsystem\nS'true'\no.",
    "a stack global of unknown parts": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "a stack global of tuples": b"\x80\x04)\x85)\x85\x93.",
    "an extension": b"\x80\x02\x82\x01.",
    "an empty pickle": b"",
    "no end": b"\x80\x02}",
    "nothing on the stack": b"\x80\x02.",
    "an unknown memo": b"\x80\x02h\x05.",
    "a missing mark": b"\x80\x02}u.",
    "an odd number of items": b"\x80\x02}(X\x01\x00\x00\x00au.",
    "a mark left over": b"\x80\x02(.",
    "a name that is no text": b"\x80\x02}K\x01K\x02s.",
    "no dict": b"\x80\x02K\x01.",
    "a dict of numbers": b"\x80\x02}X\x01\x00\x00\x00aK\x01s.",
    "a huge memo index": b"\x80\x02}r\xff\xff\xff\xffK\x01.",
    "a huge text": b"\x80\x02X\xff\xff\xff\x7fa.",
    "a huge text of protocol 4": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x0fa.",
    "a huge bytearray": b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x0fa.",
    "a huge integer": b"\x80\x02\x8b\xff\xff\xff\x7fa.",
    "a long decimal": b"I" + b"9" * 5000 + b"\n.",
    # 2**60 references to one tuple: hashing it would never end.
    "an exponential key": b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",
}


@pytest.mark.parametrize("pickled", HAND_WRITTEN.values(), ids=HAND_WRITTEN)
def test_hand_written_pickles_are_refused(folder, pickled):
    path = write_archive(folder / "hand.pt", pickled)
    with pytest.raises(WeightsError, match=r"hand\.pt: "):
        assert_bounded_memory(lambda: read_state_dict(path))


class TensorOf:
    """Pickles as torch.save describes a tensor, with any numbers in it; without: its storage."""

    def __init__(self, size: int, *view):
        self.size, self.view = size, view


class TensorPickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, TensorOf) and not value.view:
            return ("storage", torch.FloatStorage, "0", "cpu", value.size)
        return None

    def reducer_override(self, value):
        if isinstance(value, TensorOf):
            arguments = (TensorOf(value.size), *value.view, False, collections.OrderedDict())
            return _rebuild_tensor_v2, arguments
        return NotImplemented


def write_tensor(path: Path, size: int, offset, shape, strides, raw=b"\0" * 16) -> Path:
    buffer = io.BytesIO()
    TensorPickler(buffer, 2).dump({"x": TensorOf(size, offset, shape, strides)})
    return write_archive(path, buffer.getvalue(), {"0": raw})


def test_the_tensors_written_by_hand_are_what_they_say(folder):
    raw = np.arange(4, dtype=np.float32).tobytes()
    found = read_state_dict(write_tensor(folder / "t.pt", 4, 1, (2, 1), (2, 99), raw))["x"]
    np.testing.assert_array_equal(found, [[1], [3]])


@pytest.mark.parametrize(
    "numbers",
    [
        (4, 0, (5,), (1,)),
        (4, 4, (1,), (1,)),
        (4, 4, (), ()),
        (4, -1, (2,), (1,)),
        (4, 3, (2,), (-1,)),
        (4, 0, (2, 2), (3, 1)),
        (4, 0, (2, 2), (1,)),
        (4, 0, (-2,), (1,)),
        (4, 0, (2.0,), (1,)),
        (4, 0, (True,), (1,)),
        (4, 0, ("2",), (1,)),
        (4, 0, (2**62,), (1,)),
        (4, 0, (2**62, 2**62), (0, 0)),
        (4, 0, (0, 2**62, 2**62), (1, 1, 1)),
        (4, 0, (1,) * 100, (1,) * 100),
        (4, 0, 4, 1),
        (5, 0, (4,), (1,)),
        (3, 0, (3,), (1,)),
        (2**40, 0, (4,), (1,)),
        (-4, 0, (4,), (1,)),
        (2**2000, 0, (4,), (1,)),
    ],
    ids=lambda numbers: str(numbers)[:40],
)
def test_tensors_that_do_not_fit_their_storage_are_refused(folder, numbers):
    path = write_tensor(folder / "t.pt", *numbers)
    with pytest.raises(WeightsError, match=r"t\.pt: damaged"):
        assert_bounded_memory(lambda: read_state_dict(path))


def test_a_huge_expanded_tensor_takes_no_memory(folder):
    path = write_tensor(folder / "t.pt", 4, 0, (2**40,), (0,))
    assert assert_bounded_memory(lambda: read_state_dict(path))["x"].shape == (2**40,)


def assert_bounded_memory(function, megabytes: int = 20):
    """NumPy's and Python's allocations stay small, even when the function raises."""
    tracemalloc.start()
    try:
        return function()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < megabytes * 2**20


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is text", "not a file of torch.save"),
        (b"PK\x03\x04 and no more", "damaged"),
        (pickle.dumps({"x": 1}, 2), "format of torch before 1.6"),
    ],
)
def test_other_files_are_named_for_what_they_are(folder, content, reason):
    (folder / "other.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=reason):
        read_state_dict(folder / "other.pt")


def test_files_of_torch_that_are_no_state_dicts_say_why(folder):
    path = folder / "other.pt"
    torch.save({"x": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match=r"format of torch before 1\.6"):
        read_state_dict(path)
    torch.save({"state": {"x": torch.ones(2)}}, path)
    with pytest.raises(WeightsError, match="'state' is a dict, not a tensor"):
        read_state_dict(path)
    torch.save(torch.ones(2), path)
    with pytest.raises(WeightsError, match="it holds a tensor, not a state dict"):
        read_state_dict(path)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(WeightsError, match=r"names 'torch\.nn\.modules\.linear\.Linear'"):
        read_state_dict(path)


def test_missing_files_and_folders_are_weights_errors(folder):
    with pytest.raises(WeightsError, match=r"nowhere\.pt: No such file"):
        read_state_dict(folder / "nowhere.pt")
    with pytest.raises(WeightsError, match="Is a directory"):
        read_state_dict(folder)


def test_a_compressed_bomb_is_refused(folder):
    with zipfile.ZipFile(folder / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"\0" * 200_000_000)
    with pytest.raises(WeightsError, match="compressed"):
        assert_bounded_memory(lambda: read_state_dict(folder / "bomb.pt"))


# --- damage


def assert_refused_or_unchanged(path: Path, original: bytes, damaged: bytes) -> None:
    """Never another exception; and what is read in spite of the damage is what was written."""
    path.write_bytes(original)
    expected = read_state_dict(path)
    path.write_bytes(damaged)
    with contextlib.suppress(WeightsError):
        found = assert_bounded_memory(lambda: read_state_dict(path))
        assert found.keys() == expected.keys()
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name])


@given(st.data())
@settings(max_examples=150)
def test_truncated_files_are_refused(folder, plain_file, data):
    length = data.draw(st.integers(0, len(plain_file) - 1))
    path = folder / "cut.pt"
    path.write_bytes(plain_file[:length])
    with pytest.raises(WeightsError, match=r"cut\.pt: "):
        read_state_dict(path)


@given(st.data())
@settings(max_examples=300)
def test_corrupted_files_are_refused_or_unharmed(folder, plain_file, data):
    damaged = bytearray(plain_file)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    assert_refused_or_unchanged(folder / "bits.pt", plain_file, bytes(damaged))


@given(st.data())
@settings(max_examples=300)
def test_corrupted_descriptions_with_right_checksums_are_refused_or_read(folder, plain_file, data):
    """Past the archive's checksums: any bytes for the pickle, and no other exception."""
    with zipfile.ZipFile(io.BytesIO(plain_file)) as file:
        entries = {name.split("/", 1)[1]: file.read(name) for name in file.namelist()}
    pickled = bytearray(entries["data.pkl"])
    for _ in range(data.draw(st.integers(1, 4))):
        pickled[data.draw(st.integers(0, len(pickled) - 1))] = data.draw(st.integers(0, 255))
    storages = {name[5:]: raw for name, raw in entries.items() if name.startswith("data/")}
    path = write_archive(folder / "pickle.pt", bytes(pickled), storages)
    with contextlib.suppress(WeightsError):
        assert_bounded_memory(lambda: read_state_dict(path))
