"""Caches that ccxt's streams fill, made to tell every change.

ccxt hands out a stream's state when somebody waits at that very moment, and a bar's update replaces the one before even
when it is older. These caches stand in for ccxt's own: they note each change until it is taken, and know that a bar's
volume never shrinks.
"""

import asyncio
import importlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mastertrade.exchanges.ccxt_library import errors
from mastertrade.exchanges.market_feed import CandleRow, FeedDown, TradeRow
from mastertrade.exchanges.market_streams import LiveCandle, LiveTrade

MOST_TRADES_WAITING = 50_000
"""Beyond that the reader is too slow: the connection is given up, and what was missed is asked for as pages."""
BARS_KEPT = 16


class Changes:
    """What has come and was not taken yet. ``is_there`` is set while there is something."""

    def __init__(self) -> None:
        self.is_there = asyncio.Event()
        self.is_final: bool | None = None
        """What the message in hand says of its bars."""
        self._candles: dict[tuple[str, int], LiveCandle] = {}
        self._trades: list[LiveTrade] = []
        self._is_overrun = False

    def add_candle(self, symbol: str, cells: list[Any]) -> None:
        if len(cells) < 6 or any(cell is None for cell in cells[:5]):
            return
        row = CandleRow(int(cells[0]), *(_text(cell) for cell in cells[1:6]))
        self._candles[symbol, row.time_ms] = LiveCandle(symbol, row, self.is_final)
        self.is_there.set()

    def add_trade(self, symbol: str, trade: Mapping[str, Any]) -> None:
        self._is_overrun = self._is_overrun or len(self._trades) >= MOST_TRADES_WAITING
        if not self._is_overrun and trade.get("timestamp") is not None:
            self._trades.append(LiveTrade(symbol, trade_row(trade)))
        self.is_there.set()

    def take_candles(self) -> list[LiveCandle]:
        taken = sorted(self._candles.values(), key=lambda one: one.row.time_ms)
        self._candles.clear()
        self.is_there.clear()
        return taken

    def take_trades(self) -> list[LiveTrade]:
        if self._is_overrun:
            raise FeedDown(f"more than {MOST_TRADES_WAITING:,} trades wait: they come faster than they are taken")
        taken, self._trades = self._trades, []
        self.is_there.clear()
        return taken


def trade_row(given: Mapping[str, Any]) -> TradeRow:
    id = given.get("id")
    return TradeRow(
        id="" if id is None else str(id),
        time_ms=int(given["timestamp"]),
        price=_text(given["price"]),
        quantity=_text(given["amount"]),
        side=given.get("side"),
    )


def bar_cache(symbol: str, changes: Changes) -> Any:
    return _classes()[0](symbol, changes)


def trade_cache(symbol: str, changes: Changes) -> Any:
    return _classes()[1](symbol, changes)


def says_final(message: Any) -> bool | None:
    """What a message about bars says of their being final: Binance's ``k.x``, Bybit's ``confirm``, OKX's last cell."""
    if not isinstance(message, Mapping):
        return None
    kline = message.get("k")
    if isinstance(kline, Mapping) and "x" in kline:
        return bool(kline["x"])
    rows = message.get("data")
    if isinstance(rows, list) and rows:
        if all(isinstance(row, Mapping) and "confirm" in row for row in rows):
            return all(bool(row["confirm"]) for row in rows)
        if all(isinstance(row, list) and len(row) == 9 and row[8] in ("0", "1") for row in rows):
            return all(row[8] == "1" for row in rows)
    return None


@lru_cache(maxsize=1)
def _classes() -> tuple[Any, Any]:
    """Made when ccxt is there."""
    errors()  # puts ccxt's packages in place
    cache = importlib.import_module("ccxt.async_support.base.ws.cache")

    class Bars(cache.ArrayCacheByTimestamp):  # type: ignore[name-defined,misc]
        def __init__(self, symbol: str, changes: Changes) -> None:
            super().__init__(BARS_KEPT)
            self._symbol, self._changes = symbol, changes

        def append(self, item: list[Any]) -> None:
            known = self.hashmap.get(item[0])
            if known is not None and _is_older(item, known):
                return
            super().append(item)
            self._changes.add_candle(self._symbol, item)

    class Trades(cache.ArrayCache):  # type: ignore[name-defined,misc]
        def __init__(self, symbol: str, changes: Changes) -> None:
            super().__init__(1)
            self._symbol, self._changes = symbol, changes

        def append(self, item: dict[str, Any]) -> None:
            super().append(item)
            self._changes.add_trade(self._symbol, item)

    return Bars, Trades


def _is_older(item: list[Any], known: list[Any]) -> bool:
    """A bar with less volume than it had, or with a smaller range at the same volume, is an older state of it."""
    new, old = _numbers(item), _numbers(known)
    if new is None or old is None:
        return False
    if new[3] != old[3]:
        return new[3] < old[3]
    return new[0] < old[0] or new[1] > old[1]


def _numbers(cells: list[Any]) -> tuple[float, float, float, float] | None:
    """High, low, close and volume."""
    try:
        high, low, close, volume = (float(cell) for cell in cells[2:6])
    except (TypeError, ValueError):
        return None
    return high, low, close, volume


def _text(cell: Any) -> str:
    return repr(cell) if isinstance(cell, float) else str(cell)
