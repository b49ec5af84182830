"""What a page of candles proves.

Venues cut answers at limits they do not tell, at the newest or at the oldest end, leave out bars without trades, and
some answer with their newest bars whatever was asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NEVER_CUT: Final = 50
"""No venue gives fewer rows than this at once; an answer with fewer is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """``since_ms <= bar start < until_ms``. ``newest_ms`` is the start of the newest bar there can be."""

    since_ms: int
    until_ms: int
    step_ms: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Proven:
    """From and to which bar start the rows are all there is; ``reaches_from_ms`` instead where the venue gives only its
    newest bars and they begin after what was asked for."""

    since_ms: int
    until_ms: int
    reaches_from_ms: int | None = None


def prove(asked: Asked, times: Sequence[int], *, longest: int) -> Proven:
    """``times`` are the bar starts of the whole answer, rising; ``longest`` is the greatest number of rows this venue
    ever gave at once. Whoever asks for the rest of what this does not prove comes to an end."""
    is_whole = len(times) < max(longest, NEVER_CUT)
    if not times or (is_whole and times[-1] < asked.until_ms):
        return Proven(asked.since_ms, asked.until_ms)
    first, end = times[0], times[-1] + asked.step_ms
    if is_whole:
        return Proven(asked.since_ms, max(end, asked.until_ms))
    reaches_newest = times[-1] >= asked.newest_ms - asked.step_ms
    if first >= asked.until_ms:  # the venue does not know ``until``
        if reaches_newest:
            return Proven(asked.since_ms, asked.since_ms, reaches_from_ms=first)
        return Proven(asked.since_ms, asked.until_ms)  # it counts from the oldest, so there is nothing before them
    return Proven(max(first, asked.since_ms), end)
