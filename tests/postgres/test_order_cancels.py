"""Cancelling by hand (want_cancelled): carried out by whichever executor looks next, with fills on the way counted."""

from decimal import Decimal

from mastertrade.order_executor.cancels import Cancels
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import Desk, open_desk


async def want(desk: Desk, **of: object) -> int:
    return await Cancels(manager=desk.manager, clock=desk.clock).want(reason="a test", actor="ann", **of)  # type: ignore[arg-type]


async def the_order(database: PostgresManager) -> dict[str, object]:
    row = await database.fetchrow("SELECT * FROM orders")
    assert row is not None
    return dict(row)


async def capital_is_free(desk: Desk) -> bool:
    held = await desk.manager.fetchval("SELECT coalesce(sum(remaining), 0) FROM reservations WHERE released_at IS NULL")
    return bool(held == 0) and await desk.problems() == []


async def test_an_open_order_is_cancelled_at_the_venue_and_its_capital_is_free(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve()
    await desk.hear(approval)
    assert await want(desk, order_id=(await the_order(database))["id"]) == 1
    await desk.executor.sync()
    await desk.executor.sync()
    assert await desk.status(approval) == "CANCELED"
    assert await capital_is_free(desk)
    steps = await database.fetch("SELECT to_status, payload FROM order_events WHERE to_status IS NOT NULL ORDER BY id")
    assert [row["to_status"] for row in steps][-2:] == ["PENDING_CANCEL", "CANCELED"]
    assert steps[-2]["payload"]["reason"] == "ann: a test"
    await desk.next_bar()
    assert await database.fetchval("SELECT count(*) FROM trades") == 0


async def test_a_wish_that_comes_too_late_changes_nothing(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve()
    await desk.hear(approval)
    await desk.next_bar()
    assert await desk.status(approval) == "FILLED"
    assert await want(desk) == 0
    await desk.executor.sync()
    assert await desk.status(approval) == "FILLED"
    assert await capital_is_free(desk)


async def test_an_order_that_fills_before_the_wish_is_carried_out_stays_filled(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve(quantity="0.5")
    await desk.hear(approval)
    assert await want(desk, symbol="BTC/USDT") == 1
    await desk.next_bar()
    await desk.executor.sync()
    assert await desk.status(approval) == "FILLED"
    assert await database.fetchval("SELECT sum(quantity) FROM trades") == Decimal("0.5")
    assert await capital_is_free(desk)


async def test_an_order_of_a_dead_process_is_cancelled_before_it_is_ever_sent(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve()
    async with database.transaction() as tx:  # written, and the process died before it could send it
        await desk.executor._database.create_order(tx, approval.approval, at=desk.clock.now())
    assert await want(desk, account_id=desk.account.id) == 1
    await desk.restarted().executor.sync()
    assert await desk.status(approval) == "CANCELED"
    assert await desk.venue_orders() == {}
    assert await capital_is_free(desk)


async def test_an_unknown_order_is_found_first_and_then_cancelled(database: PostgresManager) -> None:
    desk = await open_desk(database, failpoints="paper.after_accept=silence")
    approval = await desk.approve()
    await desk.hear(approval)
    assert await desk.status(approval) == "UNKNOWN"
    assert await want(desk) == 1
    for _ in range(3):
        await desk.executor.sync()
    assert await desk.status(approval) == "CANCELED"
    assert len(await desk.venue_orders()) == 1
    assert await capital_is_free(desk)


async def test_the_wish_is_kept_once_and_for_named_orders_only(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve())
    assert await want(desk, symbol="ETH/USDT") == 0
    assert await want(desk, symbol="BTC/USDT") == 1
    assert await want(desk) == 0
    assert await database.fetchval("SELECT count(*) FROM order_cancels") == 1
