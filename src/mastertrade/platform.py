"""Composition root: opens the database, builds every part once, and runs one service or all of them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from mastertrade.arbitrage_service.config import ArbitrageSettings
from mastertrade.arbitrage_service.service import ArbitrageService
from mastertrade.domain.events import CandlesClosed, Event
from mastertrade.domain.market import Instrument
from mastertrade.domain.orders import Environment
from mastertrade.domain.strategy import Strategy
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.config import MarketDataSettings
from mastertrade.market_data_service.player import PlayReport
from mastertrade.market_data_service.service import MarketDataService
from mastertrade.market_data_service.source import CandleBatch, Source
from mastertrade.messaging.bus import Bus, Handler, Subscription
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.postgres_database import Account, ExecutorPostgresDatabase
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.postgres.apply import ApplyReport, apply_schema
from mastertrade.postgres.embedded import embedded_server
from mastertrade.postgres.lease import Lease, hold_lease
from mastertrade.quant.costs import Costs
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.service import RiskManager
from mastertrade.shared.clock import Clock, ReplayClock, SystemClock
from mastertrade.shared.config import CoreSettings, PostgresSettings, load_settings
from mastertrade.shared.errors import ConfigurationError
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager, Transaction, ensure_connection
from mastertrade.shared.service import Job, Service
from mastertrade.strategies import all_templates
from mastertrade.strategy_service.config import StrategySettings
from mastertrade.strategy_service.service import StrategyService

log = logging.getLogger(__name__)

SERVICES: Final = ("market_data_service", "strategy_service", "risk_manager", "order_executor", "arbitrage_service")
MARKET_DATA: Final = "market_data_service"
PAPER_VENUE: Final = "paper_venue"
"""The consumer by which the paper venue hears of prices where no lock step shows them to it."""
SETTLE_TIMEOUT_S: Final = 60.0
"""How long everyone together may take over one minute of the market before something is wrong: a restart of the server
takes seconds, a retried event at most a few more."""
HOUSEKEEPING_EVERY_S: Final = 600.0
"""Each time at most 10,000 rows of each kind go: more than a minute's market leaves in a day."""
PAPER_DEPOSIT_KEY: Final = "opening balance"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSettings:
    """Every setting of every part, read once."""

    core: CoreSettings
    postgres: PostgresSettings
    market_data: MarketDataSettings
    strategy: StrategySettings
    risk: RiskSettings
    executor: ExecutorSettings
    arbitrage: ArbitrageSettings
    failpoints: str = ""


def read_settings(environ: Mapping[str, str]) -> PlatformSettings:
    """ConfigurationError names everything that is wrong, at once."""
    core, postgres, market_data, strategy, risk, executor, arbitrage = load_settings(
        CoreSettings,
        PostgresSettings,
        MarketDataSettings,
        StrategySettings,
        RiskSettings,
        ExecutorSettings,
        ArbitrageSettings,
        environ=environ,
    )
    if core.environment != "paper":
        raise ConfigurationError(
            f"MASTERTRADE_ENVIRONMENT {core.environment}: only paper is built today; set it to paper or unset it"
        )
    if core.rabbitmq_url is not None:
        raise ConfigurationError(
            "RABBITMQ_URL: the bus over RabbitMQ is not built yet; unset it, the database is the bus"
        )
    return PlatformSettings(
        core=core,
        postgres=postgres,
        market_data=market_data,
        strategy=strategy,
        risk=risk,
        executor=executor,
        arbitrage=arbitrage,
        failpoints=environ.get("MASTERTRADE_FAILPOINTS", ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDatabase:
    """A connected database, and its address for parts that want connections of their own."""

    manager: PostgresManager
    dsn: str = field(repr=False)
    schema: ApplyReport | None


@asynccontextmanager
async def open_database(
    settings: PlatformSettings, *, apply: bool = True, name: str = "mastertrade"
) -> AsyncIterator[OpenDatabase]:
    """The platform's database, connected: the server of POSTGRES_HOST, else the embedded one, started when needed.

    ``apply`` brings it to this program's schema.
    """
    async with AsyncExitStack() as stack:
        postgres = settings.postgres
        if postgres.host is not None:
            dsn = postgres.dsn
        else:
            server = await stack.enter_async_context(embedded_server(settings.core.home))
            dsn = server.dsn(postgres.database)
        manager = await _connected(stack, settings, dsn, name=name, max_size=postgres.pool_max_size)
        report = await apply_schema(manager) if apply else None
        yield OpenDatabase(manager=manager, dsn=dsn, schema=report)


async def _connected(
    stack: AsyncExitStack, settings: PlatformSettings, dsn: str, *, name: str, max_size: int
) -> PostgresManager:
    manager = PostgresManager(
        dsn,
        min_size=min(settings.postgres.pool_min_size, max_size),
        max_size=max_size,
        statement_cache_size=settings.postgres.statement_cache_size,
        application_name=name,
    )
    stack.push_async_callback(manager.close)
    await ensure_connection(manager, retries=3, delay=0.5)
    return manager


def market_door(manager: PostgresManager, settings: PlatformSettings) -> MarketDataService:
    """The market data service's door for loading and reading; nothing is played."""
    clock = SystemClock()
    bus = PostgresBus(manager, clock=clock)
    return MarketDataService(settings=settings.market_data, clock=clock, bus=bus, manager=manager)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyPlan:
    name: str
    template: str
    parameters: Mapping[str, Any]
    timeframe_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run: a market to play, an account with paper money at one of its venues, and strategies on it.

    ``feed`` names the position to go on from. A feed that is new begins after ``begin_after``; a batch that had not
    closed at ``end`` is not played. ``speed`` is market seconds per second; None is as fast as everyone acts.
    """

    source: Source
    feed: str
    account: str
    venue: str
    quote_asset: str
    cash: Decimal
    strategies: Sequence[StrategyPlan]
    begin_after: datetime
    end: datetime | None = None
    speed: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """All five services, built and connected, on one account. ``play`` runs the market through them."""

    plan: Plan
    clock: ReplayClock
    bus: Bus
    manager: PostgresManager
    market_data: MarketDataService
    strategy: StrategyService
    risk: RiskManager
    executor: OrderExecutor
    arbitrage: ArbitrageService
    housekeeping: "Housekeeping"
    venue: PaperVenue
    account: Account
    strategies: tuple[Strategy, ...]

    def services(self) -> "tuple[StrategyService | RiskManager | OrderExecutor | ArbitrageService, ...]":
        """Those that live on events, the executor first: it reconciles before anybody can approve anything new."""
        return self.executor, self.risk, self.strategy, self.arbitrage

    def subscriptions(self) -> list[Subscription]:
        return [subscription for service in self.services() for subscription in service.subscriptions()]

    async def play(self) -> PlayReport:
        """Move the market until the source or the plan ends, or the service is stopped, and everyone has acted."""
        return await self.market_data.play()


class Housekeeping(Service):
    """Old events go: what was delivered longer ago than the bus keeps."""

    name = "housekeeping"

    def __init__(self, *, clock: Clock, bus: PostgresBus) -> None:
        super().__init__(clock=clock)
        self._bus = bus

    def jobs(self) -> Sequence[Job]:
        return [Job("prune_bus", HOUSEKEEPING_EVERY_S, self._prune, timeout_s=60.0)]

    async def _prune(self) -> None:
        await self._bus.prune()


class LockStep:
    """The tape of an all-in-one run: prices reach the venue first, then the close is published, and the market waits
    until everybody has acted. That makes a replay the same every time."""

    def __init__(self, *, venue: PaperVenue, executor: OrderExecutor, bus: Bus) -> None:
        self._venue = venue
        self._executor = executor
        self._bus = bus

    async def prices(self, batch: CandleBatch) -> None:
        traded = await self._venue.on_prices(batch.of_venue(self._venue.name))
        if await self._executor.follow() or traded:
            await self._bus.drain(timeout_s=SETTLE_TIMEOUT_S)

    async def settle(self) -> None:
        await self._bus.drain(timeout_s=SETTLE_TIMEOUT_S)
        while await self._executor.catch_up():
            await self._bus.drain(timeout_s=SETTLE_TIMEOUT_S)


class FreeRunning:
    """The tape where the others are other processes: they hear of prices by events."""

    async def prices(self, batch: CandleBatch) -> None:
        """The venue listens to the bus itself."""

    async def settle(self) -> None:
        """Nobody waits for anybody."""


@asynccontextmanager
async def open_platform(database: OpenDatabase, settings: PlatformSettings, plan: Plan) -> AsyncIterator[Platform]:
    """Build everything, reconcile with the venue, deliver what an earlier run left, and hand out the running platform;
    the market begins to move with ``play``.

    AlreadyRunning when another process holds this database's executor lease.
    """
    async with AsyncExitStack() as stack:
        lease = await _hold(stack, settings, database, "order_executor")
        platform = await _build(stack, database, settings, plan, lease)
        lock_step = LockStep(venue=platform.venue, executor=platform.executor, bus=platform.bus)
        platform.market_data.play_through(lock_step, end=plan.end, speed=plan.speed)
        subscriptions = platform.subscriptions()
        nobody = Subscription(consumer=PAPER_VENUE, handlers={})
        await platform.bus.declare([*subscriptions, nobody])
        for service in (*platform.services(), platform.housekeeping):
            stack.push_async_callback(service.stop)
            await service.start()
        stack.push_async_callback(platform.bus.stop)
        await platform.bus.start(subscriptions)
        await platform.bus.drain(timeout_s=SETTLE_TIMEOUT_S)
        stack.push_async_callback(platform.market_data.stop)
        yield platform


@asynccontextmanager
async def open_service(
    database: OpenDatabase, settings: PlatformSettings, plan: Plan, name: str
) -> AsyncIterator["asyncio.Task[Any]"]:
    """One service by itself, the others being other processes on the same database. Hands out its work as a task, to be
    waited for or cancelled: playing the market for market data, for the others nothing but serving.

    Every consumer of the platform is declared, so that events wait for services that come later.
    """
    async with AsyncExitStack() as stack:
        is_single = name in (MARKET_DATA, "order_executor")
        lease = await _hold(stack, settings, database, name) if is_single else Lease(role=name, epoch=0)
        platform = await _build(stack, database, settings, plan, lease)
        paper = venue_subscription(platform.venue, platform.executor)
        await platform.bus.declare([*platform.subscriptions(), paper])
        if name == MARKET_DATA:
            platform.market_data.play_through(FreeRunning(), end=plan.end, speed=plan.speed)
            stack.push_async_callback(platform.market_data.stop)
            yield asyncio.create_task(platform.market_data.play(), name=name)
            return
        service = next(one for one in platform.services() if one.name == name)
        own = [*service.subscriptions(), *([paper] if service is platform.executor else [])]
        stack.push_async_callback(service.stop)
        await service.start()
        stack.push_async_callback(platform.bus.stop)
        await platform.bus.start([following(platform.clock, one) for one in own])
        work = platform.executor.serve() if service is platform.executor else asyncio.Event().wait()
        yield asyncio.create_task(work, name=name)


async def _hold(stack: AsyncExitStack, settings: PlatformSettings, database: OpenDatabase, role: str) -> Lease:
    own = await _connected(stack, settings, database.dsn, name="lease", max_size=1)
    return await stack.enter_async_context(hold_lease(own, role, at=SystemClock().now()))


async def _build(
    stack: AsyncExitStack, database: OpenDatabase, settings: PlatformSettings, plan: Plan, lease: Lease
) -> Platform:
    """Everything wired, nothing started."""
    manager = database.manager
    failpoints = Failpoints(settings.failpoints)
    clock = ReplayClock(plan.begin_after)
    bus = PostgresBus(manager, clock=clock)
    market_data = MarketDataService(settings=settings.market_data, clock=clock, bus=bus, manager=manager)
    instruments = await market_data.register(plan.source)
    clock.advance(await market_data.begin_feed(plan.feed, plan.source, after=plan.begin_after))
    account = await open_account(manager, plan, at=clock.now())
    venue = await _open_venue(stack, settings, database, plan, instruments, clock, failpoints)
    strategy = StrategyService(
        settings=settings.strategy,
        clock=clock,
        bus=bus,
        manager=manager,
        bars=DatabaseBars(manager),
        templates=all_templates(),
        account_ids=[account.id],
    )
    symbols = [one.symbol for one in instruments if (one.venue, one.quote) == (plan.venue, plan.quote_asset)]
    return Platform(
        plan=plan,
        clock=clock,
        bus=bus,
        manager=manager,
        market_data=market_data,
        strategy=strategy,
        risk=RiskManager(settings=settings.risk, clock=clock, bus=bus, manager=manager, bars_of=DatabaseBars),
        executor=OrderExecutor(
            settings=settings.executor,
            clock=clock,
            bus=bus,
            manager=manager,
            venues={account.id: venue},
            lease=lease,
            failpoints=failpoints,
        ),
        arbitrage=ArbitrageService(settings=settings.arbitrage, clock=clock, bus=bus, manager=manager),
        housekeeping=Housekeeping(clock=clock, bus=bus),
        venue=venue,
        account=account,
        strategies=await _open_strategies(strategy, plan, account, symbols),
    )


async def _open_strategies(
    service: StrategyService, plan: Plan, account: Account, symbols: Sequence[str]
) -> tuple[Strategy, ...]:
    return tuple(
        [
            await service.registry.create_strategy(
                name=one.name,
                template=one.template,
                parameters=one.parameters,
                timeframe_s=one.timeframe_s,
                account_id=account.id,
                symbols=symbols,
            )
            for one in plan.strategies
        ]
    )


async def open_account(manager: PostgresManager, plan: Plan, *, at: datetime) -> Account:
    """The plan's account with its opening balance in our books, made when it does not exist yet."""
    database = ExecutorPostgresDatabase()
    account = await database.create_account(
        manager, name=plan.account, venue=plan.venue, environment=Environment.PAPER, quote_asset=plan.quote_asset
    )
    await database.deposit(
        manager,
        account.id,
        asset=plan.quote_asset,
        amount=plan.cash,
        source_key=f"{plan.account}: {PAPER_DEPOSIT_KEY}",
        at=at,
    )
    return account


async def _open_venue(
    stack: AsyncExitStack,
    settings: PlatformSettings,
    database: OpenDatabase,
    plan: Plan,
    instruments: Sequence[Instrument],
    clock: Clock,
    failpoints: Failpoints,
) -> PaperVenue:
    """The paper venue over connections of its own, with the plan's money in its books."""
    own = await _connected(stack, settings, database.dsn, name="paper_venue", max_size=2)
    venue = PaperVenue(
        name=plan.venue,
        account=plan.account,
        manager=own,
        instruments={one.symbol: one for one in instruments if one.venue == plan.venue},
        costs=Costs(),
        clock=clock,
        failpoints=failpoints,
    )
    await venue.deposit(key=PAPER_DEPOSIT_KEY, asset=plan.quote_asset, amount=plan.cash)
    return venue


def following(clock: ReplayClock, subscription: Subscription) -> Subscription:
    """The subscription with a clock that moves to each event's time first: how a process apart follows the market."""

    def after(handler: Handler) -> Handler:
        async def handle(event: Event, tx: Transaction) -> None:
            clock.advance(event.occurred_at)
            await handler(event, tx)

        return handle

    return Subscription(
        consumer=subscription.consumer,
        handlers={kind: after(handler) for kind, handler in subscription.handlers.items()},
        on_dead_letter=subscription.on_dead_letter,
        workers=subscription.workers,
        durable=subscription.durable,
    )


def venue_subscription(venue: PaperVenue, executor: OrderExecutor) -> Subscription:
    """Lets the paper venue follow the market by events, where no lock step shows it the prices."""

    async def on_candles_closed(event: CandlesClosed, tx: Transaction) -> None:
        await venue.on_prices([candle for candle in event.candles if candle.venue == venue.name])
        tx.on_commit(executor.sync)

    return Subscription(consumer=PAPER_VENUE, handlers={CandlesClosed: on_candles_closed})
