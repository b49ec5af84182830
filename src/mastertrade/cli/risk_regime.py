"""``mastertrade risk regime``: what each venue's market is like, since when, and what limits make of it."""

from typing import Annotated

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bold, dim, emit_json, say, show, table
from mastertrade.cli.wording import NOTHING, moment, words
from mastertrade.doors import risk_door


def regime(
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="The newest changes.")] = 20,
    as_json: Json = False,
) -> None:
    """Show how wild the markets are, and how that changed."""
    run(_regime(count, as_json), as_json=as_json)


async def _regime(count: int, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        found = await risk_door(database.manager, settings).regimes(count=count)
        follows = settings.risk.adaptive_limits
    if as_json:
        emit_json({"limits_follow": follows, "regimes": found})
        return
    if not found:
        say("no regime is known yet: 20 days of bitcoin on an account's venue make one")
        return
    rows: list[tuple[Cell, ...]] = [
        (
            bold(one["venue"]),
            words(one["regime"]),
            f"{one['factor']:g}",
            NOTHING if one["volatility"] is None else f"{one['volatility']:.0%}",
            NOTHING if one["mean"] is None else f"{one['mean']:+.2%}",
            NOTHING if one["fear_greed"] is None else f"{one['fear_greed']:.0f}",
            moment(one["since"]),
        )
        for one in found
    ]
    headers = ("venue", "market", "factor", "volatility a year", "mean day", "fear and greed", "since (UTC)")
    show(table(headers, rows, right=headers[2:6]))
    say(dim("limits on positions follow it" if follows else "limits do not follow it; ADAPTIVE_LIMITS=true lets them"))
