"""Memory: what was computed once, by its key, within a number of bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np

Kept = TypeVar("Kept")


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
