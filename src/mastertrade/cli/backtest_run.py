"""``mastertrade backtest run|list|report|compare``: one strategy on the past, kept as rows, and looked at again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from mastertrade.backtest.report import Comparison, Report, RunReport, equity_csv, to_html, to_json, to_text, trades_csv
from mastertrade.cli.application import Json, open_everything, run, with_database
from mastertrade.cli.backtest_options import (
    Given,
    Page,
    Set,
    Strategy,
    with_given,
)
from mastertrade.cli.output import dim, emit_json, say, show, table, warning
from mastertrade.cli.progress import Screen
from mastertrade.cli.wording import NOTHING, count, counted, interval, moment, signed_share
from mastertrade.research.asking import find
from mastertrade.research.spaces import parameters_of
from mastertrade.research.stored import Job, again, report_of, to_row
from mastertrade.research.stored_sweep import report_of_study
from mastertrade.research.stored_walk import is_walk, require_no_walk, walk_again
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategies import find as find_strategy
from mastertrade.strategies import short_name
from mastertrade.strategy_service.backtests import BacktestDatabase

LISTED = 20
RUN_HEADERS = (
    "run", "made (UTC)", "strategy", "markets", "bars of", "from", "to", "return", "Sharpe", "drawdown", "trades",
    "parameters",
)  # fmt: skip
SWEEP_HEADERS = ("sweep", "made (UTC)", "strategy", "sampler", "trials", "failed", "best Sharpe", "state", "verdict")
SHORT_ID = 13
"""Of an id: the millisecond in which it was made."""

Reference = Annotated[str, typer.Argument(metavar="ID", help="A run or a sweep, or the beginning of its id.")]
References = Annotated[list[str], typer.Argument(metavar="ID...", help="Runs, or the beginnings of their ids.")]


@with_given
def run_one(
    *,
    given: Given,
    strategy: Strategy,
    parameters: Set = None,
    html: Page = None,
    as_json: Json = False,
) -> None:
    """Run one strategy over stored candles or files. Costs are on; the result is kept."""
    run(_run(strategy, parameters or [], given, html, as_json), as_json=as_json)


def list_all(
    number: Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="How many of each.")] = LISTED,
    as_json: Json = False,
) -> None:
    """List the newest runs and sweeps."""
    run(_list(number, as_json), as_json=as_json)


def report(
    reference: Reference,
    html: Page = None,
    trades: Annotated[Path | None, typer.Option("--trades", metavar="FILE", help="Write the trades as CSV.")] = None,
    equity: Annotated[Path | None, typer.Option("--equity", metavar="FILE", help="Write the equity as CSV.")] = None,
    as_json: Json = False,
) -> None:
    """Show a run or a sweep again. A run is made once more, on the bars as they were known then."""
    run(_report(reference, html, trades, equity, as_json), as_json=as_json)


def compare(references: References, html: Page = None, as_json: Json = False) -> None:
    """Put runs side by side."""
    run(_compare(references, html, as_json), as_json=as_json)


async def _run(strategy: str, texts: Sequence[str], given: Given, html: Path | None, as_json: bool) -> None:
    template = find_strategy(strategy)
    parameters, asked, options = parameters_of(texts), given.asked(), given.options()
    screen = Screen(is_quiet=as_json)
    async with open_everything() as (_, opened):
        at = SystemClock().now()
        with screen.progress("reading bars", total=None):
            found = await find(asked, opened.manager)
        job = Job(strategy=template, parameters=parameters, asked=asked, found=found, options=options, at=at)
        with screen.progress("trading", total=None):
            result = job.run()
            stored = to_row(job, result)
        await BacktestDatabase().save_run(opened.manager, stored, at=at)
    made = report_of(job, result, stored)
    tell_notes(found.notes, as_json)
    present(made, html, as_json)
    if not as_json:
        short = str(stored.id)[:SHORT_ID]
        show("", dim(f"kept as run {short}; see it again with: mastertrade backtest report {short}"))


async def _list(number: int, as_json: bool) -> None:
    async with with_database() as manager:
        runs = await BacktestDatabase().runs(manager, page=number)
        studies = await BacktestDatabase().studies(manager, page=number)
    if as_json:
        emit_json({"runs": [dict(row) for row in runs], "sweeps": [dict(row) for row in studies]})
        return
    if not runs and not studies:
        say("no backtest was made yet; try: mastertrade backtest run ma_cross --file BTC_USDT-1h.csv.gz")
        return
    if runs:
        show(table(RUN_HEADERS, [_run_cells(row) for row in runs], right=("return", "Sharpe", "drawdown", "trades")))
    if studies:
        show(
            "", table(SWEEP_HEADERS, [_study_cells(row) for row in studies], right=("trials", "failed", "best Sharpe"))
        )


async def _report(reference: str, html: Path | None, trades: Path | None, equity: Path | None, as_json: bool) -> None:
    async with with_database() as manager:
        made = await _found(manager, reference)
    if trades is not None or equity is not None:
        if not isinstance(made, RunReport):
            raise UsageError(f"{reference} is a sweep; trades and equity are those of a run")
        for path, text in ((trades, trades_csv), (equity, equity_csv)):
            if path is not None:
                path.write_text(text(made.result), encoding="utf-8")
    present(made, html, as_json)


async def _found(manager: PostgresManager, reference: str) -> Report:
    database = BacktestDatabase()
    try:
        row = await database.run(manager, reference)
    except NotFound:
        return await report_of_study(await database.study(manager, reference), manager)
    if is_walk(row):
        return (await walk_again(row, manager)).report()
    job, result = await again(row, manager)
    return report_of(job, result, to_row(job, result), run_id=str(row["id"]))


async def _compare(references: Sequence[str], html: Path | None, as_json: bool) -> None:
    if len(references) < 2:
        raise UsageError("a comparison needs two runs; mastertrade backtest list shows them")
    async with with_database() as manager:
        rows = [await BacktestDatabase().run(manager, reference) for reference in references]
        for row in rows:
            require_no_walk(row)
        made = [await again(row, manager) for row in rows]
    runs = [
        report_of(job, result, to_row(job, result), run_id=str(row["id"]))
        for row, (job, result) in zip(rows, made, strict=True)
    ]
    present(Comparison(title="comparison", runs=runs), html, as_json)


def present(made: Report, html: Path | None, as_json: bool) -> None:
    """On the terminal or as JSON; and as a page, when a file for it is named."""
    if html is not None:
        html.write_text(to_html(made), encoding="utf-8")
    if as_json:
        typer.echo(to_json(made))
        return
    show(Text(to_text(made)))
    if html is not None:
        show("", dim(f"written to {html}"))


def tell_notes(notes: Sequence[str], as_json: bool) -> None:
    if not as_json:
        for note in notes:
            say(warning(note))


def _run_cells(row: Mapping[str, Any]) -> list[str]:
    figures = row["metrics"]
    return [
        str(row["id"])[:SHORT_ID],
        moment(row["created_at"])[:16],
        short_name(row["strategy"]) + (" walk-forward" if row["is_walk_forward"] else ""),
        _markets(row["symbols"]),
        interval(row["interval_s"]),
        f"{row['period_start']:%Y-%m-%d}",
        f"{row['period_end']:%Y-%m-%d}",
        _share(figures.get("total_return")),
        _number(figures.get("sharpe_ratio")),
        _drawdown(figures.get("max_drawdown")),
        count(int(figures["total_trades"])),
        _parameters(row["parameters"]),
    ]


def _study_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        str(row["id"])[:SHORT_ID],
        moment(row["created_at"])[:16],
        short_name(row["strategy"]),
        row["kind"],
        f"{row['finished']:,}/{row['planned']:,}",
        count(row["failed"]),
        _number(row["best_sharpe"]),
        row["status"],
        row["verdict"] or NOTHING,
    ]


def _markets(symbols: Sequence[str]) -> str:
    first = ", ".join(symbol or "one file" for symbol in symbols[:2])
    return first if len(symbols) <= 2 else f"{first} and {counted(len(symbols) - 2, 'other')}"


def _parameters(parameters: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in parameters.items())


def _share(value: float | None) -> str:
    return NOTHING if value is None else signed_share(value)


def _drawdown(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2%}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"
