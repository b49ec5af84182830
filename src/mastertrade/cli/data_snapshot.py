"""``mastertrade data snapshot``: pin the candles a result was computed from, and prove that they are still the same."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.data_catalogue import Series
from mastertrade.cli.output import Cell, bad, dim, emit_json, facts, good, show, table, warning
from mastertrade.cli.progress import transfer
from mastertrade.cli.wording import NOTHING, count, counted, interval, moment
from mastertrade.market_data_service.catalogue import parse_selection
from mastertrade.market_data_service.snapshots import Snapshot, Snapshots, Verified
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import UsageError

snapshot = typer.Typer(help="Pin candles that a result was computed from, and verify them.", no_args_is_help=True)

Since = Annotated[
    str, typer.Option(help="From this open time on, UTC, such as 2024-01-01; else from the first candle.")
]
Until = Annotated[str, typer.Option(help="Before this open time, UTC; else to the last candle.")]
Which = Annotated[str, typer.Argument(help="The beginning of its id or of its hash.")]


@snapshot.command("create")
def create(
    series: Series = None,
    since: Since = "",
    until: Until = "",
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: Json = False,
) -> None:
    """Pin series between two times. Nothing is copied; the same candles have the same hash on any machine."""
    run(_create(series or [], since, until, note, as_json), as_json=as_json)


@snapshot.command("list")
def list_snapshots(as_json: Json = False) -> None:
    """List the snapshots, the newest first."""
    run(_list(as_json), as_json=as_json)


@snapshot.command("verify")
def verify(
    which: Annotated[str, typer.Argument(help="The beginning of its id or of its hash; none: all.")] = "",
    as_json: Json = False,
) -> None:
    """Read pinned candles again and compare their hash. Exit code 1 when a series differs."""
    run(_verify(which, as_json), as_json=as_json)


@snapshot.command("remove")
def remove(which: Which, as_json: Json = False) -> None:
    """Unpin. The candles stay until a retention policy takes them."""
    run(_remove(which, as_json), as_json=as_json)


def time_of(text: str, option: str) -> datetime | None:
    """An ISO time or date of an option; UTC unless it names a zone."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text}: a date or time such as 2024-01-01 or 2024-01-01T12:00 is expected"
        ) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


async def _create(words: list[str], since: str, until: str, note: str, as_json: bool) -> None:
    selection, start, end = parse_selection(words), time_of(since, "--since"), time_of(until, "--until")
    async with with_database() as manager:
        snapshots = Snapshots(manager=manager, clock=SystemClock())
        with transfer("hashing", is_quiet=as_json) as progress:
            made = await snapshots.create(selection, start=start, end=end, note=note, progress=progress)
    if as_json:
        emit_json(_as_json(made))
        return
    show(
        facts(
            [
                ("snapshot", str(made.id)),
                ("hash", made.content_hash or NOTHING),
                ("candles", f"{count(made.rows)} of {counted(made.series, 'series', 'series')}"),
                ("time", f"{moment(made.starts)} to {moment(made.ends)} UTC"),
            ]
        )
    )


async def _list(as_json: bool) -> None:
    async with with_database() as manager:
        found = await Snapshots(manager=manager, clock=SystemClock()).find()
    if as_json:
        emit_json({"snapshots": [_as_json(one) for one in found]})
        return
    if not found:
        show("no snapshots: `mastertrade data snapshot create` makes one")
        return
    headers = ["id", "hash", "series", "candles", "from", "to", "made", "note"]
    rows: list[list[Cell]] = [
        [
            str(one.id), one.content_hash[:12] if one.content_hash else warning("unfinished"), count(one.series),
            count(one.rows), moment(one.starts), moment(one.ends), moment(one.created_at), one.note,
        ]
        for one in found
    ]  # fmt: skip
    show(table(headers, rows, right=["series", "candles"]))


async def _verify(which: str, as_json: bool) -> None:
    async with with_database() as manager:
        snapshots = Snapshots(manager=manager, clock=SystemClock())
        chosen = [await snapshots.one(which)] if which else await snapshots.find()
        found: list[tuple[Snapshot, Verified]] = []
        for one in chosen:
            expected, done = one.rows or 0, 0
            if one.content_hash is not None:
                with transfer(str(one.id)[:13], is_quiet=as_json) as progress:
                    async for checked in snapshots.verify(one.id):
                        found.append((one, checked))
                        done += checked.rows
                        progress(done, expected)
    differing = [checked for _, checked in found if not checked.is_same]
    if as_json:
        emit_json({"is_same": not differing, "series": [_verified_as_json(*pair) for pair in found]})
    elif found:
        _show_verified(found)
        show(dim(f"{counted(len(chosen), 'snapshot')}, {counted(len(found), 'series', 'series')}"))
    else:
        show("no snapshots: `mastertrade data snapshot create` makes one")
    if differing:
        raise SystemExit(1)


def _show_verified(found: list[tuple[Snapshot, Verified]]) -> None:
    headers = ["snapshot", "venue", "symbol", "tf", "candles", "state"]
    rows: list[list[Cell]] = []
    for one, checked in found:
        pinned = checked.series
        expected = f"differs: {count(pinned.rows)} candles were pinned"
        state = good("same") if checked.is_same else bad(expected)
        names = [str(one.id)[:13], pinned.venue, pinned.symbol, interval(pinned.interval_s)]
        rows.append([*names, count(checked.rows), state])
    show(table(headers, rows, right=["candles"]))


async def _remove(which: str, as_json: bool) -> None:
    async with with_database() as manager:
        snapshots = Snapshots(manager=manager, clock=SystemClock())
        one = await snapshots.one(which)
        await snapshots.remove(one.id)
    if as_json:
        emit_json({"removed": _as_json(one)})
    else:
        show(f"removed snapshot {one.id}; its candles are no longer pinned")


def _as_json(one: Snapshot) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "content_hash": one.content_hash,
        "series": one.series,
        "rows": one.rows,
        "from": one.starts,
        "to": one.ends,
        "created_at": one.created_at,
        "note": one.note,
    }


def _verified_as_json(one: Snapshot, checked: Verified) -> dict[str, Any]:
    pinned = checked.series
    return {
        "snapshot": str(one.id),
        "venue": pinned.venue,
        "symbol": pinned.symbol,
        "timeframe": interval(pinned.interval_s),
        "rows": checked.rows,
        "pinned_rows": pinned.rows,
        "content_hash": checked.content_hash,
        "is_same": checked.is_same,
    }
