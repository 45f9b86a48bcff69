"""The different values of a field, however many: JSON texts in one piece, often a file's, read as values when asked for.

Two million texts of Python are half a gigabyte in every process that reads them; so they are a file that all share. What
was found of all of them at once is kept with them. What is done with values is not known here.
"""

import operator
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar, overload

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gdp_core.timeline.arrays import Value, still
from gdp_core.timeline.kept import Kept
from gdp_core.timeline.kernels.texts import places, table_of

_AT_ONCE = 250_000  # values that are Python's at a time
_LEAST_KEPT = 1 << 22  # bytes
Made = TypeVar("Made")


class Block:
    """Different values: value k is the JSON text texts[starts[k]:starts[k + 1]]. Lists and objects are that text."""

    def __init__(self, starts: NDArray[np.int64], texts: NDArray[np.uint8]) -> None:
        self.starts = still(starts)
        self.texts = still(texts)
        self._kept = Kept(max(_LEAST_KEPT, 4 * texts.nbytes))

    @classmethod
    def of(cls, values: Iterable[Value]) -> "Block":
        """From values, each once."""
        return cls.read(pa.array(map(_text, values), pa.large_binary()))

    @classmethod
    def read(cls, texts: pa.Array) -> "Block":
        """From JSON texts, each once."""
        _, starts, data = texts.buffers()
        if not len(texts):
            return cls(np.zeros(1, np.int64), np.empty(0, np.uint8))
        bounds = np.frombuffer(starts, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        content = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
        return cls(bounds - bounds[0], content[bounds[0] : bounds[-1]])

    def __len__(self) -> int:
        """How many there are."""
        return len(self.starts) - 1

    def __getitem__(self, place: int) -> Value:
        """One of them."""
        return _value(self.texts[self.starts[place] : self.starts[place + 1]].tobytes())

    @property
    def nbytes(self) -> int:
        """What it takes, on disk or in memory."""
        return self.starts.nbytes + self.texts.nbytes

    @property
    def first(self) -> NDArray[np.uint8]:
        """How each text begins, which tells its type."""
        return np.asarray(self.texts[self.starts[:-1]])

    @property
    def types(self) -> frozenset[type]:
        """What types of values there are."""

        def make() -> frozenset[type]:
            counts = np.bincount(self.first, minlength=256) > 0
            has = {chr(code) for code in np.flatnonzero(counts)}
            found: set[type] = {str} if has & set('"[{') else set()
            found |= {bool} if has & set("tf") else set()
            if has & set("-0123456789"):
                found |= {type(value) for value in self if not isinstance(value, str | bool)}
            return frozenset(found)

        return self.remember(("types",), make, lambda _: 100)

    def __iter__(self) -> Iterator[Value]:
        """All of them, in order."""
        return chain.from_iterable(self.slices())

    def slices(self) -> Iterator[list[Value]]:
        """All of them, in order, some at a time."""
        for begin in range(0, len(self), _AT_ONCE):
            end = min(begin + _AT_ONCE, len(self))
            texts = self._arrow(begin, end)
            joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts), ",")
            values = orjson.loads(b"[" + joined[0].as_buffer().to_pybytes() + b"]")
            for place in np.flatnonzero(np.isin(self.first[begin:end], (ord("["), ord("{")))).tolist():
                values[place] = texts[place].as_py()
            yield values

    def chosen(self, some: NDArray[np.int64]) -> "Block":
        """Those at some places."""
        return Block.read(self._arrow(0, len(self), pa.large_string()).take(pa.array(some)))

    def places(self, others: "Block") -> NDArray[np.int32]:
        """Which of these each of the others is; -1 for none."""
        table = self.remember(("table",), lambda: table_of(self.starts, self.texts), lambda made: made.nbytes)
        return places(table, self.starts, self.texts, others.starts, others.texts)

    def remember(self, key: tuple[Hashable, ...], make: Callable[[], Made], size: Callable[[Made], int]) -> Made:
        """What was made of them under a key before, or is made now; `size` in bytes."""
        return self._kept.get(key, make, size)

    def _arrow(self, begin: int, end: int, kind: Any = None) -> pa.Array:
        bounds = self.starts[begin : end + 1]
        content = pa.py_buffer(self.texts[bounds[0] : bounds[-1]])
        starts = pa.py_buffer(np.ascontiguousarray(bounds - bounds[0]))
        found = pa.LargeStringArray.from_buffers(end - begin, starts, content)
        return found if kind else found.cast(pa.string())


class Values(Sequence[Value]):
    """The values of a column by their code: blocks one after the other."""

    def __init__(self, *blocks: Block) -> None:
        self.blocks = tuple(block for block in blocks if len(block))

    @classmethod
    def of(cls, values: Iterable[Value]) -> "Values":
        """From values, each once."""
        return cls(Block.of(values))

    def __len__(self) -> int:
        """How many there are."""
        return sum(map(len, self.blocks))

    def __iter__(self) -> Iterator[Value]:
        """All of them, in order."""
        return chain.from_iterable(self.blocks)

    @overload
    def __getitem__(self, place: int) -> Value: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Value, ...]: ...
    def __getitem__(self, place: int | slice) -> Value | tuple[Value, ...]:
        """The value of a code, or of several."""
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        left = place if place >= 0 else place + len(self)
        for block in self.blocks:
            if 0 <= left < len(block):
                return block[left]
            left -= len(block)
        raise IndexError(place)

    def __eq__(self, other: object) -> bool:
        """Whether others are the same values in the same order."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    @property
    def types(self) -> frozenset[type]:
        """What types of values there are."""
        return frozenset().union(*(block.types for block in self.blocks))

    def and_those(self, others: Block) -> tuple["Values", NDArray[np.int32]]:
        """Further values behind these, and the code of each of the others there."""
        codes = np.full(len(others), -1, np.int32)
        passed = 0
        for block in self.blocks:
            found = block.places(others)
            codes = np.where(found >= 0, found + np.int32(passed), codes)
            passed += len(block)
        new = np.flatnonzero(codes < 0)
        codes[new] = passed + np.arange(len(new), dtype=np.int32)
        return Values(*self.blocks, others.chosen(new)), codes


def types_of(values: Sequence[Value]) -> frozenset[type]:
    """What types of values there are."""
    return values.types if isinstance(values, Values) else frozenset(map(type, values))


def _text(value: Value) -> bytes:
    is_long = isinstance(value, int) and not -(1 << 63) <= value < 1 << 64  # as Postgres writes it
    return str(value).encode() if is_long else orjson.dumps(value)


def _value(text: bytes) -> Value:
    value = orjson.loads(text)
    return value if isinstance(value, str | int | float | bool) else text.decode()
