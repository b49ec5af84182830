"""An account for swaps from its keys to its books: the executor, the real ccxt client, and a venue on this machine that
keeps the truth. Whatever the wire does, wallet, contracts and funding are the venue's."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.market import InstrumentKind
from mastertrade.domain.orders import Side
from mastertrade.exchanges.ccxt_swaps import CcxtSwapVenue
from mastertrade.exchanges.key_rights import KeysRefused
from mastertrade.exchanges.simulated import Fault, FaultKind, FaultScript, SimulatedVenue, VenueTime, simulated_market
from mastertrade.exchanges.simulated.markets import FUNDING_MS
from mastertrade.exchanges.simulated.private import Keys
from mastertrade.order_executor.accounts import Accounts, NewAccount, book_opening, open_venue, read_credentials
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import ConfigurationError, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres import test_broken_venue
from tests.postgres.executor_seed import START, Desk, make_executor, open_desk

START_MS = int(START.timestamp() * 1000)
KEYS = Keys(api_key="a-key-of-swaps", secret="a-secret-of-swaps")
GIVEN = f"{KEYS.api_key}\n{KEYS.secret}\n"
SYMBOL = "BTC/USDT:USDT"
PLACE = "POST /fapi/v1/order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    door: Accounts
    venue: SimulatedVenue
    desk: Desk
    client: CcxtSwapVenue

    async def later(self, seconds: float) -> None:
        self.venue.time.advance(seconds)
        self.desk.clock.advance(datetime.fromtimestamp(self.venue.time.now_ms() / 1000, UTC))
        await self.desk.executor.sync()

    async def traded(self, side: Side, quantity: str, reserve: str = "60000") -> OrderApproved:
        approval = await self.desk.approve(side, quantity, reserve=reserve)
        await self.desk.hear(approval)
        return approval

    async def books_are_the_venues(self) -> None:
        truth, manager, account = self.venue.swaps, self.desk.manager, self.desk.account
        wallet = await manager.fetchval(
            "SELECT free_balance + locked_balance FROM portfolio_balances WHERE account_id = $1 AND asset = 'USDT'",
            account.id,
        )
        assert wallet == truth.wallet("USDT")
        held = await manager.fetchval("SELECT sum(quantity) FROM contract_positions WHERE account_id = $1", account.id)
        assert (held or 0) == sum(one.amount for one in truth.positions.values())
        paid = await manager.fetchval("SELECT sum(amount) FROM funding_payments WHERE account_id = $1", account.id)
        assert (paid or 0) == sum(one.amount for one in truth.incomes if one.kind == "FUNDING_FEE")
        assert set(truth.asked.values()) <= {1}, "one write an attempt"
        sql = "SELECT state FROM account_states WHERE account_id = $1"
        assert await manager.fetchval(sql, account.id) == "live"
        assert await self.desk.problems() == []


def venue_of(*faults: Fault, money: int = 100_000) -> SimulatedVenue:
    market = simulated_market("BTC/USDT", seed=1, from_ms=START_MS - 2 * 86_400_000)
    cash, time = {"USDT": Decimal(money)}, VenueTime(START_MS, speed=0)
    return SimulatedVenue([market], time=time, faults=FaultScript(faults), money=cash, keys=KEYS)


def new(venue: SimulatedVenue, leverage: str = "2") -> NewAccount:
    return NewAccount(name="mine", venue="binance", url=venue.url, kind=InstrumentKind.SWAP, leverage=Decimal(leverage))


@asynccontextmanager
async def floor(
    database: PostgresManager, home: Path, *faults: Fault, money: int = 100_000, leverage: str = "2"
) -> AsyncIterator[Floor]:
    async with venue_of(*faults, money=money) as venue:
        venue_desk = await open_desk(database)
        clock = venue_desk.clock
        door = Accounts(manager=database, clock=clock, home=home, is_live_allowed=False)
        await door.add(new(venue, leverage), read_credentials(GIVEN), actor="ann")
        account = next(row.account for row in await door.list() if row.account.name == "mine")
        await database.execute("INSERT INTO venues (id) VALUES ('binance')")
        await database.execute(
            "UPDATE instruments SET venue = 'binance', symbol = $2, kind = 'swap', settle = 'USDT' WHERE id = $1",
            venue_desk.instrument.id, SYMBOL,
        )  # fmt: skip
        instrument = replace(
            venue_desk.instrument, venue="binance", symbol=SYMBOL, kind=InstrumentKind.SWAP, settle="USDT"
        )
        client = await open_venue(database, account, home=home, clock=clock)
        assert isinstance(client, CcxtSwapVenue)
        desk = replace(venue_desk, account=account, instrument=instrument)
        try:
            await book_opening(database, account, client, at=clock.now())
            desk.executor = make_executor(database, clock, desk.bus, client, account, desk.lease)  # type: ignore[arg-type]
            await desk.executor.sync()
            yield Floor(door=door, venue=venue, desk=desk, client=client)
        finally:
            await client.close()


async def test_a_short_is_opened_funded_and_bought_back(database: PostgresManager, tmp_path: Path) -> None:
    async with floor(database, tmp_path) as on:
        await on.traded(Side.SELL, "0.5")
        await on.later(60)
        await on.books_are_the_venues()
        for _settlement in range(2):
            await on.later(FUNDING_MS / 1000)
        await on.books_are_the_venues()
        assert await database.fetchval("SELECT count(*) FROM funding_payments") == 2
        await on.traded(Side.BUY, "0.5")
        await on.later(60)
        assert await on.client.positions([]) == {}
        await on.books_are_the_venues()


LATE = {
    "the connection breaks": Fault(kind=FaultKind.DROP, on=PLACE, is_late=True),
    "-1007": Fault(kind=FaultKind.ERROR, on=PLACE, status=408, code=-1007, is_late=True),
    "lists stand still and repeat": Fault(kind=FaultKind.REPEAT, on="GET /fapi/v1/", times=0),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", LATE.values(), ids=LATE)
async def test_whatever_the_wire_does_each_order_is_there_once(
    database: PostgresManager, tmp_path: Path, fault: Fault
) -> None:
    async with floor(database, tmp_path, fault) as on:
        approval = await on.traded(Side.BUY, "0.5")
        for _look in range(4):
            await on.later(20)
        assert await on.desk.status(approval) == "FILLED"
        await on.books_are_the_venues()


async def test_a_liquidation_is_booked_as_what_it_is(database: PostgresManager, tmp_path: Path) -> None:
    async with floor(database, tmp_path, money=500, leverage="100") as on:
        await on.traded(Side.SELL, "0.5", reserve="300")
        await on.later(60)
        await on.later(12 * 3_600)
        await on.later(60)
        assert on.venue.swaps.positions == {}
        ids = await database.fetch("SELECT client_order_id FROM orders WHERE client_order_id LIKE 'autoclose-%'")
        assert len(ids) == 1
        await on.books_are_the_venues()


async def test_what_was_paid_before_the_opening_is_in_the_opening_balance_alone(
    database: PostgresManager, tmp_path: Path
) -> None:
    async with venue_of() as venue:
        truth = venue.swaps
        market = {"symbol": "BTCUSDT", "type": "MARKET", "quantity": Decimal("0.5")}
        truth.place_swap(**market, side="BUY", client_id="hand1", now_ms=START_MS)
        clock = ReplayClock(START)
        door = Accounts(manager=database, clock=clock, home=tmp_path, is_live_allowed=False)
        await door.add(new(venue), read_credentials(GIVEN), actor="ann")
        (row,) = await door.list()
        client = await door.open_venue(row.account)
        try:
            with pytest.raises(ConfigurationError, match=r"holds 0\.5\S* BTC/USDT:USDT already.*close them"):
                await book_opening(database, row.account, client, at=clock.now())
            assert await database.fetchval("SELECT count(*) FROM ledger_entries") == 0
            venue.time.advance(FUNDING_MS / 1000)
            truth.place_swap(**market, side="SELL", client_id="hand2", now_ms=venue.time.now_ms())
            clock.advance(datetime.fromtimestamp(venue.time.now_ms() / 1000 + 1, UTC))
            venue.time.advance(1)
            await book_opening(database, row.account, client, at=clock.now())
            funding = await database.fetchval("SELECT funding FROM venue_cursors")
            assert (await client.funding(funding, [])).payments == ()
        finally:
            await client.close()


async def test_keys_for_swaps_need_the_right_for_futures_and_one_way_mode(
    database: PostgresManager, tmp_path: Path
) -> None:
    async with venue_of() as venue:
        door = Accounts(manager=database, clock=ReplayClock(START), home=tmp_path, is_live_allowed=False)
        assert venue.private is not None
        venue.private.rights["enableFutures"] = False
        with pytest.raises(KeysRefused, match="may not trade swaps: switch on Enable Futures at Binance"):
            await door.add(new(venue), read_credentials(GIVEN), actor="ann")
        venue.private.rights["enableFutures"] = True
        venue.swaps.is_hedged = True
        with pytest.raises(KeysRefused, match="hedge mode"):
            await door.add(new(venue), read_credentials(GIVEN), actor="ann")
        venue.swaps.is_hedged = False
        row, report = await door.add(new(venue), read_credentials(GIVEN), actor="ann")
        assert (row.account.kind, row.account.leverage, report.assets) == (InstrumentKind.SWAP, 2, 1)


@pytest.mark.parametrize("venue", ["kraken", "coinbase"])
def test_an_account_for_swaps_is_refused_where_they_cannot_be_traded(venue: str) -> None:
    with pytest.raises(UsageError, match=f"venue '{venue}': .*; an account for swaps can be at binance"):
        NewAccount(name="mine", venue=venue, kind=InstrumentKind.SWAP)


async def nothing_false_is_booked(on: Floor) -> None:
    truth, manager, account = on.venue.swaps, on.desk.manager, on.desk.account
    names = {one.id: one.client_id for one in truth.orders}
    rows = await manager.fetch(
        "SELECT t.exchange_trade_id, o.client_order_id, t.side, t.quantity, t.price "
        "FROM trades t JOIN orders o ON o.id = t.order_id WHERE t.account_id = $1",
        account.id,
    )
    told = [tuple(row.values()) for row in rows]
    assert len(told) == len(set(told))
    assert set(told) <= {
        (str(one.id), names[one.order_id], one.side, one.quantity, one.price) for one in truth.executions
    }
    paid = await manager.fetch("SELECT payment_id, amount FROM funding_payments WHERE account_id = $1", account.id)
    assert {tuple(row.values()) for row in paid} <= {(str(one.id), one.amount) for one in truth.incomes}
    assert await manager.fetchval("SELECT count(*) FROM quarantined_fills") == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(2))
async def test_a_venue_that_breaks_its_answers_makes_nobody_stop_and_nothing_false(
    database: PostgresManager,
    tmp_path: Path,
    seed: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another amount in the place of a profit or a payment is no broken answer: the venue's word is what counts."""
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(test_broken_venue, "LEFT_OUT", (*test_broken_venue.LEFT_OUT, "realizedPnl", "income"))
    async with floor(database, tmp_path) as on:
        await on.traded(Side.BUY, "0.2", reserve="10000")
        await on.later(1)
        breaker = on.client._parse_json = test_broken_venue.Breaker(on.client._parse_json, seed)  # type: ignore[method-assign]
        for number in range(12):
            breaker.is_on = True
            side = Side.SELL if number % 2 else Side.BUY
            await on.traded(side, "0.3" if number % 3 else "0.1", reserve="20000")
            await on.later(5)
            await on.later(2 * 3_600)
            await nothing_false_is_booked(on)
        assert breaker.broken > 5
        breaker.is_on = False
        for _ in range(8):
            await on.later(40)
        await nothing_false_is_booked(on)
        assert await database.fetchval("SELECT count(*) FROM trades") == len(on.venue.swaps.executions)
        assert await database.fetchval("SELECT count(*) FROM orders WHERE status = 'UNKNOWN'") == 0
        await on.books_are_the_venues()
