"""Swaps from a signal to the book: judged, reserved, filled, marked, protected and given up, on both sides."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from mastertrade.domain.events import OrderApproved, OrderFilled, SignalRaised
from mastertrade.domain.orders import Fill, Side, Terms
from mastertrade.domain.strategy import SignalType
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.steps import Book
from mastertrade.order_executor.writing import order_filled
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.risk_seed import PRICE, START, VENUE, Office, open_office

pytestmark = pytest.mark.asyncio
SYMBOL = "BTC/USDT:USDT"
BUY, SELL = SignalType.BUY, SignalType.SELL
EXECUTOR = ExecutorPostgresDatabase()


@pytest.fixture
async def pit(database: PostgresManager) -> Office:
    """An office whose account is for swaps at two times, on the swap of bitcoin."""
    office = await open_office(database)
    swap = await database.fetchval(
        """INSERT INTO instruments (venue, symbol, base, quote, kind, settle, tick_size, lot_size, min_notional,
                                    maker_fee, taker_fee)
           VALUES ($1, $2, 'BTC', 'USDT', 'swap', 'USDT', 0.1, 0.001, 5, 0.0002, 0.0005) RETURNING id""",
        VENUE,
        SYMBOL,
    )
    account = uuid4()
    await database.execute(
        "INSERT INTO accounts (id, name, venue, kind, leverage) VALUES ($1, 'pit', $2, 'swap', 2)", account, VENUE
    )
    found = replace(office, account_id=account, btc=swap)
    await found.hold("USDT", "100000")
    await found.candle(PRICE)
    await price(found, PRICE)
    return found


async def price(pit: Office, close: float) -> None:
    """A candle of the swap that closes now, and the book at it."""
    await pit.candle(close, instrument_id=pit.btc)
    await pit.manager.execute("SELECT mark_book($1, $2)", [VENUE], pit.clock.now())


async def approved(pit: Office, type_: SignalType, **changes: Any) -> OrderApproved:
    event = await pit.raise_signal(type_, symbol=SYMBOL, **changes)
    answer = await pit.judge(event)
    assert isinstance(answer, OrderApproved), (await pit.verdict(event))["reason"]
    return answer


async def filled(pit: Office, answer: OrderApproved, at_price: float = PRICE, *, fee: str = "0") -> OrderFilled:
    """The order of an approval, filled whole, booked, and heard of by the risk manager."""
    order = await pit.order_of(answer, status="OPEN")
    await pit.manager.execute("UPDATE orders SET symbol = $2 WHERE id = $1", order, SYMBOL)
    told = answer.approval
    fill = Fill(
        client_order_id=str(order), exchange_order_id=f"v{order}", exchange_trade_id=f"t{order}", symbol=SYMBOL,
        side=told.side, quantity=told.quantity, price=Decimal(repr(at_price)), commission=Decimal(fee),
        commission_asset="USDT", is_maker=False, trade_time=pit.clock.now(),
    )  # fmt: skip
    step = Book(account_id=pit.account_id, fill=fill, fill_id=uuid4(), at=pit.clock.now())
    async with pit.manager.transaction() as tx:
        (outcome,) = await EXECUTOR.apply_fills(tx, [step])
    event = order_filled(step, outcome)
    async with pit.manager.transaction() as tx:
        await pit.risk.on_order_filled(event, tx)
    return event


async def trade(pit: Office, type_: SignalType, at_price: float = PRICE, **changes: Any) -> OrderFilled:
    """What a signal becomes; later ones are of later bars."""
    pit.clock.advance(pit.clock.now() + timedelta(minutes=1))
    await price(pit, at_price)
    return await filled(pit, await approved(pit, type_, price=at_price, **changes), at_price)


async def book(pit: Office) -> list[tuple[Any, ...]]:
    rows = await pit.manager.fetch(
        "SELECT side, status, quantity, realized_pnl FROM risk_positions ORDER BY created_at"
    )
    return [tuple(row.values()) for row in rows]


async def stops(pit: Office) -> list[tuple[Any, ...]]:
    rows = await pit.manager.fetch("SELECT side, status, stop_price > entry_price FROM stop_losses ORDER BY created_at")
    return [tuple(row.values()) for row in rows]


async def equity(pit: Office) -> Decimal:
    found: Decimal = await pit.manager.fetchval("SELECT account_equity($1, $2)", pit.account_id, pit.clock.now())
    return found


async def problems(pit: Office) -> list[object]:
    return list(await EXECUTOR.ledger_problems(pit.manager))


async def test_a_short_gains_when_the_price_falls_and_is_protected_above(pit: Office) -> None:
    fill = await trade(pit, SELL)
    assert fill.position_quantity < 0
    quantity = -fill.position_quantity
    assert await equity(pit) == 100_000
    free, locked = await pit.balance()
    assert (free + locked, locked) == (100_000, quantity * 25_000)
    assert await book(pit) == [("short", "open", quantity, 0)]
    assert await stops(pit) == [("short", "active", True)]
    pit.clock.advance(pit.clock.now() + timedelta(minutes=1))
    await price(pit, 49_000)
    assert await equity(pit) == 100_000 + quantity * 1_000
    marked = await pit.manager.fetchval("SELECT unrealized_pnl FROM risk_positions")
    assert marked == quantity * 1_000
    assert await problems(pit) == []


async def test_an_exit_of_a_short_buys_it_back_and_ends_its_stop(pit: Office) -> None:
    opened = await trade(pit, SELL)
    closed = await trade(pit, BUY, 49_000, terms=Terms(reduce_only=True))
    assert (closed.position_quantity, closed.realized_pnl) == (0, -opened.position_quantity * 1_000)
    assert await book(pit) == [("short", "closed", 0, closed.realized_pnl)]
    assert await stops(pit) == [("short", "cancelled", True)]
    assert await pit.balance() == (100_000 + closed.realized_pnl, 0)
    assert await problems(pit) == []


async def test_a_turned_position_has_one_row_and_one_stop_of_each_side(pit: Office) -> None:
    long = await trade(pit, BUY)
    short = await trade(pit, SELL, 51_000, turns=True)
    assert short.quantity > long.quantity
    assert short.position_quantity == long.quantity - short.quantity
    assert await book(pit) == [
        ("long", "closed", 0, long.quantity * 1_000), ("short", "open", -short.position_quantity, 0)
    ]  # fmt: skip
    assert await stops(pit) == [("long", "cancelled", False), ("short", "active", True)]
    assert await problems(pit) == []


async def test_a_stop_above_a_short_is_hit_by_a_rising_market_and_buys_it_back(pit: Office) -> None:
    await trade(pit, SELL)
    pit.clock.advance(pit.clock.now() + timedelta(minutes=1))
    await price(pit, 60_000)
    candle = await pit.manager.fetchrow(
        "SELECT * FROM candles WHERE instrument_id = $1 ORDER BY open_time DESC LIMIT 1", pit.btc
    )
    assert candle is not None
    await pit.manager.execute("UPDATE stop_losses SET created_at = $1", START)
    stop = await pit.manager.fetchval("SELECT stop_price FROM stop_losses")
    assert 50_000 < stop < 60_000
    await pit.manager.execute(
        "SELECT want_exit(account_id, strategy_id, instrument_id, 'stop', 'hit', 'test', $1) FROM risk_positions",
        pit.clock.now(),
    )
    before = len(pit.bus.events)
    async with pit.manager.transaction() as tx:
        assert await pit.risk._exits.ask(tx, at=pit.clock.now(), timeframe_s=60) == 1
    (raised,) = [one for one in pit.bus.events[before:] if isinstance(one, SignalRaised)]
    assert (raised.signal.type, raised.signal.terms.reduce_only) == (BUY, True)
    answer = await pit.judge(raised)
    assert isinstance(answer, OrderApproved)
    assert (answer.approval.side, answer.approval.reduces) == (Side.BUY, True)
    done = await filled(pit, answer, 60_000)
    assert done.position_quantity == 0
    assert done.realized_pnl < 0
    assert await problems(pit) == []


async def test_what_positions_have_lost_is_no_longer_free(pit: Office) -> None:
    await trade(pit, BUY)
    pit.clock.advance(pit.clock.now() + timedelta(minutes=1))
    await price(pit, 45_000)
    free, _ = await pit.balance()
    event = await pit.raise_signal(BUY, symbol=SYMBOL, price=45_000.0)
    await pit.judge(event)
    inputs = await pit.manager.fetchval(
        "SELECT i.inputs FROM verdict_inputs i JOIN verdicts v ON v.id = i.verdict_id WHERE v.signal_id = $1",
        event.signal.id,
    )
    quantity = await pit.manager.fetchval("SELECT quantity FROM contract_positions")
    case = inputs["case"]
    assert Decimal(case["quote_free"]) == free - quantity * 5_000
    assert Decimal(case["position_quantity"]) == Decimal(case["base_held"]) == quantity
    assert Decimal(case["equity"]) == 100_000 - quantity * 5_000


async def test_money_reserved_for_a_swap_counts_as_what_it_will_carry(pit: Office) -> None:
    """Margin set aside for an order that has not filled yet is exposure times the leverage."""
    first = await approved(pit, BUY)
    other = replace(pit, strategy_id=(await pit.another_strategy()).strategy_id)
    event = await other.raise_signal(BUY, symbol=SYMBOL)
    await other.judge(event)
    notional = first.approval.quantity * Decimal(50_000)
    inputs = await pit.manager.fetchval(
        "SELECT i.inputs FROM verdict_inputs i JOIN verdicts v ON v.id = i.verdict_id WHERE v.signal_id = $1",
        event.signal.id,
    )
    pending = Decimal(inputs["case"]["pending_buys"])
    assert notional < pending < notional * Decimal("1.02")


async def test_another_strategy_may_not_trade_against_the_account(pit: Office) -> None:
    await trade(pit, BUY)
    other = await pit.another_strategy()
    event = await other.raise_signal(SELL, symbol=SYMBOL)
    await other.judge(event)
    check = await other.check(event, "one_direction")
    assert check["passed"] is False
    assert await other.manager.fetchval("SELECT count(*) FROM approvals WHERE strategy_id = $1", other.strategy_id) == 0


async def test_funding_is_a_loss_and_not_money_that_was_taken_out(pit: Office) -> None:
    await trade(pit, BUY)
    mark = "SELECT high_water_mark, day_start_equity FROM account_marks WHERE account_id = $1"
    before = await pit.manager.fetchrow(mark, pit.account_id)
    paid = pit.clock.now() + timedelta(seconds=30)
    call = "SELECT apply_funding($1, $2, $3, 'p1', 'USDT', -40, $4, $4)"
    assert await pit.manager.fetchval(call, UUID(int=9), pit.account_id, SYMBOL, paid) == "applied"
    pit.clock.advance(pit.clock.now() + timedelta(minutes=1))
    await price(pit, PRICE)
    assert await equity(pit) == 100_000 - 40
    assert await pit.manager.fetchrow(mark, pit.account_id) == before
    assert await problems(pit) == []
