"""Accounts at real venues: their keys checked, sealed and stored, and the venue that trades with them."""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from mastertrade.domain.market import InstrumentKind
from mastertrade.domain.orders import Environment
from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_swaps import CcxtSwapVenue, why_no_swaps
from mastertrade.exchanges.ccxt_venue import VENUES, CcxtVenue
from mastertrade.exchanges.key_rights import KeyReport, KeyRights, KeysRefused, problems
from mastertrade.exchanges.request_budget import RequestBudget
from mastertrade.order_executor.postgres_database import Account, ExecutorPostgresDatabase
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.json_data import decode
from mastertrade.shared.logging import hide
from mastertrade.shared.postgres_manager import Database, PostgresManager
from mastertrade.shared.queries import load_queries
from mastertrade.shared.sealing import KeyFileUnusable, MasterKey, SealBroken, Sealed, open_master_key

QUERIES = load_queries(Path(__file__).with_name("accounts.sql"))
log = logging.getLogger(__name__)

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
ASSET: Final = re.compile(r"[A-Z0-9]{2,15}")
OF_THIS_MACHINE: Final = re.compile(r"https?://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?/?")
LONGEST_KEY: Final = 1_000
HIGHEST_LEVERAGE: Final = Decimal(125)
PEM: Final = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----(?:\\n|\n)*", re.DOTALL)
PEM_EDGE: Final = re.compile(r"-----(?:BEGIN|END) [A-Z ]+-----")
SHOWN: Final = 4
LONG_ENOUGH_TO_SHOW: Final = 16
"""Of a shorter key the last four letters would give too much away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """``url``: a simulated venue of this machine that stands in for the testnet. UsageError says what cannot be."""

    name: str
    venue: str
    environment: Environment = Environment.TESTNET
    quote_asset: str = "USDT"
    kind: InstrumentKind = InstrumentKind.SPOT
    leverage: Decimal = Decimal(1)
    url: str | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError(
                f"account {self.name!r}: a name has 1 to 63 letters of a-z, A-Z, 0-9 . _ - "
                "and begins with a letter or digit"
            )
        if self.venue not in VENUES:
            raise UsageError(f"venue {self.venue!r} cannot be traded at yet; those that can: {', '.join(VENUES)}")
        if self.kind is InstrumentKind.SWAP and (why := why_no_swaps(self.venue)):
            raise UsageError(why)
        if self.environment is Environment.PAPER:
            raise UsageError("a paper account has no keys: mastertrade up makes it")
        if not ASSET.fullmatch(self.quote_asset):
            raise UsageError(f"quote asset {self.quote_asset!r}: 2 to 15 letters A-Z or digits, such as USDT")
        require_leverage(self.leverage, "leverage ")
        if self.kind is InstrumentKind.SPOT and self.leverage != 1:
            raise UsageError(
                f"leverage {self.leverage}: a spot account pays in full; an account for swaps has leverage"
            )
        if self.url is not None and self.environment is not Environment.TESTNET:
            raise UsageError(f"{self.url} cannot stand in for a venue where money is real")
        if self.url is not None and not OF_THIS_MACHINE.fullmatch(self.url):
            raise UsageError(
                f"{self.url!r} is no venue of this machine, and keys go nowhere else; write http://127.0.0.1:PORT"
            )


def require_leverage(leverage: Decimal | None, named: str) -> None:
    """UsageError, in which it is ``named`` so, for what no account can have. None is none."""
    if leverage is None:
        return
    if not (leverage.is_finite() and 1 <= leverage <= HIGHEST_LEVERAGE):
        raise UsageError(f"{named}{leverage} is outside 1 to {HIGHEST_LEVERAGE}")
    if leverage != leverage.quantize(Decimal("0.01")):
        raise UsageError(f"{named}{leverage} has more than two decimals")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKeys:
    """What may be shown of them. ``ending``: at most the last four letters of the API key."""

    ending: str
    url: str | None
    rights: KeyRights | None
    added_at: datetime
    added_by: str
    checked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    account: Account
    created_at: datetime
    keys: StoredKeys | None


def read_credentials(text: str, parts: Sequence[str] = ("API key", "secret")) -> Credentials:
    """A line for each part of the keys; a key in PEM may have its own lines, or ``\\n`` between them. UsageError tells
    which line is wrong, and nothing that stands in it."""
    lines = PEM.sub(_in_one_line, text.removeprefix("\ufeff").replace("\r\n", "\n")).splitlines()
    while lines and not lines[-1]:
        lines.pop()
    expected = f"expected {len(parts)}: the {', its '.join(parts)}, in this order"
    if len(lines) != len(parts):
        raise UsageError(f"standard input has {len(lines)} lines; {expected}")
    for name, line in zip(parts, lines, strict=True):
        if not line:
            raise UsageError(f"the {name} is empty; {expected}")
        if len(line) > LONGEST_KEY:
            raise UsageError(f"the {name} has {len(line):,} letters, more than {LONGEST_KEY:,}; is it another text?")
        shown = PEM_EDGE.sub(lambda edge: edge[0].replace(" ", "-"), line)
        wrong = next((place for place, letter in enumerate(shown, 1) if not "!" <= letter <= "~"), None)
        if wrong is not None:
            raise UsageError(
                f"the {name} has a space or a strange sign at place {wrong} of {len(line)}; copy it again, by itself"
            )
        hide(line)
    if lines[0] == lines[1]:
        raise UsageError("the API key and its secret are the same; expected two that differ")
    return Credentials(api_key=lines[0], secret=lines[1], password=lines[2] if len(lines) > 2 else "")


def _in_one_line(pem: re.Match[str]) -> str:
    return pem[0].replace("\\n", "\n").strip().replace("\n", "\\n") + "\n"


class Accounts:
    """The door for people. ``home`` holds the file with the master key."""

    def __init__(
        self,
        *,
        manager: PostgresManager,
        clock: Clock,
        home: Path,
        is_live_allowed: bool,
        budget: RequestBudget | None = None,
    ) -> None:
        self._manager = manager
        self._clock = clock
        self._home = home
        self._is_live_allowed = is_live_allowed
        self._budget = budget
        self._database = ExecutorPostgresDatabase()

    async def list(self) -> "list[AccountRow]":
        return [_row(row) for row in await QUERIES.fetch(self._manager, "account_list", name=None)]

    async def add(self, new: NewAccount, credentials: Credentials, *, actor: str) -> tuple[AccountRow, KeyReport]:
        """Store the keys of a new account, or of one whose keys were forgotten, once the venue has accepted them.

        KeysRefused when it does not, or when they may withdraw or may not trade; UsageError for a name that is taken;
        KeyFileUnusable when the master key of the other accounts is not there. Nothing is stored then."""
        await self._require_free(new)
        venue = _connect(
            new,
            credentials,
            clock=self._clock,
            url=new.url,
            is_live_allowed=self._is_live_allowed,
            budget=self._budget,
        )
        master = await self._master_key()
        report = await _checked(venue)
        if found := problems(new.venue, report.rights, trades_swaps=new.kind is InstrumentKind.SWAP):
            raise KeysRefused(f"{new.name} is not added: " + "; ".join(found))
        async with self._manager.transaction() as tx:
            account = await self._database.create_account(
                tx,
                name=new.name,
                venue=new.venue,
                environment=new.environment,
                quote_asset=new.quote_asset,
                kind=new.kind,
                leverage=new.leverage,
            )
            _require_same(account, new)
            sealed = master.seal(_packed(credentials), bound_to=_place(account, new.url))
            stored = await QUERIES.fetchval(
                tx,
                "store_keys",
                account_id=account.id,
                sealed=sealed.content,
                master_key_id=sealed.master_key_id,
                ending=credentials.api_key[-SHOWN:] if len(credentials.api_key) >= LONG_ENOUGH_TO_SHOW else "",
                url=new.url,
                rights=_told(report.rights),
                at=self._clock.now(),
                actor=actor,
            )
            if stored is None:
                raise _has_keys(new.name)
        log.info("exchange keys stored", extra={"account": new.name, "venue": new.venue, "actor": actor})
        return await self._find(new.name), report

    async def check(self, name: str) -> tuple[AccountRow, KeyReport]:
        """Open the keys and ask the venue about them; what it says of their rights is kept."""
        row = await self._find(name)
        venue = await self.open_venue(row.account)
        report = await _checked(venue)
        await QUERIES.execute(
            self._manager,
            "note_rights",
            account_id=row.account.id,
            rights=_told(report.rights),
            at=self._clock.now(),
        )
        return await self._find(name), report

    async def remove(self, name: str, *, actor: str) -> AccountRow:
        """Forget its keys. NotFound when it has none."""
        row = await self._find(name)
        if await QUERIES.fetchval(self._manager, "forget_keys", account_id=row.account.id) is None:
            raise _has_no_keys(name)
        log.info("exchange keys forgotten", extra={"account": name, "actor": actor})
        return row

    async def open_venue(self, account: Account) -> CcxtVenue:
        return await open_venue(
            self._manager,
            account,
            home=self._home,
            clock=self._clock,
            is_live_allowed=self._is_live_allowed,
            budget=self._budget,
        )

    async def _find(self, name: str) -> AccountRow:
        rows = await QUERIES.fetch(self._manager, "account_list", name=name)
        if not rows:
            raise NotFound(f"there is no account {name!r}; mastertrade account list shows them")
        return _row(rows[0])

    async def _require_free(self, new: NewAccount) -> None:
        rows = await QUERIES.fetch(self._manager, "account_list", name=new.name)
        if rows:
            row = _row(rows[0])
            _require_same(row.account, new)
            if row.keys is not None:
                raise _has_keys(new.name)

    async def _master_key(self) -> MasterKey:
        """A new one only where no keys are stored: of others that are, it would say that they are lost."""
        in_use = await QUERIES.fetchval(self._manager, "master_key_in_use")
        master = open_master_key(self._home, make=in_use is None)
        if in_use not in (None, master.id):
            raise KeyFileUnusable(
                f"{master.path} holds master key {master.id}, and stored keys are sealed with {in_use}: put that file "
                "back, or forget them first (mastertrade account remove NAME)"
            )
        return master


async def open_venue(
    db: Database,
    account: Account,
    *,
    home: Path,
    clock: Clock,
    is_live_allowed: bool = False,
    budget: RequestBudget | None = None,
) -> CcxtVenue:
    """The account's venue with its stored keys; the caller closes it. Nothing is asked of the venue yet.

    NotFound when no keys are stored, KeyFileUnusable without the master key that sealed them, SealBroken when the row
    was changed or belongs to another account, ConfigurationError for real money without ``is_live_allowed``."""
    row = await QUERIES.fetchrow(db, "sealed_keys", account_id=account.id)
    if row is None:
        raise _has_no_keys(account.name)
    master = open_master_key(home)
    sealed = Sealed(master_key_id=row["master_key_id"], content=row["sealed"])
    try:
        credentials = _unpacked(master.unseal(sealed, bound_to=_place(account, row["url"])))
    except SealBroken:
        log.critical("sealed exchange keys do not open: their row was changed", extra={"account": account.name})
        raise SealBroken(
            f"the stored keys of {account.name} were changed, or belong to another account or venue; do not trade with "
            f"them: mastertrade account remove {account.name}, and make new ones at {account.venue}"
        ) from None
    return _connect(
        account,
        credentials,
        clock=clock,
        url=row["url"],
        is_live_allowed=is_live_allowed,
        budget=budget,
    )


async def book_opening(manager: PostgresManager, account: Account, venue: CcxtVenue, *, at: datetime) -> None:
    """What the venue holds for an account of which our books have nothing yet, and where its fills begin; later
    differences are for people."""
    database = ExecutorPostgresDatabase()
    if await QUERIES.fetchval(manager, "has_bookings", account_id=account.id):
        return
    opening = await venue.opening()
    async with manager.transaction() as tx:
        await database.save_cursor(tx, account.id, opening.cursor, at=at)
        if account.kind is InstrumentKind.SWAP:
            await database.save_funding_cursor(tx, account.id, opening.cursor, at=at)
        for asset, amount in sorted(opening.balances.items()):
            key = f"{account.name}: opening balance {asset}"
            await database.deposit(tx, account.id, asset=asset, amount=amount, source_key=key, at=at)


def _connect(
    of: NewAccount | Account,
    credentials: Credentials,
    *,
    clock: Clock,
    url: str | None,
    is_live_allowed: bool,
    budget: RequestBudget | None,
) -> CcxtVenue:
    connect: Callable[..., CcxtVenue] = CcxtVenue
    if of.kind is InstrumentKind.SWAP:
        connect = partial(CcxtSwapVenue, settle=of.quote_asset, leverage=of.leverage)
    return connect(
        of.venue,
        credentials,
        clock=clock,
        environment=of.environment.value,
        url=url,
        is_live_allowed=is_live_allowed,
        budget=budget,
    )


async def _checked(venue: CcxtVenue) -> KeyReport:
    try:
        return await venue.check_keys()
    finally:
        await venue.close()


def _place(account: Account, url: str | None) -> tuple[str, ...]:
    """What a seal is bound to. The address is in it: whoever changes it in the row would be sent the API key."""
    return str(account.id), account.venue, account.environment.value, url or ""


def _packed(credentials: Credentials) -> bytes:
    parts = [credentials.api_key, credentials.secret, *([credentials.password] if credentials.password else [])]
    return json.dumps(parts).encode()


def _unpacked(opened: bytes) -> Credentials:
    parts = json.loads(opened)
    for part in parts:
        hide(part)
    api_key, secret, *password = parts
    return Credentials(api_key=api_key, secret=secret, password="".join(password))


def _told(rights: KeyRights | None) -> dict[str, Any] | None:
    return None if rights is None else asdict(rights)


def _require_same(account: Account, new: NewAccount) -> None:
    theirs = (account.venue, account.environment, account.quote_asset, account.kind)
    if theirs != (new.venue, new.environment, new.quote_asset, new.kind):
        raise UsageError(
            f"the name {new.name} is taken by an account for {account.kind} at {account.venue} ({account.environment}, "
            f"{account.quote_asset}); choose another name"
        )


def _has_keys(name: str) -> UsageError:
    return UsageError(f"account {name} has keys already; mastertrade account remove {name} forgets them")


def _has_no_keys(name: str) -> NotFound:
    return NotFound(f"account {name} has no keys stored; mastertrade account add {name} stores them")


def _row(row: Mapping[str, Any]) -> AccountRow:
    return AccountRow(
        account=Account(
            id=row["id"],
            name=row["name"],
            venue=row["venue"],
            environment=Environment(row["environment"]),
            quote_asset=row["quote_asset"],
            kind=InstrumentKind(row["kind"]),
            leverage=row["leverage"],
        ),
        created_at=row["created_at"],
        keys=None
        if row["added_at"] is None
        else StoredKeys(
            ending=row["ending"],
            url=row["url"],
            rights=None if row["rights"] is None else decode(KeyRights, row["rights"]),
            added_at=row["added_at"],
            added_by=row["added_by"],
            checked_at=row["checked_at"],
        ),
    )
