"""The book: positions from fills, marks from closed candles, high-water marks and drawdown."""

import time
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from mastertrade.domain.events import CandlesClosed, OrderFilled
from mastertrade.domain.market import Candle
from mastertrade.domain.orders import OrderStatus, Side
from mastertrade.shared.postgres_manager import PostgresManager, Row
from mastertrade.shared.serialization import new_id
from tests.postgres.risk_seed import MINUTE, START, VENUE, Office, open_office


async def close_candles(office: Office, at: datetime = START, *, interval_s: int = 60, venue: str = VENUE) -> None:
    event = CandlesClosed(
        id=new_id(at),
        occurred_at=at,
        interval_s=interval_s,
        open_time=at - timedelta(seconds=interval_s),
        candles=(candle_of(office, venue, at - timedelta(seconds=interval_s)),),
    )
    async with office.manager.transaction() as tx:
        await office.risk.on_candles_closed(event, tx)


def candle_of(office: Office, venue: str, open_time: datetime) -> Candle:
    return Candle(
        instrument_id=office.btc,
        venue=venue,
        symbol="BTC/USDT",
        interval_s=60,
        open_time=open_time,
        open=1.0,
        high=1.0,
        low=1.0,
        close=1.0,
        volume=1.0,
    )


async def fill(office: Office, side: Side, quantity: str, price: str, *, held: str, entry: str, **changes: Any) -> UUID:
    fields: dict[str, Any] = {
        "id": new_id(),
        "occurred_at": office.clock.now(),
        "fill_id": new_id(),
        "order_id": new_id(),
        "strategy_id": office.strategy_id,
        "account_id": office.account_id,
        "instrument_id": office.btc,
        "symbol": "BTC/USDT",
        "side": side,
        "quantity": Decimal(quantity),
        "price": Decimal(price),
        "commission": Decimal(0),
        "commission_asset": "USDT",
        "realized_pnl": Decimal(0),
        "position_quantity": Decimal(held),
        "position_entry_price": Decimal(entry),
        "status": OrderStatus.FILLED,
    }
    event = OrderFilled(**(fields | changes))
    async with office.manager.transaction() as tx:
        await office.risk.on_order_filled(event, tx)
    return event.fill_id


async def marks(office: Office) -> Row | None:
    return await office.manager.fetchrow("SELECT * FROM account_marks WHERE account_id = $1", office.account_id)


# --- positions ---


async def test_a_position_opens_grows_shrinks_and_closes_with_its_fills(database: PostgresManager) -> None:
    office = await open_office(database)
    opened = await fill(office, Side.BUY, "0.1", "50000", held="0.1", entry="50050")
    await fill(office, Side.BUY, "0.1", "52000", held="0.2", entry="51000")
    [row] = await database.fetch("SELECT * FROM risk_positions")
    assert (row["id"], row["symbol"], row["side"], row["status"]) == (str(opened), "BTC/USDT", "long", "open")
    assert (row["quantity"], row["entry_price"], row["current_price"]) == (
        Decimal("0.2"),
        Decimal(51_000),
        Decimal(52_000),
    )
    assert (row["unrealized_pnl"], row["position_value_usd"]) == (Decimal(200), Decimal(10_400))
    await fill(office, Side.SELL, "0.15", "53000", held="0.05", entry="51000", realized_pnl=Decimal(290))
    await fill(office, Side.SELL, "0.05", "50000", held="0", entry="51000", realized_pnl=Decimal(-60))
    [row] = await database.fetch("SELECT * FROM risk_positions")
    assert (row["status"], row["quantity"], row["realized_pnl"]) == ("closed", Decimal(0), Decimal(230))
    assert (row["unrealized_pnl"], row["position_value_usd"], row["closed_at"]) == (Decimal(0), Decimal(0), START)


async def test_a_new_position_after_a_closed_one_is_a_row_of_its_own(database: PostgresManager) -> None:
    office = await open_office(database)
    for _ in range(2):
        await fill(office, Side.BUY, "0.1", "50000", held="0.1", entry="50000")
        await fill(office, Side.SELL, "0.1", "50000", held="0", entry="50000")
    assert await database.fetchval("SELECT count(*) FROM risk_positions WHERE status = 'closed'") == 2


async def test_strategies_and_accounts_have_positions_of_their_own(database: PostgresManager) -> None:
    office = await open_office(database)
    for own in (office, await office.another_strategy(), await office.another_account()):
        await fill(own, Side.BUY, "0.1", "50000", held="0.1", entry="50000")
    assert await database.fetchval("SELECT count(*) FROM risk_positions WHERE status = 'open'") == 3


async def test_a_closed_position_s_stops_are_cancelled(database: PostgresManager) -> None:
    office = await open_office(database)
    opened = await fill(office, Side.BUY, "0.1", "50000", held="0.1", entry="50000")
    await database.execute(
        """INSERT INTO stop_losses (id, position_id, symbol, stop_type, status, entry_price, current_price, stop_price,
                                    initial_stop_price, quantity)
           SELECT 'sl_' || n, $1, 'BTC/USDT', 'fixed', CASE n WHEN 1 THEN 'active' ELSE 'triggered' END, 1, 1, 1, 1, 1
             FROM generate_series(1, 2) n""",
        str(opened),
    )
    await fill(office, Side.SELL, "0.1", "50000", held="0", entry="50000")
    rows = await database.fetch("SELECT status FROM stop_losses WHERE id IN ('sl_1', 'sl_2') ORDER BY id")
    assert [row["status"] for row in rows] == ["cancelled", "triggered"]
    assert await database.fetchval("SELECT count(*) FROM stop_losses WHERE status = 'active'") == 0


async def test_a_fill_of_no_strategy_moves_no_position(database: PostgresManager) -> None:
    office = await open_office(database)
    await fill(office, Side.BUY, "0.1", "50000", held="0", entry="0", strategy_id=None)
    assert await database.fetchval("SELECT count(*) FROM risk_positions") == 0


# --- marks ---


async def test_closed_candles_mark_open_positions(database: PostgresManager) -> None:
    office = await open_office(database)
    await fill(office, Side.BUY, "0.1", "50000", held="0.1", entry="50050")
    await office.candle(48_000.0, close_time=START + MINUTE)
    await close_candles(office, START + MINUTE)
    [row] = await database.fetch("SELECT * FROM risk_positions")
    assert (row["current_price"], row["unrealized_pnl"], row["position_value_usd"]) == (
        Decimal(48_000),
        Decimal(-205),
        Decimal(4_800),
    )
    assert row["updated_at"] == START + MINUTE


async def test_a_mark_older_than_the_position_s_last_fill_changes_nothing(database: PostgresManager) -> None:
    office = await open_office(database)
    office.clock.advance(START + MINUTE)
    await fill(office, Side.BUY, "0.1", "51000", held="0.1", entry="51000")
    await close_candles(office, START)
    assert await database.fetchval("SELECT current_price FROM risk_positions") == Decimal(51_000)


async def test_equity_is_everything_owned_at_the_last_closes(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "0.5")
    await office.hold("ETH", "10")
    await office.candle(3_000.0, instrument_id=office.eth)
    await office.judge(
        await office.raise_signal(confidence=10.0, instrument_id=office.eth, symbol="ETH/USDT", price=3e3)
    )
    assert await database.fetchval("SELECT account_equity($1, $2)", office.account_id, START) == Decimal(155_000)
    await close_candles(office)
    row = await marks(office)
    assert row is not None
    assert (row["equity"], row["high_water_mark"], row["day_start_equity"]) == (Decimal(155_000),) * 3


async def test_a_price_from_the_future_is_not_used(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "1")
    await office.candle(90_000.0, close_time=START + MINUTE)
    assert await database.fetchval("SELECT account_equity($1, $2)", office.account_id, START) == Decimal(150_000)


async def test_the_high_water_mark_only_rises_and_the_day_starts_from_yesterday_s_last_value(
    database: PostgresManager,
) -> None:
    office = await open_office(database)
    await office.hold("BTC", "1")
    for minutes, price in ((1, 60_000.0), (2, 40_000.0), (24 * 60, 45_000.0), (24 * 60 + 1, 50_000.0)):
        await office.candle(price, close_time=START + minutes * MINUTE)
        await close_candles(office, START + minutes * MINUTE)
    row = await marks(office)
    assert row is not None
    assert (row["equity"], row["high_water_mark"]) == (Decimal(150_000), Decimal(160_000))
    assert row["high_water_at"] == START + MINUTE
    assert (row["day"], row["day_start_equity"]) == (date(2021, 9, 2), Decimal(140_000))


async def test_a_moment_older_than_the_last_mark_changes_no_account(database: PostgresManager) -> None:
    office = await open_office(database)
    await close_candles(office, START + MINUTE)
    await office.hold("USDT", "1")
    await close_candles(office, START)
    row = await marks(office)
    assert row is not None
    assert (row["equity"], row["marked_at"]) == (Decimal(100_000), START + MINUTE)
    assert await database.fetchval("SELECT count(*) FROM drawdown_tracking") == 1


async def test_another_venue_leaves_the_marks_alone(database: PostgresManager) -> None:
    office = await open_office(database)
    await close_candles(office, venue="kraken")
    assert await marks(office) is None


async def test_an_account_is_marked_from_the_day_it_first_owns_something(database: PostgresManager) -> None:
    office = await (await open_office(database)).another_account(cash="1")
    await database.execute("UPDATE portfolio_balances SET free_balance = 0 WHERE account_id = $1", office.account_id)
    await close_candles(office)
    assert await marks(office) is None
    await office.hold("USDT", "500")
    await close_candles(office, START + MINUTE)
    row = await marks(office)
    assert row is not None
    assert row["day_start_equity"] == Decimal(500)


async def test_an_account_that_lost_everything_is_still_marked(database: PostgresManager) -> None:
    office = await open_office(database)
    await close_candles(office)
    await database.execute("UPDATE portfolio_balances SET free_balance = 0")
    await close_candles(office, START + MINUTE)
    row = await marks(office)
    assert row is not None
    assert (row["equity"], row["high_water_mark"]) == (Decimal(0), Decimal(100_000))
    assert await database.fetchval("SELECT current_drawdown FROM drawdown_tracking") == 1.0


# --- drawdown ---


async def tracked(database: PostgresManager) -> list[tuple[Any, ...]]:
    rows = await database.fetch(
        """SELECT date, peak_value, current_value, current_drawdown, max_drawdown, drawdown_duration_days
             FROM drawdown_tracking ORDER BY date"""
    )
    return [tuple(row) for row in rows]


async def test_drawdown_carries_its_peak_over_days_and_counts_the_days_since(database: PostgresManager) -> None:
    for day, hour, value in ((1, 1, 100), (1, 2, 80), (1, 3, 90), (2, 1, 95), (5, 1, 50), (6, 1, 110)):
        at = START.replace(day=day, hour=hour)
        await database.execute("SELECT track_drawdown($1, $2)", Decimal(value), at)
    assert await tracked(database) == [
        (date(2021, 9, 1), Decimal(100), Decimal(90), pytest.approx(0.1), pytest.approx(0.2), 0),
        (date(2021, 9, 2), Decimal(100), Decimal(95), pytest.approx(0.05), pytest.approx(0.05), 1),
        (date(2021, 9, 5), Decimal(100), Decimal(50), pytest.approx(0.5), pytest.approx(0.5), 4),
        (date(2021, 9, 6), Decimal(110), Decimal(110), 0.0, 0.0, 0),
    ]


async def test_values_at_or_below_nothing_are_stored_with_a_drawdown_of_at_most_one(database: PostgresManager) -> None:
    await database.execute("SELECT track_drawdown(-5, $1)", START)
    assert (await tracked(database))[0][1:4] == (Decimal(-5), Decimal(-5), 0.0)
    await database.execute("SELECT track_drawdown(100, $1)", START)
    await database.execute("SELECT track_drawdown(-50, $1)", START)
    assert (await tracked(database))[0][1:5] == (Decimal(100), Decimal(-50), 1.0, 1.0)


async def test_the_drawdown_of_all_accounts_together_is_tracked(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.another_account(cash="50000")
    await close_candles(office)
    assert [row[1:3] for row in await tracked(database)] == [(Decimal(150_000), Decimal(150_000))]


async def test_marking_the_book_is_cheap(database: PostgresManager) -> None:
    """It runs once a minute of replay. The bound is ten times what an idle machine needs."""
    office = await open_office(database)
    await office.hold("BTC", "1")
    await fill(office, Side.BUY, "0.1", "50000", held="0.1", entry="50000")
    seconds = []
    for minute in range(60):
        at = START + minute * MINUTE
        started = time.perf_counter()
        await database.execute("SELECT mark_book('{paper}', $1)", at)
        seconds.append(time.perf_counter() - started)
    assert sorted(seconds)[len(seconds) // 2] < 0.020
