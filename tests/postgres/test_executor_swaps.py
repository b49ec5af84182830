"""An executor at a paper venue for swaps: shorts, settlements and liquidations reach our books, and nothing else."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.market import Candle, Instrument, InstrumentKind
from mastertrade.domain.orders import ORDINARY, ApprovedOrder, Environment, OrderType, Side, Terms
from mastertrade.exchanges.paper_swaps import FundingRate, PaperSwapVenue
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.postgres_database import Account, ExecutorPostgresDatabase
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.postgres.lease import Lease
from mastertrade.quant.costs import FREE
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id, to_json_object
from tests.postgres.executor_seed import ROLE, RecordingBus
from tests.postgres.swap_seed import BTC, INSTRUMENTS, MINUTE, START, KnownRules

pytestmark = pytest.mark.asyncio
DATABASE = ExecutorPostgresDatabase()
CASH = Decimal(10_000)
APPROVAL = """
CREATE FUNCTION approved(
    p_signal uuid, p_verdict uuid, p_reservation uuid, p_approval uuid, p_strategy uuid, p_account uuid,
    p_instrument int, p_symbol text, p_side text, p_quantity numeric, p_margin numeric, p_at timestamptz,
    p_until timestamptz, p_reduces boolean, p_terms jsonb
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO signals (id, strategy_id, account_id, instrument_id, symbol, signal_type, timeframe_s, bar_close,
                         confidence, price, timestamp, valid_until)
    VALUES (p_signal, p_strategy, p_account, p_instrument, p_symbol, p_side, 60, p_at, 75, 100, p_at, p_until);
    INSERT INTO verdicts (id, signal_id, disposition, requested_quantity, approved_quantity, reason, decided_at)
    VALUES (p_verdict, p_signal, 'approved', p_quantity, p_quantity, 'all checks passed', p_at);
    ASSERT reserve_balance(p_reservation, p_account, 'USDT', p_margin, p_at), 'nothing free';
    INSERT INTO approvals (id, verdict_id, signal_id, strategy_id, account_id, instrument_id, side, order_type,
                           quantity, reduces, reservation_id, approved_at, valid_until, terms)
    VALUES (p_approval, p_verdict, p_signal, p_strategy, p_account, p_instrument, p_side, 'MARKET', p_quantity,
            p_reduces, p_reservation, p_at, p_until, p_terms);
    RETURN true;
END $$;
"""
APPROVE = "SELECT approved($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"


@dataclass
class Bench:
    db: PostgresManager
    clock: ReplayClock
    venue: PaperSwapVenue
    executor: OrderExecutor
    account: Account
    instrument: Instrument
    strategy: UUID
    rules: KnownRules

    async def order(self, side: Side, quantity: str, *, terms: Terms = ORDINARY) -> UUID:
        """Approved and sent; it trades at the next bar's open."""
        now, reduces = self.clock.now(), terms.reduce_only
        until, ids = now + timedelta(seconds=30), [new_id(now) for _ in range(4)]
        margin = Decimal(0) if reduces else Decimal(quantity) * Decimal("10.2")
        await self.db.execute(
            APPROVE, *ids, self.strategy, self.account.id, self.instrument.id, BTC, side.value, Decimal(quantity),
            margin, now, until, reduces, to_json_object(terms),
        )  # fmt: skip
        approval = ApprovedOrder(
            approval_id=ids[3], verdict_id=ids[1], signal_id=ids[0], strategy_id=self.strategy,
            account_id=self.account.id, reservation_id=ids[2], instrument_id=self.instrument.id, symbol=BTC,
            side=side, type=OrderType.MARKET, quantity=Decimal(quantity), limit_price=None, reduces=reduces,
            approved_at=now, valid_until=until, terms=terms,
        )  # fmt: skip
        event = OrderApproved(
            id=new_id(now), occurred_at=now, correlation_id=ids[0], causation_id=ids[1], approval=approval
        )
        async with self.db.transaction() as tx:
            await self.executor.on_order_approved(event, tx)
        found: UUID = await self.db.fetchval("SELECT id FROM orders WHERE approval_id = $1", ids[3])
        return found

    async def bar(self, open_: float, *, low: float | None = None, high: float | None = None) -> None:
        at = self.clock.now()
        candle = Candle(
            instrument_id=self.instrument.id, venue="simulated", symbol=BTC, interval_s=60, open_time=at, open=open_,
            high=high or open_, low=low or open_, close=open_, volume=1.0,
        )  # fmt: skip
        await self.venue.on_prices([candle])
        self.clock.advance(at + MINUTE)
        await self.executor.sync()

    async def settles(self, rate: str, at: datetime) -> None:
        self.rules.rates[self.instrument.id] = [FundingRate(time=at, rate=Decimal(rate))]

    async def wallet(self) -> Decimal:
        row = await self.db.fetchval(
            "SELECT free_balance + locked_balance FROM portfolio_balances WHERE account_id = $1", self.account.id
        )
        assert isinstance(row, Decimal)
        return row

    async def state(self) -> str:
        found: str = await self.db.fetchval("SELECT state FROM account_states WHERE account_id = $1", self.account.id)
        return found

    async def check(self) -> None:
        """Both worlds agree, and ours rebuilds."""
        assert await DATABASE.ledger_problems(self.db) == []
        assert {"USDT": await self.wallet()} == await self.venue.balances()
        ours = await DATABASE.contracts(self.db, self.account.id, since=self.clock.now())
        assert ours == await self.venue.positions([BTC])
        assert await self.state() == "live"


@pytest.fixture
async def bench(database: PostgresManager) -> Bench:
    await database.execute(APPROVAL)
    await database.execute("INSERT INTO venues (id) VALUES ('simulated') ON CONFLICT DO NOTHING")
    id = await database.fetchval(
        "INSERT INTO instruments (venue, symbol, base, quote, kind, settle, tick_size, lot_size, min_notional,"
        " maker_fee, taker_fee) VALUES ('simulated', $1, 'BTC', 'USDT', 'swap', 'USDT', 0.01, 0.001, 5, 0.0002, 0.0005)"
        " RETURNING id",
        BTC,
    )
    account = await DATABASE.create_account(
        database, name="bench", venue="simulated", environment=Environment.PAPER, quote_asset="USDT",
        kind=InstrumentKind.SWAP, leverage=Decimal(10),
    )  # fmt: skip
    await DATABASE.deposit(database, account.id, asset="USDT", amount=CASH, source_key="test", at=START)
    strategy = new_id(START)
    await database.execute(
        "INSERT INTO strategies (id, name, type, template) VALUES ($1, 'test', 'SMA', 'ma_cross')", strategy
    )
    clock, rules, instrument = ReplayClock(START), KnownRules(), replace(INSTRUMENTS[BTC], id=id)
    venue = PaperSwapVenue(
        name="simulated", account="bench", asset="USDT", leverage=Decimal(10), manager=database,
        instruments={BTC: instrument}, rules=rules, costs=FREE, clock=clock,
    )  # fmt: skip
    await venue.deposit(key="test", asset="USDT", amount=CASH)
    epoch = await database.fetchval("SELECT take_lease($1, 'test', $2)", ROLE, START)
    executor = OrderExecutor(
        settings=ExecutorSettings(), clock=clock, bus=RecordingBus(), manager=database, venues={account.id: venue},
        lease=Lease(role=ROLE, epoch=epoch),
    )  # fmt: skip
    await executor.sync()
    return Bench(database, clock, venue, executor, account, instrument, strategy, rules)


async def test_a_short_is_opened_settled_and_bought_back(bench: Bench) -> None:
    await bench.order(Side.SELL, "2")
    await bench.bar(100)
    assert await DATABASE.contracts(bench.db, bench.account.id, since=START) == {BTC: Decimal(-2)}
    await bench.settles("0.001", bench.clock.now())
    await bench.bar(100)
    assert await bench.wallet() == CASH + Decimal("0.2"), "longs paid it"
    await bench.order(Side.BUY, "2", terms=Terms(reduce_only=True))
    await bench.bar(90)
    assert await bench.wallet() == CASH + Decimal("20.2")
    await bench.check()
    funded = await bench.db.fetchrow("SELECT realized_pnl, funding, side, status FROM strategy_positions")
    assert funded is not None
    assert tuple(funded.values()) == (20, Decimal("0.2"), "short", "closed")


async def test_a_liquidation_ends_the_position_in_our_books_and_is_told(bench: Bench) -> None:
    await bench.order(Side.SELL, "900")
    await bench.bar(100)
    await bench.bar(100, high=130)
    assert await bench.venue.positions([BTC]) == {}
    await bench.bar(110)
    await bench.check()
    position = await bench.db.fetchrow("SELECT status, side, realized_pnl FROM strategy_positions")
    assert position is not None
    assert (position["status"], position["side"]) == ("closed", "short")
    assert position["realized_pnl"] < -9_000
    alert = await bench.db.fetchval(
        "SELECT message FROM risk_alerts WHERE alert_type = 'position_closed_by_venue' AND status = 'open'"
    )
    assert "900 of BTC/USDT:USDT bought by liquidation-" in alert


async def test_contracts_that_only_the_venue_has_stop_the_account(bench: Bench) -> None:
    await bench.order(Side.BUY, "1")
    await bench.bar(100)
    await bench.db.execute("UPDATE paper_venue.positions SET quantity = 3, cost = 300 WHERE account = 'bench'")
    for _ in range(3):
        bench.clock.advance(bench.clock.now() + timedelta(minutes=2))
        await bench.executor.sync()
    assert await bench.state() == "broken"
    row = await bench.db.fetchrow(
        "SELECT kind, subject, ours, theirs FROM reconciliation_breaks WHERE closed_at IS NULL"
    )
    assert row is not None
    assert tuple(row.values()) == ("position", BTC, 1, 3)
    order = await bench.order(Side.BUY, "1")
    status = "SELECT status FROM orders WHERE id = $1"
    assert await bench.db.fetchval(status, order) == "NEW", "it waits"
    await bench.db.execute("UPDATE paper_venue.positions SET quantity = 1, cost = 100 WHERE account = 'bench'")
    bench.clock.advance(bench.clock.now() + timedelta(seconds=5))
    await bench.executor.sync()
    assert await bench.state() == "live"


async def test_an_order_whose_margin_is_not_there_is_refused_and_gives_its_reservation_back(bench: Bench) -> None:
    order = await bench.order(Side.BUY, "150")
    await bench.bar(10_000)
    row = await bench.db.fetchrow("SELECT status FROM orders WHERE id = $1", order)
    assert row is not None
    assert row["status"] == "REJECTED"
    assert await bench.wallet() == CASH
    await bench.check()


async def test_a_liquidation_of_what_several_strategies_held_is_nobodys_and_stops_the_account(bench: Bench) -> None:
    await bench.order(Side.SELL, "400")
    await bench.bar(100)
    second = new_id(START)
    await bench.db.execute("INSERT INTO strategies (id, name, type) VALUES ($1, 'second', 'SMA')", second)
    await replace(bench, strategy=second).order(Side.SELL, "500")
    await bench.bar(100)
    await bench.bar(100, high=130)
    for _ in range(2):
        bench.clock.advance(bench.clock.now() + timedelta(minutes=2))
        await bench.executor.sync()
    assert await bench.venue.positions([BTC]) == {}
    assert await bench.state() == "broken"
    row = await bench.db.fetchrow(
        "SELECT kind, subject, ours, theirs, detail FROM reconciliation_breaks WHERE closed_at IS NULL"
    )
    assert row is not None
    assert tuple(row.values())[:4] == ("claims", BTC, -900, 0)
    assert "strategies count on -900 BTC/USDT:USDT, the account holds 0" in row["detail"]
