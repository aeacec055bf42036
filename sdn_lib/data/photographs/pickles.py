r"""Pickles from outside, read without running what they say.

StackGAN published its splits and embeddings as Python 2 pickles, others have saved them again since
(protocols 0 to 5, numpy 1 and 2), and a pickle is a program. `load` carries out only the
instructions that build lists, tuples, dicts, text, numbers and numpy arrays of int or float;
anything else stops it before it has happened.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sdn_lib.errors import SDNError

LIMIT = 64 << 20
"""Bytes that a pickle may have unless the caller says otherwise."""

_INSTRUCTIONS = (
    "PROTO FRAME STOP MARK POP POP_MARK PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET "
    "NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "LIST EMPTY_LIST APPEND APPENDS DICT EMPTY_DICT SETITEM SETITEMS GLOBAL STACK_GLOBAL"
)
_ADMITTED = (str, bytes, int, float, np.number, np.ndarray, type(None))
_AN_ARRAY = object()  # stands for the name numpy.ndarray, which pickles pass around, never call


def load(path: str | Path, limit: int = LIMIT) -> Any:
    r"""Read a pickle that holds only lists, tuples, dicts, text, numbers and plain numpy arrays.

    Python 2 strings become str, byte for byte (latin1). Nothing larger than the file says and
    holds is allocated. Raises SDNError, which names the file, for a file above `limit` bytes, for
    one that git's line-ending conversion damaged, for any other damage, and for a pickle that
    asks for anything else, which is not done.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise SDNError(f"{path} has {size} bytes, at most {limit} are read: fetch it again")
            # How a list, a dict or an array begins in protocol 0, the one that is made of lines.
            if re.match(rb"(\([ld]p\d+|c[\w.]+)\r\n", file.read(256)):
                raise SDNError(
                    rf"{path} has lines that end in \r\n: git's line-ending conversion ruins "
                    "pickles of protocol 0; fetch it again as a binary file"
                )
            file.seek(0)
            value = _Reader(file, size).load()
        _check(value)
        return value
    except SDNError:
        raise
    except OSError as error:
        raise SDNError(f"{path} cannot be read ({error.strerror}): fetch it again") from None
    except Exception as error:  # a damaged or hostile pickle can raise any of them
        reason = str(error) or type(error).__name__
        raise SDNError(
            f"{path} is damaged or no pickle of lists, text, numbers and arrays ({reason}): "
            "fetch it again from its source, and do not open it with pickle.load"
        ) from None


class _File:
    """A file that refuses to read past its end, before room is made for what is not there."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        left = self._size - self._file.tell()
        if not 0 <= count <= left:
            raise pickle.UnpicklingError(f"{count} bytes are announced where {left} are left")
        return self._file.read(count)


class _Instructions(dict):
    def __missing__(self, code: int) -> None:
        raise pickle.UnpicklingError(f"the instruction {bytes([code])!r} is not admitted")


# The unpickler in C cannot be told which instructions to admit, and makes room for a memo of any
# length that a file names; the one in Python has a table of instructions and a memo that is a dict.
class _Reader(pickle._Unpickler):
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]

    dispatch = _Instructions(
        {
            getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
            for name in _INSTRUCTIONS.split()
        }
    )

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(_File(file, size), encoding="latin1")
        # An array's bytes stand in the file once; text may be turned into bytes on the way.
        self._budget = 2 * size
        self._names = {
            ("numpy", "dtype"): _dtype,
            ("numpy", "ndarray"): _AN_ARRAY,
            ("_codecs", "encode"): self._bytes,
        }
        for core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
            self._names[f"{core}.multiarray", "scalar"] = self._scalar
            self._names[f"{core}.multiarray", "_reconstruct"] = _empty
            self._names[f"{core}.numeric", "_frombuffer"] = self._array

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._names:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not admitted")
        return self._names[module, name]

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        call = self.stack[-1]
        if not any(call is known for known in self._names.values()):
            raise pickle.UnpicklingError("it calls what is no admitted function")
        self.stack[-1] = call(*arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        kind = type(target)
        if issubclass(kind, np.dtype):
            version, order, *rest = state
            plain = version == 3 and rest == [None, None, None, -1, -1, 0]
            if not plain or order not in ("<", ">", "|", "="):
                raise pickle.UnpicklingError("it describes a number that is not plain")
            target.__setstate__(tuple(state))
        elif kind is np.ndarray:
            _, shape, dtype, fortran, raw = state
            raw = self._bytes(raw)
            _check_array(shape, dtype, raw)
            target.__setstate__((1, tuple(shape), dtype, bool(fortran), raw))
        else:
            raise pickle.UnpicklingError("it changes an object that is no array")

    def load_bytearray8(self) -> None:
        # Python's own makes room before it looks whether so much is there.
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(length)))

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def _bytes(self, raw: str | bytes | bytearray, encoding: str = "latin1") -> bytes | bytearray:
        # One text, named again and again, would otherwise fill the memory from a small file.
        self._budget -= len(raw)
        if self._budget < 0:
            raise pickle.UnpicklingError("its arrays hold more bytes than the file")
        if encoding != "latin1" or type(raw) not in (str, bytes, bytearray):
            raise pickle.UnpicklingError("it encodes what is no text in latin1")
        return raw.encode("latin1") if isinstance(raw, str) else raw

    def _array(
        self,
        raw: bytes | bytearray,
        dtype: np.dtype,
        shape: tuple,
        order: Any,
        axes: tuple | None = None,
    ) -> np.ndarray:
        """Return an array as protocol 5 has it: its bytes, then what they mean."""
        raw = self._bytes(raw)
        _check_array(shape, dtype, raw)
        array = np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="), copy=False)
        if order == "K" and axes is not None:
            return array.reshape(shape).transpose(axes)
        return array.reshape(shape, order=order)

    def _scalar(self, dtype: np.dtype, raw: str | bytes) -> np.number:
        content = self._bytes(raw)
        if not isinstance(dtype, np.dtype) or dtype.itemsize != len(content):
            raise pickle.UnpicklingError("it describes a number that is not plain")
        return np.frombuffer(content, dtype)[0]


def _dtype(code: str, *_: Any) -> np.dtype:
    if type(code) is not str or not re.fullmatch("[<>|=]?[iuf][1248]", code):
        raise pickle.UnpicklingError(f"it asks for arrays of dtype {code!r}, not of int or float")
    return np.dtype(code, False, True)  # a copy, for its byte order comes later


def _check_array(shape: Any, dtype: Any, raw: bytes | bytearray) -> None:
    plain = type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape)
    if not isinstance(dtype, np.dtype) or not plain:
        raise pickle.UnpicklingError("it describes an array that is not plain")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise pickle.UnpicklingError(
            f"an array of shape {shape} and {dtype} comes with {len(raw)} bytes"
        )


def _empty(kind: object, shape: tuple, _: str) -> np.ndarray:
    if kind is not _AN_ARRAY or shape != (0,):
        raise pickle.UnpicklingError("it makes an array of another class, or before its bytes come")
    return np.empty(0, np.uint8)


def _check(value: Any) -> None:
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if type(one) is dict:
            waiting += [*one.keys(), *one.values()]
        elif type(one) in (list, tuple):
            waiting += one
        elif not isinstance(one, _ADMITTED):
            raise pickle.UnpicklingError("it holds an object that is no list, text or number")
