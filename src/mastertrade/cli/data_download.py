"""``mastertrade data download``: market data of any exchange, resumed by the same command."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bad, dim, emit_json, errors, grid, show, table, warning
from mastertrade.cli.wording import count, counted, interval, moment, seconds
from mastertrade.domain.market import canonical_symbol
from mastertrade.platform import request_budget
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import UsageError

if TYPE_CHECKING:
    from mastertrade.exchanges.market_feed import MarketFeed
    from mastertrade.market_data_service.download_report import SeriesDownload

KINDS: Final = ("candles", "mark", "trades", "funding")
HISTORIES: Final = ("trades", "funding")
"""Rows that are no bars."""
LIVE_ONLY: Final = ("book", "tickers")
NUMBERS: Final = ("rows", "new", "revised", "gaps", "missing", "seconds")
RATE_OVER_S: Final = 20.0
"""The speed shown is that of so long; longer would hide that a venue has become slow."""
MOST_SYMBOLS: Final = 500

Venue = Annotated[str, typer.Option("--venue", help="The exchange by its name in ccxt: binance, kraken, okx …")]
Url = Annotated[
    str, typer.Option("--url", help="Another server in its place, such as http://127.0.0.1:8700 of `venue simulate`.")
]


def download(
    symbols: Annotated[list[str], typer.Argument(help="Markets: BTC/USDT, the swap BTC/USDT:USDT, or '*/USDT'.")],
    since: Annotated[str, typer.Option("--since", help="From when on: 2024-01-01, or with a time, UTC.")],
    venue: Venue,
    tf: Annotated[str, typer.Option("--tf", help="Lengths of candles, such as 1m or 1m,1h.")] = "1m",
    until: Annotated[str, typer.Option("--until", help="Up to when; without it up to now.")] = "",
    kind: Annotated[str, typer.Option("--kind", help=f"What: {', '.join(KINDS)}.")] = "candles",
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Download from an exchange what is not there yet. The same command goes on after whatever stopped it.

    Every answer is stored as it comes, with what it proves: what the exchange does not have is known as such, and not
    asked for a third time.
    """
    if kind not in KINDS:
        live = f"; venues tell them only as they are now: data record --kind {kind}" if kind in LIVE_ONLY else ""
        raise UsageError(f"--kind {kind}: must be one of {', '.join(KINDS)}{live}")
    start, end = _time("--since", since), _time("--until", until) if until else None
    if end is not None and end <= start:
        raise UsageError(f"--until {until}: must be later than --since {since}")
    if kind in HISTORIES:
        from mastertrade.cli.data_download_rows import download_rows

        run(download_rows(symbols, venue, kind, start, end, url, as_json), as_json=as_json)
    else:
        lengths = [length_of(name) for name in dict.fromkeys(tf.split(","))]
        run(_download(symbols, start, venue, lengths, end, kind, url, as_json), as_json=as_json)


async def _download(
    symbols: Sequence[str],
    start: datetime,
    venue: str,
    lengths: Sequence[int],
    end: datetime | None,
    kind: str,
    url: str,
    as_json: bool,
) -> None:
    from mastertrade.exchanges.ccxt_library import venue_class
    from mastertrade.exchanges.ccxt_markets import CcxtFeed
    from mastertrade.exchanges.market_feed import FeedKind
    from mastertrade.market_data_service.download_report import Wanted
    from mastertrade.market_data_service.downloading import Downloader

    venue_class(venue)  # a name that is mistyped is told before a server is started
    async with open_everything() as (settings, database):
        feed = CcxtFeed(venue, url=url or None, budget=request_budget(database.manager, settings))
        try:
            downloader = Downloader(feed=feed, manager=database.manager, clock=SystemClock())
            began = monotonic()
            with progress_bars(is_quiet=as_json) as progress:
                try:
                    names = await chosen(feed, symbols, progress)
                    wanted = Wanted(symbols=names, intervals_s=lengths, since=start, until=end, kind=FeedKind(kind))
                    await downloader.run(wanted, progress=progress)
                except asyncio.CancelledError:
                    progress.end()
                    _tell(downloader.series, monotonic() - began, as_json=as_json, is_interrupted=True)
                    raise
            _tell(downloader.series, monotonic() - began, as_json=as_json)
        finally:
            await feed.close()
    failure = next((one.failure for one in downloader.series if one.failure is not None), None)
    if failure is not None:
        raise SystemExit(failure.exit_code)


async def chosen(feed: "MarketFeed", asked: Sequence[str], progress: "Bars") -> list[str]:
    """The symbols as we write them; a pattern stands for every market of the venue that trades and fits."""
    from mastertrade.market_data_service.patience import asked as asked_patiently

    if not any(letter in symbol for symbol in asked for letter in "*?["):
        return list(dict.fromkeys(symbol_of(one) for one in asked))
    progress.say(f"asking {feed.name} for its markets")
    markets = await asked_patiently(feed.markets)
    found: dict[str, None] = {}
    for one in asked:
        if any(letter in one for letter in "*?["):
            fitting = [name for name in sorted(markets) if fnmatchcase(name, one.upper())]
            fitting = [name for name in fitting if (":" in name) == (":" in one)]
            if not fitting:
                raise UsageError(f"{one}: fits none of the {len(markets):,} markets of {feed.name}")
            found |= dict.fromkeys(fitting)
        else:
            found[symbol_of(one)] = None
    if len(found) > MOST_SYMBOLS:
        raise UsageError(f"{', '.join(asked)}: fits {len(found)} markets, more than {MOST_SYMBOLS} at once; narrow it")
    return list(found)


def symbol_of(text: str) -> str:
    try:
        return canonical_symbol(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def length_of(name: str) -> int:
    from mastertrade.market_data_service.intervals import interval_seconds

    try:
        return interval_seconds(name.strip())
    except ValueError as error:
        raise UsageError(f"--tf {name}: {error}") from error


def _time(option: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: is no time; write 2024-01-01 or 2024-01-01T12:00") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Step:
    """How far one series is, in whatever it is counted; ``rows`` have come of it."""

    name: str
    done: int
    total: int
    rows: int
    waiting_for: str


class Bars:
    """A bar a series on a terminal, with the speed of the last seconds and the time it will take."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._tasks: dict[int, Any] = {}
        self._past: deque[tuple[float, int]] = deque()

    def __call__(self, series: "Sequence[SeriesDownload]") -> None:
        """Called after every answer."""
        self.show(
            [
                Step(f"{one.symbol} {interval(one.interval_s)}", one.done, one.total, one.loaded.rows, one.waiting_for)
                for one in series
            ]
        )

    def show(self, steps: Sequence[Step]) -> None:
        now, rows = monotonic(), sum(one.rows for one in steps)
        self._past.append((now, rows))
        while now - self._past[0][0] > RATE_OVER_S:
            self._past.popleft()
        began, before = self._past[0]
        speed = f"{(rows - before) / (now - began):,.0f} rows/s" if now > began else ""
        for place, one in enumerate(steps):
            if place not in self._tasks:
                self._tasks[place] = self._bars.add_task(one.name, total=one.total)
            is_done = one.done >= one.total
            note = "" if is_done else f"waits: {one.waiting_for[:60]}" if one.waiting_for else speed
            self._bars.update(self._tasks[place], completed=one.done, total=one.total, note=note)

    def say(self, text: str) -> None:
        self._bars.console.print(dim(text))

    def end(self) -> None:
        self._bars.stop()


@contextmanager
def progress_bars(*, is_quiet: bool) -> Iterator[Bars]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )  # fmt: skip
    with Progress(*columns, console=errors, transient=True, disable=is_quiet or not errors.is_terminal) as bars:
        yield Bars(bars)


def _tell(series: "Sequence[SeriesDownload]", took_s: float, *, as_json: bool, is_interrupted: bool = False) -> None:
    if as_json:
        new = sum(one.loaded.new for one in series)
        emit_json({"series": [_json(one) for one in series], "new": new, "seconds": round(took_s, 3),
                   "interrupted": is_interrupted})  # fmt: skip
        return
    if not series:
        return
    headers = ["venue", "symbol", "tf", "from", "to", *NUMBERS]
    show(table(headers, [_row(one) for one in series], right=NUMBERS))
    notes = [note for one in series for note in _notes(one)]
    if notes:
        show("", grid(notes))
    rows = sum(one.loaded.rows for one in series)
    speed = f", {rows / took_s:,.0f} rows/s" if rows and took_s > 0 else ""
    asked = sum(one.requests for one in series)
    show("", dim(f"{counted(rows, 'row')} in {counted(asked, 'question')}, {seconds(took_s)}{speed}"))
    if is_interrupted:
        show(dim("The same command goes on from here."))


def _row(one: "SeriesDownload") -> list[Cell]:
    numbers = [one.loaded.rows, one.loaded.new, one.loaded.revised, one.gaps, one.missing]
    ends = [moment(one.since)[:16], moment(one.until)[:16]]
    return [one.venue, one.symbol, interval(one.interval_s), *ends, *map(count, numbers), f"{one.seconds:.1f}"]


def _notes(one: "SeriesDownload") -> Iterator[list[Cell]]:
    name = f"{one.symbol} {interval(one.interval_s)}"
    if one.failure is not None:
        yield [bad("stopped"), name, str(one.failure)]
    if one.note:
        yield [warning("note"), name, one.note]
    if one.refused.total:
        yield [warning("refused"), name, f"{counted(one.refused.total, 'candle')}; first: {one.refused.first}"]
    if one.unconfirmed:
        yield [dim("open"), name, f"{counted(one.unconfirmed, 'gap')} the venue has denied once; asked again next time"]
    if not one.requests and one.failure is None:
        yield [dim("done"), name, "everything was there already" if one.already else "no bar has closed in that time"]


def _json(one: "SeriesDownload") -> dict[str, Any]:
    return {
        "venue": one.venue, "symbol": one.symbol, "timeframe": interval(one.interval_s), "since": one.since,
        "until": one.until, "rows": one.loaded.rows, "new": one.loaded.new, "unchanged": one.loaded.unchanged,
        "revisions": one.loaded.revised, "refused": one.refused.total, "gaps": one.gaps, "missing": one.missing,
        "unconfirmed": one.unconfirmed, "requests": one.requests, "retries": one.retries,
        "seconds": round(one.seconds, 3), "note": one.note or None,
        "error": str(one.failure) if one.failure is not None else None,
    }  # fmt: skip
