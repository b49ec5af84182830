"""From an approval to a booked fill, on a real database and the paper venue."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from mastertrade.domain.events import OrderFilled, OrderUpdated
from mastertrade.domain.orders import OrderStatus, Side
from mastertrade.exchanges.exchange import VenueOrder
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import START, open_desk

pytestmark = pytest.mark.asyncio


async def test_an_approval_becomes_one_order_one_fill_and_a_balanced_ledger(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve(quantity="0.5")
    await desk.hear(approval)
    assert await desk.status(approval) == "OPEN"
    await desk.next_bar(price=100.0)
    assert await desk.status(approval) == "FILLED"
    row = await database.fetchrow("SELECT * FROM trades")
    assert row is not None
    assert row["price"] == Decimal("100.05"), "the open plus 0.05 % spread and slippage, to the tick"
    assert row["commission"] == Decimal("0.050025")
    balances = {
        r["asset"]: (r["free_balance"], r["locked_balance"])
        for r in await database.fetch("SELECT * FROM portfolio_balances")
    }
    spent = Decimal("0.5") * Decimal("100.05") + Decimal("0.050025")
    assert balances == {"BTC": (Decimal("0.5"), 0), "USDT": (10000 - spent, 0)}
    assert await desk.venue.balances() == {"BTC": Decimal("0.5"), "USDT": 10000 - spent}
    assert await desk.problems() == []
    filled = [event for event in desk.bus.events if isinstance(event, OrderFilled)]
    assert [(event.quantity, event.position_quantity, event.status) for event in filled] == [
        (Decimal("0.5"), Decimal("0.5"), OrderStatus.FILLED)
    ]


async def test_a_round_trip_realises_exactly_what_the_account_gained(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve(Side.BUY, "0.5"))
    await desk.next_bar(price=100.0)
    await desk.hear(await desk.approve(Side.SELL, "0.5"))
    await desk.next_bar(price=110.0)
    total = await database.fetchval("SELECT free_balance + locked_balance FROM portfolio_balances WHERE asset = 'USDT'")
    position = await database.fetchrow("SELECT status, quantity, realized_pnl FROM strategy_positions")
    assert position is not None
    assert (position["status"], position["quantity"], position["realized_pnl"]) == ("closed", 0, total - 10000)
    assert await database.fetchval("SELECT sum(pnl) FROM strategy_trades") == total - 10000
    assert await desk.problems() == []


async def test_the_same_approval_delivered_twice_is_one_order(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve()
    await desk.hear(approval)
    await desk.hear(approval)
    assert list((await desk.venue_orders()).values()) == [1]
    assert await database.fetchval("SELECT count(*) FROM orders") == 1


async def test_a_fill_reported_again_changes_nothing(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve())
    await desk.next_bar()
    before = await database.fetch("SELECT * FROM portfolio_balances ORDER BY asset")
    await database.execute("DELETE FROM venue_cursors")
    again = desk.restarted()
    await again.executor.sync()
    assert await database.fetch("SELECT * FROM portfolio_balances ORDER BY asset") == before
    assert await database.fetchval("SELECT count(*) FROM trades") == 1


async def test_a_fill_with_the_same_identity_and_other_numbers_is_quarantined_and_halts_its_instrument(
    database: PostgresManager,
) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve())
    await desk.next_bar()
    await database.execute("DELETE FROM venue_cursors")
    await database.execute("UPDATE paper_venue.fills SET price = price + 1")
    again = desk.restarted()
    await again.executor.sync()
    assert await database.fetchval("SELECT reason FROM quarantined_fills") == "conflict"
    assert (
        await database.fetchval(
            "SELECT trading_mode($1, $2, $3)", desk.account.id, desk.strategy_id, desk.instrument.id
        )
        == "halted"
    )
    assert await desk.problems() == []


async def test_a_fill_of_an_order_we_never_had_is_kept_and_not_booked(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve())
    await desk.next_bar()
    await database.execute("UPDATE paper_venue.fills SET client_order_id = 'stranger'")
    await database.execute("DELETE FROM venue_cursors")
    await desk.restarted().executor.sync()
    assert await database.fetchval("SELECT payload ->> 'client_order_id' FROM quarantined_fills") == "stranger"
    assert await database.fetchval("SELECT count(*) FROM trades") == 1


async def test_an_expired_approval_is_never_sent_and_frees_its_capital(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve(valid_for_s=30)
    desk.clock.advance(START + timedelta(seconds=31))
    await desk.hear(approval)
    assert await desk.status(approval) == "EXPIRED"
    assert await desk.venue_orders() == {}
    assert await database.fetchval("SELECT locked_balance FROM portfolio_balances WHERE asset = 'USDT'") == 0
    assert any(isinstance(event, OrderUpdated) and event.status is OrderStatus.EXPIRED for event in desk.bus.events)


async def test_a_venue_refusal_rejects_the_order_and_frees_its_capital(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve(quantity="0.00005", reserve="1")
    await desk.hear(approval)
    assert await desk.status(approval) == "REJECTED"
    reason = await database.fetchval("SELECT payload ->> 'reason' FROM order_events WHERE to_status = 'REJECTED'")
    assert "not a multiple of the lot 0.0001" in reason
    assert await database.fetchval("SELECT locked_balance FROM portfolio_balances WHERE asset = 'USDT'") == 0


async def test_a_venue_that_cannot_collect_rejects_later_and_the_executor_hears_of_it(
    database: PostgresManager,
) -> None:
    desk = await open_desk(database)
    approval = await desk.approve(quantity="10")
    await desk.hear(approval)
    await database.execute("UPDATE paper_venue.balances SET amount = 1")
    await desk.next_bar()
    assert await desk.status(approval) == "REJECTED"
    assert await desk.problems() == []


async def test_silence_after_acceptance_is_unknown_then_found_and_filled_once(database: PostgresManager) -> None:
    desk = await open_desk(database, failpoints="paper.after_accept=silence")
    approval = await desk.approve()
    await desk.hear(approval)
    assert await desk.status(approval) == "UNKNOWN"
    assert await database.fetchval("SELECT locked_balance FROM portfolio_balances WHERE asset = 'USDT'") > 0
    await desk.next_bar()
    assert await desk.status(approval) == "FILLED"
    assert list((await desk.venue_orders()).values()) == [1]
    assert await desk.problems() == []


async def test_silence_before_acceptance_stays_unknown_until_absence_is_proved_and_is_never_resent(
    database: PostgresManager,
) -> None:
    desk = await open_desk(database, failpoints="paper.before_accept=silence")
    approval = await desk.approve()
    await desk.hear(approval)
    seen = []
    for _ in range(4):
        seen.append(await desk.status(approval))
        await desk.next_bar()
    assert seen == ["UNKNOWN"] * 4
    assert await desk.status(approval) == "NOT_FOUND"
    assert await desk.venue_orders() == {}
    assert await database.fetchval("SELECT locked_balance FROM portfolio_balances WHERE asset = 'USDT'") == 0


async def test_an_order_is_looked_for_from_the_time_on_at_which_it_was_signed(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart as well: the venue is not asked for more than it must tell."""
    desk = await open_desk(database, failpoints="paper.before_accept=silence")
    find, asked = desk.venue.find, []

    async def heard(client_order_id: str, symbol: str, *, since: datetime | None = None) -> VenueOrder | None:
        asked.append(since)
        return await find(client_order_id, symbol, since=since)

    monkeypatch.setattr(desk.venue, "find", heard)
    await desk.hear(await desk.approve())
    await desk.next_bar()
    assert set(asked) == {await database.fetchval("SELECT signed_at FROM orders")}


async def test_an_order_left_submitting_by_a_dead_process_is_asked_for_never_resent(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve()
    async with database.transaction() as tx:
        order_id = await desk.executor._database.create_order(tx, approval.approval, at=START)
    await database.fetchval(
        "SELECT begin_send($1, $2, $3, $4, $5)",
        order_id,
        START,
        START + timedelta(seconds=5),
        desk.lease.role,
        desk.lease.epoch,
    )
    again = desk.restarted()
    await again.executor.sync()
    assert await again.status(approval) == "UNKNOWN"
    assert await again.venue_orders() == {}


async def test_an_order_left_unsent_by_a_dead_process_is_sent_once_while_it_is_valid(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve()
    async with database.transaction() as tx:
        await desk.executor._database.create_order(tx, approval.approval, at=START)
    again = desk.restarted()
    await again.executor.sync()
    await again.executor.sync()
    assert await again.status(approval) == "OPEN"
    assert list((await again.venue_orders()).values()) == [1]


async def test_an_order_whose_time_is_over_when_its_process_wakes_is_not_sent(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve()
    async with database.transaction() as tx:
        order_id = await desk.executor._database.create_order(tx, approval.approval, at=START)
    assert order_id is not None
    order = await desk.executor._sender.begin(order_id)
    assert order is not None
    assert order.signed_at == START
    desk.clock.advance(START + timedelta(seconds=6))  # it stood still here
    await desk.executor._sender.send(order)
    assert await desk.status(approval) == "EXPIRED"
    assert await desk.venue_orders() == {}
    assert await database.fetchval("SELECT locked_balance FROM portfolio_balances WHERE asset = 'USDT'") == 0


async def test_while_halted_an_opening_order_is_canceled_and_an_exit_passes(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve(Side.BUY))
    await desk.next_bar()
    entry, exit_ = await desk.approve(Side.BUY), await desk.approve(Side.SELL)
    await database.fetchval("SELECT halt_trading('global', 'test', 'somebody', $1)", desk.clock.now())
    await desk.hear(entry)
    await desk.hear(exit_)
    assert await desk.status(entry) == "CANCELED"
    assert await desk.status(exit_) == "OPEN"


async def test_the_halt_race_no_opening_order_reaches_submitting_after_the_halt_committed(
    database: PostgresManager,
) -> None:
    desk = await open_desk(database, cash="1000000")
    approvals = [await desk.approve(quantity="0.01") for _ in range(160)]
    order_ids = []
    for approval in approvals:
        async with database.transaction() as tx:
            order_ids.append(await desk.executor._database.create_order(tx, approval.approval, at=START))
    queue = list(order_ids)
    outcomes: list[str] = []
    halted = asyncio.Event()

    async def writer() -> None:
        while queue:
            if len(queue) <= 60 and not halted.is_set():  # some are left for after the halt, however slow it is
                await asyncio.sleep(0.001)
                continue
            order_id = queue.pop()
            was_halted = halted.is_set()
            outcome = await database.fetchval(
                "SELECT begin_send($1, $2, $3, $4, $5)",
                order_id,
                START,
                START + timedelta(seconds=5),
                desk.lease.role,
                desk.lease.epoch,
            )
            assert not (was_halted and outcome == "send"), "an opening order passed after the halt had committed"
            outcomes.append(outcome)

    async def halt() -> None:
        while len(outcomes) < 40:
            await asyncio.sleep(0)
        await database.fetchval("SELECT halt_trading('global', 'race', 'test', $1)", START)
        halted.set()

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(writer())
        group.create_task(halt())
    assert {"send", "halted"} == set(outcomes)
    stored = await database.fetch("SELECT status, count(*) AS orders FROM orders GROUP BY status")
    assert {row["status"]: row["orders"] for row in stored} == {
        "SUBMITTING": outcomes.count("send"),
        "CANCELED": outcomes.count("halted"),
    }


async def test_a_fill_the_books_refuse_is_kept_and_does_not_hold_up_the_next_one(database: PostgresManager) -> None:
    desk = await open_desk(database)
    first, second = await desk.approve(quantity="0.5"), await desk.approve(quantity="0.25")
    await desk.hear(first)
    await desk.hear(second)
    await desk.venue.on_prices([desk.candle(100.0)])
    await database.execute("UPDATE paper_venue.fills SET price = 1e-30 WHERE quantity = 0.5")
    await desk.executor.sync()
    assert await desk.status(first) == "OPEN"
    assert await desk.status(second) == "FILLED"
    reason = await database.fetchval("SELECT reason FROM quarantined_fills")
    assert reason.startswith("refused:")
    mode = await database.fetchval(
        "SELECT trading_mode($1, $2, $3)", desk.account.id, desk.strategy_id, desk.instrument.id
    )
    assert mode == "halted"
    assert await desk.problems() == []
