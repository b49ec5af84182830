"""Memory: what was computed once, by its key, within a number of bytes; and room for new columns."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np

from mastertrade.quant.bars import FloatArray

Kept = TypeVar("Kept")
LEAST_KEPT = 1 << 18
"""Bytes of a column below which the allocator keeps its memory by itself."""
MOST_KEPT = 48 << 20
"""Bytes that wait for new columns: the averages and curves of a million bars."""


def room(count: int) -> FloatArray:
    """A new column, not filled. A large one is written where one was that nobody holds any more: a page that is asked
    of the system anew costs many times what it takes to write it."""
    return np.empty(count) if 8 * count < LEAST_KEPT else np.asarray(_Block(count))


_free: dict[int, list[FloatArray]] = {}


class _Block:
    """What an array stands on; it is given back when the array and all its views are gone."""

    __slots__ = ("__array_interface__", "_array")

    def __init__(self, count: int) -> None:
        try:
            self._array = _free[count].pop()
        except (KeyError, IndexError):
            self._array = np.empty(count)
        self.__array_interface__ = self._array.__array_interface__

    def __del__(self, free: dict[int, list[FloatArray]] = _free, most: int = MOST_KEPT) -> None:
        waiting = sum(8 * count * len(blocks) for count, blocks in list(free.items()))
        if waiting + self._array.nbytes > most:
            free.clear()
        free.setdefault(len(self._array), []).append(self._array)


class Memory:
    """Arrays, and tuples of arrays. What is handed out is read-only, because others hold it too. The one not asked for
    the longest is dropped when there is no room; whoever still holds it keeps it."""

    __slots__ = ("_kept", "bytes", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._kept: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self.bytes = 0
        self.max_bytes = max_bytes

    def once(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What ``make`` gives, computed the first time this key is asked for."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found[0]  # type: ignore[return-value] # the key says what was made
        made = make()
        size = _seal(made)
        self._kept[key] = (made, size)
        self.bytes += size
        while self.bytes > self.max_bytes and len(self._kept) > 1:
            _, (_, dropped) = self._kept.popitem(last=False)
            self.bytes -= dropped
        return made


def _seal(made: object) -> int:
    """Make it read-only; how many bytes it takes."""
    if isinstance(made, np.ndarray):
        made.flags.writeable = False
        return made.nbytes
    if isinstance(made, tuple):
        return sum(_seal(part) for part in made)
    raise TypeError(f"a column must be an array or a tuple of arrays, not {type(made).__name__}")
