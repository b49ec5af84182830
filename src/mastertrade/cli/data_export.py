"""``mastertrade data export``: what is stored, as files of every kind."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.data_catalogue import Series
from mastertrade.cli.data_snapshot import Since, Until, time_of
from mastertrade.cli.output import Cell, dim, emit_json, show, table
from mastertrade.cli.progress import transfer
from mastertrade.cli.wording import NOTHING, count, counted, interval, size
from mastertrade.market_data_service.catalogue import parse_selection
from mastertrade.market_data_service.importing.naming import Kind
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import UsageError

KINDS: Final = (
    Kind.CANDLES,
    Kind.MARK,
    Kind.INDEX,
    Kind.TRADES,
    Kind.FUNDING,
    Kind.BOOK,
    Kind.TICKERS,
    Kind.INSTRUMENTS,
)
FORMATS: Final = ("parquet", "csv", "csv.gz")


def export_files(
    series: Series = None,
    to: Annotated[Path, typer.Option("--to", help="The folder to write to; it is made if need be.")] = Path(),
    kind: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(KINDS)}, or all; may be repeated. Else candles, mark and index."),
    ] = None,
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = FORMATS[0],
    since: Since = "",
    until: Until = "",
    as_json: Json = False,
) -> None:
    """Export stored rows to csv or parquet, a file a series.

    The names of the files say what is in them, so that `data import` reads them back as the same rows. A file that
    stood there is replaced when the new one is whole.
    """
    run(_export(series or [], to, kind or [], form, since, until, as_json), as_json=as_json)


async def _export(
    words: list[str], folder: Path, kinds: list[str], form: str, since: str, until: str, as_json: bool
) -> None:
    from mastertrade.market_data_service.exporting.exporter import Exported, FileExporter
    from mastertrade.market_data_service.exporting.sinks import FileFormat

    if form not in FORMATS:
        raise UsageError(f"--format {form}: must be one of {', '.join(FORMATS)}")
    chosen, selection = _kinds(kinds), parse_selection(words)
    start, end = time_of(since, "--since"), time_of(until, "--until")
    written: list[Exported] = []
    async with with_database() as manager:
        exporter = FileExporter(manager=manager, clock=SystemClock())
        planned = await exporter.plan(
            folder, selection=selection, kinds=chosen, form=FileFormat(form), start=start, end=end
        )
        for one in planned:
            with transfer(one.path.name, is_quiet=as_json) as progress:
                written.append(await exporter.write(one, progress=progress))
            if as_json:
                emit_json(_as_json(written[-1]))
    if not as_json:
        _show(written, folder)


def _kinds(names: list[str]) -> tuple[Kind, ...]:
    if not names:
        return KINDS[:3]
    if "all" in names:
        return KINDS
    try:
        chosen = tuple(Kind(name) for name in names)
    except ValueError as error:
        raise UsageError(f"--kind {' '.join(names)}: each must be one of {', '.join(KINDS)}, or all") from error
    if not set(chosen) <= set(KINDS):
        raise UsageError(f"--kind {' '.join(names)}: these cannot be exported; {', '.join(KINDS)} can")
    return chosen


def _show(written: "list[Any]", folder: Path) -> None:
    headers = ["file", "kind", "venue", "symbol", "tf", "rows", "size", "seconds"]
    rows: list[list[Cell]] = [
        [
            one.path.name, one.content.kind, one.content.venue, one.content.symbol or NOTHING,
            interval(one.content.interval_s), count(one.rows), size(one.bytes), f"{one.seconds:.1f}",
        ]
        for one in written
    ]  # fmt: skip
    show(table(headers, rows, right=["rows", "size", "seconds"]))
    rows_in_all = sum(one.rows for one in written)
    show("", dim(f"{counted(len(written), 'file')}, {counted(rows_in_all, 'row')} in {folder.resolve()}"))


def _as_json(one: Any) -> dict[str, Any]:
    return {
        "file": str(one.path),
        "kind": one.content.kind,
        "venue": one.content.venue,
        "symbol": one.content.symbol,
        "timeframe": interval(one.content.interval_s) if one.content.interval_s else None,
        "rows": one.rows,
        "bytes": one.bytes,
        "seconds": round(one.seconds, 3),
    }
