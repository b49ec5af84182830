"""``mastertrade risk limits``: what trades are held against, where each number comes from, and changing it."""

from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Annotated, Any

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bold, dim, emit_json, say, show, table
from mastertrade.cli.reading import read_number
from mastertrade.cli.trading import actor
from mastertrade.cli.wording import NOTHING, amount, moment
from mastertrade.doors import limit_door
from mastertrade.risk_manager.limits import GLOBAL, KINDS, Candidate, Effective

limits = typer.Typer(help="What trades are held against. Without a command: the numbers.", invoke_without_command=True)

SCOPES = "global, account:NAME, strategy:NAME, instrument:SYMBOL, venue:NAME, asset:NAME or class:NAME."
Scope = Annotated[str, typer.Option("--scope", help=SCOPES)]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the change. Needed where more is allowed.")]
Confirm = Annotated[bool, typer.Option("--confirm", help="Yes, allow more than before.")]


@limits.callback()
def listing(context: typer.Context, scope: Scope = GLOBAL, as_json: Json = False) -> None:
    """Show the numbers of a scope beside those of the settings."""
    if context.invoked_subcommand is None:
        run(_list(scope, as_json), as_json=as_json)


@limits.command("explain")
def explain(
    symbol: Annotated[str, typer.Argument(help="A market, such as BTC/USDT.")],
    account: Annotated[str, typer.Option("--account", help="Its name or id.")],
    strategy: Annotated[str, typer.Option("--strategy", help="Its name or id; else any.")] = "",
    as_json: Json = False,
) -> None:
    """Show what counts for a trade, and every scope its number could come from."""
    run(_explain(symbol, account, strategy, as_json), as_json=as_json)


@limits.command("set")
def set_limit(
    name: Annotated[str, typer.Argument(help="As `mastertrade risk limits` lists them.")],
    value: Annotated[str, typer.Argument(help="A number in the limit's unit.")],
    scope: Scope = GLOBAL,
    reason: Reason = "",
    confirm: Confirm = False,
    as_json: Json = False,
) -> None:
    """Change a limit of a scope. The tightest of all scopes counts."""
    run(_change(name, read_number(f"limit {name}", value), scope, reason, confirm, as_json), as_json=as_json)


@limits.command("unset")
def unset_limit(
    name: Annotated[str, typer.Argument(help="As `mastertrade risk limits` lists them.")],
    scope: Scope = GLOBAL,
    reason: Reason = "",
    confirm: Confirm = False,
    as_json: Json = False,
) -> None:
    """Take a scope's own number back."""
    run(_change(name, None, scope, reason, confirm, as_json), as_json=as_json)


@limits.command("history")
def history(
    count: Annotated[int, typer.Option("--count", min=1, max=10_000, help="The newest changes.")] = 20,
    as_json: Json = False,
) -> None:
    """Show who changed which limit when and why."""
    run(_history(count, as_json), as_json=as_json)


async def _list(scope: str, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        door = limit_door(database.manager, settings)
        stored = await door.scope(scope)
        found, own = await door.of_scope(stored), await door.own()
    if as_json:
        emit_json({"scope": stored, **_plain(found), "own": [asdict(one) for one in own]})
        return
    rows: list[Sequence[Cell]] = []
    for name, candidates in found.candidates.items():
        first, kind = candidates[0], KINDS[name]
        rows.append((bold(name), amount(first.value), kind.unit, _source(first), dim(kind.what)))
    show(table(("limit", "value", "unit", "from", "what"), rows, right=("value",)))
    if others := [one for one in own if one.scope not in (GLOBAL, stored)]:
        rows = [(one.scope, bold(one.name), amount(one.value), f"change {one.version}", one.reason) for one in others]
        show("", table(("other scopes", "limit", "value", "from", "reason"), rows, right=("value",)))


async def _explain(symbol: str, account: str, strategy: str, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        found = await limit_door(database.manager, settings).explain(account, strategy or None, symbol)
    if as_json:
        emit_json(_plain(found))
        return
    rows = [
        (
            bold(name),
            amount(candidates[0].value),
            KINDS[name].unit,
            _source(candidates[0]),
            dim("; ".join(f"{amount(one.value)} {_source(one)}" for one in candidates[1:]) or NOTHING),
        )
        for name, candidates in found.candidates.items()
    ]
    show(table(("limit", "value", "unit", "from", "looser ones"), rows, right=("value",)))
    say(dim(f"limits version {found.version}; verdicts name the version they ran under"))


async def _change(name: str, value: Decimal | None, scope: str, reason: str, confirm: bool, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        door = limit_door(database.manager, settings)
        version = await door.change(scope, name, value, reason=reason, actor=actor(), is_confirmed=confirm)
        stored = await door.scope(scope)
        found = await door.of_scope(stored)
    key = name.strip().lower().replace("-", "_")
    counts = found.candidates[key][0]
    if as_json:
        emit_json({"scope": stored, "name": key, "value": value, "version": version, "counts": asdict(counts)})
        return
    words = "taken back" if value is None else f"is {amount(value)} {KINDS[key].unit}".rstrip()
    show(bold(f"{key} of {stored}") + f" {words}" + dim(f"  change {version}"))
    if counts.scope != stored:
        say(dim(f"{amount(counts.value)} of {counts.scope} is tighter and counts"))


async def _history(count: int, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        rows = await limit_door(database.manager, settings).history(limit=count)
    if as_json:
        emit_json({"changes": rows})
        return
    if not rows:
        say("no limit was ever changed; the settings count")
        return
    cells = [
        (
            str(row["version"]),
            moment(row["changed_at"]),
            row["scope"],
            bold(row["name"]),
            "taken back" if row["value"] is None else amount(row["value"]),
            row["actor"],
            row["reason"],
        )
        for row in rows
    ]
    show(table(("change", "at (UTC)", "scope", "limit", "value", "by", "reason"), cells, right=("change", "value")))


def _plain(found: Effective) -> dict[str, Any]:
    return {
        "version": found.version,
        "limits": [
            {
                "name": name,
                "value": candidates[0].value,
                "unit": KINDS[name].unit,
                "from": candidates[0].scope,
                "candidates": [asdict(one) for one in candidates],
            }
            for name, candidates in found.candidates.items()
        ],
    }


def _source(one: Candidate) -> str:
    return f"{one.scope}, change {one.version}" if one.version is not None else f"{one.scope}, settings"
