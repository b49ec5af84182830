"""``mastertrade position``, ``balance`` and ``ledger``: what is held, what is owned, and every booking."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.order import LISTED, QUERIES, Account, Page, symbol_named
from mastertrade.cli.output import Cell, bold, dim, emit_json, good, show, table, warning
from mastertrade.cli.wording import NOTHING, amount, moment, money, price

MOST: Final = 1000
Row = Mapping[str, Any]

position = typer.Typer(help="Positions: what each strategy holds.", no_args_is_help=True)
balance = typer.Typer(help="Balances: what each account owns.", no_args_is_help=True)


@position.command("list")
def list_positions(
    with_closed: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    account: Account = "",
    number: Page = LISTED,
    as_json: Json = False,
) -> None:
    """List what each strategy holds, at the last close its account knows of."""
    run(_positions(with_closed, account or None, number, as_json), as_json=as_json)


@position.command("lots")
def list_lots(
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Only of this market.")] = "",
    with_closed: Annotated[bool, typer.Option("--all", help="Sold ones too, with what they brought.")] = False,
    account: Account = "",
    number: Page = LISTED,
    as_json: Json = False,
) -> None:
    """List what was opened when, first in, first out: costs with their fees, and the profit of what was closed.

    Lots of a short are below 0: they were sold first and bought back."""
    filters = {"symbol": symbol_named(symbol), "with_closed": with_closed, "account": account or None, "page": number}
    run(_lots(filters, as_json), as_json=as_json)


@balance.command("list")
def list_balances(account: Account = "", as_json: Json = False) -> None:
    """List what each account owns, what of it is promised to orders, and what it is worth."""
    run(_balances(account or None, as_json), as_json=as_json)


def ledger(
    account: Account = "",
    asset: Annotated[str, typer.Option("--asset", help="Only entries that move it.")] = "",
    number: Page = LISTED,
    as_json: Json = False,
) -> None:
    """Show bookings with their lines, the newest first. The lines of an entry sum to nothing for each asset."""
    run(_ledger(account or None, asset.upper() or None, number, as_json), as_json=as_json)


async def _positions(with_closed: bool, account: str | None, number: int, as_json: bool) -> None:
    async with with_database() as database:
        rows = await QUERIES.fetch(database, "position_list", with_closed=with_closed, account=account, page=number)
    if as_json:
        emit_json({"positions": [dict(row) for row in rows]})
    elif not rows:
        show(dim("no open positions" if not with_closed else "no positions"))
    else:
        headers = (
            "account",
            "strategy",
            "symbol",
            "quantity",
            "entry",
            "last",
            "unrealised",
            "realised",
            "since (UTC)",
        )
        right = ("quantity", "entry", "last", "unrealised", "realised")
        show(table(headers, [_position(row) for row in rows], right=right))


def _position(row: Row) -> tuple[Cell, ...]:
    since = moment(row["opened_at"])
    return (
        row["account"],
        row["strategy"],
        bold(row["symbol"]),
        amount(row["quantity"]),
        price(row["entry_price"]),
        price(row["last_price"]),
        _gain(row["unrealized_pnl"]),
        _gain(row["realized_pnl"]),
        since if row["closed_at"] is None else f"{since} to {moment(row['closed_at'])}",
    )


async def _lots(filters: Mapping[str, Any], as_json: bool) -> None:
    async with with_database() as database:
        rows = await QUERIES.fetch(database, "position_lots", **filters)
    if as_json:
        emit_json({"lots": [dict(row) for row in rows]})
    elif not rows:
        show(dim("no lots"))
    else:
        headers = (
            "account",
            "strategy",
            "symbol",
            "opened (UTC)",
            "quantity",
            "unit cost",
            "closed (UTC)",
            "brought",
            "realised",
        )
        right = ("quantity", "unit cost", "brought", "realised")
        show(table(headers, [_lot(row) for row in rows], right=right))


def _lot(row: Row) -> tuple[Cell, ...]:
    return (
        row["account"],
        row["strategy"],
        bold(row["symbol"]),
        moment(row["bought_at"]),
        amount(row["quantity"]),
        price(row["unit_cost"]),
        NOTHING if row["sold_at"] is None else moment(row["sold_at"]),
        NOTHING if row["proceeds"] is None else money(row["proceeds"]),
        _gain(row["realized"]),
    )


def _gain(value: Decimal | None) -> Cell:
    if value is None:
        return NOTHING
    text = f"{'+' if value > 0 else ''}{money(value)}"
    return good(text) if value > 0 else warning(text) if value < 0 else text


async def _balances(account: str | None, as_json: bool) -> None:
    async with with_database() as database:
        rows = await QUERIES.fetch(database, "balance_list", account=account, page=MOST)
    if as_json:
        emit_json({"balances": [dict(row) for row in rows]})
    elif not rows:
        show(dim("no balances"))
    else:
        cells = [
            (
                row["account"],
                bold(row["asset"]),
                amount(row["free_balance"]),
                amount(row["locked_balance"]),
                NOTHING if row["value"] is None else f"{money(row['value'])} {row['quote_asset']}",
            )
            for row in rows
        ]
        headers = ("account", "asset", "free", "promised", "worth")
        show(table(headers, cells, right=("free", "promised", "worth")))


async def _ledger(account: str | None, asset: str | None, number: int, as_json: bool) -> None:
    async with with_database() as database:
        rows = await QUERIES.fetch(database, "ledger_list", account=account, asset=asset, page=number)
    if as_json:
        emit_json({"entries": [dict(row) for row in rows]})
    elif not rows:
        show(dim("no bookings"))
    else:
        headers = ("entry", "at (UTC)", "account", "of", "booked in", "asset", "amount")
        show(table(headers, [cells for row in rows for cells in _entry(row)], right=("entry", "amount")))


def _entry(row: Row) -> list[tuple[Cell, ...]]:
    first = (str(row["id"]), moment(row["occurred_at"]), row["account"], f"{row['kind']} {row['source_key'][:40]}")
    lines = [(line["account"], line["asset"], amount(Decimal(line["amount"]))) for line in row["lines"] or []]
    return [(*(first if place == 0 else ("", "", "", "")), *line) for place, line in enumerate(lines)]
