"""``mastertrade data record``: candles of a venue as they close, and how alive the stream is."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.live import Live

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.data_download import Url, Venue, length_of, symbol_of
from mastertrade.cli.output import Cell, bold, console, dim, emit_json, good, show, table, warning
from mastertrade.cli.signals import StoppingBySignal
from mastertrade.cli.wording import NOTHING, count, interval, moment, price
from mastertrade.market_data_service.source import to_datetime
from mastertrade.platform import request_budget
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import UsageError

if TYPE_CHECKING:
    from mastertrade.market_data_service.kind_recording import KindRecording
    from mastertrade.market_data_service.recording import Recording, SeriesState

KINDS: Final = ("candles", "trades", "tickers", "book")
SHOWN_EVERY_S: Final = 1.0
LINE_EVERY_S: Final = 60.0
"""In a pipe, which is most often a log."""
UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def record(
    symbols: Annotated[list[str], typer.Argument(help="Markets: BTC/USDT, or the swap BTC/USDT:USDT.")],
    venue: Venue,
    tf: Annotated[str, typer.Option("--tf", help="Lengths of candles, such as 1m or 1m,1h.")] = "1m",
    kind: Annotated[str, typer.Option("--kind", help=f"What: {', '.join(KINDS)}; several with commas.")] = "candles",
    lasting: Annotated[str, typer.Option("--for", help="How long: 90s, 30m, 8h or 7d; without it until Ctrl-C.")] = "",
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Store candles of an exchange as they close: by its stream, by questions where it has none or left a hole.

    Begins behind the last stored candle and asks for what closed since. A connection that breaks or falls silent is
    made again; the same command goes on after whatever stopped it. Trades, and tickers and books once a second, are
    stored where --kind asks for them.
    """
    run(_record(symbols, venue, tf, kind, lasting, url, as_json), as_json=as_json)


async def _record(
    symbols: Sequence[str], venue: str, tf: str, kind: str, lasting: str, url: str, as_json: bool
) -> None:
    from mastertrade.exchanges.ccxt_library import venue_class
    from mastertrade.exchanges.ccxt_markets import CcxtFeed
    from mastertrade.exchanges.ccxt_streams import CcxtStreams
    from mastertrade.exchanges.market_feed import FeedKind, UnknownVenue
    from mastertrade.market_data_service.kind_recording import KindRecording
    from mastertrade.market_data_service.recording import Recording

    names = list(dict.fromkeys(symbol_of(one) for one in symbols))
    lengths = [length_of(name) for name in dict.fromkeys(tf.split(","))]
    seconds = _seconds(lasting) if lasting else None
    kinds = list(dict.fromkeys(name.strip() for name in kind.split(",")))
    for name in kinds:
        if name not in KINDS:
            raise UsageError(f"--kind {name}: must be one of {', '.join(KINDS)}")
    venue_class(venue)  # a name that is mistyped is told before a server is started
    async with open_everything() as (settings, database), AsyncExitStack() as stack:
        budget = request_budget(database.manager, settings)
        feed, streams = CcxtFeed(venue, url=url or None, budget=budget), None
        stack.push_async_callback(feed.close)
        with suppress(UnknownVenue):  # one without websockets is asked for each bar
            streams = CcxtStreams(venue, url=url or None, budget=budget)
            stack.push_async_callback(streams.close)
        given: dict[str, Any] = {
            "feed": feed,
            "streams": streams,
            "symbols": names,
            "manager": database.manager,
            "clock": SystemClock(),
        }
        recordings: list[Recording | KindRecording] = []
        for name in kinds:
            if name == FeedKind.CANDLES:
                recordings.append(Recording(intervals_s=lengths, **given))
            else:
                recordings.append(KindRecording(kind=FeedKind(name), **given))
        await _watch(recordings, seconds, as_json)


async def _watch(recordings: "Sequence[Recording | KindRecording]", seconds: float | None, as_json: bool) -> None:
    stopped = asyncio.Event()
    tasks = [
        *(asyncio.create_task(one.run(), name="recording") for one in recordings),
        asyncio.create_task(_keep_showing(recordings, as_json), name="showing"),
        asyncio.create_task(stopped.wait(), name="stopping"),
    ]
    try:
        with StoppingBySignal(stopped.set):
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        states = _states(recordings)  # before their end, after which nothing streams
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        _tell(states, as_json)


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:].lower()
    try:
        found = float(number) * UNITS[unit]
    except (ValueError, KeyError):
        raise UsageError(f"--for {text}: write how long as 90s, 30m, 8h or 7d") from None
    if not 0 < found < float("inf"):
        raise UsageError(f"--for {text}: must be longer than nothing")
    return found


def _states(recordings: "Sequence[Recording | KindRecording]") -> "list[SeriesState]":
    return [state for one in recordings for state in one.states()]


async def _keep_showing(recordings: "Sequence[Recording | KindRecording]", as_json: bool) -> None:
    is_live = console.is_terminal and not as_json
    with Live(console=console, refresh_per_second=4, transient=True) if is_live else nullcontext() as live:
        while True:
            await asyncio.sleep(SHOWN_EVERY_S if live is not None else LINE_EVERY_S)
            states = _states(recordings)
            if live is not None:
                live.update(_page(states))
            elif not as_json:
                stored = sum(one.rows for one in states)
                stale = [one.symbol for one in states if one.is_stale]
                show(f"{count(stored)} rows" + (f", stale: {', '.join(stale)}" if stale else ""))


def _page(states: "Sequence[SeriesState]") -> Cell:
    headers = ("market", "what", "rows", "last (UTC)", "price", "age", "comes by", "repaired")
    return table(headers, [_row(one) for one in states], right=("rows", "price", "age", "repaired"))


def _row(one: "SeriesState") -> tuple[Cell, ...]:
    age = NOTHING if one.age_s is None else f"{one.age_s:.0f} s"
    return (
        bold(one.symbol),
        interval(one.interval_s) if one.interval_s else one.kind,
        count(one.rows),
        NOTHING if one.last_ms is None else moment(to_datetime(one.last_ms)),
        NOTHING if one.price is None else price(one.price),
        warning(f"{age} stale") if one.is_stale else age,
        good("stream") if one.is_streaming else dim("questions"),
        count(one.repaired),
    )


def _tell(states: "Sequence[SeriesState]", as_json: bool) -> None:
    if as_json:
        emit_json({"series": [_plain(one) for one in states], "rows": sum(one.rows for one in states)})
    elif states:
        show(_page(states))
        if (broken := max(states, key=lambda one: one.breaks)).breaks:
            show(f"{count(broken.breaks)} breaks of the stream, the last: {broken.last_break}")
        show("", dim("The same command goes on behind the last row."))


def _plain(one: "SeriesState") -> dict[str, Any]:
    last = None if one.last_ms is None else to_datetime(one.last_ms)
    return {**asdict(one), "timeframe": interval(one.interval_s) if one.interval_s else None, "last": last}
