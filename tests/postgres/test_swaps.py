"""Perpetual swaps in our books: contracts, margin, realised profit and funding, by fills of longs, shorts and turns."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from mastertrade.domain.market import InstrumentKind
from mastertrade.domain.orders import Environment, Fill, FundingPayment, Side
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.steps import INFERRED, THE_VENUE, Book, FillOutcome
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id
from tests.postgres.executor_seed import START

pytestmark = pytest.mark.asyncio
SYMBOL = "BTC/USDT:USDT"
DATABASE = ExecutorPostgresDatabase()


def d(value: object) -> Decimal:
    return Decimal(str(value))


@dataclass
class Pit:
    """An account for swaps with two times leverage, and strategies that trade on it."""

    db: PostgresManager
    account: UUID
    instrument: int
    numbers: "count[int]" = field(default_factory=count)

    async def strategy(self, name: str) -> UUID:
        id = new_id(START)
        await self.db.execute(
            "INSERT INTO strategies (id, name, type, template) VALUES ($1, $2, 'SMA', 'ma_cross')", id, name
        )
        return id

    async def order(self, side: str, quantity: object, strategy: UUID | None, *, reserve: object = 0) -> UUID:
        id, reservation = uuid4(), uuid4()
        call = "SELECT reserve_balance($1, $2, 'USDT', $3, $4)"
        assert await self.db.fetchval(call, reservation, self.account, d(reserve), START)
        await self.db.execute(
            "INSERT INTO orders (id, client_order_id, symbol, order_type, account_id, instrument_id, strategy_id,"
            " reservation_id, side, quantity, order_time)"
            " VALUES ($1, $1::uuid::text, $8, 'MARKET', $2, $3, $4, $5, $6, $7, $9)",
            id, self.account, self.instrument, strategy, reservation, side, d(quantity), SYMBOL, START,
        )  # fmt: skip
        return id

    async def fill(
        self, order: UUID, side: str, quantity: object, price: object, *, fee: object = 0, at: datetime = START,
        trade: str = "", source: str = THE_VENUE, told: object = None, asset: str = "USDT",
    ) -> FillOutcome:  # fmt: skip
        fill = Fill(
            client_order_id=str(order), exchange_order_id=f"ex-{order}",
            exchange_trade_id=trade or f"t{next(self.numbers)}", symbol=SYMBOL, side=Side(side), quantity=d(quantity),
            price=d(price), commission=d(fee), commission_asset=asset, is_maker=False, trade_time=at,
            realized_pnl=None if told is None else d(told),
        )  # fmt: skip
        async with self.db.transaction() as tx:
            step = Book(account_id=self.account, fill=fill, fill_id=uuid4(), at=at, source=source)
            (outcome,) = await DATABASE.apply_fills(tx, [step])
        return outcome

    async def trade(self, side: str, quantity: object, price: object, strategy: UUID, **more: Any) -> FillOutcome:
        return await self.fill(await self.order(side, quantity, strategy), side, quantity, price, **more)

    async def fund(self, amount: object, at: datetime, id: str = "f1") -> str:
        payment = FundingPayment(payment_id=id, symbol=SYMBOL, asset="USDT", amount=d(amount), paid_at=at)
        async with self.db.transaction() as tx:
            (outcome,) = await DATABASE.apply_funding(tx, self.account, [payment], [new_id(at)], at=at)
        return outcome

    async def wallet(self) -> tuple[Decimal, Decimal]:
        """Free and locked."""
        row = await self.db.fetchrow(
            "SELECT free_balance, locked_balance FROM portfolio_balances WHERE account_id = $1 AND asset = 'USDT'",
            self.account,
        )
        assert row is not None
        return row["free_balance"], row["locked_balance"]

    async def contracts(self) -> tuple[Any, ...]:
        row = await self.db.fetchrow("SELECT quantity, cost, realized, margin FROM contract_positions")
        assert row is not None
        return tuple(row.values())

    async def positions(self) -> list[tuple[Any, ...]]:
        rows = await self.db.fetch(
            "SELECT side, status, quantity, cost, entry_price, realized_pnl, funding FROM strategy_positions"
            " ORDER BY opened_at, status"
        )
        return [tuple(row.values()) for row in rows]

    async def problems(self) -> list[object]:
        return list(await DATABASE.ledger_problems(self.db))


@pytest.fixture
async def pit(database: PostgresManager) -> Pit:
    await database.execute("INSERT INTO venues (id) VALUES ('simulated') ON CONFLICT DO NOTHING")
    instrument = await database.fetchval(
        "INSERT INTO instruments (venue, symbol, base, quote, kind, settle, tick_size, lot_size, min_notional,"
        " maker_fee, taker_fee) VALUES ('simulated', $1, 'BTC', 'USDT', 'swap', 'USDT', 0.01, 0.001, 5, 0.0002, 0.0005)"
        " RETURNING id",
        SYMBOL,
    )
    account = await DATABASE.create_account(
        database, name="pit", venue="simulated", environment=Environment.PAPER, quote_asset="USDT",
        kind=InstrumentKind.SWAP, leverage=d(2),
    )  # fmt: skip
    await DATABASE.deposit(database, account.id, asset="USDT", amount=d(1000), source_key="test", at=START)
    return Pit(database, account.id, instrument)


async def test_a_short_locks_margin_and_realises_what_the_price_fell(pit: Pit) -> None:
    strategy = await pit.strategy("one")
    order = await pit.order("SELL", 2, strategy, reserve="101")
    assert await pit.wallet() == (d(899), d(101))
    opened = await pit.fill(order, "SELL", 2, 100, fee="0.1")
    assert (opened.position_quantity, opened.position_entry_price) == (d(-2), d("99.95"))
    assert await pit.wallet() == (d("899.9"), d(100)), "the margin of 200 at two times, and the fee"
    assert await pit.contracts() == (d(-2), d(-200), d(0), d(100))
    closed = await pit.trade("BUY", 2, 90, strategy, fee="0.09")
    assert closed.realized_pnl == d("19.81"), "20 less both fees"
    assert await pit.wallet() == (d("1019.81"), d(0))
    assert await pit.contracts() == (d(0), d(0), d(20), d(0))
    assert await pit.positions() == [("short", "closed", d(0), d(0), d("99.95"), d("19.81"), d(0))]
    assert await pit.problems() == []


async def test_one_fill_closes_a_long_and_opens_the_short_beyond_it(pit: Pit) -> None:
    strategy = await pit.strategy("one")
    await pit.trade("BUY", 1, 100, strategy)
    turned = await pit.trade("SELL", 3, 110, strategy, fee="0.3", at=START + timedelta(minutes=1))
    assert (turned.realized_pnl, turned.position_quantity) == (d("9.9"), d(-2)), "a third of the fee closed the long"
    assert await pit.positions() == [
        ("long", "closed", d(0), d(0), d(100), d("9.9"), d(0)),
        ("short", "open", d(2), d("-219.8"), d("109.9"), d(0), d(0)),
    ]
    assert await pit.wallet() == (d("899.7"), d(110))
    assert await pit.problems() == []


async def test_the_wallet_follows_the_account_and_profit_the_strategy(pit: Pit) -> None:
    """The venue counts one position for all: it realises at the average of both."""
    one, two = await pit.strategy("one"), await pit.strategy("two")
    await pit.trade("BUY", 1, 100, one)
    await pit.trade("BUY", 1, 120, two)
    sold = await pit.trade("SELL", 1, 120, two)
    assert sold.realized_pnl == 0
    assert await pit.contracts() == (d(1), d(110), d(10), d(55))
    assert await pit.wallet() == (d(955), d(55))
    assert await pit.problems() == []


async def test_what_the_venue_says_it_realised_goes_into_the_wallet(pit: Pit) -> None:
    strategy = await pit.strategy("one")
    await pit.trade("BUY", 3, 100, strategy)
    sold = await pit.trade("SELL", 3, 101, strategy, told="2.99999999")
    assert sold.realized_pnl == 3
    assert await pit.wallet() == (d("1002.99999999"), d(0))
    assert await pit.problems() == []


async def test_a_loss_may_take_the_free_balance_below_nothing(pit: Pit) -> None:
    strategy = await pit.strategy("one")
    await pit.trade("BUY", 20, 100, strategy)
    assert await pit.wallet() == (d(0), d(1000))
    await pit.trade("SELL", 10, 10, strategy)
    assert await pit.wallet() == (d(-400), d(500))
    assert await pit.problems() == []


async def test_funding_is_booked_once_for_the_positions_of_that_time(pit: Pit) -> None:
    one, two = await pit.strategy("one"), await pit.strategy("two")
    later = START + timedelta(hours=8)
    await pit.trade("BUY", 1, 100, one)
    await pit.trade("BUY", 2, 100, two)
    await pit.trade("SELL", 1, 100, one, at=later + timedelta(minutes=1))
    assert await pit.fund("-0.1", later) == "applied"
    assert await pit.fund("-0.1", later) == "duplicate"
    assert await pit.fund("-0.2", later) == "conflict"
    held = await pit.positions()
    parts = sorted(row[-1] for row in held)
    assert parts == [d("-0.066666666666666667"), d("-0.033333333333333333")], "to the last digit"
    assert sum(parts) == d("-0.1")
    assert sum(await pit.wallet()) == d("999.9")
    payment = FundingPayment(payment_id="x", symbol="ETH/USDT:USDT", asset="USDT", amount=d(1), paid_at=later)
    async with pit.db.transaction() as tx:
        assert await DATABASE.apply_funding(tx, pit.account, [payment], [uuid4()], at=later) == ["unknown_market"]
    assert await pit.problems() == []
    lines = await pit.db.fetch(
        "SELECT account, asset, amount FROM ledger_lines JOIN ledger_entries e ON e.id = entry_id"
        " WHERE e.kind = 'funding' ORDER BY line"
    )
    assert [tuple(row.values()) for row in lines] == [
        ("asset:margin", "USDT", d("-0.1")), ("income:funding", "USDT", d("0.1"))
    ]  # fmt: skip


async def test_funding_that_came_when_nothing_was_held_is_money_all_the_same(pit: Pit) -> None:
    assert await pit.fund("0.5", START) == "applied"
    assert sum(await pit.wallet()) == d("1000.5")
    assert await pit.problems() == []


async def test_a_commission_in_a_third_asset_leaves_a_wallet_of_its_own(pit: Pit) -> None:
    strategy = await pit.strategy("one")
    await DATABASE.deposit(pit.db, pit.account, asset="BNB", amount=d(1), source_key="bnb", at=START)
    await pit.trade("BUY", 1, 100, strategy, fee="0.001", asset="BNB")
    left = await pit.db.fetchval("SELECT free_balance FROM portfolio_balances WHERE asset = 'BNB'")
    assert left == d("0.999")
    assert await pit.wallet() == (d(950), d(50))
    assert await pit.problems() == []


async def test_a_liquidation_takes_the_position_from_the_strategy_that_held_it(pit: Pit) -> None:
    strategy = await pit.strategy("one")
    await pit.trade("SELL", 5, 100, strategy)
    adopted = "SELECT adopt_order($1, $2, 'autoclose-1', 'v9', $3, 5, NULL, 'external', $4)"
    assert await pit.db.fetchval(adopted, pit.account, SYMBOL, "BUY", START) == pit.instrument
    await pit.db.execute("UPDATE orders SET client_order_id = client_order_id WHERE client_order_id = 'autoclose-1'")
    fill = Fill(
        client_order_id="autoclose-1", exchange_order_id="v9", exchange_trade_id="l1", symbol=SYMBOL, side=Side.BUY,
        quantity=d(5), price=d(190), commission=d(1), commission_asset="USDT", is_maker=False, trade_time=START,
    )  # fmt: skip
    async with pit.db.transaction() as tx:
        step = Book(account_id=pit.account, fill=fill, fill_id=uuid4(), at=START)
        (outcome,) = await DATABASE.apply_fills(tx, [step])
    assert (outcome.strategy_id, outcome.position_quantity, outcome.realized_pnl) == (strategy, d(0), d(-451))
    assert await pit.wallet() == (d(549), d(0))
    assert await pit.problems() == []


async def test_a_fill_told_twice_books_once_and_only_a_swap_wallet_reserves_nothing(pit: Pit) -> None:
    strategy = await pit.strategy("one")
    order = await pit.order("BUY", 2, strategy, reserve=100)
    for outcome in ("applied", "duplicate"):
        assert (await pit.fill(order, "BUY", 1, 100, trade="t")).outcome == outcome
    assert await pit.wallet() == (d(900), d(100)), "half is reserved, and half is margin"
    await pit.db.execute("UPDATE orders SET status = 'CANCELED', update_time = $1", START)
    assert await pit.wallet() == (d(950), d(50))
    assert await pit.problems() == []


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_trades_the_books_rebuild_and_inferred_fills_leave_no_trace(pit: Pit, seed: int) -> None:
    rng = random.Random(seed)
    strategies = [await pit.strategy(name) for name in "ab"]
    truth, cash = {one: Decimal(0) for one in strategies}, d(1000)
    held, cost = Decimal(0), Decimal(0)
    for number in range(30):
        strategy = rng.choice(strategies)
        side, quantity, price = rng.choice(("BUY", "SELL")), d(rng.randint(1, 5)), d(rng.randint(80, 120))
        order, fee = await pit.order(side, quantity, strategy), quantity * price * d("0.0005")
        if rng.random() < 0.4:
            guessed = price + rng.randint(-3, 3)
            assert (
                await pit.fill(
                    order, side, quantity, guessed, trade=f"inferred:0:{quantity}", source=INFERRED,
                    at=START + timedelta(minutes=number),
                )
            ).outcome == "applied"  # fmt: skip
        await pit.fill(order, side, quantity, price, fee=fee, at=START + timedelta(minutes=number))
        change = quantity if side == "BUY" else -quantity
        truth[strategy] += change
        closed = min(abs(held), abs(change)) if held * change < 0 else Decimal(0)
        sign = 1 if held > 0 else -1
        if closed:
            average = cost / held
            cash += sign * closed * (price - average)
            cost -= sign * closed * average
        cost += (change - (-sign * closed)) * price
        held += change
        cash -= fee
    assert (await pit.contracts())[0] == held == sum(truth.values())
    assert abs(sum(await pit.wallet()) - cash) < d("1e-12")
    assert await pit.problems() == []


async def test_lots_of_shorts_and_turns_are_first_in_first_out(pit: Pit) -> None:
    strategy = await pit.strategy("one")
    for side, quantity, price, fee in (("SELL", 2, 100, "0.2"), ("SELL", 1, 110, 0), ("BUY", 4, 90, "0.4")):
        await pit.trade(side, quantity, price, strategy, fee=fee)
    rows = await pit.db.fetch(
        "SELECT quantity, cost, proceeds, realized, sale IS NULL AS is_held"
        " FROM fifo_lots() ORDER BY sale IS NULL, quantity"
    )
    assert [tuple(row.values()) for row in rows] == [
        (d(-2), d("-199.8"), d("-180.2"), d("19.6"), False),
        (d(-1), d(-110), d("-90.1"), d("19.9"), False),
        (d(1), d("90.1"), None, None, True),
    ], "contract_lots takes them in the order they were opened"
    await pit.trade("SELL", 1, 90, strategy)
    by_lots = await pit.db.fetchval("SELECT sum(realized) FROM fifo_lots()")
    assert by_lots == await pit.db.fetchval("SELECT sum(realized_pnl) FROM strategy_positions")
    assert await pit.problems() == []


async def test_the_parts_of_a_booking_say_what_they_do(pit: Pit) -> None:
    db = pit.db
    after = await db.fetchrow("SELECT * FROM contracts_after_fill(-2, -200, 3, 90, 0.3)")
    assert after is not None
    assert tuple(after.values()) == (d(1), d("90.1"), d("19.8"), d(-200)), "held, cost, realized, closed_cost"
    assert await db.fetchval("SELECT wallet_of($1)", pit.account) == "asset:margin"
    assert await db.fetchval("SELECT margin_for($1, -300)", pit.account) == 150
    assert await db.fetchval("SELECT signed_quantity('short', 2) + signed_quantity('long', 5)") == 3
    await db.execute("SELECT move_margin($1, 'USDT', -40, 40, $2)", pit.account, START)
    assert await pit.wallet() == (d(960), d(40))


async def test_contracts_that_were_tampered_with_do_not_rebuild(pit: Pit) -> None:
    """What book_contracts wrote, replay_contracts finds again, and settle_contracts would restore."""
    strategy = await pit.strategy("one")
    sold = await pit.trade("SELL", 2, 100, strategy)
    assert await pit.db.fetchval("SELECT bool_and(is_equal) FROM rebuild_contracts()") is True
    await pit.db.execute("UPDATE contract_positions SET quantity = -3, cost = -300")
    assert await pit.db.fetchval("SELECT bool_and(is_equal) FROM rebuild_contracts()") is False
    replayed = await pit.db.fetch("SELECT held, cost FROM replay_contracts($1, $2)", pit.account, pit.instrument)
    assert [tuple(row.values()) for row in replayed] == [(d(-2), d(-200))]
    settle = "SELECT settle_contracts($1, $2, 'USDT', $3, $4)"
    await pit.db.execute(settle, pit.account, pit.instrument, sold.order_id, START)
    assert await pit.contracts() == (d(-2), d(-200), d(0), d(100))
    assert await pit.problems() == []
