"""The whole platform on a market that lies: nothing is opened on it, the reasons are kept, a person is told, exits go
on, and when the market is well again trading goes on by itself. Another market of the same venue trades all the while."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial

import pytest

from mastertrade.domain.orders import Terms
from mastertrade.domain.strategy import SignalType
from mastertrade.doors import manual_orders
from mastertrade.exchanges.market_feed import CandleRow
from mastertrade.market_data_service.kind_rows import Ticker
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.source import to_milliseconds
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategy_service.manual import Wish
from tests.platform.bad_feed import BAD, GOOD, MINUTE_MS, Floor, spoiled, times, wild_floor
from tests.platform.walk_laws import broken_laws

OF_THE_MARKET = {"market_silent", "market_doubtful", "bars_unusable"}


async def by_hand(floor: Floor, type: SignalType, quantity: str) -> str:
    """What becomes of an order by hand: its state, or what stood against it."""
    wish = Wish(
        type=type, symbol=BAD, quantity=Decimal(quantity), actor="ann",
        terms=Terms(reduce_only=type is SignalType.SELL),
    )  # fmt: skip
    wished = await manual_orders(floor.database).place(wish)
    await floor.settle()
    await floor.settle()
    row = await floor.database.fetchrow(
        "SELECT o.status, (SELECT string_agg(c.name || ': ' || c.detail, '; ') FROM verdict_checks c "
        "WHERE c.verdict_id = v.id AND NOT c.passed) AS reasons "
        "FROM verdicts v LEFT JOIN orders o ON o.signal_id = v.signal_id WHERE v.signal_id = $1",
        wished.signal.id,
    )
    assert row is not None
    return str(row["status"] or row["reasons"])


async def has_no_holes(floor: Floor) -> bool:
    """What was missing has been asked for since."""
    holes = "SELECT count(*) FROM gaps g JOIN instruments i ON i.id = g.instrument_id WHERE i.symbol = $1"
    return bool(await floor.database.fetchval(holes, BAD) == 0)


async def trades_again(floor: Floor, minutes: int = 8) -> None:
    """By itself, once its bars come as they are; nothing stands open, and nothing was lost of what was done."""
    began = await floor.minutes(minutes)
    assert await floor.opened_since(began) > 0
    assert OF_THE_MARKET.isdisjoint(await floor.alerts())
    assert await broken_laws(floor.database) == []


async def opens_nothing(floor: Floor, minutes: int, **told: Callable[[int], None]) -> datetime:
    began = await floor.minutes(minutes, **told)
    assert await floor.opened_since(began) == 0
    return began


async def test_a_market_that_is_silent_or_has_a_hole_opens_nothing_and_is_told(
    database: PostgresManager, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wild_floor(database, dsn, monkeypatch) as floor:
        venue = floor.venue
        began = await floor.minutes(7)
        assert await floor.opened_since(began) > 0
        assert await by_hand(floor, SignalType.BUY, "0.01") == "FILLED"
        venue.torn.add(BAD)
        venue.down.add(BAD)
        began = await opens_nothing(floor, 7)
        assert await floor.opened_since(began, GOOD) > 0
        assert "no bar of BTC/USDT since 2024-01-01 12:07" in (await floor.alerts())["market_silent"]
        assert "price_age" in await by_hand(floor, SignalType.BUY, "0.01")
        assert await by_hand(floor, SignalType.SELL, "0.005") == "FILLED", "an exit needs no bar"
        venue.torn.clear()
        venue.down.clear()
        await floor.minutes(1)
        assert "market_doubtful" in await floor.alerts(), "somebody was refused for it"
        await trades_again(floor, 7)
        assert await has_no_holes(floor)

        venue.torn.add(BAD)
        venue.down.add(BAD)
        await floor.minutes(1)
        venue.torn.clear()  # its bars come again, and the one between does not: they wait for it
        await opens_nothing(floor, 6)
        assert "market_silent" in await floor.alerts()
        venue.down.clear()
        await trades_again(floor)
        assert await has_no_holes(floor)


async def test_a_market_that_jumps_opens_nothing_until_bars_confirm_it(
    database: PostgresManager, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wild_floor(database, dsn, monkeypatch) as floor:
        await floor.minutes(6)
        for factor in (10.0, 0.1):
            assert await by_hand(floor, SignalType.BUY, "0.01") == "FILLED"
            floor.venue.spoil[BAD] = lambda row, factor=factor: times(row, factor)  # type: ignore[misc]
            began = await opens_nothing(floor, 1)
            assert "price_sanity: the market jumped to" in await by_hand(floor, SignalType.BUY, "0.01")
            if factor > 1:  # else its stop has sold it
                assert await by_hand(floor, SignalType.SELL, "0.005") == "FILLED"
            await opens_nothing(floor, 1)
            exits = "SELECT count(*) FROM orders WHERE reduces AND symbol = $1 AND order_time > $2"
            assert await database.fetchval(exits, BAD, began) > 0
            assert "the market jumped to" in (await floor.alerts())["market_doubtful"]
            floor.venue.spoil.clear()
            await trades_again(floor)


UNUSABLE: dict[str, dict[str, str]] = {
    "zero": {"low": "0", "close": "0"},
    "negative": {"low": "-5", "close": "-5"},
    "no number": {"close": "NaN"},
    "endless": {"high": "Infinity"},
    "high below low": {"high": "1", "low": "2"},
}


async def test_bars_without_sense_or_of_another_time_are_used_by_nobody(
    database: PostgresManager, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wild_floor(database, dsn, monkeypatch) as floor:
        venue = floor.venue
        await floor.minutes(6)
        for values in UNUSABLE.values():
            venue.spoil[BAD] = partial(spoiled, **values)
            await opens_nothing(floor, 1)
        assert "cannot be used" in (await floor.alerts())["bars_unusable"]
        assert await database.fetchval("SELECT count(*) FROM candles WHERE NOT low > 0 OR NOT high >= close") == 0

        stands = floor.minute_ms - 7 * MINUTE_MS
        venue.down.add(BAD)
        venue.spoil[BAD] = lambda row: [replace(venue.bar(BAD, stands), close="30000", high="30000")]
        await opens_nothing(floor, 3)
        venue.spoil[BAD] = lambda row: [replace(times(row, 3.0)[0], time_ms=row.time_ms + 60 * MINUTE_MS)]
        await opens_nothing(floor, 3)
        assert "market_silent" in await floor.alerts()
        ahead = "SELECT count(*) FROM candles WHERE open_time > $1"
        assert await database.fetchval(ahead, floor.clock.now()) == 0
        venue.spoil.clear()
        venue.down.clear()
        await floor.minutes(4)
        await trades_again(floor)


async def test_bars_that_come_twice_and_out_of_order_are_each_acted_on_once(
    database: PostgresManager, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wild_floor(database, dsn, monkeypatch, portfolio_check_interval="60") as floor:
        venue = floor.venue

        def again(row: CandleRow) -> list[CandleRow]:
            before = venue.bar(BAD, row.time_ms - MINUTE_MS)
            return [row, before, row, venue.bar(BAD, row.time_ms - 3 * MINUTE_MS), before]

        await floor.minutes(3)
        venue.spoil[BAD] = again
        began = await floor.minutes(8)
        assert await floor.opened_since(began) == await floor.opened_since(began, GOOD) > 0
        rows = await database.fetch("SELECT symbol, bar_close, count(*) FROM signals GROUP BY 1, 2")
        assert {row["count"] for row in rows} == {1}
        closes = [{row["bar_close"] for row in rows if row["symbol"] == symbol} for symbol in (BAD, GOOD)]
        assert closes[0] == closes[1], "both swing alike"
        venue.spoil.clear()
        await a_crossed_book_locks_its_market(floor)


async def a_crossed_book_locks_its_market(floor: Floor) -> None:
    recorded = KindStore(manager=floor.database, clock=floor.clock)

    async def quoted(bid: float, ask: float) -> None:
        now_us = to_milliseconds(floor.clock.now()) * 1000
        await recorded.store_tickers("wild", [Ticker(symbol=BAD, time_us=now_us, bid=bid, ask=ask)])

    await quoted(26_000.0, 20_000.0)
    await floor.minutes(1)
    began = await opens_nothing(floor, 2)
    assert "is quoted with its bid 26.09 % above its ask" in await by_hand(floor, SignalType.BUY, "0.01")
    await opens_nothing(floor, 2)
    assert await floor.refusals_since(began) >= {"locks"}
    assert "above its ask" in (await floor.alerts())["market_doubtful"]
    await quoted(19_999.0, 20_000.0)
    await floor.minutes(5)
    await trades_again(floor, 7)
