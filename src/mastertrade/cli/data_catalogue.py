"""``mastertrade data list`` and ``data gaps``: what there is, and what is missing and why."""

from typing import Annotated, Final

import typer
from rich.text import Text

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.output import Cell, bad, dim, emit_text, good, show, table, warning
from mastertrade.cli.wording import count, counted, moment
from mastertrade.market_data_service.catalogue import (
    SeriesEntry,
    catalogue,
    catalogue_as_json,
    gaps_as_json,
    gaps_of,
    parse_selection,
)
from mastertrade.market_data_service.intervals import interval_name
from mastertrade.market_data_service.postgres_candles import RecordedGap

SHOWN: Final = 100
"""Gaps a person is shown of each question, the largest; machines get all."""

Series = Annotated[
    list[str] | None,
    typer.Argument(
        help="Venues, symbols, timeframes in any order, such as binance BTC/USDT 1m; none: all.", show_default=False
    ),
]


def list_series(series: Series = None, as_json: Json = False) -> None:
    """List the stored candles: each series with its ends, rows and missing rows. Reads no candle."""
    run(_list(series or [], as_json), as_json=as_json)


def list_gaps(series: Series = None, as_json: Json = False) -> None:
    """List the holes in the stored candles and why each is there. Reads no candle."""
    run(_gaps(series or [], as_json), as_json=as_json)


async def _list(words: list[str], as_json: bool) -> None:
    selection = parse_selection(words)
    async with with_database() as manager:
        if as_json:
            emit_text(await catalogue_as_json(manager, selection))
            return
        found = await catalogue(manager, selection)
    if found:
        show(_series_table(found))
    else:
        show("no candles stored: `mastertrade data import FILE…` or `mastertrade data download SYMBOL…` brings some")


def _series_table(found: list[SeriesEntry]) -> Text:
    headers = ["venue", "symbol", "tf", "first", "last", "rows", "missing"]
    rows: list[list[Cell]] = [
        [
            one.venue, one.symbol, one.timeframe, moment(one.first), moment(one.last), count(one.rows),
            warning(count(one.missing)) if one.missing else good("0"),
        ]
        for one in found
    ]  # fmt: skip
    total, missing = sum(one.rows for one in found), sum(one.missing for one in found)
    foot = dim(f"{counted(len(found), 'series', 'series')}, {counted(total, 'candle')}, {count(missing)} missing")
    return Text("\n").join([table(headers, rows, right=["rows", "missing"]), foot])


async def _gaps(words: list[str], as_json: bool) -> None:
    selection = parse_selection(words)
    async with with_database() as manager:
        if as_json:
            emit_text(await gaps_as_json(manager, selection))
            return
        found = await gaps_of(manager, selection)
    if found:
        show(_gaps_table(found))
    else:
        show(good(f"nothing is missing in {selection}"))


def _gaps_table(found: list[RecordedGap]) -> Text:
    largest = sorted(found, key=lambda one: -one.missing)[:SHOWN]
    shown = sorted(largest, key=lambda one: (one.venue, one.symbol, one.interval_s, one.starts))
    headers = ["venue", "symbol", "tf", "from", "to", "missing", "reason"]
    rows: list[list[Cell]] = [
        [
            one.venue,
            one.symbol,
            interval_name(one.interval_s),
            moment(one.starts),
            moment(one.ends),
            count(one.missing),
            _reason(one),
        ]
        for one in shown
    ]
    missing = sum(one.missing for one in found)
    rest = f"; the {count(len(shown))} largest are shown, --json lists all" if len(found) > len(shown) else ""
    foot = dim(f"{counted(len(found), 'gap')}, {counted(missing, 'candle')} missing{rest}")
    return Text("\n").join([table(headers, rows, right=["missing"]), foot])


def _reason(gap: RecordedGap) -> Cell:
    if gap.reason == "failed":
        return bad(gap.reason)
    if gap.reason == "never requested":
        return warning(gap.reason)
    return gap.reason if gap.is_confirmed else f"{gap.reason} (said once)"
