"""``mastertrade data import``: files of every kind."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bad, dim, emit_json, grid, say, show, table, warning
from mastertrade.cli.progress import transfer
from mastertrade.cli.wording import count, counted, seconds
from mastertrade.market_data_service.importing.findings import Severity
from mastertrade.market_data_service.importing.naming import Kind, Understood
from mastertrade.market_data_service.importing.report import FileReport
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import BadData, MasterTradeError

REJECTED: Final = 1
UNUSABLE: Final = 2
SHOWN_REASONS: Final = 5
NUMBERS: Final = ("read", "stored", "unchanged", "revised", "rejected", "held back")


def import_files(
    files: Annotated[list[Path], typer.Argument(help="Files, or folders of files.")],
    venue: Annotated[
        str, typer.Option(help="Where they are from, such as binance. In a folder, names go before it.")
    ] = "",
    symbol: Annotated[
        str, typer.Option(help="The market, such as BTC/USDT or BTC/USDT:USDT; else from the name.")
    ] = "",
    tf: Annotated[str, typer.Option("--tf", help="The length of a candle, such as 1m; else from the name.")] = "",
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(Kind)}; else from the name.")] = "",
    as_json: Json = False,
) -> None:
    """Import files: csv, csv.gz, zip, parquet, feather, JSON, whole folders. Twice changes nothing.

    Rows that cannot be used are written to a rejects file with their number and the reason; the others are stored. Exit
    code 1: rows were rejected or held back. 2: a file could not be used, or not to its end.
    """
    run(_import(files, venue or None, symbol or None, tf or None, kind or None, as_json), as_json=as_json)


async def _import(
    paths: Sequence[Path], venue: str | None, symbol: str | None, tf: str | None, kind: str | None, as_json: bool
) -> None:
    from mastertrade.market_data_service.importing.importer import FileImporter, find_files, understand

    interval_s, wanted = _interval(tf), _kind(kind)
    files = find_files(paths)
    reports: list[FileReport] = []
    async with open_everything() as (settings, database):
        importer = FileImporter(manager=database.manager, clock=SystemClock(), home=settings.core.home)
        for path, folder in files:
            try:
                understood: Understood = understand(
                    path, venue=venue, symbol=symbol, interval_s=interval_s, kind=wanted, folder=folder
                )
            except MasterTradeError as error:
                reports.append(FileReport(file=str(path), error=str(error)))
            else:
                with transfer(path.name, is_quiet=as_json) as progress:
                    reports.append(await importer.run(path, understood, progress=progress))
            if as_json:
                emit_json(reports[-1].as_json())
    if not as_json:
        _show(reports)
    code = max(UNUSABLE if one.error else 0 if one.is_clean else REJECTED for one in reports)
    if code:
        raise SystemExit(code)


def _interval(name: str | None) -> int | None:
    from mastertrade.market_data_service.intervals import interval_seconds

    try:
        return interval_seconds(name) if name else None
    except ValueError as error:
        raise BadData(f"--tf {name}: {error}") from error


def _kind(name: str | None) -> Kind | None:
    try:
        return Kind(name) if name else None
    except ValueError as error:
        raise BadData(f"--kind {name}: must be one of {', '.join(Kind)}") from error


def _show(reports: Sequence[FileReport]) -> None:
    headers = ["file", "kind", "venue", "symbol", "tf", *NUMBERS, "seconds"]
    show(table(headers, [_row(one) for one in reports], right=[*NUMBERS, "seconds"]))
    for report in reports:
        notes = _notes(report)
        if notes:
            show("", dim(Path(report.file).name), grid(notes, indent=2))
    if len(reports) > 1:
        rows, took = sum(one.rows_read for one in reports), sum(one.seconds for one in reports)
        say("", f"{counted(len(reports), 'file')}, {counted(rows, 'row')} in {seconds(took)}")


def _row(report: FileReport) -> list[Cell]:
    numbers = [
        report.rows_read, report.rows_stored, report.unchanged, report.revisions, report.rejected, report.quarantined,
    ]  # fmt: skip
    names = [report.kind or "-", report.venue or "-", report.symbol or "-", report.timeframe or "-"]
    return [Path(report.file).name, *names, *(count(number) for number in numbers), f"{report.seconds:.1f}"]


def _notes(report: FileReport) -> list[list[Cell]]:
    notes: list[list[Cell]] = []
    if report.error:
        notes.append([bad("not used"), report.error])
    common = sorted(report.reasons.items(), key=lambda item: -item[1])
    notes += [[warning("rejected"), f"{counted(rows, 'row')}: {reason}"] for reason, rows in common[:SHOWN_REASONS]]
    if len(common) > SHOWN_REASONS:
        notes.append([warning("rejected"), f"{len(common) - SHOWN_REASONS} more reasons"])
    if report.first_reject and report.rejects_file:
        notes += [["", f"first: {report.first_reject}"], ["", f"all of them: {report.rejects_file}"]]
    if report.quarantined:
        notes.append([warning("held back"), f"{counted(report.quarantined, 'candle')} that look like a bad print"])
    for one in report.findings:
        word = {Severity.INFO: dim("note"), Severity.WARNING: warning("warning"), Severity.ERROR: bad("error")}[
            one.severity
        ]
        rows = f"{counted(one.count, 'time')}: " if one.count > 1 else ""
        notes.append([word, f"{rows}{one.detail}" + (f" (first: {one.first})" if one.first else "")])
    return notes
