"""What the pickle inside a torch.save file says, found out without executing it.

A pickle is a program that can call any function of any module. The few instructions that describe
a dict of tensors are interpreted here, on a stack of our own; any other instruction, and the name
of anything but the handful of types and functions that torch.save writes, is refused.

A `pickle.Unpickler` with its own `find_class` and `persistent_load` would run nothing either, but
hashes what a dict has for keys before it asks anyone, for ever if that is a tuple of tuples (70
bytes for 2^60 of them), and 11 bytes that name a high place of its memo take 2 GiB (Python 3.11).
"""

from __future__ import annotations

import pickletools
import warnings
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np


class RefusedError(Exception):
    """Why a file is not read."""


@dataclass(frozen=True)
class StorageRecord:
    """A run of elements of one type, kept under a key in the archive."""

    dtype: np.dtype
    key: str
    size: int  # in elements


@dataclass(frozen=True)
class TensorRecord:
    """A strided view of a storage; offset and strides count elements."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def describe_state_dict(pickled: bytes, entry: str | None = None) -> dict[str, TensorRecord]:
    """The tensors that a pickled state dict holds, by name; with `entry`, that of a dict around it.

    Raises RefusedError for a pickle that is anything else, and ValueError, TypeError, IndexError or
    KeyError for nonsense.
    """
    interpreter = _Interpreter()
    with warnings.catch_warnings(action="ignore"):  # of strange escapes in damaged names
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name != "STOP":
                interpreter.execute(opcode.name, argument)
    result = interpreter.stack.pop()
    if entry is not None:
        if not isinstance(result, dict) or entry not in result:
            raise RefusedError(f"it holds no {entry}")
        result = result[entry]
    if not isinstance(result, dict):
        raise RefusedError(f"it holds {_kind(result)}, not a state dict")
    for name, value in result.items():
        if not isinstance(value, TensorRecord):
            raise RefusedError(f"not a state dict: {name!r} is {_kind(value)}, not a tensor")
    return result


_STORAGE_DTYPES: dict[str, Any] = {
    "torch DoubleStorage": np.float64,
    "torch FloatStorage": np.float32,
    "torch HalfStorage": np.float16,
    "torch BFloat16Storage": ml_dtypes.bfloat16,
    "torch LongStorage": np.int64,
    "torch IntStorage": np.int32,
    "torch ShortStorage": np.int16,
    "torch CharStorage": np.int8,
    "torch ByteStorage": np.uint8,
    "torch BoolStorage": np.bool_,
}
_ORDERED_DICT = "collections OrderedDict"
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
_REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
_FUNCTIONS = {_ORDERED_DICT, _REBUILD_TENSOR, _REBUILD_PARAMETER}

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


@dataclass(frozen=True)
class _Global:
    """A type or function that the pickle names, "module name"; it is never looked up."""

    name: str


class _Interpreter:
    """The stack machine of the pickle module, cut down to what describes tensors."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def execute(self, opcode: str, argument: Any) -> None:
        stack, memo = self.stack, self.memo
        match opcode:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                stack.append(_MARK)
            case "GLOBAL":
                stack.append(_global(argument))
            case "STACK_GLOBAL":
                module, name = self._pop(2)
                stack.append(_global(f"{module} {name}"))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "TUPLE":
                stack.append(self._pop_to_mark())
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                item = self._pop(2)
                _set_items(stack[-1], item)
            case "SETITEMS":
                items = self._pop_to_mark()
                _set_items(stack[-1], items)
            case "BUILD":
                # Attributes of a dict: torch keeps the version numbers of modules there.
                target, state = self._pop(2)
                if not isinstance(target, dict) or not isinstance(state, dict):
                    raise RefusedError("it sets the state of something that is not a dict")
                stack.append(target)
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                stack.append(_call(*self._pop(2)))
            case _ if opcode in _VALUES:
                stack.append(argument)
            case _ if opcode in _CONSTANTS:
                stack.append(_CONSTANTS[opcode])
            case _ if opcode in _TUPLES:
                stack.append(self._pop(_TUPLES[opcode]))
            case _:
                raise RefusedError(f"not a state dict: it uses the pickle instruction {opcode}")

    def _pop(self, count: int) -> tuple[Any, ...]:
        """The top values, the deepest first."""
        if count > len(self.stack):
            raise IndexError("the pickle's stack is empty")
        values = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return values

    def _pop_to_mark(self) -> tuple[Any, ...]:
        """The values above the last mark, and the mark itself taken away."""
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise IndexError("the pickle's stack has no mark")
        values = tuple(self.stack[start + 1 :])
        del self.stack[start:]
        return values


def _global(name: str) -> _Global:
    if name not in _FUNCTIONS and name not in _STORAGE_DTYPES:
        raise RefusedError(f"it names {name.replace(' ', '.')!r}, which weights have no use for")
    return _Global(name)


def _set_items(target: Any, items: tuple[Any, ...]) -> None:
    keys, values = items[::2], items[1::2]
    # Strings only: hashing a deeply shared tuple would take for ever.
    if not isinstance(target, dict) or not all(isinstance(key, str) for key in keys):
        raise RefusedError("not a state dict: it fills something that is not a dict of names")
    target.update(zip(keys, values, strict=True))


def _storage(reference: Any) -> StorageRecord:
    kind, storage_type, key, _device, size = reference
    if kind != "storage" or not isinstance(storage_type, _Global) or not isinstance(key, str):
        raise RefusedError("damaged: a storage is not described as one")
    if storage_type.name not in _STORAGE_DTYPES:
        raise RefusedError(f"damaged: {storage_type.name!r} is not a type of storage")
    return StorageRecord(np.dtype(_STORAGE_DTYPES[storage_type.name]), key, _count(size))


def _call(function: Any, arguments: Any) -> Any:
    """What one of the known functions stands for."""
    name = function.name if isinstance(function, _Global) else None
    if name == _ORDERED_DICT and arguments == ():
        return {}
    if name == _REBUILD_TENSOR:
        storage, offset, shape, strides, _requires_grad, _hooks, *metadata = arguments
        if isinstance(storage, StorageRecord) and not any(metadata) and len(shape) == len(strides):
            return TensorRecord(
                storage, _count(offset), tuple(map(_count, shape)), tuple(map(_count, strides))
            )
    if name == _REBUILD_PARAMETER:
        data, _requires_grad, _hooks = arguments
        if isinstance(data, TensorRecord):
            return data
    raise RefusedError("damaged: it calls something in a way that torch.save does not")


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise RefusedError(f"damaged: a size is {value!r:.100}")
    return value


def _kind(value: Any) -> str:
    """For a message: what a value is, with its article."""
    return {dict: "a dict", TensorRecord: "a tensor", str: "a text", tuple: "a tuple"}.get(
        type(value), f"a {type(value).__name__}"
    )
