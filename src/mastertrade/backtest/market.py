"""A market made ready for a run: its bars with everything that the loops look up at a bar, worked out before they
start.

Twin and compiled loop read the same columns, so what can differ between them is only what they do with them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mastertrade.backtest.options import Exits, Funding, RulesVersion, Sizing, SizingMethod, Terms
from mastertrade.backtest.result import Rules
from mastertrade.quant import impact
from mastertrade.quant.bars import Bars, FloatArray, TimeArray
from mastertrade.quant.columns import Columns, columns_of
from mastertrade.quant.metrics import DAY_MS, DAYS_PER_YEAR

NOTHING: FloatArray = np.empty(0)
VOLATILITY_DAYS = 30
FEWEST_RETURNS = 20
"""Below this many returns a volatility is not known, and nothing is sized by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """Finer bars of the same market: those of bar ``i`` are the places ``start[i]`` to before ``end[i]``."""

    open: FloatArray
    high: FloatArray
    low: FloatArray
    start: TimeArray
    end: TimeArray

    def of_bar(self, bar: int) -> list[tuple[float, float, float]]:
        """Open, high and low of each of them."""
        inside = slice(self.start[bar], self.end[bar])
        return list(zip(self.open[inside].tolist(), self.high[inside].tolist(), self.low[inside].tolist(), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One place a bar in every column. Empty columns mean that there is nothing of the kind.

    ``long_unit`` and ``short_unit`` are by what an amount in quote is divided to get a quantity: NaN where it is not
    known. ``impact`` times √quantity is by how much of itself a market order that follows that close worsens its price.
    ``funding`` is what a long pays at that open as a fraction of its value. ``rules[k]`` hold from the bar
    ``rules_from[k]`` on.
    """

    symbol: str
    interval_ms: int
    time: TimeArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    targets: FloatArray
    long_unit: FloatArray
    short_unit: FloatArray
    atr: FloatArray = field(default_factory=lambda: NOTHING)
    impact: FloatArray = field(default_factory=lambda: NOTHING)
    funding: FloatArray = field(default_factory=lambda: NOTHING)
    rules: tuple[Rules, ...] = (Rules(),)
    rules_from: tuple[int, ...] = (0,)
    detail: Detail | None = None

    def __len__(self) -> int:
        return len(self.time)


def prepare(
    symbol: str,
    bars: Bars,
    targets: FloatArray | None,
    terms: Terms,
    *,
    rules: Rules | Sequence[RulesVersion] | None = None,
    funding: Funding | None = None,
    detail: Bars | None = None,
) -> Market:
    """Without ``targets`` it is the market of every strategy that trades on these terms."""
    columns = columns_of(bars)
    long_unit, short_unit, atr = _units(columns, terms)
    versions = _versions(rules)
    return Market(
        symbol=symbol,
        interval_ms=bars.interval_s * 1000,
        time=bars.time,
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
        volume=bars.volume,
        targets=NOTHING if targets is None else checked(targets, len(bars), symbol, shorts=terms.shorts),
        long_unit=long_unit,
        short_unit=short_unit,
        atr=atr,
        impact=_impact(columns, terms.costs.impact),
        funding=NOTHING if funding is None else funding_of_bars(bars.time, funding),
        rules=tuple(one.rules for one in versions),
        rules_from=tuple(
            0 if place == 0 else int(np.searchsorted(bars.time, one.valid_from)) for place, one in enumerate(versions)
        ),
        detail=None if detail is None else _detail(bars, detail, symbol),
    )


def checked(targets: FloatArray, count: int, symbol: str, *, shorts: bool) -> FloatArray:
    targets = np.ascontiguousarray(targets, dtype=np.float64)
    least = -1.0 if shorts else 0.0
    where = symbol or "bars"
    if len(targets) != count:
        raise ValueError(f"{where}: a template gave {len(targets)} targets, and must give one for each of {count} bars")
    bad = ~((targets >= least) & (targets <= 1.0))
    if bad.any():
        place = int(np.argmax(bad))
        hint = "; targets below 0 need shorts=True" if -1.0 <= targets[place] < 0.0 else ""
        raise ValueError(
            f"{where}: a template must give a target from {least:g} to 1 for each of {count} bars; "
            f"at bar {place} it is {float(targets[place])!r}{hint}"
        )
    return targets


def _units(columns: Columns, terms: Terms) -> tuple[FloatArray, FloatArray, FloatArray]:
    sizing, exits, close = terms.sizing, terms.exits, columns.close
    needs_atr = exits.needs_atr or sizing.method is SizingMethod.ATR
    atr = columns.atr(exits.atr_period) if needs_atr else NOTHING
    if sizing.method is SizingMethod.RISK:
        long_unit, short_unit = (_loss_at_stop(close, atr, side, terms) for side in (1.0, -1.0))
    else:
        long_unit = short_unit = _unit(columns, atr, sizing)
    if exits.needs_atr:  # no stop can be set where the range is not known yet
        long_unit, short_unit = (np.where(atr > 0.0, unit, math.nan) for unit in (long_unit, short_unit))
    return long_unit, short_unit, atr if exits.needs_atr else NOTHING


def _unit(columns: Columns, atr: FloatArray, sizing: Sizing) -> FloatArray:
    if sizing.method is SizingMethod.ATR:
        return sizing.multiple * atr
    if sizing.method is SizingMethod.VOLATILITY:
        return columns.close * columns.once(("volatility", VOLATILITY_DAYS), lambda: volatility(columns))
    return columns.close


def _loss_at_stop(close: FloatArray, atr: FloatArray, side: float, terms: Terms) -> FloatArray:
    """What a unit loses from an entry at the close to its stop, with the costs of both sides but impact."""
    costs = terms.costs
    entry = close * (1.0 + side * costs.price_impact)
    stop = nearest_stop(entry, atr, side, terms.exits)
    left = stop * (1.0 - side * costs.price_impact)
    return side * (entry - left) + costs.taker_fee * (entry + left)


def nearest_stop(entry: FloatArray, atr: FloatArray, side: float, exits: Exits) -> FloatArray:
    """Where a position is stopped that has just been entered."""
    distances = [entry * rate for rate in (exits.stop_loss, exits.trailing) if rate > 0.0]
    distances += [rate * atr for rate in (exits.stop_atr, exits.trailing_atr) if rate > 0.0]
    level: FloatArray = entry - side * np.minimum.reduce(distances)
    return level


def volatility(bars: Bars) -> FloatArray:
    """Of a year, at each close: from the log returns of the last thirty days, NaN before there are twenty of them."""
    count = len(bars)
    squares = np.square(np.diff(np.log(bars.close), prepend=math.nan))
    squares[:1] = 0.0
    window = max(math.ceil(VOLATILITY_DAYS * DAY_MS / (bars.interval_s * 1000)), FEWEST_RETURNS)
    known = np.minimum(np.arange(count), window)
    found = np.full(count, math.nan)
    usable = known >= FEWEST_RETURNS
    mean = impact.trailing_sum(squares, window)[usable] / known[usable]
    found[usable] = np.sqrt(np.maximum(mean, 0.0) * (DAYS_PER_YEAR * DAY_MS / (bars.interval_s * 1000)))
    return found


def _impact(columns: Columns, strength: float) -> FloatArray:
    if strength <= 0.0:
        return NOTHING
    found = columns.once(("impact_per_root",), lambda: impact.impact_per_root(columns))
    return found if strength == 1.0 else strength * found


def funding_of_bars(time: TimeArray, funding: Funding) -> FloatArray:
    """The rates of all settlements after the start of the bar before and up to the start of this one, added up."""
    found = np.zeros(len(time))
    places = np.searchsorted(time, np.asarray(funding.time, dtype=np.int64))
    rates = np.asarray(funding.rate, dtype=np.float64)
    inside = (places > 0) & (places < len(time))
    np.add.at(found, places[inside], rates[inside])
    return found


def _versions(rules: Rules | Sequence[RulesVersion] | None) -> list[RulesVersion]:
    """By time; the first also holds before it, as far as anybody knows."""
    if rules is None or isinstance(rules, Rules):
        return [RulesVersion(valid_from=0, rules=rules or Rules())]
    return sorted(rules, key=lambda one: one.valid_from) or [RulesVersion(valid_from=0, rules=Rules())]


def _detail(bars: Bars, finer: Bars, symbol: str) -> Detail:
    if finer.interval_s >= bars.interval_s or bars.interval_s % finer.interval_s:
        raise ValueError(
            f"{symbol or 'bars'}: detail of {finer.interval_s} s bars does not divide bars of {bars.interval_s} s"
        )
    return Detail(
        open=finer.open,
        high=finer.high,
        low=finer.low,
        start=np.searchsorted(finer.time, bars.time),
        end=np.searchsorted(finer.time, bars.time + bars.interval_s * 1000),
    )
