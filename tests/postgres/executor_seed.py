"""Rows an executor test needs: an account with money, an instrument, and approvals as the risk manager writes them."""

import itertools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from mastertrade.domain.events import Event, OrderApproved
from mastertrade.domain.market import Candle, Instrument, InstrumentKind
from mastertrade.domain.orders import ORDINARY, ApprovedOrder, Environment, OrderType, Side, Terms
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.messaging.bus import DeadLetter
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.postgres_database import Account, ExecutorPostgresDatabase
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.postgres.lease import Lease
from mastertrade.quant.costs import Costs
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.serialization import new_id, to_json_object

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ROLE = "order_executor"
BAR = itertools.count()
"""Makes every signal one of its own bar."""


class RecordingBus:
    """Keeps what was published by committed transactions; delivers nothing."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(self, *events: Event, within: Transaction) -> None:
        async def keep() -> None:
            self.events += events

        within.on_commit(keep)

    async def declare(self, subscriptions: object) -> None: ...

    async def start(self, subscriptions: object) -> None: ...

    async def stop(self) -> None: ...

    async def drain(self, *, timeout_s: float) -> None: ...

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        return []


@dataclass(kw_only=True)
class Desk:
    """An executor at a paper venue, with the doors a test needs."""

    manager: PostgresManager
    clock: ReplayClock
    bus: RecordingBus
    venue: PaperVenue
    executor: OrderExecutor
    account: Account
    instrument: Instrument
    strategy_id: UUID
    lease: Lease

    async def approve(
        self,
        side: Side = Side.BUY,
        quantity: str = "0.5",
        *,
        reserve: str | None = None,
        valid_for_s: float = 30,
        limit: str | None = None,
        terms: Terms = ORDINARY,
    ) -> OrderApproved:
        """A signal, verdict, reservation and approval, committed."""
        now = self.clock.now()
        price = None if limit is None else Decimal(limit)
        type_ = OrderType.MARKET if price is None else OrderType.LIMIT
        ids = [new_id(now) for _ in range(4)]
        signal_id, verdict_id, reservation_id, approval_id = ids
        is_swap = self.instrument.kind is InstrumentKind.SWAP
        async with self.manager.transaction() as tx:
            await tx.execute(
                "INSERT INTO signals (id, strategy_id, account_id, instrument_id, symbol, signal_type, timeframe_s, "
                "bar_close, confidence, price, timestamp, valid_until, evidence) "
                "VALUES ($1, $2, $3, $4, $5, $6, 60, $7, 80, 100, $8, $9, $10)",
                signal_id,
                self.strategy_id,
                self.account.id,
                self.instrument.id,
                self.instrument.symbol,
                side.value,
                now + timedelta(microseconds=next(BAR)),
                now,
                now + timedelta(seconds=30),
                {"close": 100.0, "sma_10": 99.0},
            )
            await tx.execute(
                "INSERT INTO verdicts "
                "(id, signal_id, disposition, requested_quantity, approved_quantity, reason, equity, decided_at) "
                "VALUES ($1, $2, 'approved', $3, $3, 'all checks passed', 10000, $4)",
                verdict_id,
                signal_id,
                Decimal(quantity),
                now,
            )
            await tx.execute(
                'INSERT INTO verdict_checks (verdict_id, position, name, value, "limit", unit, passed, detail) '
                "VALUES ($1, 1, 'position cap', 4.5, 5, 'percent', true, '')",
                verdict_id,
            )
            asset = self.instrument.quote if side is Side.BUY or is_swap else self.instrument.base
            amount = Decimal(reserve) if reserve else Decimal(quantity) * (101 if side is Side.BUY else 1)
            assert await tx.fetchval(
                "SELECT reserve_balance($1, $2, $3, $4, $5)", reservation_id, self.account.id, asset, amount, now
            )
            await tx.execute(
                "INSERT INTO approvals (id, verdict_id, signal_id, strategy_id, account_id, instrument_id, side, "
                "order_type, quantity, reduces, reservation_id, approved_at, valid_until, limit_price, terms) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $13, $8, $9, $10, $11, $12, $14, $15)",
                approval_id,
                verdict_id,
                signal_id,
                self.strategy_id,
                self.account.id,
                self.instrument.id,
                side.value,
                Decimal(quantity),
                side is Side.SELL and not is_swap,
                reservation_id,
                now,
                now + timedelta(seconds=valid_for_s),
                type_.value,
                price,
                to_json_object(terms),
            )
        return OrderApproved(
            id=new_id(now),
            occurred_at=now,
            correlation_id=signal_id,
            causation_id=verdict_id,
            approval=ApprovedOrder(
                approval_id=approval_id,
                verdict_id=verdict_id,
                signal_id=signal_id,
                strategy_id=self.strategy_id,
                account_id=self.account.id,
                reservation_id=reservation_id,
                instrument_id=self.instrument.id,
                symbol=self.instrument.symbol,
                side=side,
                type=type_,
                quantity=Decimal(quantity),
                limit_price=price,
                reduces=side is Side.SELL and not is_swap,
                approved_at=now,
                valid_until=now + timedelta(seconds=valid_for_s),
                terms=terms,
            ),
        )

    async def hear(self, event: OrderApproved) -> None:
        """Deliver an approval as the bus would."""
        async with self.manager.transaction() as tx:
            await self.executor.on_order_approved(event, tx)

    def candle(self, price: float) -> Candle:
        """The bar that opens now."""
        return Candle(
            instrument_id=self.instrument.id,
            venue=self.instrument.venue,
            symbol=self.instrument.symbol,
            interval_s=60,
            open_time=self.clock.now(),
            open=price,
            high=price,
            low=price,
            close=price,
            volume=1.0,
        )

    async def next_bar(self, price: float = 100.0, minutes: int = 1) -> None:
        """The market goes on: resting orders trade at the open, the executor looks at the venue."""
        candle = self.candle(price)
        await self.venue.on_prices([candle])
        await self.executor.sync()
        self.clock.advance(candle.open_time + timedelta(minutes=minutes))

    async def status(self, event: OrderApproved) -> str:
        status: str = await self.manager.fetchval(
            "SELECT status FROM orders WHERE approval_id = $1", event.approval.approval_id
        )
        return status

    async def problems(self) -> list[object]:
        return list(await ExecutorPostgresDatabase().ledger_problems(self.manager))

    async def venue_orders(self) -> dict[str, int]:
        """How often the venue accepted each client order id: its own truth."""
        rows = await self.manager.fetch("SELECT client_order_id, count(*) AS times FROM paper_venue.orders GROUP BY 1")
        return {row["client_order_id"]: row["times"] for row in rows}

    def restarted(self, failpoints: str = "") -> "Desk":
        """The same desk after its process died: new executor and venue client, nothing remembered in memory."""
        venue = make_venue(self.manager, self.instrument, self.clock, failpoints)
        executor = make_executor(self.manager, self.clock, self.bus, venue, self.account, self.lease, failpoints)
        return replace(self, venue=venue, executor=executor)


def make_venue(
    manager: PostgresManager, instrument: Instrument, clock: ReplayClock, failpoints: str = ""
) -> PaperVenue:
    return PaperVenue(
        name="simulated",
        account="desk",
        manager=manager,
        instruments={instrument.symbol: instrument},
        costs=Costs(),
        clock=clock,
        failpoints=Failpoints(failpoints),
    )


def make_executor(
    manager: PostgresManager,
    clock: ReplayClock,
    bus: RecordingBus,
    venue: PaperVenue,
    account: Account,
    lease: Lease,
    failpoints: str = "",
) -> OrderExecutor:
    return OrderExecutor(
        settings=ExecutorSettings(),
        clock=clock,
        bus=bus,
        manager=manager,
        venues={account.id: venue},
        lease=lease,
        failpoints=Failpoints(failpoints),
    )


async def open_desk(manager: PostgresManager, failpoints: str = "", cash: str = "10000") -> Desk:
    clock, bus, database = ReplayClock(START), RecordingBus(), ExecutorPostgresDatabase()
    await manager.execute("INSERT INTO venues (id) VALUES ('simulated') ON CONFLICT DO NOTHING")
    instrument_id = await manager.fetchval(
        "INSERT INTO instruments (venue, symbol, base, quote, tick_size, lot_size, min_notional, maker_fee, taker_fee) "
        "VALUES ('simulated', 'BTC/USDT', 'BTC', 'USDT', 0.01, 0.0001, 10, 0.001, 0.001) RETURNING id"
    )
    instrument = Instrument(
        id=instrument_id,
        venue="simulated",
        symbol="BTC/USDT",
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        min_notional=Decimal(10),
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
    )
    account = await database.create_account(
        manager, name="desk", venue="simulated", environment=Environment.PAPER, quote_asset="USDT"
    )
    strategy_id = new_id(START)
    await manager.execute(
        "INSERT INTO strategies (id, name, type, template) VALUES ($1, 'test', 'SMA', 'ma_cross')", strategy_id
    )
    epoch = await manager.fetchval("SELECT take_lease($1, 'test', $2)", ROLE, START)
    lease = Lease(role=ROLE, epoch=epoch)
    venue = make_venue(manager, instrument, clock, failpoints)
    await database.deposit(manager, account.id, asset="USDT", amount=Decimal(cash), source_key="test", at=START)
    await venue.deposit(key="test", asset="USDT", amount=Decimal(cash))
    executor = make_executor(manager, clock, bus, venue, account, lease, failpoints)
    await executor.sync()
    return Desk(
        manager=manager,
        clock=clock,
        bus=bus,
        venue=venue,
        executor=executor,
        account=account,
        instrument=instrument,
        strategy_id=strategy_id,
        lease=lease,
    )
