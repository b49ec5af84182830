"""Prepared markets through the compiled loop; through its slow twin where numba is not installed."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from mastertrade.backtest import twin
from mastertrade.backtest.kernel_layout import ACCOUNT, EXIT_NAMES, PLACE, Columns, terms_record
from mastertrade.backtest.market import NOTHING, Market
from mastertrade.backtest.options import Terms
from mastertrade.backtest.result import TRADE_DTYPE, Counts, Simulated, Trades
from mastertrade.quant.bars import FloatArray, TimeArray
from mastertrade.quant.memory import room

PRICES = ("open", "high", "low", "close", "volume", "long_unit", "short_unit")
OPTIONAL = ("atr", "impact", "funding")
NO_PLACES: TimeArray = np.empty(0, dtype=np.int64)


def simulate(markets: Sequence[Market], terms: Terms) -> Simulated:
    return compiled(markets, terms) if find_spec("numba") else twin.simulate(markets, terms)


def compiled(markets: Sequence[Market], terms: Terms) -> Simulated:
    from mastertrade.backtest import kernel  # it imports numba, which takes its time

    lengths = [len(market) for market in markets]
    first = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    rules = [rule for market in markets for rule in market.rules]
    first_rule = np.concatenate(([0], np.cumsum([len(market.rules) for market in markets])))
    places, account = np.zeros(len(markets), PLACE), np.zeros(1, ACCOUNT)
    places["bar"], places["last"] = first[:-1] - 1, first[1:]
    places["rule"], places["last_rule"] = first_rule[:-1], first_rule[1:]
    account["cash"] = terms.cash
    steps, bars = int(first[-1]), [market.time for market in markets]
    is_in_step = all(one is bars[0] or np.array_equal(one, bars[0]) for one in bars)
    times = np.empty(0 if is_in_step else steps, np.int64)
    steps = len(bars[0]) if is_in_step else steps
    equity, invested = room(steps), room(steps)
    targets = _joined([market.targets for market in markets])
    trades = np.zeros(_most_trades(targets, len(markets)), TRADE_DTYPE)
    exits = terms.exits
    has_exits = terms.shorts or terms.margin.leverage > 1.0 or any(getattr(exits, name) for name in EXIT_NAMES)
    columns = Columns(
        first=first,
        time=_joined_once(bars),
        **{name: _joined_once([getattr(market, name) for market in markets]) for name in PRICES},
        targets=targets,
        **{
            name: _filled([getattr(market, name) for market in markets], lengths)
            for name in ("atr", "impact", "funding")
        },
        rule_from=np.array([bar for market in markets for bar in market.rules_from], dtype=np.int64),
        **{name: np.array([getattr(rule, name) for rule in rules]) for name in ("lot", "tick", "min_notional")},
        **_details(markets, lengths),
    )
    kernel.simulate(
        *columns, places, account, terms_record(terms), trades, times, equity, invested,
        has_exits, is_in_step,
    )  # fmt: skip
    told = account[0]
    made, rows = int(told["steps"]), trades[: int(told["trades"])]
    for name in ("entry_time", "exit_time"):
        rows[name] = columns.time[rows[name]]
    rows["bars_held"][told["ended"] :] += 1
    rows["exit_time"][told["ended"] :] += markets[0].interval_ms
    return Simulated(
        time=(bars[0] if is_in_step else times)[:made],
        equity=equity[:made],
        invested=invested[:made],
        trades=Trades(rows, [market.symbol for market in markets]),
        counts=Counts(
            **{name: int(told[name]) for name in ("unfilled", "carried", "ambiguous", "drilled", "liquidations")}
        ),
        is_ruined=bool(told["is_ruined"]),
    )


def _most_trades(targets: FloatArray, markets: int) -> int:
    """Every position begins with a target that changes, the first of a market with any. Rows that stay unused cost no
    memory: their pages are never touched."""
    return int(np.count_nonzero(targets[1:] != targets[:-1])) + markets


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One behind the other, as the loop was compiled to take them."""
    if len(columns) == 1:
        return np.ascontiguousarray(columns[0])
    if any(column.dtype != np.float64 for column in columns):
        return np.concatenate(columns)
    return np.concatenate(columns, out=room(sum(map(len, columns))))


_kept: dict[tuple[int, ...], NDArray[Any]] = {}


def _joined_once(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Of columns that come again and again, as prices do in a sweep; kept as long as the first of them lives."""
    key = tuple(map(id, columns))
    if len(columns) == 1:
        return _joined(columns)
    if key in _kept:
        return _kept[key]
    made = _joined(columns)
    for column in {id(column): column for column in columns}.values():
        finalize(column, _kept.pop, key, None)
    _kept[key] = made
    return made


def _filled(columns: list[FloatArray], lengths: list[int]) -> FloatArray:
    """Joined; where only some markets have the column, the others have zeros."""
    if not any(len(column) for column in columns):
        return NOTHING
    if all(len(column) for column in columns):
        return _joined_once(columns)
    return _joined([column if len(column) else np.zeros(count) for column, count in zip(columns, lengths, strict=True)])


def _details(markets: Sequence[Market], lengths: list[int]) -> dict[str, NDArray[Any]]:
    """The places of every bar's finer bars, and their prices; a market without has none at any bar."""
    starts, ends, opens, highs, lows, before = [], [], [NOTHING], [NOTHING], [NOTHING], 0
    for market, count in zip(markets, lengths, strict=True):
        found, none = market.detail, np.zeros(count, np.int64)
        starts.append(found.start + before if found else none)
        ends.append(found.end + before if found else none)
        if found:
            opens, highs, lows = [*opens, found.open], [*highs, found.high], [*lows, found.low]
            before += len(found.open)
    has_any = any(market.detail for market in markets)
    return {
        "detail_start": _joined(starts) if has_any else NO_PLACES,
        "detail_end": _joined(ends) if has_any else NO_PLACES,
        "detail_open": _joined(opens),
        "detail_high": _joined(highs),
        "detail_low": _joined(lows),
    }
