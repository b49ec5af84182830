"""Many strategies on one market, at the speed of the machine: the door to the loop that jumps from event to event.

``can_run`` says what it can do; the general loop does the rest. On what both can do they give the same bits, and the
slow twin gives them too.
"""

from dataclasses import fields
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mastertrade.backtest.market import Market
from mastertrade.backtest.options import Exits, SizingMethod, Terms
from mastertrade.backtest.result import TRADE_DTYPE, Counts, Simulated, Trades
from mastertrade.quant import metrics
from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.masks import BITS, Words
from mastertrade.quant.memory import room

FIXED_EXITS = ("stop_loss", "take_profit", "stop_atr", "target_atr", "time_bars", "atr_period")
"""Exits whose levels are known at the entry."""
NO_TRADES = np.zeros(0, TRADE_DTYPE)
NOTHING: FloatArray = np.empty(0)


class Summary(NamedTuple):
    """What became of one strategy. ``won``, ``lost`` and ``net`` are sums over trades net of all costs, ``lost``
    positive. ``daily_equity`` starts with the cash and then has the equity at the end of each UTC day, a day without
    bars repeating the one before; the next strategy overwrites it.

    Where ``was_cut``, a bar's volume was too small for an order: then the general loop must answer.
    """

    final_equity: float
    max_drawdown: float
    fees: float
    won: float
    lost: float
    net: float
    trades: int
    wins: int
    losses: int
    unfilled: int
    ambiguous: int
    invested_bars: int
    was_cut: bool
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


class Events:
    """A market on these terms, ready for any number of strategies, one at a time. The market's targets are not looked
    at: a strategy is the mask of what it holds after each bar, see ``quant.masks``.

    What only the bars decide, the extremes of each 64 of them and the last bar of each day, is remembered by
    ``columns``, which are the same bars.
    """

    def __init__(self, market: Market, terms: Terms, columns: Columns | None = None) -> None:
        from mastertrade.backtest import event_loop  # it imports numba, which takes its time

        found = _landmarks(market) if columns is None else columns.once(("events",), lambda: _landmarks(market))
        prices = (market.time, market.open, market.high, market.low, market.close)
        others = (market.volume, market.long_unit, market.atr, market.impact)
        self._market, self._loop, days = market, event_loop.simulate, found[-1]
        self._given = (*map(np.ascontiguousarray, (*prices, *others)), *found)
        self._terms = _record(market, terms, event_loop.TERMS)
        self._numbers, self._counts = np.empty(len(event_loop.NUMBERS)), np.empty(len(event_loop.COUNTS), np.int64)
        self._words = -(-len(market) // BITS)
        self._scratch = np.empty((2, self._words), np.uint64)
        self._daily = np.full(len(days) + 1, terms.cash)

    def sum_up(self, mask: Words) -> Summary:
        self._walk(mask, self._daily)
        final, drawdown, fees, won, lost, net = self._numbers.tolist()
        trades, wins, losses, unfilled, ambiguous, invested, was_cut = self._counts.tolist()
        return Summary(final, drawdown, fees, won, lost, net, trades, wins, losses, unfilled, ambiguous, invested,
                       bool(was_cut), self._daily)  # fmt: skip

    def simulate(self, mask: Words) -> Simulated | None:
        """With its trades and its equity bar by bar; None where a bar's volume was too small for an order."""
        one, before = self._market, mask << np.uint64(1)
        before[1:] |= mask[:-1] >> np.uint64(63)
        trades = np.zeros(int(np.bitwise_count(mask & ~before).sum()), TRADE_DTYPE)
        equity, invested = room(len(one)), room(len(one))
        self._walk(mask, NOTHING, trades, equity, invested)
        made, _, _, unfilled, ambiguous, _, was_cut = self._counts.tolist()
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

    def _walk(
        self, mask: Words, daily: FloatArray, trades: NDArray[Any] = NO_TRADES, equity: FloatArray = NOTHING,
        invested: FloatArray = NOTHING,
    ) -> None:  # fmt: skip
        self._check(mask)
        self._loop(*self._given, mask, self._terms, self._scratch, self._numbers, self._counts, daily, trades, equity,
                   invested)  # fmt: skip

    def _check(self, mask: Words) -> None:
        """The loop checks no bounds, so what could lead it astray is refused here."""
        bars = len(self._market)
        if mask.shape != (self._words,) or mask.dtype != np.uint64 or not mask.flags.c_contiguous:
            raise ValueError(f"a mask {mask.shape} does not fit {bars} bars, which need {self._words} words")
        if bars % BITS and int(mask[-1]) >> bars % BITS:
            raise ValueError(f"a mask has bits after the last of {bars} bars")


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


def _record(market: Market, terms: Terms, layout: Any) -> NDArray[Any]:
    costs, exits, rules, record = terms.costs, terms.exits, market.rules[0], np.zeros(1, layout)
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
