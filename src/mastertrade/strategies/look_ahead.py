"""The look-ahead law as a check: a target known after bar k must stay what it was when more bars arrive."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from mastertrade.quant.bars import Bars, FloatArray

Positions = Callable[[Bars], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAhead:
    """Where a template was caught: the target of ``bar``, told ``bars_known`` bars, is not what all bars make of it."""

    bar: int
    bars_known: int
    target_then: float
    target_later: float

    def __str__(self) -> str:
        return (
            f"the target of bar {self.bar} was {self.target_then:g} when {self.bars_known} bars were known and"
            f" {self.target_later:g} with all of them: the template looks into the future"
        )


def find_look_ahead(positions: Positions, bars: Bars, prefixes: Iterable[int]) -> LookAhead | None:
    """The first broken prefix, or None. Whole prefixes are compared, not only their last target: a live signal is the
    difference of the last two, so repainting an earlier one is the same lie."""
    later = _targets(positions, bars)
    for bars_known in prefixes:
        then = _targets(positions, bars[:bars_known])
        changed = np.flatnonzero(~(then == later[:bars_known]))
        if len(changed):
            bar = int(changed[-1])
            return LookAhead(
                bar=bar, bars_known=bars_known, target_then=float(then[bar]), target_later=float(later[bar])
            )
    return None


def _targets(positions: Positions, bars: Bars) -> FloatArray:
    targets = positions(bars)
    if len(targets) != len(bars):
        raise ValueError(f"the template gave {len(targets)} targets for {len(bars)} bars")
    return targets
