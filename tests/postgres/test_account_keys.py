"""Keys of real accounts: asked of the venue, sealed, opened again for trading, and never to be read by anybody."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from mastertrade.domain.orders import Environment, OrderType, Side
from mastertrade.exchanges import ccxt_binance
from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_venue import CcxtVenue, key_parts
from mastertrade.exchanges.exchange import OrderTicket
from mastertrade.exchanges.key_rights import KeysRefused
from mastertrade.exchanges.simulated import Fault, FaultKind, FaultScript, SimulatedVenue, VenueTime, simulated_market
from mastertrade.exchanges.simulated.private import Keys
from mastertrade.order_executor.accounts import (
    Accounts,
    NewAccount,
    _packed,
    _unpacked,
    book_opening,
    open_venue,
    read_credentials,
)
from mastertrade.order_executor.postgres_database import Account
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import ConfigurationError, DependencyDown, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.sealing import KEY_FILE, KeyFileUnusable, SealBroken
from tests.postgres.executor_seed import START, Desk, make_executor, open_desk

START_MS = int(START.timestamp() * 1000)
API_KEY, SECRET = "canary-of-the-api-key-4711", "canary-of-the-secret-0815"
GIVEN = f"{API_KEY}\n{SECRET}\n"
DUMP = "SELECT string_agg(to_jsonb(k)::text, ' ') FROM account_keys k"

MOVE_KEYS = """UPDATE account_keys SET sealed = (SELECT sealed FROM account_keys WHERE account_id = $1)
                WHERE account_id = $2"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Where people bring keys, and the venue that knows them."""

    door: Accounts
    venue: SimulatedVenue
    home: Path
    clock: ReplayClock
    manager: PostgresManager

    def new(self, name: str = "mine") -> NewAccount:
        return NewAccount(name=name, venue="binance", url=self.venue.url)

    async def add(self, name: str = "mine", text: str = GIVEN) -> None:
        await self.door.add(self.new(name), read_credentials(text), actor="ann")

    async def stored(self) -> int:
        return int(await self.manager.fetchval("SELECT count(*) FROM account_keys"))


@asynccontextmanager
async def counter(database: PostgresManager, home: Path, *faults: Fault) -> AsyncIterator[Counter]:
    market = simulated_market("BTC/USDT", seed=1, from_ms=START_MS - 2 * 86_400_000)
    time, keys = VenueTime(START_MS, speed=0), Keys(api_key=API_KEY, secret=SECRET)
    money = {"USDT": Decimal(100_000)}
    async with SimulatedVenue([market], time=time, faults=FaultScript(faults), money=money, keys=keys) as venue:
        clock = ReplayClock(START)
        door = Accounts(manager=database, clock=clock, home=home, is_live_allowed=False)
        yield Counter(door=door, venue=venue, home=home, clock=clock, manager=database)


async def test_keys_are_kept_sealed_and_seen_by_nobody(
    database: PostgresManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with counter(database, tmp_path) as at:
        row, report = await at.door.add(at.new(), read_credentials(GIVEN), actor="ann")
        again, _ = await at.door.check("mine")
        (listed,) = await at.door.list()
    assert row.keys is not None
    assert again.keys == listed.keys == row.keys
    assert (row.keys.ending, row.keys.added_by, report.assets) == ("4711", "ann", 1)
    assert row.keys.rights is not None
    assert not row.keys.rights.may_withdraw
    dump = str(await database.fetchval(DUMP))
    key_file = (tmp_path / KEY_FILE).read_text()
    everything = " ".join([dump, key_file, caplog.text, repr(caplog.records), repr(row), repr(report), repr(at.door)])
    for secret in (API_KEY, SECRET):
        assert secret not in everything
        assert secret.encode().hex() not in everything
    assert oct((tmp_path / KEY_FILE).stat().st_mode)[-3:] == "600"


@asynccontextmanager
async def traded(at: Counter) -> AsyncIterator[tuple[Desk, CcxtVenue]]:
    """The executor with the stored keys of the account ``mine``, after its opening."""
    await at.add()
    account = (await at.door.list())[0].account
    desk = replace(await open_desk(at.manager, cash="100000"), account=account, clock=at.clock)
    await at.manager.execute("INSERT INTO venues (id) VALUES ('binance')")
    await at.manager.execute("UPDATE instruments SET venue = 'binance' WHERE id = $1", desk.instrument.id)
    venue = await open_venue(at.manager, account, home=at.home, clock=at.clock)
    try:
        await book_opening(at.manager, account, venue, at=at.clock.now())
        desk.executor = make_executor(at.manager, at.clock, desk.bus, venue, account, desk.lease)  # type: ignore[arg-type]
        await desk.executor.sync()
        yield desk, venue
    finally:
        await venue.close()


def by_hand(at: Counter, number: int) -> OrderTicket:
    """What somebody places at the venue's own page."""
    now = at.clock.now()
    return OrderTicket(
        client_order_id=f"hand{number}", symbol="BTC/USDT", side=Side.BUY, type=OrderType.MARKET,
        quantity=Decimal("0.1"), limit_price=None, signed_at=now, send_by=now + timedelta(seconds=5),
    )  # fmt: skip


async def is_live(at: Counter, account: Account) -> bool:
    sql = "SELECT state FROM account_states WHERE account_id = $1"
    return bool(await at.manager.fetchval(sql, account.id) == "live")


async def test_an_order_goes_out_with_stored_keys_and_comes_back_booked(
    database: PostgresManager, tmp_path: Path
) -> None:
    async with counter(database, tmp_path) as at, traded(at) as (desk, _):
        assert await is_live(at, desk.account)
        approval = await desk.approve(Side.BUY, "0.5", reserve="60000")
        await desk.hear(approval)
        at.venue.time.advance(1)
        await desk.executor.sync()
        assert await desk.status(approval) == "FILLED"
        assert at.venue.account.holdings["BTC"].free > 0
        assert await desk.problems() == []


@pytest.mark.parametrize("page", [500, 2, 1])
async def test_what_was_traded_before_the_opening_is_in_the_opening_balance_alone(
    database: PostgresManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(ccxt_binance, "TRADES_A_PAGE", page)
    async with counter(database, tmp_path) as at:
        credentials = Credentials(api_key=API_KEY, secret=SECRET)
        hand = CcxtVenue("binance", credentials, clock=at.clock, url=at.venue.url)
        try:
            for number in range(3):
                await hand.place(by_hand(at, number))
            at.venue.time.advance(1)
            at.clock.advance(at.clock.now() + timedelta(seconds=1))
            async with traded(at) as (desk, venue):
                await desk.hear(approval := await desk.approve(Side.BUY, "0.5", reserve="60000"))
                await hand.place(by_hand(at, 3))
                at.venue.time.advance(1)
                await desk.executor.sync()
                assert await desk.status(approval) == "FILLED"
                booked = await database.fetchval("SELECT sum(quantity) FROM trades")
                assert booked == Decimal("0.6"), "ours, and what was traded by hand since"
                totals = await venue.balances()
                ours = await database.fetch(
                    "SELECT asset, free_balance + locked_balance AS total FROM portfolio_balances b "
                    "WHERE b.account_id = $1",
                    desk.account.id,
                )
                assert {row["asset"]: row["total"] for row in ours} == totals
                again = make_executor(database, at.clock, desk.bus, venue, desk.account, desk.lease)  # type: ignore[arg-type]
                await again.sync()
                assert await database.fetchval("SELECT sum(quantity) FROM trades") == booked
                assert await is_live(at, desk.account)
        finally:
            await hand.close()


async def test_an_opening_is_booked_once(database: PostgresManager, tmp_path: Path) -> None:
    async with counter(database, tmp_path) as at, traded(at) as (desk, venue):
        at.venue.account.holdings["USDT"].free += 5
        await book_opening(database, desk.account, venue, at=at.clock.now())
        booked = await database.fetchval("SELECT count(*) FROM ledger_entries WHERE account_id = $1", desk.account.id)
        assert booked == 1, "the gift is a difference, for people to decide about"


@pytest.mark.parametrize(
    ("right", "value", "words"),
    [
        ("enableWithdrawals", True, "the key may withdraw"),
        ("enableSpotAndMarginTrading", False, "the key may not trade"),
    ],
)
async def test_keys_that_may_too_much_or_too_little_are_not_kept(
    database: PostgresManager, tmp_path: Path, right: str, value: bool, words: str
) -> None:
    async with counter(database, tmp_path) as at:
        assert at.venue.private is not None
        at.venue.private.rights[right] = value
        with pytest.raises(KeysRefused, match=f"mine is not added: .*{words}"):
            await at.add()
        assert await at.stored() == 0
        assert await at.door.list() == []


async def test_keys_that_the_venue_does_not_know_are_not_kept(database: PostgresManager, tmp_path: Path) -> None:
    async with counter(database, tmp_path) as at:
        with pytest.raises(KeysRefused, match="copied whole") as refused:
            await at.add(text=f"{API_KEY}\n{SECRET[:-1]}\n")
        assert SECRET[:-1] not in str(refused.value)
        assert await at.stored() == 0


async def test_a_venue_that_does_not_answer_leaves_nothing_behind(database: PostgresManager, tmp_path: Path) -> None:
    async with counter(database, tmp_path, Fault(kind=FaultKind.STATUS, on="account", times=0)) as at:
        with pytest.raises(DependencyDown, match="does not answer as it should"):
            await at.add()
        assert await at.door.list() == []


async def test_a_name_is_taken_once_and_forgotten_keys_make_room_for_new_ones(
    database: PostgresManager, tmp_path: Path
) -> None:
    async with counter(database, tmp_path) as at:
        await at.add()
        with pytest.raises(UsageError, match="account mine has keys already; mastertrade account remove mine"):
            await at.add()
        with pytest.raises(UsageError, match="taken by an account for spot at binance"):
            await at.door.add(replace(at.new(), quote_asset="EUR"), read_credentials(GIVEN), actor="ann")
        await at.door.remove("mine", actor="ann")
        with pytest.raises(NotFound, match="has no keys stored"):
            await at.door.remove("mine", actor="ann")
        with pytest.raises(NotFound, match="has no keys stored"):
            await at.door.check("mine")
        await at.add()
        assert await at.stored() == 1
        with pytest.raises(NotFound, match="there is no account 'other'"):
            await at.door.check("other")


async def test_a_row_that_was_changed_or_moved_does_not_open(database: PostgresManager, tmp_path: Path) -> None:
    async with counter(database, tmp_path) as at:
        await at.add()
        await at.add("other")
        own, other = (row.account for row in await at.door.list())
        await database.execute(MOVE_KEYS, own.id, other.id)
        with pytest.raises(SealBroken, match="the stored keys of other were changed"):
            await at.door.check("other")
        await database.execute("UPDATE account_keys SET url = 'http://127.0.0.1:1' WHERE account_id = $1", own.id)
        with pytest.raises(SealBroken, match="the stored keys of mine were changed"):
            await at.door.check("mine")


async def test_without_its_master_key_nothing_opens_and_no_second_one_is_made(
    database: PostgresManager, tmp_path: Path
) -> None:
    async with counter(database, tmp_path) as at:
        await at.add()
        kept = (tmp_path / KEY_FILE).read_text()
        (tmp_path / KEY_FILE).unlink()
        with pytest.raises(KeyFileUnusable, match="is missing"):
            await at.door.check("mine")
        with pytest.raises(KeyFileUnusable, match="is missing"):
            await at.add("other")
        assert not (tmp_path / KEY_FILE).exists()
        (tmp_path / KEY_FILE).write_text("0" * 64 + "\n")
        (tmp_path / KEY_FILE).chmod(0o600)
        with pytest.raises(KeyFileUnusable, match="put that file back"):
            await at.add("other")
        with pytest.raises(KeyFileUnusable, match="is needed"):
            await at.door.check("mine")
        (tmp_path / KEY_FILE).write_text(kept)
        await at.door.check("mine")


async def test_real_money_is_refused_before_anything_is_sent_or_kept(database: PostgresManager, tmp_path: Path) -> None:
    async with counter(database, tmp_path) as at:
        real = NewAccount(name="real", venue="binance", environment=Environment.PRODUCTION)
        with pytest.raises(ConfigurationError, match="ENABLE_LIVE_TRADING=true"):
            await at.door.add(real, read_credentials(GIVEN), actor="ann")
        assert await at.door.list() == []
        assert not (tmp_path / KEY_FILE).exists()


async def test_an_account_on_a_testnet_that_does_not_exist_is_refused(
    database: PostgresManager, tmp_path: Path
) -> None:
    async with counter(database, tmp_path) as at:
        for venue in ("coinbase", "kraken"):
            with pytest.raises(ConfigurationError, match=f"{venue} has no testnet: .* environment production"):
                await at.door.add(NewAccount(name="mine", venue=venue), read_credentials(GIVEN), actor="ann")
        assert await at.door.list() == []


NAMES = {
    "a name with a space": ({"name": "my account"}, "begins with a letter or digit"),
    "no name": ({"name": ""}, "begins with a letter or digit"),
    "an unknown venue": ({"venue": "mtgox"}, "venue 'mtgox' cannot be traded at yet; those that can: binance"),
    "paper": ({"environment": Environment.PAPER}, "a paper account has no keys"),
    "a strange asset": ({"quote_asset": "usdt"}, "quote asset 'usdt'"),
    "another machine": ({"url": "https://example.com"}, "no venue of this machine"),
    "a lookalike": ({"url": "http://127.0.0.1.example.com"}, "no venue of this machine"),
    "a stand-in for real money": (
        {"url": "http://127.0.0.1:1", "environment": Environment.PRODUCTION},
        "cannot stand in",
    ),
}


@pytest.mark.parametrize(("changes", "words"), NAMES.values(), ids=NAMES)
def test_what_no_account_can_be_is_told_in_words(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        NewAccount(**({"name": "mine", "venue": "binance"} | changes))  # type: ignore[arg-type]


TEXTS = {
    "nothing": ("", "has 0 lines"),
    "one line": ("key\n", "has 1 lines"),
    "three lines": ("a\nb\nc\n", "has 3 lines"),
    "an empty key": ("\nmy-words\n", "the API key is empty"),
    "a space": ("key\nsec ret\n", "the secret has a space or a strange sign at place 4 of 7"),
    "an invisible sign": ("k\u200bey\nsecret\n", "the API key has a space or a strange sign at place 2"),
    "the same twice": ("key\nkey\n", "are the same"),
    "a file": ("k" * 1_001 + "\nsecret\n", "more than 1,000"),
}


@pytest.mark.parametrize(("text", "words"), TEXTS.values(), ids=TEXTS)
def test_a_wrong_text_is_described_and_not_repeated(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as wrong:
        read_credentials(text)
    assert not any(len(line) > 3 and line in str(wrong.value) for line in text.splitlines())


def test_windows_lines_and_a_mark_in_front_are_no_part_of_a_key() -> None:
    found = read_credentials("\ufeffthe-key\r\nthe-secret\r\n\r\n")
    assert (found.api_key, found.secret) == ("the-key", "the-secret")
    assert "the-secret" not in json.dumps(repr(found))


PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEINoKeyOfAnybody\nAwEHoUQDQgAEatAll==\n-----END EC PRIVATE KEY-----\n"
PEM_FORMS = {
    "its own lines": PEM,
    "windows lines": PEM.replace("\n", "\r\n"),
    "one line": PEM.strip().replace("\n", "\\n"),
    "one line with its last end": PEM.replace("\n", "\\n") + "\n",
}


@pytest.mark.parametrize("pem", PEM_FORMS.values(), ids=PEM_FORMS)
def test_a_private_key_in_pem_is_one_part_however_its_lines_come(pem: str) -> None:
    parts = key_parts("coinbase")
    assert parts == ("API key name", "private key")
    given = read_credentials(f"organizations/1/apiKeys/2\n{pem}", parts)
    assert (given.api_key, given.secret) == ("organizations/1/apiKeys/2", PEM.strip().replace("\n", "\\n"))
    assert _unpacked(_packed(given)) == given
    with pytest.raises(UsageError, match="the private key has a space or a strange sign at place 44 of "):
        read_credentials(f"organizations/1/apiKeys/2\n{pem.replace('NoKeyOf', 'No KeyOf')}", parts)
    with pytest.raises(UsageError, match="1 lines; expected 2: the API key name, its private key, in this order"):
        read_credentials(pem, parts)


def test_keys_with_a_passphrase_have_three_lines_and_are_kept_whole() -> None:
    parts = key_parts("okx")
    assert (parts, key_parts("binance"), key_parts("nowhere")) == (
        ("API key", "secret", "passphrase"), ("API key", "secret"), ("API key", "secret"),
    )  # fmt: skip
    given = read_credentials("a-key\na-secret\na-phrase\n", parts)
    assert (given.api_key, given.secret, given.password) == ("a-key", "a-secret", "a-phrase")
    assert _unpacked(_packed(given)) == given
    two = read_credentials("a-key\na-secret\n")
    assert _unpacked(_packed(two)) == two
    with pytest.raises(UsageError, match="2 lines; expected 3: the API key, its secret, its passphrase, in this order"):
        read_credentials("a-key\na-secret\n", parts)
    with pytest.raises(UsageError, match="the passphrase has a space or a strange sign at place 2 of 3"):
        read_credentials("a-key\na-secret\na b\n", parts)
