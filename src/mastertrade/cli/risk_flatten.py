"""``mastertrade risk flatten``: give up every position of a scope, and see what becomes of each."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bold, dim, emit_json, good, say, show, table, warning
from mastertrade.cli.trading import Scope, actor
from mastertrade.cli.wording import NOTHING, amount, counted, moment
from mastertrade.domain.risk import GLOBAL_SCOPE
from mastertrade.doors import risk_door
from mastertrade.risk_manager.service import RiskManager
from mastertrade.shared.errors import NeedsConfirmation

POLL_S: Final = 0.5
WAITING: Final = 1
"""The exit code while something is still held."""


def flatten(
    scope: Scope = GLOBAL_SCOPE,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with each exit.")] = "flattened by hand",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[float, typer.Option("--wait", min=0.0, max=3600.0, help="Seconds to watch the exits.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Give up every position of a scope by market orders, and open none there.

    The exits are asked for at every close until nothing is held, by the services that run now or start later. The
    scope is left reduce-only. Ends with code 1 while something is still held.
    """
    run(_flatten(scope, reason, yes, wait, as_json), as_json=as_json)


async def _flatten(scope: str, reason: str, yes: bool, wait_s: float, as_json: bool) -> None:
    if not yes and (as_json or not typer.confirm(f"Sell everything held in {scope}?", err=True)):
        raise NeedsConfirmation(f"nothing in {scope} was sold; say --yes")
    async with open_everything() as (settings, database):
        door = risk_door(database.manager, settings)
        since = await door.market_time()
        wanted = await door.flatten(scope, reason, actor())
        found = await _watched(door, scope, since, wait_s)
    held = [one for one in found if one["ended_at"] is None]
    if as_json:
        emit_json({"scope": scope, "wanted": wanted, "held": len(held), "exits": found})
    else:
        _print(scope, found, held)
    if held:
        raise SystemExit(WAITING)


async def _watched(door: RiskManager, scope: str, since: datetime, wait_s: float) -> list[dict[str, Any]]:
    """What is being given up, at the latest when the time is over."""
    left_s = wait_s
    while True:
        found = await door.exits(scope, since=since - timedelta(seconds=1))
        if left_s <= 0.0 or all(one["ended_at"] is not None for one in found):
            return found
        await asyncio.sleep(min(POLL_S, left_s))
        left_s -= POLL_S


def _print(scope: str, found: Sequence[dict[str, Any]], held: Sequence[dict[str, Any]]) -> None:
    if not found:
        say(dim(f"nothing is held in {scope}; it is reduce-only now"))
        return
    rows: list[tuple[Cell, ...]] = [
        (
            bold(one["symbol"]),
            one["account"],
            one["strategy"],
            amount(one["held"]) if one["held"] else NOTHING,
            good(one["outcome"]) if one["outcome"] else warning("being sold"),
            moment(one["wanted_at"]),
            one["reason"],
        )
        for one in found
    ]
    show(table(("market", "account", "strategy", "held", "exit", "wanted (UTC)", "why"), rows, right=("held",)))
    if held:
        say(dim(f"{counted(len(held), 'position')} left; they are asked for at every close while the services run"))
