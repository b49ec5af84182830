"""orders.sql: the life of an order, and every branch of what sends it and of what a fill does."""

import asyncio
import contextlib
import hashlib
import random
from datetime import datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any
from uuid import UUID, uuid4

import pytest

from mastertrade.domain.orders import FINAL, LEGAL_MOVES, OrderStatus
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.shared.errors import BadData, ConstraintViolated, DatabaseError, LeaseLost
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import ROLE, START, open_desk
from tests.postgres.orders_seed import LATER, Orders, set_status

S = OrderStatus


@pytest.fixture
async def orders(database: PostgresManager) -> Orders:
    return Orders(await open_desk(database))


# --- the life of an order ---


async def test_every_legal_move_of_all_is_made_and_every_other_refused(orders: Orders) -> None:
    """guard_order, record_order_step and what becomes of the reservation, for all 12 times 12 moves."""
    rows = await orders.db.fetch("SELECT from_status, to_status FROM order_moves")
    assert {tuple(row.values()) for row in rows} == {(source, target) for source in S for target in LEGAL_MOVES[source]}
    for source in S:
        order = await orders.new(reserve=1)
        await orders.bring(order, source)
        await orders.db.execute("UPDATE reservations SET released_at = NULL")
        for target in set(S) - {source}:
            if target in LEGAL_MOVES[source]:
                event, released_at = await what_a_move_does(orders.db, order, target)
                assert event == (source, target, LATER)
                assert released_at == (LATER if target in FINAL else None), (source, target)
            else:
                with pytest.raises(ConstraintViolated, match=f"the move from {source} to {target} is not legal"):
                    await set_status(orders.db, order, target)


async def what_a_move_does(db: PostgresManager, order: UUID, target: OrderStatus) -> tuple[Any, Any]:
    """Its event and when the reservation was released; undone again."""

    class Undo(Exception): ...

    with contextlib.suppress(Undo):
        async with db.transaction() as tx:
            await set_status(tx, order, target)
            event = await tx.fetchrow(
                "SELECT from_status, to_status, occurred_at FROM order_events ORDER BY id DESC LIMIT 1"
            )
            released_at = await tx.fetchval(
                "SELECT released_at FROM reservations r JOIN orders o ON o.reservation_id = r.id WHERE o.id = $1", order
            )
            raise Undo
    assert event is not None
    return tuple(event.values()), released_at


async def test_an_order_begins_new_and_unfilled(orders: Orders) -> None:
    insert = (
        "INSERT INTO orders (client_order_id, account_id, instrument_id, symbol, order_type, side, quantity, status,"
        " filled_quantity) VALUES ('c', $1, $2, 'BTC/USDT', 'MARKET', 'BUY', 1, $3, $4)"
    )
    for status, filled in (("SUBMITTING", 0), ("FILLED", 1), ("NEW", 1)):
        with pytest.raises(ConstraintViolated, match="must begin as NEW and unfilled"):
            await orders.db.execute(insert, orders.desk.account.id, orders.desk.instrument.id, status, filled)


async def test_a_change_no_order_may_make_is_refused(orders: Orders) -> None:
    order = await orders.new()
    await orders.bring(order, S.OPEN)
    await orders.db.execute("UPDATE orders SET filled_quantity = 0.5 WHERE id = $1", order)
    changes = {
        "filled_quantity = 0.1": r"filled quantity cannot fall from 0\.5 to 0\.1",
        "filled_quantity = 'NaN'": "amount_is_finite",
        "status = 'FILLED'": "orders_filled_means_all_of_it",
        "status = 'MELTED'": "not legal",
    }
    for column in ("id", "account_id", "approval_id"):
        changes[f"{column} = gen_random_uuid()"] = "identity, side, quantity, price and terms never change"
    for other in (
        "client_order_id = 'other'",
        "instrument_id = 99",
        "side = 'SELL'",
        "quantity = 2",
        "attempt = 2",
        "post_only = true",
        "time_in_force = 'FOK'",
        "reduce_only = true",
        "price = 7",
        "order_type = 'LIMIT', price = 7",
    ):
        changes[other] = "identity, side, quantity, price and terms never change"
    for change, complaint in changes.items():
        with pytest.raises(ConstraintViolated, match=complaint):
            await orders.db.execute(f"UPDATE orders SET {change} WHERE id = $1", order)


async def test_each_change_has_its_version_and_unknown_remembers_since_when(orders: Orders) -> None:
    order = await orders.new()
    await orders.bring(order, S.UNKNOWN)
    await orders.db.execute("UPDATE orders SET update_time = $2, metadata = '{}' WHERE id = $1", order, START)
    assert itemgetter("version", "unknown_since")(await orders.row(order)) == (4, LATER)
    await set_status(orders.db, order, S.OPEN)
    assert (await orders.row(order))["unknown_since"] is None


async def test_events_are_final_and_tell_the_cause_of_the_step(orders: Orders) -> None:
    order = await orders.new()
    move = "SELECT move_order($1, $2, $3, $4, 'venue', $5, $6)"
    assert await orders.db.fetchval(move, order, "NEW", "SUBMITTING", LATER, {"epoch": 1}, None) is True
    assert await orders.db.fetchval(move, order, None, "OPEN", LATER, None, "ex-1") is True
    assert await orders.db.fetchval(move, order, "SUBMITTING", "REJECTED", LATER, None, None) is False, "gone elsewhere"
    assert await orders.db.fetchval(move, order, None, "OPEN", LATER, None, "ex-2") is False, "stands there already"
    assert await orders.db.fetchval(move, uuid4(), None, "OPEN", LATER, None, None) is False, "no such order"
    with pytest.raises(ConstraintViolated, match="the move from OPEN to NEW is not legal"):
        await orders.db.fetchval(move, order, None, "NEW", LATER, None, None)
    await orders.db.execute("UPDATE orders SET metadata = '{}'")  # no step, no event
    await orders.db.execute("SELECT set_step_cause('nobody', '{}')")  # forgotten with its transaction
    await set_status(orders.db, order, S.CANCELED)
    rows = await orders.db.fetch(
        "SELECT event_type, from_status, to_status, source, payload FROM order_events ORDER BY id"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("created", None, "NEW", "order_executor", {}),
        ("status_changed", "NEW", "SUBMITTING", "venue", {"epoch": 1}),
        ("status_changed", "SUBMITTING", "OPEN", "venue", {}),
        ("status_changed", "OPEN", "CANCELED", "database", {}),
    ]
    assert (await orders.row(order))["exchange_order_id"] == "ex-1"
    with pytest.raises(DatabaseError, match="append-only"):
        await orders.db.execute("DELETE FROM order_events")


# --- sending ---


async def test_an_order_is_sent_once_approved_in_time_under_the_lease_and_not_halted(orders: Orders) -> None:
    desk, send_by = orders.desk, START + timedelta(seconds=5)

    async def send(order: UUID, at: datetime = START, epoch: int = desk.lease.epoch, role: str = ROLE) -> Any:
        return await orders.db.fetchval("SELECT begin_send($1, $2, $3, $4, $5)", order, at, send_by, role, epoch)

    async def approved(**options: Any) -> UUID:
        event = await desk.approve(**options)
        async with orders.db.transaction() as tx:
            order = await ExecutorPostgresDatabase().create_order(tx, event.approval, at=START)
        assert order is not None
        return order

    first = await approved()
    for passed in ({"epoch": desk.lease.epoch + 1}, {"role": "somebody"}):
        with pytest.raises(LeaseLost):
            await send(first, **passed)
    assert await send(uuid4()) == "not_new"
    assert await send(await orders.new()) == "not_approved"
    assert (await orders.row(first))["status"] == "NEW", "none of that moved anything"
    assert await send(first) == "send"
    row = await orders.row(first)
    assert (row["status"], row["signed_at"], row["send_by"]) == ("SUBMITTING", START, send_by)
    assert await send(first) == "not_new"
    for change in ("signed_at = signed_at + interval '1 second'", "send_by = NULL"):
        with pytest.raises(ConstraintViolated, match="it was signed once"):
            await orders.db.execute(f"UPDATE orders SET {change} WHERE id = $1", first)

    on_time, late = await approved(valid_for_s=3), await approved(valid_for_s=3)
    assert await send(on_time, at=START + timedelta(seconds=3)) == "send"
    assert await send(late, at=START + timedelta(seconds=3, microseconds=1)) == "expired"
    assert (await orders.row(late))["status"] == "EXPIRED"

    named = {"account": desk.account.id, "strategy": desk.strategy_id, "instrument": desk.instrument.id}
    for scope in ("global", *(f"{kind}:{id}" for kind, id in named.items())):
        await orders.db.fetchval("SELECT halt_trading($1, 'test', 'test', $2)", scope, START)
        entry, exit_ = await approved(), await approved()
        await orders.db.execute("UPDATE orders SET reduces = true WHERE id = $1", exit_)
        assert (await send(entry), await send(exit_)) == ("halted", "send"), scope
        assert (await orders.row(entry))["status"] == "CANCELED"
        await orders.db.fetchval("SELECT resume_trading($1, 'test', 'test', $2)", scope, START)
    locked = (await orders.balances())["USDT"][1]
    assert locked == 6 * Decimal("50.5"), "what was refused gave its capital back, what was sent keeps it"


# --- what a fill does ---


async def test_a_position_after_a_fill(orders: Orders) -> None:
    """Held, cost, quantity, price, base fee, quote fee; then held, cost and realised."""
    cases: dict[str, tuple[str, list[Any], list[Any]]] = {
        "a buy costs its fee": ("BUY", [0, 0, 2, 100, 0, 1], [2, 201, 0]),
        "a fee in the base is not held": ("BUY", [1, 90, 2, 100, "0.1", 0], ["2.9", 290, 0]),
        "a part realises its share of the cost": ("SELL", [2, 202, 1, 110, 0, 1], [1, 101, 8]),
        "all of it leaves nothing": ("SELL", [2, 202, 2, 110, 0, 0], [0, 0, 18]),
        "an excess realises nothing but its fee": ("SELL", [1, 100, 4, 110, 0, 2], [0, 0, 8]),
        "a sale of nothing realises nothing": ("SELL", [0, 0, 1, 110, 0, 2], [0, 0, 0]),
        "a base fee leaves a position too": ("SELL", [2, 200, 1, 110, 1, 0], [0, 0, -90]),
        "thirds lose nothing": ("SELL", [3, 100, 1, 40, 0, 0], [2, "66.6666666666666667", "6.6666666666666667"]),
        "dust costs nothing": ("BUY", [0, 0, "1e-12", "1e-10", 0, 0], ["1e-12", 0, 0]),
    }
    for name, (side, before, after) in cases.items():
        call = "SELECT * FROM position_after_fill($1, $2, $3, $4, $5, $6, $7)"
        row = await orders.db.fetchrow(call, side, *map(Decimal, before))
        assert row is not None
        assert tuple(row.values()) == tuple(map(Decimal, after)), name


async def test_partial_fills_add_up_to_their_order(orders: Orders) -> None:
    order = await orders.new(quantity=1, reserve=101)
    await orders.bring(order, S.OPEN)
    first = await orders.fill(order, "0.4", 100, commission=Decimal("0.04"))
    assert (first.outcome, first.status, first.position_quantity) == ("applied", S.PARTIALLY_FILLED, Decimal("0.4"))
    assert await orders.balances() == {"BTC": (Decimal("0.4"), 0), "USDT": (9899, Decimal("60.96"))}
    second = await orders.fill(order, "0.6", 90, commission=Decimal("0.06"))
    assert (second.status, second.position_entry_price) == (S.FILLED, Decimal("94.1"))
    row = await orders.row(order)
    assert (row["filled_quantity"], row["avg_fill_price"], row["commission"]) == (1, 94, Decimal("0.10"))
    assert await orders.balances() == {"BTC": (1, 0), "USDT": (Decimal("9905.90"), 0)}, "the unused part is free again"
    assert await orders.position() == (1, Decimal("94.1"), Decimal("94.1"))
    assert await orders.desk.problems() == []


async def test_a_fee_is_paid_in_its_own_asset_and_what_exceeds_a_reservation_from_what_is_free(orders: Orders) -> None:
    fee = Decimal("0.001")
    for asset, held, cost in (("BTC", 1 - fee, 100), ("USDT", 2 - fee, 200 + fee), ("BNB", 3 - fee, 300 + fee)):
        await orders.fill(await orders.new(reserve=50), 1, 100, commission=fee, commission_asset=asset)
        assert (await orders.position())[:2] == (held, cost), "a third asset without a price is no cost"
        assert await orders.desk.problems() == []
    assert await orders.balances() == {"BTC": (3 - fee, 0), "USDT": (9700 - fee, 0), "BNB": (-fee, 0)}
    await orders.fill(await orders.new("SELL", reserve="0.5"), 1, 100, commission=fee, commission_asset="BTC")
    assert await orders.balances() == {"BTC": (2 - 2 * fee, 0), "USDT": (9800 - fee, 0), "BNB": (-fee, 0)}
    assert await orders.desk.problems() == []


@pytest.mark.parametrize(("symbol", "close", "rate"), [("BNB/USDT", 250.0, "250"), ("USDT/BNB", 0.004, "250")])
async def test_a_fee_in_a_third_asset_counts_at_what_it_was_worth(
    orders: Orders, symbol: str, close: float, rate: str
) -> None:
    """commission_rate, by either side of a market of the two."""
    await orders.trades_at(symbol, close)
    fee = Decimal("0.001")
    await orders.fill(await orders.new(reserve=150), 1, 100, commission=fee, commission_asset="BNB")
    assert await orders.position() == (1, Decimal("100.25"), Decimal("100.25"))
    sold = await orders.fill(await orders.new("SELL", reserve=1), 1, 120, commission=fee, commission_asset="BNB")
    assert sold.realized_pnl == Decimal("19.5")
    assert await orders.balances() == {"BTC": (0, 0), "USDT": (10_020, 0), "BNB": (-2 * fee, 0)}, "paid in BNB alone"
    assert await orders.db.fetchval("SELECT array_agg(DISTINCT commission_rate) FROM trades") == [Decimal(rate)]
    assert await orders.db.fetchval("SELECT sum(fees) FROM strategy_trades") == Decimal("0.5")
    assert await orders.db.fetchval("SELECT sum(realized) FROM fifo_lots()") == Decimal("19.5")
    assert await orders.desk.problems() == []


async def test_a_fill_told_again_is_a_duplicate_and_other_numbers_are_a_conflict(orders: Orders) -> None:
    order, other = await orders.new(), await orders.new()
    same = {"exchange_trade_id": "t", "exchange_order_id": f"ex-{order}"}
    await orders.fill(order, "0.5", **same)
    before = await orders.balances()
    assert (await orders.fill(order, "0.5", **same)).outcome == "duplicate"
    for quantity, price, fee in (("0.6", 100, 0), ("0.5", 101, 0), ("0.5", 100, 1)):
        assert (await orders.fill(order, quantity, price, commission=Decimal(fee), **same)).outcome == "conflict"
    assert (await orders.fill(other, "0.5", **same)).outcome == "conflict", "another order's fill"
    assert (await orders.fill(uuid4(), "0.5")).outcome == "unknown_order"
    assert await orders.balances() == before
    assert (await orders.fill(order, "0.5")).outcome == "applied"


async def test_a_fill_of_no_amount_is_refused_whole(orders: Orders) -> None:
    order = await orders.new()
    for bad in ({"quantity": 0}, {"price": 0}, {"quantity": -1}, {"commission": Decimal("1e-19")}, {"price": "NaN"}):
        with pytest.raises((ConstraintViolated, BadData), match=r"trades_fill|quantity_is|limit is 18|not a finite"):
            await orders.fill(order, **{"quantity": 1} | bad)
    assert await orders.db.fetchval("SELECT count(*) FROM trades") == 0
    assert (await orders.row(order))["status"] == "NEW"


async def test_a_fill_is_the_venues_word_wherever_the_order_stands(orders: Orders) -> None:
    """Also of orders still NEW and of final ones, and beyond what was ordered."""
    for stands in S:
        order = await orders.new(quantity=1, reserve=200)
        if stands in (S.PARTIALLY_FILLED, S.FILLED):
            await orders.fill(order, "0.1" if stands is S.PARTIALLY_FILLED else 1)
        else:
            await orders.bring(order, stands)
        before = await orders.row(order)
        first = await orders.fill(order, "0.5")
        keeps = stands in (S.PENDING_CANCEL, S.PENDING_REPLACE, S.FILLED)
        assert first.status is (stands if keeps else S.PARTIALLY_FILLED)
        assert (await orders.fill(order, "0.7")).status is S.FILLED
        after = await orders.row(order)
        assert after["filled_quantity"] - before["filled_quantity"] == Decimal("1.2"), "booked as it happened"
        assert after["exchange_order_id"] == f"ex-{order}"
        bought = await orders.db.fetchval("SELECT sum(quantity) FROM trades")
        assert await orders.balances() == {"BTC": (bought, 0), "USDT": (10_000 - 100 * bought, 0)}, stands
    steps = await orders.db.fetchval("SELECT count(*) FROM order_events WHERE to_status = 'SUBMITTING'")
    assert steps == len(S), "an order we had not sent by our books passes SUBMITTING before its fill"
    assert await orders.desk.problems() == []


async def test_a_sale_beyond_the_position_realises_only_what_was_held(orders: Orders) -> None:
    await orders.fill(await orders.new(quantity=1), 1, 100)
    result = await orders.fill(await orders.new("SELL", 3), 3, 110)
    assert [result.realized_pnl, result.position_quantity, result.position_entry_price] == [10, 0, 100]
    assert await orders.position() is None
    assert await orders.balances() == {"BTC": (-2, 0), "USDT": (10_230, 0)}
    assert (await orders.fill(await orders.new("SELL"), 1, 110)).realized_pnl == 0
    assert await orders.db.fetchval("SELECT count(*) FROM strategy_positions") == 1
    returns = await orders.db.fetch("SELECT side, pnl, return_pct FROM strategy_trades ORDER BY executed_at, pnl DESC")
    assert [tuple(row.values()) for row in returns] == [("SELL", 10, 0.1), ("BUY", 0, None), ("SELL", 0, None)]
    assert await orders.desk.problems() == []


async def test_an_order_of_no_strategy_moves_money_and_no_position(orders: Orders) -> None:
    result = await orders.fill(await orders.new(strategy=False), 1)
    assert [result.outcome, result.strategy_id, result.position_quantity] == ["applied", None, 0]
    assert await orders.balances() == {"BTC": (1, 0), "USDT": (9900, 0)}
    for table in ("strategy_positions", "strategy_trades"):
        assert await orders.db.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await orders.desk.problems() == []


async def test_a_notional_of_more_than_18_decimals_is_rounded_the_same_everywhere(orders: Orders) -> None:
    order = await orders.new(quantity=Decimal("0.3000000000001"))
    await orders.fill(order, "0.3000000000001", "33.333333333333", commission=Decimal("0.1"), commission_asset="BTC")
    await orders.fill(await orders.new("SELL", 1), "0.1000000000001", "33.333333333331")
    assert await orders.desk.problems() == []


async def test_a_rebate_above_the_notional_stays_in_the_books(orders: Orders) -> None:
    await orders.fill(await orders.new(reserve=100, strategy=False), "0.01", 100, commission=Decimal(-5))
    assert await orders.desk.problems() == []


async def test_fills_of_many_orders_at_once_open_one_position_that_rebuilds(orders: Orders) -> None:
    made = [await orders.new(side, 1) for side in ("BUY", "BUY", "SELL") * 4]
    results = await asyncio.gather(*(orders.fill(order, 1, 90 + i) for i, order in enumerate(made)))
    assert {result.outcome for result in results} == {"applied"}
    assert await orders.db.fetchval("SELECT count(*) FROM strategy_positions WHERE status = 'open'") <= 1
    assert await orders.desk.problems() == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_after_any_sequence_of_fills_positions_and_balances_rebuild(orders: Orders, seed: int) -> None:
    chance = random.Random(seed)
    if seed > 1:
        await orders.trades_at("BNB/USDT", 251.7)
    for _ in range(25):
        side, quantity = chance.choice(["BUY", "BUY", "SELL"]), Decimal(chance.randint(1, 400)) / 997
        quantity = quantity.quantize(Decimal("1e-12"))
        price = Decimal(chance.randint(1, 10**6)).scaleb(-chance.randint(0, 6))
        order = await orders.new(side, quantity, strategy=chance.random() < 0.9)
        await orders.bring(order, chance.choice([S.NEW, S.OPEN, S.UNKNOWN, S.PENDING_CANCEL, S.CANCELED]))
        left = quantity
        while left > 0 and chance.random() < 0.9:
            part = min(left, (quantity * chance.randint(1, 10) / 10).quantize(Decimal("1e-12")) or left)
            fee = (part * chance.randint(-1, 5) / 1000).quantize(Decimal("1e-15"))
            asset = chance.choice(["BTC", "USDT", "BNB"])
            await orders.fill(order, part, price, commission=fee, commission_asset=asset)
            left -= part
    assert await orders.db.fetchval("SELECT count(*) FROM trades") > 20
    assert await orders.db.fetchval("SELECT bool_and(is_equal) FROM rebuild_positions()") is True
    assert await orders.desk.problems() == []


async def test_every_step_keeps_the_hash_of_what_caused_it(orders: Orders) -> None:
    """payload_hash, which nobody can write."""
    order = await orders.new()
    await orders.bring(order, S.OPEN)
    await orders.fill(order, 1, commission=Decimal("0.1"), commission_asset="Ł")
    rows = await orders.db.fetch("SELECT payload::text AS payload, payload_hash FROM order_events")
    assert len(rows) == 4
    for row in rows:
        assert row["payload_hash"] == hashlib.sha256(row["payload"].encode()).digest()
    with pytest.raises(DatabaseError, match="generated"):
        await orders.db.execute(
            "INSERT INTO order_events (order_id, event_type, source, occurred_at, payload_hash) "
            "VALUES ($1, 'note', 'x', now(), 'x')",
            order,
        )
