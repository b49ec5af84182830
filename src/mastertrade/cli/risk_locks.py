"""``mastertrade risk locks`` and ``risk breaker``: what holds entries back by itself, and how people overrule it."""

from typing import Annotated
from uuid import UUID

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, good, say, show, table, warning
from mastertrade.cli.trading import actor
from mastertrade.cli.wording import NOTHING, moment, words
from mastertrade.doors import risk_door
from mastertrade.shared.errors import UsageError

locks = typer.Typer(help="What protections hold back. Without a command: the locks.", invoke_without_command=True)
breaker = typer.Typer(help="The circuit breaker. Without a command: its levels.", invoke_without_command=True)

PAINT = {"none": good, "warning": warning, "level_1": warning, "level_2": bad, "level_3": bad}
Why = Annotated[str, typer.Option("--reason", help="Why; kept.")]


@locks.callback()
def list_locks(
    context: typer.Context,
    past: Annotated[bool, typer.Option("--past", help="Those that have ended or were lifted, too.")] = False,
    as_json: Json = False,
) -> None:
    """Show what holds entries back, until when and why."""
    if context.invoked_subcommand is None:
        run(_locks(past, as_json), as_json=as_json)


@locks.command("lift")
def lift(
    id: Annotated[str, typer.Argument(help="As `mastertrade risk locks` lists it.")],
    reason: Why,
    as_json: Json = False,
) -> None:
    """End a lock before its time."""
    try:
        lock = UUID(id)
    except ValueError:
        raise UsageError(f"lock {id!r} is no id; mastertrade risk locks lists them") from None
    run(_lift(lock, reason, as_json), as_json=as_json)


@breaker.callback()
def list_breakers(context: typer.Context, as_json: Json = False) -> None:
    """Show how deep each account is down, and what that does to its entries."""
    if context.invoked_subcommand is None:
        run(_breakers(as_json), as_json=as_json)


@breaker.command("override")
def override(
    reason: Why,
    account: Annotated[str, typer.Option("--account", help="Its name or id; else the last that traded.")] = "",
    as_json: Json = False,
) -> None:
    """Hold the breaker of an account open until its next UTC day."""
    run(_override(account, reason, as_json), as_json=as_json)


async def _locks(past: bool, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        found = await risk_door(database.manager, settings).locks(with_past=past)
    if as_json:
        emit_json({"locks": found})
        return
    if not found:
        say("nothing is locked" if not past else "nothing was ever locked")
        return
    rows: list[tuple[Cell, ...]] = [
        (
            bold(one["name"]),
            words(one["kind"]),
            warning("holds") if one["is_live"] else dim("lifted" if one["lifted_at"] else "over"),
            moment(one["starts_at"]),
            moment(one["ends_at"]),
            dim(str(one["id"])),
            one["reason"] if not one["lifted_at"] else f"{one['reason']}; {one['lifted_by']}: {one['lift_reason']}",
        )
        for one in found
    ]
    show(table(("what", "protection", "state", "since (UTC)", "until", "id", "why"), rows))


async def _lift(id: UUID, reason: str, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        await risk_door(database.manager, settings).lift(id, reason, actor())
    if as_json:
        emit_json({"id": id, "lifted": True})
    else:
        say(f"{id} is lifted")


async def _breakers(as_json: bool) -> None:
    async with open_everything() as (settings, database):
        found = await risk_door(database.manager, settings).breakers()
    if as_json:
        emit_json({"breakers": found})
        return
    if not found:
        say("no account was ever marked; mastertrade demo makes one")
        return
    rows: list[tuple[Cell, ...]] = [
        (
            bold(one["account"]),
            PAINT[one["level"]](words(one["level"])),
            f"{one['drawdown_percent'] or 0.0:.2f} %",
            f"{one['day_loss_percent'] or 0.0:.2f} %",
            moment(one["changed_at"]) if one["changed_at"] else NOTHING,
            f"until {moment(one['override_until'])} by {one['override_by']}: {one['override_reason']}"
            if one["override_until"]
            else NOTHING,
        )
        for one in found
    ]
    headers = ("account", "level", "below its peak", "lost today", "since (UTC)", "held open")
    show(table(headers, rows, right=("below its peak", "lost today")))


async def _override(account: str, reason: str, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        found = await risk_door(database.manager, settings).hold_breaker_open(account or None, reason, actor())
    if as_json:
        emit_json(found)
    else:
        say(f"the circuit breaker of {found['account']} is held open until {moment(found['until'])} UTC")
