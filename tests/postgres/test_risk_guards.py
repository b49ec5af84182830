"""Protections and the circuit breaker at work: locks with an end and a reason, levels kept, everything given up at the
last."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from mastertrade.domain.events import CandlesClosed, CircuitBreakerChanged, OrderApproved, OrderRefused
from mastertrade.domain.orders import Side
from mastertrade.domain.risk import TradingMode
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.service import RiskManager
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id
from tests.postgres.risk_seed import MINUTE, START, VENUE, Office, open_office
from tests.postgres.test_risk_book import candle_of, fill

FIVE = timedelta(minutes=5)


async def closed(office: Office, at: datetime, price: float = 50_000.0) -> None:
    office.clock.advance(at)
    await office.candle(price, close_time=at)
    candle = candle_of(office, VENUE, at - MINUTE)
    event = CandlesClosed(id=new_id(at), occurred_at=at, interval_s=60, open_time=candle.open_time, candles=(candle,))
    for handler in (office.risk.on_candles_closed, office.risk.on_candles_to_watch):
        async with office.manager.transaction() as tx:
            await handler(event, tx)


async def lose(office: Office, at: datetime) -> None:
    """A position of the strategy that was opened and closed again with a loss."""
    await office.manager.execute(
        """INSERT INTO strategy_positions (strategy_id, account_id, instrument_id, symbol, quantity, cost, entry_price,
                                           realized_pnl, status, opened_at, updated_at, closed_at)
           VALUES ($1, $2, $3, 'BTC/USDT', 0, 0, 50000, -10, 'closed', $4, $5, $5)""",
        office.strategy_id, office.account_id, office.btc, at - MINUTE, at,
    )  # fmt: skip
    office.clock.advance(at)
    await fill(office, Side.SELL, "0.1", "49900", held="0", entry="50000", realized_pnl=Decimal(-10))


async def test_losses_in_a_row_hold_a_strategy_back_until_somebody_lifts_it(database: PostgresManager) -> None:
    office = await open_office(database)
    other = await office.another_strategy()
    for number in range(5):
        assert await office.risk.locks() == []
        await lose(office, START + number * MINUTE)
    now = START + 5 * MINUTE
    await closed(office, now)
    [lock] = await office.risk.locks()
    assert (lock["scope"], lock["kind"]) == (f"strategy:{office.strategy_id}", "consecutive_losses")
    assert (lock["ends_at"], lock["name"]) == (START + 4 * MINUTE + timedelta(days=1), "test")
    refused = await office.judge(await office.raise_signal())
    assert isinstance(refused, OrderRefused)
    assert any("5 losing trades in a row" in reason for reason in refused.reasons)
    assert isinstance(await other.judge(await other.raise_signal()), OrderApproved), "others go on"

    await office.risk.lift(lock["id"], "looked into it", "ann")
    assert await office.risk.locks() == []
    [past] = await office.risk.locks(with_past=True)
    assert (past["lifted_by"], past["lift_reason"], past["is_live"]) == ("ann", "looked into it", False)
    office.clock.advance(now + MINUTE / 2)
    assert isinstance(await office.judge(await office.raise_signal()), OrderApproved)
    with pytest.raises(NotFound, match="no lock"):
        await office.risk.lift(lock["id"], "again", "ann")
    with pytest.raises(NotFound, match="no lock"):
        await office.risk.lift(UUID(int=5), "what", "ann")


async def test_a_fill_handled_twice_locks_once(database: PostgresManager) -> None:
    office = await open_office(database, cooldown_minutes=5)
    await lose(office, START)
    await fill(office, Side.SELL, "0.1", "49900", held="0", entry="50000")
    assert [one["kind"] for one in await office.risk.locks(with_past=True)] == ["cooldown"]


async def test_an_account_that_falls_passes_the_levels_and_is_given_up_at_the_last(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.position("2")
    await closed(office, START + FIVE)
    levels = []
    for number, price in enumerate((43_000.0, 36_000.0, 25_000.0, 9_000.0), start=2):
        at = START.replace(hour=0) + timedelta(days=number - 1)
        await closed(office, at - MINUTE, price)  # what is lost is lost the day before
        await closed(office, at, price)
        [one] = await office.risk.breakers()
        levels.append((one["level"], round(one["drawdown_percent"], 1), await sold(office)))
    assert levels == [("warning", 7.0, 0), ("level_1", 14.0, 0), ("level_3", 25.0, 1), ("level_3", 41.0, 1)]
    told = [(one.before, one.level) for one in office.bus.events if isinstance(one, CircuitBreakerChanged)]
    assert told == [("none", "warning"), ("warning", "level_1"), ("level_1", "level_3")]
    states = {one.scope: (one.mode, one.actor) for one in await office.risk.trading_states()}
    assert states[f"account:{office.account_id}"] == (TradingMode.HALTED, "circuit_breaker")
    history = await database.fetch("SELECT adjustments FROM risk_adjustment_history ORDER BY timestamp")
    assert [row["adjustments"]["after"] for row in history] == ["warning", "level_1", "level_3"]
    assert await database.fetchval("SELECT set_breaker($1, 'level_3', 1, 1, $2)", office.account_id, START) is None


async def sold(office: Office) -> int:
    count: int = await office.manager.fetchval("SELECT count(*) FROM risk_exits WHERE kind = 'circuit_breaker'")
    return count


async def test_somebody_may_hold_the_breaker_open_until_the_day_ends(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "0.02")
    await closed(office, START + FIVE)
    await database.execute("UPDATE account_marks SET high_water_mark = 120000")
    halved = await office.judge(await office.raise_signal())
    assert isinstance(halved, OrderRefused | OrderApproved)
    assert "level_2" in (await check_detail(office))
    found = await office.risk.hold_breaker_open("desk", "I have looked", "ann")
    assert found == {"account": "desk", "until": START.replace(hour=0) + timedelta(days=1)}
    office.clock.advance(START + FIVE + MINUTE / 2)
    await office.judge(await office.raise_signal())
    assert (await check_detail(office)).endswith("held open until 2021-09-02 00:00 by ann: I have looked")
    [action] = await database.fetch(
        "SELECT details FROM risk_admin_actions WHERE action = 'circuit_breaker_overridden'"
    )
    assert action["details"]["reason"] == "I have looked"
    until = await database.fetchval(
        "SELECT override_breaker($1, 'x', 'y', $2)", office.account_id, datetime.fromisoformat("2021-09-03T01:00Z")
    )
    assert until == datetime.fromisoformat("2021-09-04T00:00Z")
    with pytest.raises(NotFound, match="nobody"):
        await office.risk.hold_breaker_open("nobody", "x", "y")


async def check_detail(office: Office) -> str:
    detail: str = await office.manager.fetchval(
        "SELECT c.detail FROM verdict_checks c JOIN verdicts v ON v.id = c.verdict_id WHERE c.name = 'circuit_breaker'"
        " ORDER BY v.decided_at DESC LIMIT 1"
    )
    return detail


async def test_rejected_orders_lock_the_account_and_a_silent_market_itself(database: PostgresManager) -> None:
    office = await open_office(database)
    await database.execute(
        "INSERT INTO strategy_environment_configs (strategy_id, environment, account_id) VALUES ($1, 'paper', $2)",
        office.strategy_id, office.account_id,
    )  # fmt: skip
    await database.execute("UPDATE strategies SET is_active = true, status = 'active'")
    for symbol in ("BTC/USDT", "ETH/USDT"):
        await database.execute(
            "INSERT INTO strategy_symbols (strategy_id, symbol) VALUES ($1, $2)", office.strategy_id, symbol
        )
    await office.candle(3_000.0, instrument_id=office.eth, close_time=START)
    office.clock.advance(START + MINUTE / 2)
    for number in range(5):
        bot = await office.another_strategy()
        approved = await bot.judge(await bot.raise_signal())
        assert isinstance(approved, OrderApproved), number
        await bot.order_of(approved, status="REJECTED")
    await closed(office, START + MINUTE)
    assert [one["kind"] for one in await office.risk.locks()] == ["reject_storm"]
    await closed(office, START + 15 * MINUTE)
    silent = [one for one in await office.risk.locks() if one["kind"] == "stale_data"]
    assert [one["name"] for one in silent] == [f"ETH/USDT on {VENUE}"]


async def test_the_regime_is_kept_where_it_changes_and_limits_follow_if_they_shall(
    database: PostgresManager,
) -> None:
    office = await open_office(database, adaptive_limits=True)
    await closed(office, START + FIVE)
    assert await office.risk.regimes() == [], "one candle is no market"
    await database.execute(
        "INSERT INTO sentiment_data (id, partition_key, ts, data) VALUES ('f', 'fear_greed_index', $1, $2)",
        START,
        {"value": 9},
    )
    await closed(office, START + 2 * FIVE)
    await closed(office, START + 3 * FIVE)
    [now] = await office.risk.regimes()
    assert (now["venue"], now["regime"], now["factor"], now["fear_greed"]) == (VENUE, "crisis", 0.25, 9.0)
    event = await office.raise_signal()
    assert isinstance(await office.judge(event), OrderApproved)
    assert (await office.check(event, "position_size"))["limit"] == 1.25, "a quarter of 5 %"
    history = await database.fetchval("SELECT adjustments FROM risk_adjustment_history")
    assert (history["kind"], history["before"], history["after"]) == ("regime", "unknown", "crisis")
    again = "SELECT set_regime($1, 'crisis', 0.25, NULL, NULL, 9, $2)"
    assert await database.fetchval(again, VENUE, START + 4 * FIVE) is None

    usual = await open_rest(office)
    office.clock.advance(office.clock.now() + MINUTE / 2)
    event = await usual.raise_signal()
    await usual.judge(event)
    assert (await usual.check(event, "position_size"))["limit"] == 5.0, "off unless it is switched on"


async def open_rest(office: Office) -> Office:
    """The same office with the usual settings and another strategy."""
    other = await office.another_strategy()
    other.risk = RiskManager(
        settings=RiskSettings(max_volume_percent=Decimal(100)),
        clock=office.clock,
        bus=office.bus,
        manager=office.manager,
        bars_of=DatabaseBars,
    )
    return other
