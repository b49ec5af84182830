"""``mastertrade order reconcile``: whether our books and the venues agree, and what to do where they do not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, good, show, table, warning
from mastertrade.cli.trading import actor
from mastertrade.cli.wording import NOTHING, amount, moment, words
from mastertrade.doors import differences
from mastertrade.order_executor.reconciliation import AccountState, BreakKind
from mastertrade.shared.errors import NeedsConfirmation, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("orders.sql"))
LISTED: Final = 100
DIFFERS: Final = 1
"""The exit code while a difference keeps an account from trading."""
SHORT: Final = 8
ACCOUNT: Final = ("account", "venue", "state", "compared (UTC)", "because", "quarantined fills")
DIFFERENCE: Final = ("difference", "account", "kind", "of", "ours", "theirs", "since (UTC)", "seen", "stands as")

Row = Mapping[str, Any]


def reconcile(
    account: Annotated[str, typer.Option("--account", help="Of this account, by name or id.")] = "",
    waive: Annotated[str, typer.Option("--waive", metavar="ID", help="Let it trade although this one stands.")] = "",
    book: Annotated[str, typer.Option("--book", metavar="ID", help="Book what the venue holds as our balance.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")] = "",
    confirm: Annotated[bool, typer.Option("--confirm", help="Yes, decide so.")] = False,
    closed: Annotated[bool, typer.Option("--closed", help="Also differences that are gone.")] = False,
    as_json: Json = False,
) -> None:
    """Show where our books and the venues differ, and decide about it.

    The executor compares every minute, after every silence of a venue, and before its first order. ID is a
    difference's, or the beginning of it, as listed. Ends with code 1 while one stops an account from opening positions.
    """
    if waive and book:
        raise UsageError("--waive and --book exclude each other: a difference is left standing, or it is booked")
    if (waive or book) and not reason.strip():
        raise UsageError(f"{'--waive' if waive else '--book'} needs a --reason: it is kept with the decision")
    if (waive or book) and not confirm:
        raise NeedsConfirmation(
            "an account will trade although its venue disagrees with our books; add --confirm if you mean it"
            if waive
            else "the ledger will be adjusted to what the venue says it holds; add --confirm if you mean it"
        )
    run(_reconcile(account or None, waive, book, reason.strip(), closed, as_json), as_json=as_json)


async def _reconcile(account: str | None, waive: str, book: str, reason: str, closed: bool, as_json: bool) -> None:
    decided: str | None = None
    async with open_everything() as (_, database):
        manager = database.manager
        if waive or book:
            decided = await _decide(manager, account, waive, book, reason)
        accounts = [dict(row) for row in await QUERIES.fetch(manager, "reconcile_accounts", account=account)]
        if account is not None and not accounts:
            raise NotFound(f"there is no account {account!r}")
        found = await _breaks(manager, account, closed)
    if as_json:
        emit_json({"accounts": accounts, "breaks": found, "decided": decided})
    else:
        _print(accounts, found, decided)
    if any(_stops(one) for one in found):
        raise SystemExit(DIFFERS)


async def _breaks(manager: PostgresManager, account: str | None, closed: bool) -> list[dict[str, Any]]:
    rows = await QUERIES.fetch(manager, "reconcile_breaks", account=account, with_closed=closed, page=LISTED)
    return [dict(row) for row in rows]


async def _decide(manager: PostgresManager, account: str | None, waive: str, book: str, reason: str) -> str:
    name = waive or book
    found = [one for one in await _breaks(manager, account, False) if str(one["id"]).startswith(name.lower())]
    if len(found) != 1:
        many = "begins several differences; give more of it" if found else "names no open difference"
        raise NotFound(f"{name!r} {many}; mastertrade order reconcile lists them")
    (one,) = found
    if book and one["kind"] != BreakKind.BALANCE:
        raise UsageError(f"--book {name}: only balances are booked, and this is about {words(one['kind'])}; --waive it")
    door = differences(manager)
    decide = door.book if book else door.waive
    count = await decide(one["account_id"], one["id"], actor=actor(), reason=reason)
    if count == 0:
        return "nothing to do: that was decided before"
    return f"{'booked' if book else 'waived'}: {one['detail']}"


def _stops(one: Row) -> bool:
    return bool(one["blocks"]) and one["closed_at"] is None and one["waived_by"] is None


def _print(accounts: Sequence[Row], found: Sequence[Row], decided: str | None) -> None:
    if decided:
        show(good(decided), "")
    if not accounts:
        show(dim("no accounts"))
        return
    show(table(ACCOUNT, [_account(one) for one in accounts], right=("quarantined fills",)))
    if found:
        show("", table(DIFFERENCE, [_difference(one) for one in found], right=("ours", "theirs", "seen")))
    if any(_stops(one) for one in found):
        show("", dim("decide with --waive ID or --book ID, --reason and --confirm; or mend it at the venue"))


def _account(one: Row) -> tuple[Cell, ...]:
    state = {AccountState.LIVE: good, AccountState.BROKEN: bad}.get(one["state"], warning)(one["state"])
    compared = moment(one["compared_at"]) if one["compared_at"] else NOTHING
    return bold(one["account"]), one["venue"], state, compared, one["reason"], str(one["quarantined"])


def _difference(one: Row) -> tuple[Cell, ...]:
    if one["closed_at"] is not None:
        stands: Cell = dim(f"gone {moment(one['closed_at'])}: {one['closed_by']}")
    elif one["waived_by"] is not None:
        stands = warning(f"waived by {one['waived_by']}: {one['waive_reason']}")
    elif one["blocks"]:
        stands = bad("stops openings" if one["times_seen"] > 1 else "seen once")
    else:
        stands = dim("marked")
    return (
        str(one["id"])[:SHORT],
        one["account"],
        words(one["kind"]),
        one["subject"],
        amount(one["ours"]),
        amount(one["theirs"]),
        moment(one["first_seen"]),
        str(one["times_seen"]),
        stands,
    )
