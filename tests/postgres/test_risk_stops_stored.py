"""Stops at work: one for each position, attached with its fill, moved and hit by closed candles, restarts included."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.events import CandlesClosed, OrderApproved, SignalRaised, StopTriggered
from mastertrade.domain.market import Candle
from mastertrade.domain.orders import Side
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.service import RiskManager
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager, Row
from mastertrade.shared.serialization import new_id
from tests.postgres.risk_seed import MINUTE, START, VENUE, Office, open_office
from tests.postgres.test_risk_book import fill


async def minute(
    office: Office, number: int, low: float, close: float, high: float | None = None
) -> list[SignalRaised]:
    at = START + number * MINUTE
    office.clock.advance(at)
    await office.candle(close, close_time=at)
    candle = Candle(
        instrument_id=office.btc, venue=VENUE, symbol="BTC/USDT", interval_s=60, open_time=at - MINUTE, open=close,
        high=high or max(low, close), low=low, close=close, volume=1.0,
    )  # fmt: skip
    event = CandlesClosed(id=new_id(at), occurred_at=at, interval_s=60, open_time=at - MINUTE, candles=(candle,))
    before = len(office.bus.events)
    async with office.manager.transaction() as tx:
        await office.risk.on_candles_to_watch(event, tx)
    return [one for one in office.bus.events[before:] if isinstance(one, SignalRaised)]


async def bought(office: Office, **rules: Any) -> None:
    """A buy, judged, sent and filled: the strategy holds it."""
    await office.manager.execute("UPDATE strategies SET configuration = $1", {"stop_loss": rules} if rules else {})
    approved = await office.judge(await office.raise_signal())
    assert isinstance(approved, OrderApproved)
    order = await office.order_of(approved, status="OPEN")
    await office.position(str(approved.approval.quantity))
    held = str(approved.approval.quantity)
    await fill(office, Side.BUY, held, "50000", held=held, entry="50000", order_id=order)
    await office.manager.execute("UPDATE orders SET status = 'CANCELED'")


async def the_stop(office: Office) -> Row:
    [row] = await office.manager.fetch("SELECT * FROM stop_losses ORDER BY created_at DESC LIMIT 1")
    return row


async def test_a_position_has_the_stop_it_was_approved_with(database: PostgresManager) -> None:
    office = await open_office(database)
    await bought(office)
    approved = await database.fetchval("SELECT stop_price FROM approvals")
    row = await the_stop(office)
    assert (row["stop_type"], row["status"], row["stop_price"]) == ("fixed", "active", approved)
    assert row["initial_stop_price"] == approved < Decimal(50_000)
    assert row["quantity"] == await database.fetchval("SELECT quantity FROM approvals")
    assert await database.fetchval("SELECT stop_loss_price FROM risk_positions") == approved

    await fill(office, Side.BUY, "0.1", "50000", held="0.3", entry="50000")
    assert await database.fetchval("SELECT count(*) FROM stop_losses") == 1, "enlarged, it keeps its stop"
    assert (await the_stop(office))["quantity"] == Decimal("0.3")
    with pytest.raises(Exception, match="stop_losses_one_live"):
        await database.execute(
            "INSERT INTO stop_losses (id, position_id, symbol, stop_type, entry_price, current_price, stop_price,"
            " initial_stop_price, quantity, instrument_id) SELECT 'two', position_id, symbol, stop_type, 1, 1, 1, 1, 1,"
            " instrument_id FROM stop_losses"
        )
    none = "SELECT attach_stop($1, $2, $3, 'fixed', 1, '{}', '{}', $4)"
    assert await database.fetchval(none, office.account_id, office.strategy_id, office.eth, START) is None


async def test_a_stop_that_is_hit_sells_once_and_says_why(database: PostgresManager) -> None:
    office = await open_office(database)
    await bought(office)
    at = (await the_stop(office))["stop_price"]
    assert await minute(office, 1, float(at) + 1, 49_900.0) == []
    [raised] = await minute(office, 2, float(at) - 5, 49_900.0)
    assert raised.signal.evidence["exit"] == "stop"
    assert str(raised.signal.evidence["because"]).startswith(f"fixed stop at {at.normalize():f} was hit")
    answer = await office.judge(raised)
    assert isinstance(answer, OrderApproved)
    assert answer.approval.reduces
    row = await the_stop(office)
    assert (row["status"], row["trigger_count"], row["updated_at"]) == ("triggered", 1, START + 2 * MINUTE)
    [told] = [one for one in office.bus.events if isinstance(one, StopTriggered)]
    assert (told.stop_id, told.stop_price) == (row["id"], at)
    assert await minute(office, 2, float(at) - 5, 49_900.0) == [], "the same minute again"
    assert await database.fetchval("SELECT count(*) FROM risk_exits") == 1


async def test_a_trailing_stop_goes_on_where_it_was_after_a_restart(database: PostgresManager) -> None:
    office = await open_office(database)
    await bought(office, stop_type="trailing", trailing_distance_percent=1.0, breakeven_protection=False)
    await minute(office, 1, 50_900.0, 51_000.0, 51_500.0)
    assert (await the_stop(office))["stop_price"] == Decimal("50985")
    bus, clock = office.bus, office.clock
    office.risk = RiskManager(settings=RiskSettings(), clock=clock, bus=bus, manager=database, bars_of=DatabaseBars)
    assert await minute(office, 2, 50_990.0, 51_100.0) == []
    assert (await the_stop(office))["stop_price"] == Decimal("50985"), "it never goes back"
    assert len(await minute(office, 3, 50_980.0, 51_100.0)) == 1


async def test_what_came_before_the_position_does_not_hit_its_stop(database: PostgresManager) -> None:
    office = await open_office(database)
    office.clock.advance(START + MINUTE / 2)
    await bought(office)
    at = float((await the_stop(office))["stop_price"])
    assert await minute(office, 1, at - 100, 50_000.0) == [], "the low was before it was bought, or nobody knows"
    assert len(await minute(office, 2, at - 100, 50_000.0)) == 1


async def test_rules_of_a_strategy_that_cannot_be_read_leave_the_usual_stop(database: PostgresManager) -> None:
    office = await open_office(database)
    await bought(office, stop_type="magic")
    row = await the_stop(office)
    assert row["stop_type"] == "fixed"
    assert row["stop_price"] >= await database.fetchval("SELECT stop_price FROM approvals")


async def test_a_strategy_s_own_stop_is_never_further_away_than_what_was_judged(database: PostgresManager) -> None:
    office = await open_office(database)
    await bought(office, stop_type="fixed", initial_stop_percent=20.0)
    assert (await the_stop(office))["stop_price"] == await database.fetchval("SELECT stop_price FROM approvals")


async def test_people_tighten_stops_and_loosen_them_only_on_purpose(database: PostgresManager) -> None:
    office = await open_office(database)
    await bought(office)
    await database.execute("SELECT mark_book('{paper}', $1)", START)
    why: dict[str, Any] = {"reason": "nervous", "actor": "ann"}
    moved = await office.risk.change_stop("btc/usdt", price=Decimal("49500.001"), **why)
    assert moved["stop_price"] == Decimal("49500.01"), "on the tick, towards the price"
    with pytest.raises(UsageError, match="loosens it; confirm that with --confirm"):
        await office.risk.change_stop("BTC/USDT", price=Decimal(45_000), **why)
    await office.risk.change_stop("BTC/USDT", price=Decimal(45_000), is_loosened=True, **why)
    with pytest.raises(UsageError, match="must be below the market, which is at 50000"):
        await office.risk.change_stop("BTC/USDT", price=Decimal(50_001), **why)
    with pytest.raises(NotFound, match="no live stop 'ETH/USDT'"):
        await office.risk.change_stop("ETH/USDT", price=Decimal(1), **why)
    trailing = await office.risk.change_stop(
        "BTC/USDT",
        config={"stop_type": "trailing", "initial_stop_percent": 2.0, "trailing_distance_percent": 1.0},
        **why,
    )
    assert trailing["stop_price"] == Decimal(49_000)
    row = await the_stop(office)
    assert [one["type"] for one in row["metadata"]["history"]] == ["fixed"] * 3
    assert (row["stop_type"], row["config"]["trailing_distance_percent"]) == ("trailing", 1.0)
    assert await office.risk.cancel_stop("BTC/USDT", "enough", "ann") == row["id"]
    with pytest.raises(NotFound):
        await office.risk.cancel_stop(row["id"], "again", "ann")
    [shown] = await office.risk.stops(with_past=True)
    assert (shown["status"], shown["account"]) == ("cancelled", "desk")
    assert await office.risk.stops() == []
    actions = await database.fetch(
        "SELECT action FROM risk_admin_actions WHERE action LIKE 'stop_%' ORDER BY created_at"
    )
    assert [one["action"] for one in actions].count("stop_changed") == 3
    args = ("none", None, None, None, False, "x", "y", START + timedelta(days=1))
    assert await database.fetchval("SELECT change_stop($1, $2, $3, $4, $5, $6, $7, $8)", *args) is False
    assert await database.fetchval("SELECT cancel_stop('none', 'x', 'y', $1)", START) is False
    await database.execute("SELECT move_stops('[]', $1)", START)
