"""What is compared before anything is sent, what a difference stops, and who may say that it does not matter."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.orders import Side
from mastertrade.exchanges.exchange import VenueOrder
from mastertrade.postgres.lease import Lease
from mastertrade.shared.errors import LeaseLost
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import ROLE, START, Desk, make_executor, open_desk

pytestmark = pytest.mark.asyncio


async def state(desk: Desk) -> str:
    found: str = await desk.manager.fetchval("SELECT state FROM account_states")
    return found


async def breaks(desk: Desk) -> list[tuple[Any, ...]]:
    rows = await desk.manager.fetch(
        "SELECT kind, subject, ours, theirs, waived_at IS NOT NULL FROM reconciliation_breaks WHERE closed_at IS NULL "
        "ORDER BY kind, subject"
    )
    return [tuple(row.values()) for row in rows]


async def taken_over(desk: Desk) -> Desk:
    """A new executor under the next epoch; the old one does not know yet."""
    epoch = await desk.manager.fetchval("SELECT take_lease($1, 'successor', $2)", ROLE, START)
    lease = Lease(role=ROLE, epoch=epoch)
    executor = make_executor(desk.manager, desk.clock, desk.bus, desk.venue, desk.account, lease)
    return replace(desk, executor=executor, lease=lease)


async def books(desk: Desk) -> dict[str, Any]:
    """Everything an executor writes, to be compared."""
    return {
        table: await desk.manager.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")
        for table in (
            "orders", "order_events", "trades", "portfolio_balances", "reservations", "ledger_lines", "venue_cursors",
            "quarantined_fills", "account_states", "reconciliation_breaks", "strategy_positions",
        )
    }  # fmt: skip


# --- fencing ---


async def test_an_executor_that_was_taken_over_can_write_nothing_and_send_nothing(database: PostgresManager) -> None:
    desk = await open_desk(database)
    unknown = await desk.approve(quantity="0.1")
    left = await desk.approve(quantity="0.2")
    await desk.hear(unknown)
    async with database.transaction() as tx:
        left_id = await desk.executor._database.create_order(tx, left.approval, at=START)
    await desk.venue.on_prices([desk.candle(100.0)])  # a fill it has not heard of
    fresh = await desk.approve()
    await taken_over(desk)
    before, sent = await books(desk), await desk.venue_orders()
    assert left_id is not None
    order = await desk.executor._database.order_by_id(database, left_id)
    assert order is not None
    page = await desk.venue.fills("", [])
    writes = [
        desk.executor.sync(),
        desk.hear(fresh),
        desk.executor._sender.submit(left_id),
        desk.executor._books.apply(desk.account.id, page.fills),
        desk.executor._books.quarantine(desk.account.id, page.fills[0], "test"),
        desk.executor._database.note_absent(database, left_id, at=START),
        desk.executor._database.save_cursor(database, desk.account.id, "9", at=START),
        desk.executor._database.begin_recovery(database, desk.account.id, reason="test", at=START),
        desk.executor._database.record_comparison(database, desk.account.id, (), at=START),
    ]
    for write in writes:
        with pytest.raises(LeaseLost, match="the lease order_executor has passed on: epoch 1 may write no more"):
            await write
    assert await books(desk) == before
    assert await desk.venue_orders() == sent
    assert await database.fetchval("SELECT require_lease(NULL, NULL)"), "who claims no role is held to none"


async def test_a_taken_over_executor_ends_and_its_successor_books_what_it_left(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await desk.approve()
    await desk.hear(approval)
    await desk.executor.start()
    await desk.venue.on_prices([desk.candle(100.0)])
    successor = await taken_over(desk)
    serving = asyncio.create_task(desk.executor.serve())
    for _ in range(1000):
        await asyncio.sleep(0.01)
        desk.clock.advance(desk.clock.now() + timedelta(seconds=5))
        if serving.done():
            break
    with pytest.raises(LeaseLost):
        await serving
    assert await desk.status(approval) == "OPEN"
    await successor.executor.sync()
    assert await desk.status(approval) == "FILLED"
    assert await desk.problems() == []


# --- the gate ---


async def test_nothing_is_sent_before_the_account_was_compared_under_this_epoch(database: PostgresManager) -> None:
    desk = await taken_over(await open_desk(database))
    approval = await desk.approve()
    await desk.hear(approval)
    assert await desk.status(approval) == "NEW"
    assert await desk.venue_orders() == {}
    await desk.executor.sync()
    assert await state(desk) == "live"
    assert await desk.status(approval) == "OPEN", "it waited, and the look that compared sent it"
    assert list((await desk.venue_orders()).values()) == [1]


async def test_a_silent_venue_gets_no_orders_until_it_was_compared_again(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk(database)

    async def silent(symbols: Sequence[str]) -> tuple[VenueOrder, ...]:
        raise ConnectionResetError("gone")

    await desk.hear(await desk.approve(quantity="0.1"))
    with monkeypatch.context() as silence:
        silence.setattr(desk.venue, "open_orders", silent)
        await desk.executor.sync()
        assert await state(desk) == "recovering"
        reason = await database.fetchval("SELECT reason FROM account_states")
        assert reason == "simulated did not tell: ConnectionResetError: gone"
        waiting = await desk.approve(quantity="0.2")
        await desk.hear(waiting)
        await desk.executor.sync()
        assert await desk.status(waiting) == "NEW"
    await desk.executor.sync()
    assert await state(desk) == "live"
    assert await desk.status(waiting) == "OPEN"


async def test_an_order_that_waits_for_too_long_expires_and_says_why(database: PostgresManager) -> None:
    desk = await taken_over(await open_desk(database))
    approval = await desk.approve(valid_for_s=30)
    await desk.hear(approval)
    desk.clock.advance(START + timedelta(seconds=31))
    await desk.executor.sync()
    assert await desk.status(approval) == "EXPIRED"
    payload = await database.fetchval("SELECT payload FROM order_events WHERE to_status = 'EXPIRED'")
    assert (payload["reason"], payload["account"]) == ("approval expired before it was sent", "live")
    assert await desk.venue_orders() == {}


# --- differences ---


async def test_a_balance_that_differs_twice_stops_openings_and_lets_exits_pass(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve())
    await desk.next_bar()
    await database.execute("UPDATE paper_venue.balances SET amount = amount - 100 WHERE asset = 'USDT'")
    await desk.next_bar()
    (found,) = await breaks(desk)
    assert (found[0], found[1], found[3] - found[2]) == ("balance", "USDT", -100)
    assert await state(desk) == "live", "once may be something under way"
    await desk.next_bar()
    assert await state(desk) == "broken"
    entry, exit_ = await desk.approve(quantity="0.1"), await desk.approve(Side.SELL, quantity="0.1")
    await desk.hear(entry)
    await desk.hear(exit_)
    assert (await desk.status(entry), await desk.status(exit_)) == ("NEW", "OPEN")
    await database.execute("UPDATE paper_venue.balances SET amount = amount + 100 WHERE asset = 'USDT'")
    await desk.executor.sync()
    assert (await state(desk), await breaks(desk)) == ("live", [])
    assert await desk.status(entry) == "OPEN"
    closed_by = await database.fetchval("SELECT closed_by FROM reconciliation_breaks")
    assert closed_by == "comparison: the difference is gone"


async def test_a_waiver_holds_for_the_difference_it_was_given_for(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await database.execute("UPDATE paper_venue.balances SET amount = amount + 5")
    for _ in range(3):
        await desk.next_bar()
    assert await state(desk) == "broken"
    waive = "SELECT waive_breaks($1, NULL, 'ana', 'a gift', $2)"
    assert await database.fetchval(waive, desk.account.id, desk.clock.now()) == 1
    assert await database.fetchval(waive, desk.account.id, desk.clock.now()) == 0
    await desk.next_bar()
    assert await state(desk) == "live"
    assert [found[4] for found in await breaks(desk)] == [True]
    await database.execute("UPDATE paper_venue.balances SET amount = amount + 1")
    await desk.next_bar()
    assert [found[4] for found in await breaks(desk)] == [False]
    assert await state(desk) == "broken"


async def test_a_difference_can_be_booked_once_and_the_ledger_stays_whole(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await database.execute("UPDATE paper_venue.balances SET amount = amount - 7")
    for _ in range(2):
        await desk.next_bar()
    book = "SELECT book_balance_breaks($1, NULL, 'ana', 'withdrawn by hand', $2)"
    assert await database.fetchval(book, desk.account.id, desk.clock.now()) == 1
    assert await database.fetchval(book, desk.account.id, desk.clock.now()) == 0
    await desk.executor.sync()
    assert (await state(desk), await breaks(desk)) == ("live", [])
    assert await database.fetchval("SELECT free_balance FROM portfolio_balances") == 9993
    assert await database.fetchval("SELECT kind FROM ledger_entries ORDER BY id DESC LIMIT 1") == "adjustment"
    assert await desk.problems() == []


async def test_an_order_the_venue_lost_is_a_difference(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve())
    await database.execute("DELETE FROM paper_venue.orders")
    desk.clock.advance(START + timedelta(minutes=1))
    for _ in range(2):
        await desk.executor.sync()
    assert [(found[0], found[3]) for found in await breaks(desk)] == [("order_gone", 0)]
    assert await state(desk) == "broken"


async def test_looking_again_changes_nothing(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve())
    await desk.hear(await desk.approve(quantity="0.3"))
    await desk.next_bar()
    await desk.hear(await desk.approve(Side.SELL, quantity="0.1"))
    await desk.executor.sync()
    before = await books(desk)
    for _ in range(3):
        await desk.executor.sync()
    assert await books(desk) == before
    successor = await taken_over(desk)
    await successor.executor.sync()
    after = await books(desk)
    before.pop("account_states"), after.pop("account_states")
    assert after == before


# --- strangers ---


async def rests(desk: Desk, client_order_id: str, quantity: str = "0.5") -> None:
    """Somebody places an order beside us."""
    await desk.manager.execute(
        "INSERT INTO paper_venue.orders (account, client_order_id, symbol, side, type, quantity, limit_price, "
        "accepted_at) VALUES ('desk', $1, 'BTC/USDT', 'BUY', 'LIMIT', $2, 90, $3)",
        client_order_id,
        Decimal(quantity),
        START,
    )


async def mode(desk: Desk) -> Any:
    call = "SELECT trading_mode($1, $2, $3)"
    return await desk.manager.fetchval(call, desk.account.id, desk.strategy_id, desk.instrument.id)


async def test_an_order_that_carries_our_mark_and_has_no_row_is_adopted_and_its_market_halted(
    database: PostgresManager,
) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve(quantity="0.1"))
    await rests(desk, "mt0lost")
    await desk.executor.sync()
    row = await database.fetchrow("SELECT * FROM orders WHERE client_order_id = 'mt0lost'")
    assert row is not None
    assert (row["status"], row["quantity"], row["price"], row["order_type"]) == ("OPEN", Decimal("0.5"), 90, "LIMIT")
    assert (row["metadata"], row["approval_id"], row["strategy_id"]) == ({"origin": "orphan"}, None, None)
    assert await mode(desk) == "halted"
    await desk.next_bar(price=85.0)
    assert await database.fetchval("SELECT status FROM orders WHERE client_order_id = 'mt0lost'") == "FILLED"
    assert await desk.problems() == []
    await desk.executor.sync()
    assert (await state(desk), await breaks(desk)) == ("live", [])


async def test_a_fill_of_somebody_elses_order_is_booked_under_an_adopted_order(database: PostgresManager) -> None:
    desk = await open_desk(database)
    await desk.hear(await desk.approve(quantity="0.1"))
    await rests(desk, "web_7")
    await desk.executor.sync()
    assert await database.fetchval("SELECT count(*) FROM orders WHERE client_order_id = 'web_7'") == 0
    desk.clock.advance(START + timedelta(minutes=1))
    await desk.executor.sync()
    assert [found[:2] for found in await breaks(desk)] == [("foreign_order", "web_7")]
    assert await state(desk) == "live", "a foreign order is marked and stops nothing"
    await desk.next_bar(price=85.0)
    row = await database.fetchrow("SELECT status, metadata FROM orders WHERE client_order_id = 'web_7'")
    assert row is not None
    assert (row["status"], row["metadata"]) == ("FILLED", {"origin": "external"})
    assert await mode(desk) == "running"
    desk.clock.advance(desk.clock.now() + timedelta(minutes=1))
    await desk.executor.sync()
    assert (await state(desk), await breaks(desk)) == ("live", [])
    assert await desk.problems() == []


async def test_an_order_of_a_market_we_do_not_know_is_not_adopted(database: PostgresManager) -> None:
    desk = await open_desk(database)
    adopt = "SELECT adopt_order($1, $2, $3, '1', 'BUY', 1, NULL, 'external', $4)"
    assert await database.fetchval(adopt, desk.account.id, "XYZ/USDT", "web_8", START) is None
    assert await database.fetchval(adopt, desk.account.id, "BTC/USDT", "web_8", START) == desk.instrument.id
    assert await database.fetchval(adopt, desk.account.id, "BTC/USDT", "web_8", START) is None, "the id is taken"


# --- many ---


async def test_more_orders_than_a_page_are_all_seen(database: PostgresManager) -> None:
    desk = await open_desk(database, cash="1000000")
    template = await desk.approve(quantity="0.01")
    await desk.hear(template)
    await database.execute(
        "INSERT INTO orders (client_order_id, account_id, instrument_id, symbol, order_type, side, quantity, price, "
        "order_time) SELECT 'mt' || n, $1, $2, 'BTC/USDT', 'LIMIT', 'BUY', 0.01, 50, $3 "
        "FROM generate_series(1, 1500) n",
        desk.account.id,
        desk.instrument.id,
        START,
    )
    for step in ("SUBMITTING", "OPEN"):
        await database.execute("UPDATE orders SET status = $1, update_time = $2 WHERE price = 50", step, START)
    await database.execute(
        "INSERT INTO paper_venue.orders (account, client_order_id, symbol, side, type, quantity, limit_price, "
        "accepted_at) SELECT 'desk', 'mt' || n, 'BTC/USDT', 'BUY', 'LIMIT', 0.01, 50, $1 "
        "FROM generate_series(1, 1500) n",
        START,
    )
    await database.fetchval("SELECT want_cancelled(NULL, NULL, $1, 'test', 'ana', $2)", desk.account.id, START)
    await desk.executor.sync()
    await desk.executor.sync()
    left = await database.fetch("SELECT status, count(*) AS orders FROM orders GROUP BY 1")
    assert {row["status"]: row["orders"] for row in left} == {"CANCELED": 1501}
    assert await database.fetchval("SELECT count(*) FROM paper_venue.orders WHERE status = 'OPEN'") == 0
