"""Momentum rank: of the markets traded together hold those that gained most, and choose again every so many bars."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from mastertrade.quant.bars import FloatArray, TimeArray
from mastertrade.quant.columns import Columns, Markets
from mastertrade.strategies.template import SIGNAL_FREE, Parameters, Range, as_of, changes_at, known_values

BASE_CONFIDENCE = 50.0
CONFIDENCE_OF_THE_FIRST = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentumRankParameters(Parameters):
    """``minimum`` is the gain, as a fraction, below which even the best is not held. Markets are chosen at the first
    close of every ``every`` bars, counted from 1970 on, so a later start of the data changes no choice."""

    lookback: Annotated[int, Range(low=1, high=5000)] = 50
    top: Annotated[int, Range(low=1, high=100)] = 1
    every: Annotated[int, Range(low=1, high=5000)] = 10
    minimum: Annotated[float, Range(low=-1, high=10)] = 0.0


class MomentumRank:
    """A market without a bar at a choice is ranked by its last one, unless that is older than ``lookback`` bars: then
    it is not chosen. Its target changes at its own next bar. Of equals the one named first is chosen."""

    name = "momentum_rank"
    legacy_type = "momentum"
    parameter_type = MomentumRankParameters
    reads_markets = True

    def warm_up(self, params: MomentumRankParameters) -> int:
        return params.lookback

    def positions(self, columns: Columns, params: MomentumRankParameters) -> FloatArray:
        markets = columns.markets
        time, *chosen = markets.once((self.name, params), lambda: _choices(markets, params))
        place = np.searchsorted(time, columns.time, side="right") - 1
        mine = chosen[list(markets).index(columns.symbol)]
        targets: FloatArray = (
            np.where(place >= 0, mine[np.maximum(place, 0)], 0.0) if len(time) else np.zeros(len(place))
        )
        return targets

    def evidence(self, columns: Columns, params: MomentumRankParameters, i: int) -> dict[str, float]:
        gain = columns.rate_of_change(params.lookback)
        found = known_values(i, {"close": columns.close, f"gain_{params.lookback}": gain})
        gains, mine = self._gains(columns, params, i)
        if not np.isnan(mine):
            found |= {"rank": 1.0 + float(np.sum(gains > mine)), "ranked": float(np.sum(~np.isnan(gains)))}
        return found

    def confidence(self, columns: Columns, params: MomentumRankParameters, i: int) -> float:
        """Grows with the share of the markets that gained less, or more when it is left."""
        targets = self.positions(columns, params)
        if not changes_at(targets, i):
            return SIGNAL_FREE
        gains, mine = self._gains(columns, params, i)
        others = max(1, int(np.sum(~np.isnan(gains))) - 1)
        behind = np.sum(gains < mine) if targets[i] else np.sum(gains > mine)
        return BASE_CONFIDENCE + CONFIDENCE_OF_THE_FIRST * float(behind) / others

    def _gains(self, columns: Columns, params: MomentumRankParameters, i: int) -> tuple[FloatArray, float]:
        """Of every market and of this one, as known at its bar ``i``."""
        at = columns.time[range(len(columns))[i] : range(len(columns))[i] + 1]
        gains = _gains_at(columns.markets, at, params)[:, 0]
        return gains, float(gains[list(columns.markets).index(columns.symbol)])


def _choices(markets: Markets, params: MomentumRankParameters) -> tuple[TimeArray | FloatArray, ...]:
    """The bars at which is chosen, and for each market whether it then is among the held."""
    grid = np.unique(np.concatenate([one.time for one in markets.values()]))
    step_ms = _step_ms(markets)
    period = (grid + step_ms) // (step_ms * params.every)
    at = grid[np.diff(period, prepend=-1) != 0]
    gains = _gains_at(markets, at, params)
    gains[~(gains > params.minimum)] = -np.inf
    held = np.zeros(gains.shape)
    best = np.argsort(-gains, axis=0, kind="stable")[: params.top]
    np.put_along_axis(held, best, 1.0, axis=0)
    held[np.isneginf(gains)] = 0.0
    return at, *held


def _gains_at(markets: Markets, time: TimeArray, params: MomentumRankParameters) -> FloatArray:
    """One row a market: its gain as known at these times, NaN where it is silent or too young."""
    gains = np.full((len(markets), len(time)), np.nan)
    for row, one in zip(gains, markets.values(), strict=True):
        if len(one):
            last = as_of(time, one)
            age = time - one.time[np.maximum(last, 0)]
            known = (last >= 0) & (age < params.lookback * _step_ms(markets))
            row[known] = one.rate_of_change(params.lookback)[last[known]]
    return gains


def _step_ms(markets: Markets) -> int:
    return next(iter(markets.values())).interval_s * 1000
