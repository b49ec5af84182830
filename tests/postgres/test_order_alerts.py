"""settle_order_alerts and order_conditions: what is wrong with orders is told once, and taken back when it is right."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.events import RiskAlertChanged
from mastertrade.domain.orders import Fill, OrderStatus, Side
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import START, Desk, open_desk
from tests.postgres.orders_seed import Orders, set_status

S = OrderStatus


async def told(desk: Desk) -> list[tuple[Any, ...]]:
    """What the look of half a minute later says of alerts."""
    before = len(desk.bus.events)
    desk.clock.advance(desk.clock.now() + timedelta(seconds=31))
    await desk.executor.sync()
    changed = [event for event in desk.bus.events[before:] if isinstance(event, RiskAlertChanged)]
    return [(one.change, one.alert_type, one.severity.value, one.symbol) for one in changed]


async def test_an_order_without_an_answer_is_told_after_half_a_minute_and_taken_back(database: PostgresManager) -> None:
    desk = await open_desk(database)
    assert await told(desk) == []
    orders = Orders(desk=desk)
    order = await orders.new(strategy=False)
    await set_status(database, order, S.SUBMITTING)
    await set_status(database, order, S.UNKNOWN)
    await database.execute("UPDATE orders SET unknown_since = $1", desk.clock.now())
    found = await database.fetchval("SELECT order_conditions($1, $2)", desk.account.id, desk.clock.now())
    assert found == [], "not at once"
    later = desk.clock.now() + timedelta(seconds=31)
    (found,) = await database.fetchval("SELECT order_conditions($1, $2)", desk.account.id, later)
    assert (found["alert_type"], found["current_value"]) == ("order_unknown", 1)
    assert str(order) in found["message"]
    lease = desk.lease
    settle = "SELECT change FROM settle_order_alerts($1, $2, $3, $4)"
    assert await database.fetchval(settle, desk.account.id, lease.role, lease.epoch, later) == "raised"
    again = later + timedelta(seconds=1)
    assert await database.fetchval(settle, desk.account.id, lease.role, lease.epoch, again) is None
    await set_status(database, order, S.CANCELED)
    desk.clock.advance(again)
    assert await told(desk) == [("resolved", "order_unknown", "high", "BTC/USDT")]


async def test_what_traded_after_its_end_or_could_not_be_booked_or_differs_is_told(database: PostgresManager) -> None:
    desk = await open_desk(database)
    orders = Orders(desk=desk)
    order = await orders.new()
    await orders.bring(order, S.CANCELED)
    await database.execute("UPDATE orders SET update_time = $1", desk.clock.now())
    await orders.fill(order, "0.5", 100)
    invented = Fill(
        client_order_id="x", exchange_order_id="7", exchange_trade_id="8", symbol="BTC/USDT", side=Side.BUY,
        quantity=Decimal(1), price=Decimal(1), commission=Decimal(0), commission_asset="USDT", is_maker=False,
        trade_time=START,
    )  # fmt: skip
    await desk.executor._books.quarantine(desk.account.id, invented, "nobody knows it")
    assert set(await told(desk)) == {
        ("raised", "fill_quarantined", "critical", "BTC/USDT"), ("raised", "late_fill", "medium", "BTC/USDT"),
    }  # fmt: skip
    assert await told(desk) == [], "once may be something under way"
    assert await told(desk) == [("raised", "books_differ", "critical", None)], "the venue knows nothing of that fill"
    rows = await database.fetch("SELECT alert_type, message FROM risk_alerts WHERE status = 'open'")
    messages = {row["alert_type"]: row["message"] for row in rows}
    assert "was CANCELED and traded all the same" in messages["late_fill"]
    assert messages["fill_quarantined"] == "fill 8 of BTC/USDT: nobody knows it"
    desk.clock.advance(desk.clock.now() + timedelta(days=1, minutes=1))
    assert {(change, kind) for change, kind, *_ in await told(desk)} == {
        ("resolved", "fill_quarantined"), ("resolved", "late_fill"),
    }  # fmt: skip


async def test_a_silent_venue_and_an_algo_order_that_gave_up_are_told(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk(database)
    await desk.executor.sync()

    async def nothing(*_: object) -> None:
        raise ConnectionError("cut")

    with monkeypatch.context() as cut:
        cut.setattr(type(desk.venue), "fills", nothing)
        await told(desk)
        assert await told(desk) == [("raised", "venue_silent", "high", None)]
    assert await told(desk) == [("resolved", "venue_silent", "high", None)]
    await database.execute(
        "INSERT INTO algo_orders (id, kind, account_id, strategy_id, instrument_id, side, quantity, status, outcome,"
        " actor, began_at, updated_at, ended_at)"
        " VALUES (gen_random_uuid(), 'trigger', $1, $2, $3, 'SELL', 1, 'failed', 'refused', 'ann', $4, $4, $4)",
        desk.account.id, desk.strategy_id, desk.instrument.id, desk.clock.now(),
    )  # fmt: skip
    assert await told(desk) == [("raised", "algo_order_failed", "high", "BTC/USDT")]
