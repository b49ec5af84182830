"""``mastertrade data quality`` and ``data quarantine``: how good the candles are, and what waits for a decision."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.data_catalogue import Series
from mastertrade.cli.data_snapshot import Since, Until, time_of
from mastertrade.cli.output import Cell, bad, dim, emit_json, good, show, table, warning
from mastertrade.cli.progress import transfer
from mastertrade.cli.wording import NOTHING, count, counted, moment, price, signed_share
from mastertrade.market_data_service.catalogue import EVERYTHING, Selection, parse_selection
from mastertrade.market_data_service.importing.findings import Severity
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import UsageError

GOOD_SCORE: Final = 99.0
POOR_SCORE: Final = 90.0
STYLES: Final = {Severity.INFO: dim, Severity.WARNING: warning, Severity.ERROR: bad}

quarantine = typer.Typer(help="Candles that look like bad prints: look, release or drop.", no_args_is_help=True)

Times = Annotated[list[str] | None, typer.Option("--at", help="Only the candle that opens then, UTC; may be repeated.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them, where no series is named.")]


def quality(
    series: Series = None,
    since: Since = "",
    until: Until = "",
    notes: Annotated[bool, typer.Option("--notes", help="Show also what is no fault.")] = False,
    last: Annotated[bool, typer.Option("--last", help="Check nothing; show what the last check found.")] = False,
    as_json: Json = False,
) -> None:
    """Check the stored candles by every rule, and give them a score."""
    run(_quality(series or [], since, until, notes, last, as_json), as_json=as_json)


@quarantine.command("list")
def list_held(
    series: Series = None,
    decided: Annotated[bool, typer.Option("--decided", help="Also those that were released or dropped.")] = False,
    as_json: Json = False,
) -> None:
    """List the candles that wait for a decision.

    With the close before each, and what other venues say of that time.
    """
    run(_list(series or [], decided, as_json), as_json=as_json)


@quarantine.command("release")
def release(
    series: Series = None,
    at: Times = None,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Only what another venue saw too and none denies.")
    ] = False,
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """Store candles that wait: they were no bad prints."""
    run(_decide("release", series or [], at or [], everything or confirmed, confirmed, as_json), as_json=as_json)


@quarantine.command("drop")
def drop(series: Series = None, at: Times = None, everything: Everything = False, as_json: Json = False) -> None:
    """Keep candles that wait out for good."""
    run(_decide("drop", series or [], at or [], everything, False, as_json), as_json=as_json)


async def _quality(words: list[str], since: str, until: str, notes: bool, last: bool, as_json: bool) -> None:
    from mastertrade.market_data_service.quality.checker import QualityChecker

    selection, start, end = parse_selection(words), time_of(since, "--since"), time_of(until, "--until")
    async with with_database() as manager:
        checker = QualityChecker(manager=manager, clock=SystemClock())
        if last:
            found = await checker.last(selection)
        else:
            with transfer("checking", is_quiet=as_json) as progress:
                found = [one async for one in checker.check(selection, start=start, end=end, progress=progress)]
    found.sort(key=lambda one: (one.score, one.venue, one.symbol, one.interval_s))
    if as_json:
        emit_json({"series": [_as_json(one) for one in found]})
    elif found:
        _show(found, notes)
    else:
        show("nothing to check: `mastertrade data import FILE…` brings candles; --last shows an earlier check")


def _show(found: "Sequence[Any]", notes: bool) -> None:
    headers = ["venue", "symbol", "tf", "from", "to", "candles", "score", "findings"]
    rows: list[list[Cell]] = [
        [
            one.venue, one.symbol, one.timeframe, moment(one.starts), moment(one.ends), count(one.rows),
            _score(one.score), _summary(one.findings, notes),
        ]
        for one in found
    ]  # fmt: skip
    show(table(headers, rows, right=["candles", "score"]))
    details: list[list[Cell]] = [
        [
            one.venue, one.symbol, one.timeframe, STYLES[each.severity](each.severity.value), each.rule,
            count(each.rows), count(each.places), moment(each.first_time), moment(each.last_time), each.what,
        ]
        for one in found
        for each in one.findings
        if notes or each.severity is not Severity.INFO
    ]  # fmt: skip
    if details:
        names = ["venue", "symbol", "tf", "severity", "rule", "candles", "places", "first", "last", "what"]
        show("", table(names, details, right=["candles", "places"]))
    hidden = sum(each.severity is Severity.INFO for one in found for each in one.findings)
    if hidden and not notes:
        show("", dim(f"{counted(hidden, 'finding')} that are no fault: --notes shows them"))


def _score(score: float) -> Text:
    style = good if score >= GOOD_SCORE else warning if score >= POOR_SCORE else bad
    return style(f"{score:.2f}")


def _summary(findings: "Sequence[Any]", notes: bool) -> Cell:
    told = [each for each in findings if notes or each.severity is not Severity.INFO]
    return ", ".join(f"{each.rule} {each.rows:,}" for each in told) or good("none")


def _as_json(one: Any) -> dict[str, Any]:
    return {
        "venue": one.venue,
        "symbol": one.symbol,
        "timeframe": one.timeframe,
        "from": one.starts,
        "to": one.ends,
        "rows": one.rows,
        "score": round(one.score, 4),
        "checked_at": one.checked_at,
        "findings": [
            {
                "rule": each.rule,
                "severity": each.severity.value,
                "rows": each.rows,
                "places": each.places,
                "first": each.first_time,
                "last": each.last_time,
                "what": each.what,
            }
            for each in one.findings
        ],
    }


async def _list(words: list[str], decided: bool, as_json: bool) -> None:
    from mastertrade.market_data_service.quality.quarantine import Quarantine

    async with with_database() as manager:
        held = await Quarantine(manager=manager, clock=SystemClock()).held(parse_selection(words), is_all=decided)
    if as_json:
        emit_json({"candles": [_held_as_json(one) for one in held]})
    elif held:
        show(_held_table(held))
    else:
        show(good("nothing waits in quarantine"))


async def _decide(verb: str, words: list[str], at: list[str], is_all: bool, is_confirmed: bool, as_json: bool) -> None:
    from mastertrade.market_data_service.quality.quarantine import Quarantine

    selection = parse_selection(words)
    times: list[datetime] | None = [time_of(text, "--at") or datetime.now(UTC) for text in at] or None
    _require_choice(verb, selection, times, is_all)
    async with with_database() as manager:
        quarantined = Quarantine(manager=manager, clock=SystemClock())
        if verb == "release":
            chosen = await quarantined.release(selection, times=times, is_confirmed=is_confirmed)
        else:
            chosen = await quarantined.drop(selection, times=times)
    if as_json:
        emit_json({"released" if verb == "release" else "dropped": [_held_as_json(one) for one in chosen]})
    elif chosen:
        show(_held_table(chosen), f"{'stored' if verb == 'release' else 'dropped'}: {counted(len(chosen), 'candle')}")
    else:
        show("none of them: `mastertrade data quarantine list` shows what waits")


def _require_choice(verb: str, selection: Selection, times: list[datetime] | None, is_all: bool) -> None:
    if selection == EVERYTHING and not times and not is_all:
        raise UsageError(
            f"which candles? Name a series, --at TIME, or --all: `mastertrade data quarantine {verb} --all`"
        )


def _held_table(held: "Sequence[Any]") -> Text:
    headers = ["venue", "symbol", "tf", "opens", "close", "before", "change", "second source", "state", "from file"]
    rows: list[list[Cell]] = [
        [
            one.venue, one.symbol, one.timeframe, moment(one.open_time), price(one.close), price(one.close_before),
            NOTHING if one.close_before is None else signed_share(one.close / one.close_before - 1),
            _second_source(one), one.status, NOTHING if one.file is None else Path(one.file).name,
        ]
        for one in held
    ]  # fmt: skip
    return table(headers, rows, right=["close", "before", "change"])


def _second_source(one: Any) -> Cell:
    from mastertrade.market_data_service.quality.quarantine import confirming, contradicting

    yes, no = confirming(one), contradicting(one)
    if not yes and not no:
        return dim("none")
    parts = ([f"{', '.join(yes)} saw it"] if yes else []) + ([f"{', '.join(no)} did not"] if no else [])
    return (good if yes and not no else warning)("; ".join(parts))


def _held_as_json(one: Any) -> dict[str, Any]:
    from mastertrade.market_data_service.quality.quarantine import confirming, contradicting

    names = ("venue", "symbol", "timeframe", "open_time", "open", "high", "low", "close", "volume", "reason", "status",
             "held_at", "decided_at", "file", "close_before")  # fmt: skip
    return {
        **{name: getattr(one, name) for name in names},
        "confirmed_by": confirming(one),
        "denied_by": contradicting(one),
    }
