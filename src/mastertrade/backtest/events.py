"""Many strategies on one market, at the speed of the machine: the door to the loop that jumps from event to event.

``can_run`` says what it can do; the general loop does the rest. On what both can do they give the same bits, and the
slow twin gives them too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mastertrade.backtest.market import Market
from mastertrade.backtest.options import Exits, SizingMethod, Terms
from mastertrade.backtest.result import TRADE_DTYPE, Counts, Simulated, Trades
from mastertrade.quant import metrics
from mastertrade.quant.bars import FloatArray, TimeArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.masks import BITS, Words, packed

CountArray = NDArray[np.int64]
FIXED_EXITS = ("stop_loss", "take_profit", "stop_atr", "target_atr", "time_bars", "atr_period")
"""Exits whose levels are known at the entry."""
NO_TRADES = np.zeros(0, TRADE_DTYPE)
NOTHING: FloatArray = np.empty(0)


@dataclass(frozen=True, slots=True)
class EventMarket:
    """A market with what every strategy needs of it, computed once: the extremes of each 64 bars, and the last bar of
    each UTC day, a day without bars repeating the one before. Its targets are not looked at."""

    market: Market
    low_least: FloatArray
    high_most: FloatArray
    close_least: FloatArray
    close_most: FloatArray
    day_end: TimeArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Summaries:
    """A place in every array for each strategy. ``won``, ``lost`` and ``net`` are sums over trades net of all costs,
    ``lost`` positive. ``daily_equity`` starts with the cash and then has the equity at the end of each UTC day.

    Where ``was_cut``, a bar's volume was too small for an order: then the general loop must answer.
    """

    final_equity: FloatArray
    max_drawdown: FloatArray
    fees: FloatArray
    won: FloatArray
    lost: FloatArray
    net: FloatArray
    trades: CountArray
    wins: CountArray
    losses: CountArray
    unfilled: CountArray
    ambiguous: CountArray
    invested_bars: CountArray
    was_cut: CountArray
    daily_equity: FloatArray


def can_run(market: Market, terms: Terms) -> bool:
    """Whether strategies that are in the market with all or nothing (targets of 0 and 1) can be simulated here: one
    market without funding, finer bars or rules that change, no leverage, and exits at levels known at the entry.
    Impact and a cap on the bar's volume are no hindrance as long as every order finds its volume."""
    exits = (one.name for one in fields(Exits) if one.name not in FIXED_EXITS)
    return (
        len(market) > 0
        and len(market.rules) == 1
        and len(market.funding) == 0
        and market.detail is None
        and terms.margin.leverage == 1.0
        and not any(getattr(terms.exits, name) for name in exits)
        and find_spec("numba") is not None
    )


def mask_of(targets: FloatArray) -> Words | None:
    """Targets as a mask; None where they are not only 0 and 1."""
    held = targets == 1.0
    return packed(held) if np.array_equal(held, targets) else None


def prepare_events(market: Market, columns: Columns | None = None) -> EventMarket:
    """``columns`` of the same bars remember what is found of them, for the next market."""
    found = _landmarks(market) if columns is None else columns.once(("events",), lambda: _landmarks(market))
    return EventMarket(market, *found)


def _landmarks(market: Market) -> tuple[NDArray[Any], ...]:
    from mastertrade.backtest.bits import extremes

    blocks = -(-len(market) // BITS)
    low, low_most, high_least, high, close_least, close_most = (np.empty(blocks) for _ in range(6))
    extremes(np.ascontiguousarray(market.low), low, low_most)
    extremes(np.ascontiguousarray(market.high), high_least, high)
    extremes(np.ascontiguousarray(market.close), close_least, close_most)
    ends = np.arange(market.time[0] // metrics.DAY_MS, market.time[-1] // metrics.DAY_MS + 1) + 1
    day_end = np.searchsorted(market.time, ends * metrics.DAY_MS, side="left") - 1
    return low, high, close_least, close_most, day_end.astype(np.int64)


def simulate_many(market: EventMarket, masks: Sequence[Words] | NDArray[np.uint64], terms: Terms) -> Summaries:
    """Each mask is what one strategy holds after each bar: one bit a bar, see ``quant.masks``."""
    words = np.array(masks, dtype=np.uint64).reshape(len(masks), -1)
    daily = np.empty((len(words), len(market.day_end) + 1))
    daily[:, 0] = terms.cash
    numbers, counts = _simulate(market, words, terms, daily=daily)
    from mastertrade.backtest.event_loop import COUNTS, NUMBERS

    named = {**dict(zip(NUMBERS, numbers.T, strict=True)), **dict(zip(COUNTS, counts.T, strict=True))}
    return Summaries(**named, daily_equity=daily)


def simulate(market: EventMarket, mask: Words, terms: Terms) -> Simulated | None:
    """One strategy, with its trades and its equity bar by bar; None where a bar's volume was too small for an order."""
    one = market.market
    before = mask << np.uint64(1)
    before[1:] |= mask[:-1] >> np.uint64(63)
    trades = np.zeros(int(np.bitwise_count(mask & ~before).sum()), TRADE_DTYPE)
    equity, invested = np.empty(len(one)), np.empty(len(one))
    _, counts = _simulate(market, mask.reshape(1, -1), terms, trades=trades, equity=equity, invested=invested)
    made, _, _, unfilled, ambiguous, _, was_cut = counts[0].tolist()
    if was_cut:
        return None
    return Simulated(
        time=one.time,
        equity=equity,
        invested=invested,
        trades=Trades(trades[:made], (one.symbol,)),
        counts=Counts(unfilled=unfilled, ambiguous=ambiguous),
        is_ruined=False,
    )


def _simulate(
    market: EventMarket, masks: NDArray[np.uint64], terms: Terms, *, daily: FloatArray | None = None,
    trades: NDArray[Any] = NO_TRADES, equity: FloatArray = NOTHING, invested: FloatArray = NOTHING,
) -> tuple[FloatArray, CountArray]:  # fmt: skip
    from mastertrade.backtest.event_loop import COUNTS, NUMBERS, simulate

    one = market.market
    _check(one, masks)
    numbers, counts = np.empty((len(masks), len(NUMBERS))), np.empty((len(masks), len(COUNTS)), np.int64)
    columns = (one.open, one.high, one.low, one.close, one.volume, one.long_unit, one.atr, one.impact)
    simulate(
        np.ascontiguousarray(one.time), *(np.ascontiguousarray(column) for column in columns),
        market.low_least, market.high_most, market.close_least, market.close_most, market.day_end,
        np.ascontiguousarray(masks), _terms(one, terms), numbers, counts,
        np.empty((0, 0)) if daily is None else daily, trades, equity, invested,
    )  # fmt: skip
    return numbers, counts


def _terms(market: Market, terms: Terms) -> NDArray[Any]:
    from mastertrade.backtest.event_loop import TERMS

    costs, exits, rules, record = terms.costs, terms.exits, market.rules[0], np.zeros(1, TERMS)
    for name in ("taker_fee", "maker_fee", "half_spread", "slippage", "price_impact", "most_impact"):
        record[name] = getattr(costs, name)
    for name in ("stop_loss", "take_profit", "stop_atr", "target_atr", "time_bars"):
        record[name] = getattr(exits, name)
    for name in ("lot", "tick", "min_notional"):
        record[name] = getattr(rules, name)
    record["cash"], record["participation"] = terms.cash, costs.participation_cap
    record["size"], record["limit"] = terms.sizing.value, terms.sizing.limit
    record["is_quantity"] = terms.sizing.method is SizingMethod.QUANTITY
    record["interval_ms"] = market.interval_ms
    return record


def _check(market: Market, masks: NDArray[np.uint64]) -> None:
    """The loop checks no bounds, so what could lead it astray is refused here."""
    words = -(-len(market) // BITS)
    if masks.ndim != 2 or masks.shape[1] != words:
        raise ValueError(f"masks {masks.shape} do not fit {len(market)} bars, which need {words} words")
    after = len(market) % BITS
    if after and (masks[:, -1] >> np.uint64(after)).any():
        raise ValueError(f"a mask has bits after the last of {len(market)} bars")
