"""Rows a risk test needs: an account with money, instruments with a price, a strategy and its signals."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from mastertrade.domain.events import Event, OrderApproved, OrderRefused, SignalRaised
from mastertrade.domain.market import Candle
from mastertrade.domain.strategy import Signal, SignalType
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.source import CandleBatch
from mastertrade.messaging.bus import DeadLetter, Subscription
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.service import RiskManager
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager, Row, Transaction
from mastertrade.shared.serialization import new_id, to_json_object

START = datetime(2021, 9, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PRICE = 50_000.0
VENUE = "paper"


@dataclass
class RecordingBus:
    """Keeps what committed transactions published; delivers nothing."""

    events: list[Event] = field(default_factory=list)

    async def publish(self, *events: Event, within: Transaction) -> None:
        async def keep() -> None:
            self.events += events

        within.on_commit(keep)

    async def declare(self, subscriptions: Sequence[Subscription]) -> None: ...

    async def start(self, subscriptions: Sequence[Subscription]) -> None: ...

    async def stop(self) -> None: ...

    async def drain(self, *, timeout_s: float) -> None: ...

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        return []


@dataclass(kw_only=True)
class Office:
    """A risk manager on a real database, with one account, one strategy and two instruments."""

    manager: PostgresManager
    clock: ReplayClock
    bus: RecordingBus
    risk: RiskManager
    account_id: UUID
    strategy_id: UUID
    btc: int
    eth: int

    async def raise_signal(self, type_: SignalType = SignalType.BUY, **changes: Any) -> SignalRaised:
        """A stored signal, as the strategy service publishes it. Times are the clock's unless given."""
        now = changes.pop("at", self.clock.now())
        valid_s = changes.pop("valid_s", 30)
        fields: dict[str, Any] = {
            "id": new_id(now),
            "strategy_id": self.strategy_id,
            "account_id": self.account_id,
            "instrument_id": self.btc,
            "symbol": "BTC/USDT",
            "type": type_,
            "timeframe_s": 900,
            "bar_close": now,
            "price": PRICE,
            "confidence": 75.0,
            "raised_at": now,
            "valid_until": now + timedelta(seconds=valid_s),
        }
        signal = Signal(**(fields | changes))
        await self.manager.execute(
            """INSERT INTO signals (id, strategy_id, account_id, instrument_id, symbol, signal_type, timeframe_s,
                                    bar_close, confidence, price, timestamp, valid_until, terms, turns)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)""",
            signal.id, signal.strategy_id, signal.account_id, signal.instrument_id, signal.symbol, signal.type.value,
            signal.timeframe_s, signal.bar_close, signal.confidence, Decimal(repr(signal.price)), signal.raised_at,
            signal.valid_until, to_json_object(signal.terms), signal.turns,
        )  # fmt: skip
        return SignalRaised(id=new_id(now), occurred_at=now, correlation_id=signal.id, signal=signal)

    async def judge(self, event: SignalRaised) -> OrderApproved | OrderRefused | None:
        """Deliver a signal as the bus would; the answer published with the verdict."""
        before = len(self.bus.events)
        async with self.manager.transaction() as tx:
            await self.risk.on_signal_raised(event, tx)
        answers = [
            answer
            for answer in self.bus.events[before:]
            if isinstance(answer, OrderApproved | OrderRefused) and answer.correlation_id == event.signal.id
        ]
        assert len(answers) <= 1
        return answers[0] if answers else None

    async def verdict(self, event: SignalRaised) -> Row:
        row = await self.manager.fetchrow("SELECT * FROM verdicts WHERE signal_id = $1", event.signal.id)
        assert row is not None
        return row

    async def check(self, event: SignalRaised, name: str) -> Row:
        row = await self.manager.fetchrow(
            """SELECT c.* FROM verdict_checks c JOIN verdicts v ON v.id = c.verdict_id
                WHERE v.signal_id = $1 AND c.name = $2""",
            event.signal.id,
            name,
        )
        assert row is not None
        return row

    async def candle(
        self, close: float, *, instrument_id: int | None = None, close_time: datetime | None = None
    ) -> None:
        """Closes now unless given; stored as the market data service does."""
        open_time = (close_time or self.clock.now()) - MINUTE
        candle = Candle(
            instrument_id=instrument_id or self.btc,
            venue=VENUE,
            symbol="BTC/USDT" if instrument_id in (None, self.btc) else "ETH/USDT",
            interval_s=60,
            open_time=open_time,
            open=close,
            high=close,
            low=close,
            close=close,
            volume=1.0,
        )
        market = MarketDataPostgresDatabase()
        await market.ensure_partitions(self.manager, open_time, open_time)
        batch = CandleBatch(interval_s=60, open_time=open_time, candles=(candle,))
        await market.store_batch(self.manager, batch, at=self.clock.now())

    async def hold(self, asset: str, amount: str) -> None:
        key = f"test:{new_id()}"
        await self.manager.execute(
            "SELECT deposit($1, $2, $3, $4, $5)", self.account_id, asset, Decimal(amount), key, self.clock.now()
        )

    async def position(self, quantity: str, *, instrument_id: int | None = None) -> None:
        """The strategy holds this much, and so does its account."""
        await self.hold("BTC", quantity)
        await self.manager.execute(
            """INSERT INTO strategy_positions (strategy_id, account_id, instrument_id, symbol, quantity, cost,
                                               entry_price, opened_at, updated_at)
               VALUES ($1, $2, $3, 'BTC/USDT', $4::numeric, $4::numeric * 50000, 50000, $5, $5)""",
            self.strategy_id,
            self.account_id,
            instrument_id or self.btc,
            Decimal(quantity),
            self.clock.now(),
        )

    async def order_of(self, approved: OrderApproved, *, status: str) -> UUID:
        """The order of an approval, moved straight to a status."""
        approval, order_id = approved.approval, new_id(self.clock.now())
        await self.manager.execute(
            """INSERT INTO orders (id, approval_id, client_order_id, account_id, instrument_id, strategy_id, symbol,
                                   order_type, side, quantity, order_time, reservation_id)
               VALUES ($1, $2, $3, $4, $5, $6, 'BTC/USDT', 'MARKET', $7, $8, $9, $10)""",
            order_id, approval.approval_id, str(order_id), approval.account_id, approval.instrument_id,
            approval.strategy_id, approval.side.value, approval.quantity, self.clock.now(), approval.reservation_id,
        )  # fmt: skip
        for step in {"NEW": (), "CANCELED": ("CANCELED",)}.get(status, ("SUBMITTING", status)):
            await self.manager.execute("UPDATE orders SET status = $2 WHERE id = $1", order_id, step)
        return order_id

    async def balance(self, asset: str = "USDT") -> tuple[Decimal, Decimal]:
        """Free and locked."""
        row = await self.manager.fetchrow(
            "SELECT free_balance, locked_balance FROM portfolio_balances WHERE account_id = $1 AND asset = $2",
            self.account_id,
            asset,
        )
        return (Decimal(0), Decimal(0)) if row is None else (row["free_balance"], row["locked_balance"])

    async def another_strategy(self) -> "Office":
        return replace(self, strategy_id=await new_strategy(self.manager))

    async def another_account(self, cash: str = "100000") -> "Office":
        account_id = await new_account(self.manager, f"account {new_id()}")
        other = replace(self, account_id=account_id)
        await other.hold("USDT", cash)
        return other


async def new_account(manager: PostgresManager, name: str) -> UUID:
    account_id = new_id(START)
    await manager.execute("INSERT INTO accounts (id, name, venue) VALUES ($1, $2, $3)", account_id, name, VENUE)
    return account_id


async def new_strategy(manager: PostgresManager) -> UUID:
    strategy_id = new_id(START)
    await manager.execute("INSERT INTO strategies (id, name, type) VALUES ($1, 'test', 'SMA')", strategy_id)
    return strategy_id


async def new_instrument(manager: PostgresManager, symbol: str) -> int:
    base, _, quote = symbol.partition("/")
    instrument_id: int = await manager.fetchval(
        """INSERT INTO instruments (venue, symbol, base, quote, tick_size, lot_size, min_notional, maker_fee, taker_fee)
           VALUES ($1, $2, $3, $4, 0.01, 0.00001, 10, 0.001, 0.001) RETURNING id""",
        VENUE,
        symbol,
        base,
        quote,
    )
    return instrument_id


async def open_office(manager: PostgresManager, *, cash: str = "100000", **settings: Any) -> Office:
    """An office whose bitcoin has just closed at PRICE. ``settings`` are fields of RiskSettings."""
    await manager.execute("INSERT INTO venues (id) VALUES ($1)", VENUE)
    clock, bus = ReplayClock(START), RecordingBus()
    # The office's markets have traded for a minute: as unknown ones they would count as thin.
    chosen = RiskSettings(**{"max_volume_percent": 100, **settings})
    risk = RiskManager(settings=chosen, clock=clock, bus=bus, manager=manager, bars_of=DatabaseBars)
    office = Office(
        manager=manager,
        clock=clock,
        bus=bus,
        risk=risk,
        account_id=await new_account(manager, "desk"),
        strategy_id=await new_strategy(manager),
        btc=await new_instrument(manager, "BTC/USDT"),
        eth=await new_instrument(manager, "ETH/USDT"),
    )
    await office.hold("USDT", cash)
    await office.candle(PRICE)
    return office
