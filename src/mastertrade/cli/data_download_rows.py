"""``mastertrade data download --kind trades|funding``: what is not made of bars."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from mastertrade.cli.application import open_everything
from mastertrade.cli.data_download import Step, chosen, progress_bars
from mastertrade.cli.output import Cell, bad, dim, emit_json, grid, show, table, warning
from mastertrade.cli.wording import count, counted, moment, seconds
from mastertrade.platform import request_budget
from mastertrade.shared.clock import SystemClock

if TYPE_CHECKING:
    from mastertrade.market_data_service.kind_downloading import KindDownload

NUMBERS: Final = ("rows", "new", "conflicts", "seconds")
MINUTE_S: Final = 60


async def download_rows(
    symbols: Sequence[str], venue: str, kind: str, since: datetime, until: datetime | None, url: str, as_json: bool
) -> None:
    from mastertrade.exchanges.ccxt_library import venue_class
    from mastertrade.exchanges.ccxt_markets import CcxtFeed
    from mastertrade.exchanges.market_feed import FeedKind
    from mastertrade.market_data_service.kind_downloading import KindDownloader

    venue_class(venue)  # a name that is mistyped is told before a server is started
    began = monotonic()
    async with open_everything() as (settings, database):
        feed = CcxtFeed(venue, url=url or None, budget=request_budget(database.manager, settings))
        try:
            downloader = KindDownloader(feed=feed, manager=database.manager, clock=SystemClock())
            with progress_bars(is_quiet=as_json) as bars:
                try:
                    names = await chosen(feed, symbols, bars)
                    await downloader.run(
                        names,
                        FeedKind(kind),
                        since=since,
                        until=until,
                        progress=lambda series: bars.show([_step(one) for one in series]),
                    )
                except asyncio.CancelledError:
                    bars.end()
                    _tell(downloader.series, monotonic() - began, as_json=as_json, is_interrupted=True)
                    raise
            _tell(downloader.series, monotonic() - began, as_json=as_json)
        finally:
            await feed.close()
    failure = next((one.failure for one in downloader.series if one.failure is not None), None)
    if failure is not None:
        raise SystemExit(failure.exit_code)


def _step(one: "KindDownload") -> Step:
    done, total = int(one.done_s // MINUTE_S), int(one.total_s // MINUTE_S)
    return Step(f"{one.symbol} {one.kind.value}, minutes", done, total, one.rows, one.waiting_for)


def _tell(series: "Sequence[KindDownload]", took_s: float, *, as_json: bool, is_interrupted: bool = False) -> None:
    if as_json:
        emit_json({"series": [_json(one) for one in series], "new": sum(one.new for one in series),
                   "seconds": round(took_s, 3), "interrupted": is_interrupted})  # fmt: skip
        return
    if not series:
        return
    show(table(["venue", "symbol", "what", "from", "to", *NUMBERS], [_row(one) for one in series], right=NUMBERS))
    if notes := [note for one in series for note in _notes(one)]:
        show("", grid(notes))
    rows, asked = sum(one.rows for one in series), sum(one.requests for one in series)
    show("", dim(f"{counted(rows, 'row')} in {counted(asked, 'question')}, {seconds(took_s)}"))
    if is_interrupted:
        show(dim("The same command goes on from here."))


def _row(one: "KindDownload") -> list[Cell]:
    ends = [moment(one.since)[:16], moment(one.until)[:16]]
    numbers = [count(one.rows), count(one.new), count(one.conflicts), f"{one.seconds:.1f}"]
    return [one.venue, one.symbol, one.kind.value, *ends, *numbers]


def _notes(one: "KindDownload") -> Iterator[list[Cell]]:
    if one.failure is not None:
        yield [bad("stopped"), one.symbol, str(one.failure)]
    if one.note:
        yield [warning("note"), one.symbol, one.note]
    if one.conflicts:
        told = f"{counted(one.conflicts, 'row')} stand there with other numbers; the first ones stay"
        yield [warning("differs"), one.symbol, told]
    if one.unusable:
        yield [warning("refused"), one.symbol, f"{counted(one.unusable, 'row')} that cannot be"]
    if not one.requests and one.failure is None:
        yield [dim("done"), one.symbol, "everything was there already"]


def _json(one: "KindDownload") -> dict[str, Any]:
    return {
        "venue": one.venue, "symbol": one.symbol, "kind": one.kind.value, "since": one.since, "until": one.until,
        "rows": one.rows, "new": one.new, "conflicts": one.conflicts, "unusable": one.unusable,
        "requests": one.requests, "retries": one.retries, "seconds": round(one.seconds, 3), "note": one.note or None,
        "error": str(one.failure) if one.failure is not None else None,
    }  # fmt: skip
