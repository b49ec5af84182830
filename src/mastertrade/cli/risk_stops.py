"""``mastertrade risk stops``: what protects each position, and how people change it."""

from decimal import Decimal
from typing import Annotated, Any

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bold, dim, emit_json, good, say, show, table, warning
from mastertrade.cli.reading import read_positive
from mastertrade.cli.trading import actor
from mastertrade.cli.wording import NOTHING, amount, moment, price, words
from mastertrade.doors import risk_door
from mastertrade.risk_manager.models import StopLossType

stops = typer.Typer(help="What protects positions. Without a command: the live stops.", invoke_without_command=True)

Which = Annotated[str, typer.Argument(help="A market such as BTC/USDT, or the id of a stop.")]
Why = Annotated[str, typer.Option("--reason", help="Why; kept with the change.")]
Confirm = Annotated[bool, typer.Option("--confirm", help="Yes, further away than before.")]


@stops.callback()
def listing(
    context: typer.Context,
    account: Annotated[str, typer.Option("--account", help="Its name or id; else all.")] = "",
    past: Annotated[bool, typer.Option("--past", help="Those that were hit or cancelled, too.")] = False,
    as_json: Json = False,
) -> None:
    """Show each position's stop and how far away it is."""
    if context.invoked_subcommand is None:
        run(_list(account, past, as_json), as_json=as_json)


@stops.command("move")
def move(
    which: Which,
    to: Annotated[str, typer.Argument(metavar="PRICE", help="Where the position is given up.")],
    reason: Why = "moved by hand",
    confirm: Confirm = False,
    as_json: Json = False,
) -> None:
    """Move a stop to a price: nearer to the market, or further with --confirm."""
    run(_change(which, read_positive("price", to), {}, reason, confirm, as_json), as_json=as_json)


@stops.command("set")
def set_rules(
    which: Which,
    type_: Annotated[StopLossType, typer.Option("--type", help="How the stop follows the market.")],
    initial: Annotated[float | None, typer.Option("--initial", help="Percent from the price, 0.1 to 20.")] = None,
    distance: Annotated[float | None, typer.Option("--distance", help="Percent a trailing stop stays behind.")] = None,
    multiplier: Annotated[float | None, typer.Option("--multiplier", help="Of the ATR or the volatility.")] = None,
    max_loss: Annotated[float | None, typer.Option("--max-loss", help="Percent the position may lose.")] = None,
    breakeven: Annotated[bool, typer.Option(help="Protect the entry after 2 % of profit.")] = True,
    decay: Annotated[bool, typer.Option(help="Come nearer with the days at a loss.")] = False,
    reason: Why = "set by hand",
    as_json: Json = False,
) -> None:
    """Put a stop under other rules. They may only tighten it."""
    config: dict[str, Any] = {
        "stop_type": type_.value,
        "initial_stop_percent": initial,
        "trailing_distance_percent": distance,
        "volatility_multiplier": multiplier,
        "max_loss_percent": max_loss,
        "breakeven_protection": breakeven,
        "time_decay_enabled": decay,
    }
    run(_change(which, None, config, reason, False, as_json), as_json=as_json)


@stops.command("cancel")
def cancel(which: Which, reason: Why, as_json: Json = False) -> None:
    """Take a stop away. The position is unprotected until it is enlarged."""
    run(_cancel(which, reason, as_json), as_json=as_json)


async def _list(account: str, past: bool, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        found = await risk_door(database.manager, settings).stops(account or None, with_past=past)
    if as_json:
        emit_json({"stops": found})
        return
    if not found:
        say("there is no stop: nothing is held")
        return
    rows: list[tuple[Cell, ...]] = [
        (
            bold(one["symbol"]),
            one["strategy"] or NOTHING,
            words(one["stop_type"]),
            {"active": good, "triggered": warning}.get(one["status"], dim)(one["status"]),
            price(one["entry_price"]),
            price(one["stop_price"]),
            price(one["current_price"]),
            _away(one),
            amount(one["quantity"]),
            moment(one["updated_at"]),
            dim(one["id"]),
        )
        for one in found
    ]
    headers = ("market", "strategy", "stop", "state", "entry", "at", "price", "away", "quantity", "changed (UTC)", "id")
    show(table(headers, rows, right=headers[4:9]))


def _away(one: dict[str, Any]) -> str:
    if one["status"] != "active" or not one["current_price"]:
        return NOTHING
    above = one["current_price"] - one["stop_price"]
    return f"{(above if one['side'] == 'long' else -above) / one['current_price'] * 100:.2f} %"


async def _change(
    which: str, to: Decimal | None, config: dict[str, Any], reason: str, confirm: bool, as_json: bool
) -> None:
    async with open_everything() as (settings, database):
        found = await risk_door(database.manager, settings).change_stop(
            which, price=to, config=config, is_loosened=confirm, reason=reason, actor=actor()
        )
    if as_json:
        emit_json(found)
    else:
        say(f"the stop of {found['symbol']} is at {price(found['stop_price'])}, was at {price(found['before'])}")


async def _cancel(which: str, reason: str, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        id = await risk_door(database.manager, settings).cancel_stop(which, reason, actor())
    if as_json:
        emit_json({"id": id, "status": "cancelled"})
    else:
        say(f"{id} is cancelled; its position has no stop")
