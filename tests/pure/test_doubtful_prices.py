"""Prices that cannot be right, where they come in: quotes whose bid is above their ask, and bars of the future."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mastertrade.exchanges.market_feed import CandleRow, TickerRow
from mastertrade.exchanges.market_streams import LiveCandle
from mastertrade.exchanges.paper_quotes import quote
from mastertrade.market_data_service.live_candles import LiveCandles
from mastertrade.market_data_service.source import to_milliseconds
from mastertrade.shared.clock import ReplayClock

NOW = datetime(2024, 1, 1, 12, 0, 30, tzinfo=UTC)
MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("bid", "ask", "is_one"),
    [("99", "101", True), ("100", "100", True), ("101", "99", False), ("0", "101", False), ("-5", "101", False),
     ("NaN", "101", False), ("99", "NaN", False)],
)  # fmt: skip
def test_nobody_trades_at_a_quote_that_cannot_be(bid: str, ask: str, is_one: bool) -> None:
    row = TickerRow(symbol="BTC/USDT", time_ms=None, bid=bid, ask=ask, last="100", base_volume=None)
    assert (quote(1, "binance", row, NOW) is not None) == is_one


def test_a_bar_of_the_future_closes_no_other() -> None:
    feed: Any = None
    live = LiveCandles(feed=feed, streams=None, symbols=["BTC/USDT"], interval_s=60, clock=ReplayClock(NOW))
    now_ms = to_milliseconds(NOW) // MINUTE_MS * MINUTE_MS

    def bar(time_ms: int) -> LiveCandle:
        return LiveCandle("BTC/USDT", CandleRow(time_ms, "1", "1", "1", "1", "1"), None)

    live._take([bar(now_ms), bar(now_ms + MINUTE_MS), bar(now_ms + 60 * MINUTE_MS)])
    assert [time_ms for _, time_ms in live._pending] == [now_ms]
