"""``mastertrade data rollup``: keep longer bars, which follow their candles and outlive them."""

from typing import Annotated

import typer

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.data_catalogue import Series
from mastertrade.cli.output import Cell, dim, emit_json, good, show, table, warning
from mastertrade.cli.progress import transfer
from mastertrade.cli.wording import count, counted, interval
from mastertrade.market_data_service.catalogue import parse_selection
from mastertrade.market_data_service.intervals import interval_seconds
from mastertrade.market_data_service.rollups import USUAL_INTERVALS_S, Rollups, RollupTotal
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import UsageError

USUAL = " ".join(map(interval, USUAL_INTERVALS_S))


def rollup(
    series: Series = None,
    tf: Annotated[str, typer.Option("--tf", help="The lengths to keep, such as '15m 1h'.")] = USUAL,
    as_json: Json = False,
) -> None:
    """Keep longer bars of series and bring them up to date. Asked for once, they follow their candles from then on."""
    run(_rollup(series or [], tf, as_json), as_json=as_json)


async def _rollup(words: list[str], tf: str, as_json: bool) -> None:
    selection = parse_selection(words)
    try:
        intervals_s = [interval_seconds(one) for one in tf.replace(",", " ").split()]
    except ValueError as error:
        raise UsageError(f"--tf: {error}") from error
    async with with_database() as manager:
        rollups = Rollups(manager=manager, clock=SystemClock())
        found = await rollups.ask(selection, intervals_s)
        with transfer("rolling up", is_quiet=as_json) as progress:
            months = await rollups.follow({one.instrument_id for one in found}, progress=progress)
        totals = await rollups.totals(selection)
    if as_json:
        emit_json({"months": months, "rollups": [_as_json(one) for one in totals]})
    elif totals:
        headers = ["venue", "symbol", "of", "tf", "from", "to", "bars", "partial"]
        show(table(headers, [_row(one) for one in totals], right=["bars", "partial"]))
        show(dim(f"{counted(months, 'month')} rolled up"))
    else:
        show("nothing to roll up: no candles shorter than the lengths asked for; `mastertrade data list` shows all")


def _row(one: RollupTotal) -> list[Cell]:
    names: list[Cell] = [one.venue, one.symbol, interval(one.base_interval_s), interval(one.interval_s)]
    partial = warning(count(one.partial)) if one.partial else good("0")
    return [*names, f"{one.first_month:%Y-%m}", f"{one.last_month:%Y-%m}", count(one.bars), partial]


def _as_json(one: RollupTotal) -> dict[str, object]:
    return {
        "venue": one.venue,
        "symbol": one.symbol,
        "base_timeframe": interval(one.base_interval_s),
        "timeframe": interval(one.interval_s),
        "bars": one.bars,
        "partial": one.partial,
        "first_month": one.first_month,
        "last_month": one.last_month,
    }
