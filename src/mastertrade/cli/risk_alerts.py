"""``mastertrade risk alerts``: what is wrong with accounts now, and since when."""

from typing import Annotated

import typer

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, say, show, table, warning
from mastertrade.cli.trading import actor
from mastertrade.cli.wording import NOTHING, moment, words
from mastertrade.doors import alert_door

alerts = typer.Typer(
    help="What is wrong with accounts. Without a command: the open alerts.", invoke_without_command=True
)


@alerts.callback()
def listing(
    context: typer.Context,
    account: Annotated[str, typer.Option("--account", help="Its name or id; else all.")] = "",
    days: Annotated[int, typer.Option("--days", min=0, max=3650, help="Also those raised since that cleared.")] = 0,
    as_json: Json = False,
) -> None:
    """Show the alerts that stand, the severe first."""
    if context.invoked_subcommand is None:
        run(_list(account, days, as_json), as_json=as_json)


@alerts.command("ack")
def acknowledge(
    id: Annotated[str, typer.Argument(help="As `mastertrade risk alerts` lists it.")],
    note: Annotated[str, typer.Option("--note", help="What you make of it; kept.")] = "",
    as_json: Json = False,
) -> None:
    """Say that you have seen an alert. It stands until its condition clears."""
    run(_acknowledge(id, note, as_json), as_json=as_json)


async def _list(account: str, days: int, as_json: bool) -> None:
    async with with_database() as database:
        found = await alert_door(database).alerts(account=account or None, resolved_days=days)
    if as_json:
        emit_json({"alerts": found})
        return
    if not found:
        say("nothing is wrong" if not days else f"nothing was wrong in the last {days} days")
        return
    rows: list[tuple[Cell, ...]] = [
        (
            _severity(one["severity"]),
            words(one["alert_type"]),
            one["symbol"] or NOTHING,
            one["account"] or NOTHING,
            one["status"],
            moment(one["timestamp"]),
            dim(one["id"]),
            one["message"],
        )
        for one in found
    ]
    show(table(("severity", "what", "market", "account", "status", "since (UTC)", "id", "why"), rows))


async def _acknowledge(id: str, note: str, as_json: bool) -> None:
    async with with_database() as database:
        await alert_door(database).acknowledge(id, actor=actor(), note=note)
    if as_json:
        emit_json({"id": id, "status": "acknowledged"})
    else:
        say(f"{id} is acknowledged; it stands until its condition clears")


def _severity(severity: str) -> Cell:
    painted = {"critical": bad, "high": warning, "medium": bold}.get(severity, dim)
    return painted(severity)
