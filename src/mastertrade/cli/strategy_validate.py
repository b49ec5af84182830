"""``mastertrade strategy validate``: whether what a strategy shows on the past can be believed."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from mastertrade.backtest.limited import Show, limited
from mastertrade.backtest.workers import Limits
from mastertrade.cli.application import Json, open_everything, run, settings_of_process
from mastertrade.cli.backtest_options import Interval, Set, Venue
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, good, show, table, warning
from mastertrade.cli.progress import Screen
from mastertrade.cli.wording import count, interval
from mastertrade.quant.bars import Bars
from mastertrade.research.asking import Asked, find
from mastertrade.research.spaces import parameters_of
from mastertrade.shared.errors import UsageError
from mastertrade.strategies.validation import Check, Verdict
from mastertrade.strategies.validation import validate as checked

STATES: Final = {"passed": good("passed"), "failed": bad("FAILED"), "warning": warning("warning")}
LIMITS: Final = Limits(seconds=120.0)
PART_OF_TIME: Final = 0.5
"""What the checks plan with: a run may take longer than the one that was timed."""


def validate_one(
    which: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name of the list, or the path of a file.")],
    symbol: Annotated[
        str | None, typer.Option("--symbol", "-s", metavar="SYMBOL", help="Check on stored candles of it.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", metavar="PATH", help="Check on a candle file.")] = None,
    venue: Venue = None,
    tf: Interval = None,
    parameters: Set = None,
    seconds: Annotated[
        float,
        typer.Option("--seconds", metavar="S", min=0.1, help="A slow strategy is asked less; a hanging one fails."),
    ] = LIMITS.seconds,
    memory: Annotated[
        int, typer.Option("--memory", metavar="MB", min=64, help="A strategy that needs more fails.")
    ] = LIMITS.memory_mb,
    as_json: Json = False,
) -> None:
    """Check a strategy for a look at the future, for chance, for targets that are missing, and for its warm-up.

    It runs on many shorter histories, on simulated candles unless others are named, with its defaults, the ends of its
    ranges and parameters in between. Exit code 1 when a check fails.
    """
    limits = Limits(seconds=seconds, memory_mb=memory)
    file = None if file is None else file.absolute()
    run(_validate(which, symbol, file, venue, tf, parameters or [], limits, as_json), as_json=as_json)


async def _validate(
    which: str,
    symbol: str | None,
    file: Path | None,
    venue: str | None,
    tf: str | None,
    texts: list[str],
    limits: Limits,
    as_json: bool,
) -> None:
    given = parameters_of(texts)
    bars, source = await _bars(symbol, file, venue, tf)
    if bars is None:
        settings_of_process()
    screen = Screen(is_quiet=as_json)
    with screen.progress("checking", total=None) as advance:
        work = partial(_verdict, which, bars, source, given, limits.seconds * PART_OF_TIME)
        verdict = limited(work, limits, name=which, show=advance)
    if as_json:
        emit_json(verdict.to_data())
    else:
        _present(verdict)
    if not verdict.passed:
        raise SystemExit(1)


async def _bars(symbol: str | None, file: Path | None, venue: str | None, tf: str | None) -> tuple[Bars | None, str]:
    if symbol is None and file is None:
        if venue or tf:
            raise UsageError("--venue and --tf are of stored candles: name --symbol, or --file for a candle file")
        return None, ""
    asked = Asked(
        symbols=(symbol,) if symbol else (),
        files=(str(file),) if file else (),
        venue=venue,
        interval=tf,
        most_missing=1.0,
    )
    async with open_everything() as (_, opened):
        found = await find(asked, opened.manager)
    if len(found.markets) > 1:
        raise UsageError(f"{file} holds {len(found.markets)} markets; a strategy is checked on one")
    ((name, bars),) = found.markets.items()
    return bars, f"{name} of {found.source}, {interval(bars.interval_s)}"


def _verdict(
    which: str, bars: Bars | None, source: str, given: dict[str, Any], seconds: float, show_progress: Show
) -> Verdict:
    """In the process that may end: the file is read there too."""
    from mastertrade.strategies import find as find_strategy

    template = find_strategy(which)
    return checked(template, bars, source=source, parameters=given, seconds=seconds, show=show_progress)


def _present(verdict: Verdict) -> None:
    failed = [check for check in verdict.checks if check.state == "failed"]
    words = bad(f"fails {', '.join(check.name for check in failed)}") if failed else good("passes every check")
    show(Text.assemble(bold(verdict.strategy), ": ", words), "")
    rows: list[list[Cell]] = [_cells(check) for check in verdict.checks]
    show(table(("check", "", "what was found"), rows))
    speed = f"; {count(int(verdict.bars_per_second))} bars a second" if verdict.bars_per_second else ""
    show("", dim(f"on {count(verdict.bars)} bars ({verdict.source}){speed}"))


def _cells(check: Check) -> list[Cell]:
    return [check.name, STATES[check.state], check.said]
