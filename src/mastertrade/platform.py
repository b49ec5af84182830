"""Composition root: opens the database, builds every part once, and runs one service or all of them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from mastertrade.arbitrage_service.config import ArbitrageSettings
from mastertrade.arbitrage_service.service import ArbitrageService
from mastertrade.domain.market import InstrumentKind
from mastertrade.domain.strategy import Strategy, StrategyStatus
from mastertrade.exchanges.exchange import Venue
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.exchanges.paper_quotes import PaperQuotes
from mastertrade.exchanges.price_watch import PriceWatch, PriceWatcher
from mastertrade.exchanges.request_budget import RequestBudget
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.config import MarketDataSettings
from mastertrade.market_data_service.live_funding import LiveFunding
from mastertrade.market_data_service.player import PlayReport
from mastertrade.market_data_service.service import MarketDataService
from mastertrade.messaging.bus import Bus, Subscription
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.order_executor.accounts import book_opening, open_venue
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.postgres_database import Account
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.plans import Plan, open_account, open_paper
from mastertrade.postgres.apply import ApplyReport, apply_schema
from mastertrade.postgres.embedded import embedded_server
from mastertrade.postgres.lease import Lease, hold_lease
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.service import RiskManager
from mastertrade.shared.clock import Clock, LiveClock, MarketClock, ReplayClock, SystemClock
from mastertrade.shared.config import CoreSettings, PostgresSettings, load_settings
from mastertrade.shared.errors import ConfigurationError
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager, ensure_connection
from mastertrade.shared.service import Job, Service
from mastertrade.strategies import all_templates
from mastertrade.strategy_service.config import StrategySettings
from mastertrade.strategy_service.service import StrategyService
from mastertrade.tapes import (
    PAPER_VENUE,
    SETTLE_TIMEOUT_S,
    FreeRunning,
    LockStep,
    Present,
    following,
    venue_subscription,
)

log = logging.getLogger(__name__)

SERVICES: Final = ("market_data_service", "strategy_service", "risk_manager", "order_executor", "arbitrage_service")
MARKET_DATA: Final = "market_data_service"
HOUSEKEEPING_EVERY_S: Final = 600.0
"""Each time at most 10,000 rows of each kind go: more than a minute's market leaves in a day."""


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


def request_budget(manager: PostgresManager, settings: PlatformSettings) -> RequestBudget:
    """For every client of a venue: all of them together keep what it allows."""
    return RequestBudget(manager, share=settings.core.venue_limit_share)


def market_door(manager: PostgresManager, settings: PlatformSettings) -> MarketDataService:
    """The market data service's door for loading and reading; nothing is played."""
    clock = SystemClock()
    bus = PostgresBus(manager, clock=clock)
    return MarketDataService(settings=settings.market_data, clock=clock, bus=bus, manager=manager)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """All five services, built and connected, on one account. ``play`` runs the market through them."""

    plan: Plan
    clock: MarketClock
    bus: Bus
    manager: PostgresManager
    market_data: MarketDataService
    strategy: StrategyService
    risk: RiskManager
    executor: OrderExecutor
    arbitrage: ArbitrageService
    housekeeping: "Housekeeping"
    venue: Venue | None
    quotes: PaperQuotes | None
    funding: LiveFunding | None
    traded: Mapping[str, int]
    """Its instruments by symbol."""
    account: Account
    strategies: tuple[Strategy, ...]

    def services(self) -> "tuple[StrategyService | RiskManager | OrderExecutor | ArbitrageService, ...]":
        """Those that live on events, the executor first: it reconciles before anybody can approve anything new."""
        return self.executor, self.risk, self.strategy, self.arbitrage

    def subscriptions(self) -> list[Subscription]:
        return [subscription for service in self.services() for subscription in service.subscriptions()]

    def helpers(self) -> list[Service]:
        others = (self.quotes, self.funding, self.price_watch(self.risk, self.strategy))
        return [self.housekeeping, *(one for one in others if one is not None)]

    def price_watch(self, *watchers: PriceWatcher) -> PriceWatch | None:
        """Lets stops and triggers act between two closes of a live market."""
        if self.plan.present is None:
            return None
        return PriceWatch(clock=self.clock, feed=self.plan.present, ids=self.traded, watchers=watchers)

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


@asynccontextmanager
async def open_platform(database: OpenDatabase, settings: PlatformSettings, plan: Plan) -> AsyncIterator[Platform]:
    """Build everything, reconcile with the venue, deliver what an earlier run left, and hand out the running platform;
    the market begins to move with ``play``.

    AlreadyRunning when another process holds this database's executor lease.
    """
    async with AsyncExitStack() as stack:
        lease = await _hold(stack, settings, database, "order_executor")
        platform = await _build(stack, database, settings, plan, lease)
        platform.market_data.play_through(_tape(platform), end=plan.end, speed=plan.speed)
        subscriptions = platform.subscriptions()
        nobody = Subscription(consumer=PAPER_VENUE, handlers={})
        await platform.bus.declare([*subscriptions, nobody])
        for service in (*platform.services(), *platform.helpers()):
            stack.push_async_callback(service.stop)
            await service.start()
        stack.push_async_callback(platform.bus.stop)
        await platform.bus.start(subscriptions)
        if plan.present is None:
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
        platform = await _build(stack, database, settings, plan, lease, trades=name == "order_executor")
        paper = venue_subscription(platform.venue, platform.executor)
        await platform.bus.declare([*platform.subscriptions(), paper])
        if name == MARKET_DATA:
            platform.market_data.play_through(FreeRunning(), end=plan.end, speed=plan.speed)
            if platform.funding is not None:
                stack.push_async_callback(platform.funding.stop)
                await platform.funding.start()
            stack.push_async_callback(platform.market_data.stop)
            yield asyncio.create_task(platform.market_data.play(), name=name)
            return
        service = next(one for one in platform.services() if one.name == name)
        is_executor = service is platform.executor
        own = [*service.subscriptions(), *([paper] if is_executor else [])]
        helper: Service | None = platform.quotes if is_executor else None
        if service is platform.risk or service is platform.strategy:
            helper = platform.price_watch(service)
        for one in (service, *([] if helper is None else [helper])):
            stack.push_async_callback(one.stop)
            await one.start()
        stack.push_async_callback(platform.bus.stop)
        await platform.bus.start([following(platform.clock, one) for one in own])
        work = platform.executor.serve() if is_executor else asyncio.Event().wait()
        yield asyncio.create_task(work, name=name)


async def _hold(stack: AsyncExitStack, settings: PlatformSettings, database: OpenDatabase, role: str) -> Lease:
    own = await _connected(stack, settings, database.dsn, name="lease", max_size=1)
    return await stack.enter_async_context(hold_lease(own, role, at=SystemClock().now()))


def _tape(platform: Platform) -> LockStep | Present:
    if isinstance(platform.venue, PaperVenue) and platform.plan.present is None:
        return LockStep(venue=platform.venue, executor=platform.executor, bus=platform.bus)
    return Present(venue=platform.venue, executor=platform.executor)


async def _build(
    stack: AsyncExitStack,
    database: OpenDatabase,
    settings: PlatformSettings,
    plan: Plan,
    lease: Lease,
    *,
    trades: bool = True,
) -> Platform:
    """Everything wired, nothing started. Only where it ``trades`` are an account's keys opened."""
    manager = database.manager
    failpoints = Failpoints(settings.failpoints)
    clock = ReplayClock(plan.begin_after) if plan.present is None else LiveClock()
    bus = PostgresBus(manager, clock=clock)
    market_data = MarketDataService(settings=settings.market_data, clock=clock, bus=bus, manager=manager)
    instruments = await market_data.register(plan.source)
    clock.advance(await market_data.begin_feed(plan.feed, plan.source, after=plan.begin_after))
    venue: Venue | None = None
    if plan.keys_of is None:
        account = await open_account(manager, plan, at=clock.now())
        own = await _connected(stack, settings, database.dsn, name="paper_venue", max_size=2)
        venue = await open_paper(own, manager, plan, account, instruments, clock=clock, failpoints=failpoints)
    else:
        account = plan.keys_of
        if trades:
            venue = await _open_real(stack, settings, manager, account, clock)
    strategy = StrategyService(
        settings=settings.strategy,
        clock=clock,
        bus=bus,
        manager=manager,
        bars=DatabaseBars(manager),
        templates=all_templates(),
        account_ids=[account.id],
    )
    here = plan.traded(instruments)
    ids = {symbol: one.id for symbol, one in here.items()}
    executor = OrderExecutor(
        settings=settings.executor,
        clock=clock,
        bus=bus,
        manager=manager,
        venues={} if venue is None else {account.id: venue},
        lease=lease,
        listens=plan.present is not None and settings.executor.account_stream,
        failpoints=failpoints,
    )
    return Platform(
        plan=plan,
        clock=clock,
        bus=bus,
        manager=manager,
        market_data=market_data,
        strategy=strategy,
        risk=RiskManager(settings=settings.risk, clock=clock, bus=bus, manager=manager, bars_of=DatabaseBars),
        executor=executor,
        arbitrage=ArbitrageService(settings=settings.arbitrage, clock=clock, bus=bus, manager=manager),
        housekeeping=Housekeeping(clock=clock, bus=bus),
        venue=venue,
        quotes=_quotes(plan, clock, venue, ids, executor),
        funding=_funding(plan, clock, manager, list(here)),
        traded=ids,
        account=account,
        strategies=await _open_strategies(strategy, plan, account, list(here)),
    )


def _quotes(
    plan: Plan, clock: Clock, venue: Venue | None, ids: Mapping[str, int], executor: OrderExecutor
) -> PaperQuotes | None:
    if plan.present is None or not isinstance(venue, PaperVenue):
        return None
    return PaperQuotes(clock=clock, venue=venue, feed=plan.present, ids=ids, traded=executor.sync)


def _funding(plan: Plan, clock: Clock, manager: PostgresManager, symbols: Sequence[str]) -> LiveFunding | None:
    """Rates are told once they are paid, and a paper account pays what is stored."""
    if plan.present is None or plan.keys_of is not None or plan.kind is not InstrumentKind.SWAP:
        return None
    return LiveFunding(clock=clock, manager=manager, feed=plan.present, symbols=symbols)


async def _open_strategies(
    service: StrategyService, plan: Plan, account: Account, symbols: Sequence[str]
) -> tuple[Strategy, ...]:
    opened = tuple(
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
    if plan.present is not None:
        await _run_only(service, account, {one.id for one in opened})
    return opened


async def _run_only(service: StrategyService, account: Account, wanted: Set[UUID]) -> None:
    """Of what runs here by name. What a paused strategy holds stays, for people to decide about."""
    for one in await service.registry.list_strategies(account.id):
        status = StrategyStatus.ACTIVE if one.id in wanted else StrategyStatus.PAUSED
        if one.status != status:
            await service.registry.set_status(one.id, status)
            log.warning("strategy is now %s", status, extra={"strategy": one.name, "account": account.name})


async def _open_real(
    stack: AsyncExitStack, settings: PlatformSettings, manager: PostgresManager, account: Account, clock: Clock
) -> Venue:
    """The account's venue with its keys; what it holds when our books have nothing of it yet is where they begin."""
    venue = await open_venue(
        manager,
        account,
        home=settings.core.home,
        clock=clock,
        is_live_allowed=settings.core.enable_live_trading,
        budget=request_budget(manager, settings),
    )
    stack.push_async_callback(venue.close)
    await book_opening(manager, account, venue, at=clock.now())
    return venue
