"""Requests to a venue are counted across processes: measured at a server on this machine, through the real ccxt client
and a real PostgreSQL."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from mastertrade.domain.orders import OrderType, Side
from mastertrade.exchanges.ccxt_library import errors, open_client
from mastertrade.exchanges.ccxt_markets import CcxtFeed
from mastertrade.exchanges.ccxt_pacing import errand
from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.exchange import NotSent, OrderTicket
from mastertrade.exchanges.market_feed import FeedRefused, RateLimited
from mastertrade.exchanges.request_budget import Allowance, NotCounted, Purpose, RequestBudget, Wait, allowance_of
from mastertrade.exchanges.simulated import Fault, FaultKind, FaultScript, SimulatedVenue, VenueTime, simulated_market
from mastertrade.exchanges.simulated.private import Keys
from mastertrade.platform import read_settings, request_budget
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.chaos_proxy import chaos_proxy
from tests.postgres.request_driver import PINGS, WINDOW_S, local_client

ROOT = Path(__file__).parents[2]
KEYS = Keys(api_key="a key", secret="a secret")
SLOW = Allowance(units=10, window_s=10)


@dataclass
class Counter:
    """A server that notes when each request arrived; who asks for ``told`` is told that it was one too many."""

    url: str = ""
    arrivals: list[float] = field(default_factory=list)
    told: str = ""
    retry_after: str = ""

    def most_within(self, window_s: float) -> int:
        times, first, most = self.arrivals, 0, 0
        for last, at in enumerate(times):
            while times[first] <= at - window_s:
                first += 1
            most = max(most, last - first + 1)
        return most

    async def answer(self, request: web.Request) -> web.Response:
        self.arrivals.append(time.monotonic())
        if self.told and request.path.endswith(self.told):
            return web.Response(text="<html>too many</html>", status=429, headers={"Retry-After": self.retry_after})
        return web.json_response({})


@asynccontextmanager
async def counting_venue() -> AsyncIterator[Counter]:
    counter = Counter()
    application = web.Application()
    application.router.add_route("*", "/{anything:.*}", counter.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    counter.url = f"http://{host}:{port}"
    try:
        yield counter
    finally:
        await runner.cleanup()


@asynccontextmanager
async def another(dsn: str) -> AsyncIterator[PostgresManager]:
    manager = PostgresManager(dsn)
    await manager.connect()
    try:
        yield manager
    finally:
        await manager.close()


@asynccontextmanager
async def clients(url: str, *managers: PostgresManager, share: float = 1.0) -> AsyncIterator[list[Any]]:
    made = [local_client(url, RequestBudget(one, share=share, counts_local=True)) for one in managers]
    try:
        yield made
    finally:
        for one in made:
            await one.close()


@contextmanager
def process(dsn: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """It has begun to ask, or holds a turn, when it is handed out."""
    command = [sys.executable, "-m", "tests.postgres.request_driver", dsn, *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True, cwd=ROOT) as started:
        try:
            yield started
        finally:
            started.kill()


async def has_begun(started: "subprocess.Popen[str]") -> str:
    assert started.stdout is not None
    return (await asyncio.to_thread(started.stdout.readline)).strip()


@asynccontextmanager
async def saturated(*asking: Any) -> AsyncIterator[None]:
    """Each client has four tasks that ask as fast as they may."""

    async def go_on(client: Any) -> None:
        while True:
            await client.publicGetPing()

    tasks = [asyncio.create_task(go_on(client)) for client in asking for _ in range(4)]
    try:
        await asyncio.sleep(WINDOW_S)
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


async def test_many_processes_together_never_ask_more_than_the_venue_allows(
    database: PostgresManager, dsn: str
) -> None:
    async with counting_venue() as venue, another(dsn) as second:
        with process(dsn, venue.url) as third, process(dsn, venue.url) as fourth:
            assert [await has_begun(third), await has_begun(fourth)] == ["asked", "asked"]
            async with clients(venue.url, database, second, share=0.9) as (one, other), saturated(one, other):
                for _ in range(40):  # orders use up what is kept for them, and stand above the flow
                    with errand(Purpose.ORDER):
                        await one.publicGetPing()
                await asyncio.sleep(2 * WINDOW_S)
        assert venue.most_within(WINDOW_S) <= PINGS
        asked_for_s = venue.arrivals[-1] - venue.arrivals[0]
        assert len(venue.arrivals) / asked_for_s >= 0.5 * PINGS / WINDOW_S, "what is allowed is used"


class Remembering(RequestBudget):
    """What it answered, by purpose."""

    def __init__(self, manager: PostgresManager) -> None:
        super().__init__(manager, counts_local=True)
        self.told: dict[Purpose, list[float]] = {purpose: [] for purpose in Purpose}

    async def take(self, venue: str, cost: float, allowance: Allowance, purpose: Purpose) -> Wait:
        wait = await super().take(venue, cost, allowance, purpose)
        self.told[purpose].append(wait.seconds)
        return wait


async def test_orders_go_at_once_while_data_waits(database: PostgresManager, dsn: str) -> None:
    budget = Remembering(database)
    async with (
        counting_venue() as venue,
        another(dsn) as second,
        clients(venue.url, database, second, database, second) as asking,
        saturated(*asking),
    ):
        trading = local_client(venue.url, budget)
        took_s = {}
        for purpose in (Purpose.ORDER, Purpose.DATA):
            before = time.monotonic()
            for _ in range(8):
                with errand(purpose):
                    await trading.publicGetPing()
            took_s[purpose] = time.monotonic() - before
        await trading.close()
    assert budget.told[Purpose.ORDER] == [0] * 8, "nobody told an order to wait"
    assert len(budget.told[Purpose.DATA]) > 8, "and data is told again and again"
    assert took_s[Purpose.ORDER] < took_s[Purpose.DATA] / 2, took_s


async def test_a_pause_that_one_process_is_told_stops_all_of_them(database: PostgresManager, dsn: str) -> None:
    async with counting_venue() as venue, another(dsn) as second:
        venue.told, venue.retry_after = "/time", "2"
        with process(dsn, venue.url) as third:
            assert await has_begun(third) == "asked"
            async with clients(venue.url, database, second) as (one, other):
                with pytest.raises(errors().BaseError):
                    await one.publicGetTime()
                told_at = time.monotonic()
                await asyncio.sleep(0.2)  # what was under way when the venue said so has arrived
                await asyncio.gather(one.publicGetPing(), other.publicGetPing())
                assert time.monotonic() - told_at > 1.8
                await asyncio.sleep(0.5)
        assert [at - told_at for at in venue.arrivals if 0.2 < at - told_at < 1.8] == []
        assert [at for at in venue.arrivals if at > told_at + 1.8], "and then they go on"


async def test_who_is_killed_in_the_middle_leaves_nothing_behind(database: PostgresManager, dsn: str) -> None:
    budget = RequestBudget(database)
    assert (await budget.take("a venue", 1, SLOW, Purpose.DATA)).seconds == 0
    with process(dsn, "a venue", "hold") as holding:
        assert await has_begun(holding) == "held"
        asked = asyncio.create_task(budget.take("a venue", 1, SLOW, Purpose.ORDER))
        await asyncio.sleep(0.3)
        assert not asked.done(), "its turn is not over yet"
        holding.kill()
        assert (await asyncio.wait_for(asked, 2)).seconds == 0
    wait = await budget.take("a venue", 1, SLOW, Purpose.DATA)
    assert 0 < wait.seconds < 3, "what it took was never let through, and costs nobody anything"


@dataclass(frozen=True)
class Desk:
    venue: SimulatedVenue
    client: CcxtVenue
    budget: RequestBudget

    async def use_up(self) -> None:
        """All of a minute."""
        allowance = allowance_of(open_client("binance", options={}))
        assert (await self.budget.take(self.venue.url, allowance.units, allowance, Purpose.ORDER)).seconds == 0

    async def buy(self, within_s: float) -> None:
        now = datetime.now(UTC)
        ticket = OrderTicket(
            client_order_id=f"order{now:%H%M%S%f}",
            symbol="BTC/USDT",
            side=Side.BUY,
            type=OrderType.MARKET,
            quantity=Decimal("0.01"),
            limit_price=None,
            signed_at=now,
            send_by=now + timedelta(seconds=within_s),
        )
        await self.client.place(ticket)


@asynccontextmanager
async def desk(manager: PostgresManager, *faults: Fault) -> AsyncIterator[Desk]:
    """An account at a venue that is counted; its markets are known."""
    market = simulated_market("BTC/USDT", seed=1, from_ms=int(time.time() * 1000) - 3_600_000)
    money = {"USDT": Decimal(1_000_000)}
    async with SimulatedVenue([market], time=VenueTime(), faults=FaultScript(faults), money=money, keys=KEYS) as venue:
        credentials = Credentials(api_key=KEYS.api_key, secret=KEYS.secret)
        budget = RequestBudget(manager, counts_local=True)
        client = CcxtVenue("binance", credentials, clock=SystemClock(), url=venue.url, budget=budget)
        try:
            await client.balances()
            yield Desk(venue, client, budget)
        finally:
            await client.close()


async def test_whoever_is_told_to_pause_tells_the_others(database: PostgresManager) -> None:
    order = Fault(kind=FaultKind.BAN, on="POST /api/v3/order", seconds=60)
    book = Fault(kind=FaultKind.RATE_LIMIT, on="depth", seconds=30)
    async with desk(database, order, book) as on:
        feed = CcxtFeed("binance", url=on.venue.url, budget=on.budget)
        try:
            await feed.markets()
            for call, seconds in ((feed.book("BTC/USDT"), 30), (on.buy(within_s=5), 60)):
                await database.execute("UPDATE request_budgets SET blocked_until = NULL")
                with pytest.raises(Exception, match=r"Too many requests|Way too"):
                    await call
                (blocked,) = await on.budget.blocked()
                assert (blocked.until - datetime.now(UTC)).total_seconds() == pytest.approx(seconds, abs=2)
                assert blocked.said in ("HTTP 429", "HTTP 418")
        finally:
            await feed.close()
        assert len(on.venue.account.orders) == 0


async def test_an_order_that_would_have_to_wait_too_long_is_not_sent(database: PostgresManager) -> None:
    async with desk(database) as on:
        await on.buy(within_s=5)
        assert len(on.venue.account.orders) == 1
        await on.use_up()
        before = time.monotonic()
        with pytest.raises(NotSent, match=r"what the venue allows is used up for .* the order's time is over before"):
            await asyncio.wait_for(on.buy(within_s=5), 10)
        assert time.monotonic() - before < 1, "it is told at once"
        assert len(on.venue.account.orders) == 1


async def test_an_order_waits_for_a_short_pause_and_not_for_a_ban(database: PostgresManager) -> None:
    async with desk(database) as on:
        await on.budget.block(on.venue.url, 0.7, "HTTP 429")
        before = time.monotonic()
        await on.buy(within_s=5)
        assert time.monotonic() - before >= 0.6
        await on.budget.block(on.venue.url, 3600, "HTTP 418")
        before = time.monotonic()
        with pytest.raises(NotSent, match="wants to be left alone for 36"):
            await asyncio.wait_for(on.buy(within_s=5), 10)
        with pytest.raises(RateLimited, match="nothing was sent"):
            await asyncio.wait_for(on.client.cancel("order", "BTC/USDT"), 10)
        with pytest.raises(RateLimited, match="nothing was sent"):
            await asyncio.wait_for(on.client.balances(), 10)
        feed = CcxtFeed("binance", url=on.venue.url, budget=on.budget)
        try:
            with pytest.raises(FeedRefused, match="banned this address"):
                await asyncio.wait_for(feed.markets(), 10)
        finally:
            await feed.close()
        assert time.monotonic() - before < 1, "all of them are told at once"
        assert len(on.venue.account.orders) == 1


async def test_without_the_database_orders_go_by_their_own_pace_and_data_is_not_asked_for(
    dsn: str, database: PostgresManager
) -> None:
    async with chaos_proxy(dsn) as (proxy, address):
        manager = PostgresManager(
            address, command_timeout_s=1, statement_timeout_s=0.5, acquire_timeout_s=0.5, retry_for_s=0.2
        )
        await manager.connect()
        async with desk(manager) as on:
            proxy.go_silent()
            await on.buy(within_s=5)
            assert len(on.venue.account.orders) == 1
            with pytest.raises(NotCounted, match="nothing was asked"):
                await on.client.balances()
            proxy.heal()
            await on.client.balances()
        await manager.close()


async def test_what_an_order_may_use_is_more_than_what_others_may(database: PostgresManager) -> None:
    """take_request: 10 units in 10 s are a flow of 0.7 a second and a burst of 3."""
    budget = RequestBudget(database)

    async def take(purpose: Purpose, cost: float = 1) -> float:
        return (await budget.take("a venue", cost, SLOW, purpose)).seconds

    assert await take(Purpose.DATA) == 0
    assert await take(Purpose.DATA) == pytest.approx(0.7 / 0.7, abs=0.1), "until 0.3 of it are unpaid"
    assert await take(Purpose.ACCOUNT) == pytest.approx(0.5 / 0.7, abs=0.1), "until 0.5 of it are unpaid"
    assert await take(Purpose.ORDER) == 0
    assert await take(Purpose.ORDER) == 0
    assert await take(Purpose.ORDER) == pytest.approx(1 / 0.7, abs=0.1), "three are unpaid"
    assert await take(Purpose.DATA, cost=0) == 0, "what costs nothing waits for nothing"
    assert await take(Purpose.DATA, cost=9) == pytest.approx(await take(Purpose.DATA), abs=0.1), (
        "a dear request waits no longer than a cheap one"
    )


async def test_a_clock_that_was_set_back_stops_nobody(database: PostgresManager) -> None:
    budget = RequestBudget(database)
    await budget.take("a venue", 1, SLOW, Purpose.ORDER)
    await database.execute("UPDATE request_budgets SET busy_until = busy_until + interval '1 hour'")
    assert (await budget.take("a venue", 1, SLOW, Purpose.DATA)).seconds == 0
    assert (await budget.take("a venue", 1, SLOW, Purpose.DATA)).seconds == pytest.approx(1, abs=0.1)


async def test_the_longer_of_two_pauses_counts(database: PostgresManager) -> None:
    budget = RequestBudget(database)
    for seconds in (60, 5, float("1e12")):
        await budget.block("a venue", seconds, f"{seconds}")
        wait = await budget.take("a venue", 0, SLOW, Purpose.ORDER)
        assert wait.is_blocked
        assert wait.seconds == pytest.approx(min(max(seconds, 60), 7 * 86_400), abs=0.5)


async def test_venues_are_counted_by_name_and_environment_and_servers_of_this_machine_not_at_all(
    database: PostgresManager,
) -> None:
    budget, keys = RequestBudget(database), Credentials(api_key="k", secret="s")
    public = open_client("binance", options={}, budget=budget)
    testing = CcxtVenue("binance", keys, clock=SystemClock(), budget=budget)
    async with counting_venue() as venue:
        local = open_client("binance", url=venue.url, options={}, budget=budget)
        await public.throttle(1)
        await testing._client.throttle(1)
        await local.publicGetPing()
        await local.close()
        assert len(venue.arrivals) == 1
    rows = await database.fetch("SELECT venue FROM request_budgets ORDER BY venue")
    assert [row["venue"] for row in rows] == ["binance", "binance testnet"]


async def test_a_venue_whose_window_is_unknown_is_counted_by_ccxts_pace(database: PostgresManager, dsn: str) -> None:
    async with another(dsn) as second:
        both = [open_client("okx", options={}, budget=RequestBudget(one)) for one in (database, second)]
        assert allowance_of(both[0]) == Allowance(units=20, window_s=2.2), "a unit each 110 ms"
        passed = 0

        async def go_on(client: Any) -> None:
            nonlocal passed
            while True:
                await client.throttle(1)
                passed += 1

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.2):
                await asyncio.gather(*(go_on(client) for client in both))
        assert 0.6 * 20 <= passed <= 0.8 * 20


async def test_only_so_much_of_a_venue_is_used_as_the_settings_say(database: PostgresManager) -> None:
    settings = read_settings({"VENUE_LIMIT_SHARE": "0.5"})
    client = open_client("okx", options={})
    assert allowance_of(client, request_budget(database, settings).share).units == 10
    assert read_settings({}).core.venue_limit_share == 0.95
