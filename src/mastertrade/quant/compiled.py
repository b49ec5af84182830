"""Compiled loops over arrays: numba where it is installed, the same lines as plain Python where it is not.

Nothing is imported or compiled before a kernel's first call, so that a command which computes nothing does not pay for
it. Machine code is kept on the disk beside the source (or where ``NUMBA_CACHE_DIR`` says) and only loaded later on.
Compiled without fast-math: every operation rounds as in plain Python, so both give the same bits.
"""

from collections.abc import Callable
from typing import Any

Loop = Callable[..., None]


class Kernel:
    """A loop that writes its results into arrays it is given. Calls are not checked: callers pass
    contiguous arrays."""

    def __init__(self, loop: Loop, kinds: str) -> None:
        self.loop = loop
        self.kinds = kinds
        self._ready: Loop | None = None

    def __call__(self, *arguments: Any) -> None:
        ready = self._ready or self._compile()
        ready(*arguments)

    def _compile(self) -> Loop:
        try:
            import numba
        except ImportError:
            self._ready = self.loop
            return self.loop
        types = numba.types
        # Read-only inputs are declared as such: else each mix of writable and read-only arrays is compiled anew.
        known = {
            "v": types.Array(types.float64, 1, "C", readonly=True),
            "t": types.Array(types.int64, 1, "C", readonly=True),
            "b": types.Array(types.boolean, 1, "C", readonly=True),
            "w": types.Array(types.uint64, 1, "C", readonly=True),
            "o": types.Array(types.float64, 1, "C"),
            "m": types.Array(types.uint64, 1, "C"),
            "i": types.int64,
            "f": types.float64,
        }
        signature = types.void(*(known[kind] for kind in self.kinds))
        ready: Loop = numba.njit(signature, cache=True, nogil=True, error_model="numpy")(self.loop)
        self._ready = ready
        return ready


def kernel(kinds: str) -> Callable[[Loop], Kernel]:
    """``@kernel("vio")``: one letter an argument: ``v`` an array that is read, ``t`` one of times, ``b`` one of
    truths, ``w`` one of words of a mask; ``o`` an array that is written, ``m`` one of words that are; ``i`` a whole
    number, ``f`` a number."""
    return lambda loop: Kernel(loop, kinds)
