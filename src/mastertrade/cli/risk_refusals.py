"""``mastertrade risk refusals``: what was refused and cut, and why."""

from typing import Annotated

import typer

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.data_snapshot import time_of
from mastertrade.cli.output import Cell, bold, dim, emit_json, facts, say, show, table
from mastertrade.cli.wording import count, moment
from mastertrade.doors import alert_door

FEW = 3
"""Markets named in the table; --json has all."""


def refusals(
    account: Annotated[str, typer.Option("--account", help="Its name or id; else all.")] = "",
    since: Annotated[str, typer.Option("--since", help="From when on: 2023-03-10, or with a time, UTC.")] = "",
    until: Annotated[str, typer.Option("--until", help="Up to when, not included.")] = "",
    as_json: Json = False,
) -> None:
    """Show which checks refused or cut signals, how often and how far beyond."""
    run(_refusals(account, since, until, as_json), as_json=as_json)


async def _refusals(account: str, since: str, until: str, as_json: bool) -> None:
    span = {"since": time_of(since, "--since"), "until": time_of(until, "--until")}
    async with with_database() as database:
        judged, found = await alert_door(database).refusals(account=account or None, **span)
    if as_json:
        emit_json({**judged, "checks": found})
        return
    ended = f"{count(judged['approved'])} approved, {count(judged['reduced'])} cut, {count(judged['refused'])} refused"
    show(facts([("judged", f"{count(judged['signals'])} signals: {ended}")]), "")
    if not found:
        say(dim("nothing was refused or cut"))
        return
    rows: list[tuple[Cell, ...]] = [
        (
            bold(one["name"]),
            count(one["refused"]),
            count(one["cut"]),
            moment(one["first"]),
            moment(one["last"]),
            _markets(one["symbols"]),
            one["worst"],
        )
        for one in found
    ]
    headers = ("check", "refused", "cut", "first (UTC)", "last (UTC)", "markets", "the worst of them")
    show(table(headers, rows, right=("refused", "cut")))


def _markets(symbols: list[str]) -> str:
    more = len(symbols) - FEW
    return ", ".join(symbols[:FEW]) + (f" and {more} more" if more > 0 else "")
