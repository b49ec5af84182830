"""``mastertrade account``: accounts at real venues, and their keys."""

import getpass
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, facts, good, show, table, warning
from mastertrade.cli.reading import read_positive
from mastertrade.cli.trading import actor
from mastertrade.cli.wording import NOTHING, counted, moment
from mastertrade.domain.market import InstrumentKind
from mastertrade.domain.orders import Environment
from mastertrade.doors import accounts
from mastertrade.exchanges.ccxt_venue import key_parts
from mastertrade.order_executor.accounts import AccountRow, NewAccount, read_credentials
from mastertrade.shared.errors import UsageError

LONGEST_INPUT: Final = 10_000
FAR_APART: Final = timedelta(seconds=1)
ENVIRONMENTS: Final = (Environment.TESTNET, Environment.PRODUCTION)

Name = Annotated[str, typer.Argument(help="Its name.")]

account = typer.Typer(help="Accounts at real venues, and their keys.", no_args_is_help=True)


@account.command("add")
def add(
    name: Name,
    venue: Annotated[str, typer.Option("--venue", help="Where it is, such as binance.")],
    environment: Annotated[str, typer.Option("--environment", help="testnet or production.")] = "testnet",
    quote: Annotated[str, typer.Option("--quote", help="The asset it counts in.")] = "USDT",
    swaps: Annotated[
        bool, typer.Option("--swaps", help="It trades perpetual swaps that settle in that asset, and no spot market.")
    ] = False,
    leverage: Annotated[
        str, typer.Option("--leverage", help="With --swaps: notional a unit of margin carries; 1 unless given.")
    ] = "",
    url: Annotated[str, typer.Option("--url", help="A simulated venue of this machine in place of the testnet.")] = "",
    as_json: Json = False,
) -> None:
    """Store the keys of an account: asked of the venue first, then sealed.

    Standard input has two lines: the API key, and its secret; for okx its passphrase in a third. For coinbase they are
    the name of the API key, and its private key: as it is, or in one line with \\n between its own. On a terminal each
    line is asked for and not shown. Keys that may withdraw are refused.
    """
    if environment not in ENVIRONMENTS:
        raise UsageError(f"--environment {environment!r}: must be testnet or production")
    if leverage and not swaps:
        raise UsageError("--leverage: spot is paid in full; it is for --swaps")
    new = NewAccount(
        name=name,
        venue=venue.lower(),
        environment=Environment(environment),
        quote_asset=quote.upper(),
        kind=InstrumentKind.SWAP if swaps else InstrumentKind.SPOT,
        leverage=Decimal(1) if not leverage else read_positive("--leverage", leverage),
        url=url or None,
    )
    run(_add(new, as_json), as_json=as_json)


@account.command("list")
def list_accounts(as_json: Json = False) -> None:
    """List accounts, and what is known of their keys; never the keys."""
    run(_list(as_json), as_json=as_json)


@account.command("check")
def check(name: Name, as_json: Json = False) -> None:
    """Open the keys of an account and ask its venue about them."""
    run(_check(name, as_json), as_json=as_json)


@account.command("remove")
def remove(name: Name, as_json: Json = False) -> None:
    """Forget the keys of an account. Its orders and bookings stay."""
    run(_remove(name, as_json), as_json=as_json)


def _keys_given(parts: Sequence[str]) -> str:
    if sys.stdin.isatty():
        return "\n".join(getpass.getpass(f"{what[0].upper()}{what[1:]}: ") for what in parts)
    return sys.stdin.read(LONGEST_INPUT)


async def _add(new: NewAccount, as_json: bool) -> None:
    parts = key_parts(new.venue)
    credentials = read_credentials(_keys_given(parts), parts)
    async with open_everything() as (settings, database):
        door = accounts(database.manager, settings)
        row, report = await door.add(new, credentials, actor=actor())
    _tell(row, report.clock_ahead, report.assets, as_json, done="keys stored")


async def _check(name: str, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        row, report = await accounts(database.manager, settings).check(name)
    _tell(row, report.clock_ahead, report.assets, as_json, done="keys work")


async def _list(as_json: bool) -> None:
    async with open_everything() as (settings, database):
        rows = await accounts(database.manager, settings).list()
    if as_json:
        emit_json({"accounts": [_plain(row) for row in rows]})
    elif not rows:
        show(dim("no accounts"))
    else:
        headers = (
            "account",
            "venue",
            "environment",
            "trades",
            "counts in",
            "API key",
            "rights",
            "keys added (UTC)",
            "checked (UTC)",
        )
        show(table(headers, [_cells(row) for row in rows]))


async def _remove(name: str, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        row = await accounts(database.manager, settings).remove(name, actor=actor())
    if as_json:
        emit_json({"removed": row.account.name})
    else:
        show(
            f"the keys of {bold(row.account.name)} are forgotten here; {dim(f'at {row.account.venue} they still work')}"
        )


def _tell(row: AccountRow, clock_ahead: timedelta, assets: int, as_json: bool, *, done: str) -> None:
    if as_json:
        emit_json({**_plain(row), "clock_ahead_s": clock_ahead.total_seconds(), "assets": assets})
        return
    milliseconds = round(clock_ahead.total_seconds() * 1000)
    apart = f"{abs(milliseconds):,} ms {'ahead of' if milliseconds >= 0 else 'behind'} ours"
    where = row.keys.url if row.keys is not None and row.keys.url else f"{row.account.venue} {row.account.environment}"
    show(
        good(done),
        "",
        facts(
            [
                ("account", f"{row.account.name}, counted in {row.account.quote_asset}"),
                ("at", where),
                ("trades", _trades(row)),
                ("API key", _ending(row)),
                ("may", _rights(row)),
                ("holds", counted(assets, "asset")),
                ("its clock", warning(apart) if abs(clock_ahead) > FAR_APART else apart),
            ]
        ),
    )


def _cells(row: AccountRow) -> tuple[Cell, ...]:
    keys = row.keys
    return (
        bold(row.account.name),
        row.account.venue,
        row.account.environment.value,
        _trades(row),
        row.account.quote_asset,
        _ending(row),
        _rights(row) if keys is not None else NOTHING,
        moment(keys.added_at) if keys is not None else NOTHING,
        moment(keys.checked_at) if keys is not None else NOTHING,
    )


def _trades(row: AccountRow) -> str:
    is_swap = row.account.kind is InstrumentKind.SWAP
    return f"swaps, leverage {row.account.leverage.normalize():f}" if is_swap else "spot"


def _ending(row: AccountRow) -> str:
    if row.keys is None:
        return "none needed" if row.account.environment is Environment.PAPER else "none"
    return f"…{row.keys.ending}"


def _rights(row: AccountRow) -> Cell:
    rights = row.keys.rights if row.keys is not None else None
    if rights is None:
        return warning("the venue does not tell")
    may = [what for what, is_so in (("read", rights.may_read), ("trade", rights.may_trade),
                                    ("transfer", rights.may_transfer)) if is_so]  # fmt: skip
    if rights.may_withdraw:
        return bad(", ".join([*may, "withdraw"]))
    return ", ".join(may) + ("" if rights.is_bound else ", from any address")


def _plain(row: AccountRow) -> dict[str, Any]:
    return {
        "account": row.account.name,
        "venue": row.account.venue,
        "environment": row.account.environment.value,
        "quote_asset": row.account.quote_asset,
        "kind": row.account.kind.value,
        "leverage": row.account.leverage,
        "created_at": row.created_at,
        "keys": None if row.keys is None else asdict(row.keys),
    }
