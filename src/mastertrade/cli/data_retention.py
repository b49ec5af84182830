"""``mastertrade data retention``: how long what is kept, and carrying it out."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, open_everything, run, with_database
from mastertrade.cli.data_catalogue import Series
from mastertrade.cli.output import Cell, dim, emit_json, good, show, table, warning
from mastertrade.cli.progress import transfer
from mastertrade.cli.wording import NOTHING, count, counted, interval, moment, size
from mastertrade.market_data_service.catalogue import EVERYTHING, Selection, parse_selection
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import NotFound, UsageError

if TYPE_CHECKING:
    from mastertrade.market_data_service.retention.due import Due, RuleOf
    from mastertrade.market_data_service.retention.policies import DataKind, Policy
    from mastertrade.market_data_service.retention.retirement import Outcome

FOLDER: Final = "archive"
"""Below the home, unless ``--to`` names another."""

retention = typer.Typer(help="Say how long market data is kept, and carry it out.", no_args_is_help=True)

To = Annotated[Path | None, typer.Option("--to", help="The folder of the files; else archive/ in the home.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would leave and what stays.")]


@retention.command("show")
def show_policies(
    history: Annotated[bool, typer.Option("--history", help="Policies that were replaced as well.")] = False,
    as_json: Json = False,
) -> None:
    """Show the policies, and what was archived or dropped so far."""
    run(_show(history, as_json), as_json=as_json)


@retention.command("set")
def set_policy(
    kind: Annotated[str, typer.Argument(help="candles, trades, funding, book or tickers.")] = "",
    venue: Annotated[str, typer.Option("--venue", help="A venue or a pattern such as binance*.")] = "*",
    symbol: Annotated[str, typer.Option("--symbol", help="A market or a pattern such as 'BTC/*'.")] = "*",
    tf: Annotated[str, typer.Option("--tf", help="Of candles: a length such as 1m, or a pattern.")] = "*",
    keep: Annotated[str, typer.Option("--keep", help="90d, 6w, 18mo, 2y or forever.")] = "",
    drop: Annotated[bool, typer.Option("--drop", help="Delete what is older; else it goes into files.")] = False,
    usual: Annotated[bool, typer.Option("--usual", help="Instead: the usual policies for all kinds.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays with the policy.")] = "",
    as_json: Json = False,
) -> None:
    """Keep data of a pattern so long. The most exact pattern holds; a policy that is replaced stays known."""
    run(_set(kind, venue, symbol, tf, keep, drop, usual, reason, as_json), as_json=as_json)


@retention.command("apply")
def apply(series: Series = None, dry_run: DryRun = False, to: To = None, as_json: Json = False) -> None:
    """Carry the policies out: older data goes into files or is dropped, in whole months (trades, books: days).

    Candles leave only when longer bars of them stand (they are made now if need be) and no snapshot pins them. A killed
    run loses nothing; the same command goes on.
    """
    run(_apply(series or [], dry_run, to, as_json), as_json=as_json)


async def _show(history: bool, as_json: bool) -> None:
    from mastertrade.market_data_service.retention.policies import Policies

    async with with_database() as manager:
        policies = Policies(manager=manager, clock=SystemClock())
        found = await policies.all(with_history=history)
        totals = await policies.retired_totals()
    if as_json:
        emit_json({"policies": [_policy_json(one) for one in found], "retired": [_total_json(row) for row in totals]})
        return
    if found:
        show(_policies_table(found))
    else:
        show("no policies: nothing ever leaves; `mastertrade data retention set` makes one")
    if totals:
        headers = ["kind", "venue", "symbol", "tf", "from", "to", "rows", "files", "size", "state"]
        rows: list[list[Cell]] = [
            [
                row["kind"], row["venue"], row["symbol"], interval(row["interval_s"]), f"{row['starts']:%Y-%m-%d}",
                f"{row['ends']:%Y-%m-%d}", count(row["rows"]), count(row["units"]) if row["bytes"] else NOTHING,
                size(row["bytes"]) if row["bytes"] else NOTHING, row["state"],
            ]
            for row in totals
        ]  # fmt: skip
        show("", table(headers, rows, right=["rows", "files", "size"]))


def _policies_table(found: "list[Policy]") -> Any:
    headers = ["kind", "venue", "symbol", "tf", "keep", "then", "since", "until", "reason"]
    rows: list[list[Cell]] = [
        [
            one.pattern.kind.value, one.pattern.venue, one.pattern.symbol, one.pattern.timeframe, one.keep,
            one.action.value if one.keep_days else NOTHING, moment(one.valid_from), moment(one.valid_to), one.reason,
        ]
        for one in found
    ]  # fmt: skip
    return table(headers, rows, right=["keep"])


async def _set(
    kind: str, venue: str, symbol: str, tf: str, keep: str, drop: bool, usual: bool, reason: str, as_json: bool
) -> None:
    from mastertrade.market_data_service.retention.policies import (
        USUAL,
        Action,
        DataKind,
        Pattern,
        Policies,
        parse_keep,
    )

    if usual:
        if kind or keep:
            raise UsageError("--usual sets policies for all kinds: leave out the kind and --keep")
        wanted: list[tuple[Pattern, int | None, Action]] = list(USUAL)
    else:
        if not keep:
            raise UsageError("--keep: say how long, such as 90d, 2y or forever")
        pattern = Pattern(kind=kind_of(kind, DataKind), venue=venue, symbol=symbol, timeframe=tf)
        wanted = [(pattern, parse_keep(keep), Action.DROP if drop else Action.ARCHIVE)]
    async with with_database() as manager:
        made = await Policies(manager=manager, clock=SystemClock()).set(wanted, reason=reason)
    if as_json:
        emit_json({"policies": [_policy_json(one) for one in made]})
    else:
        show(_policies_table(made))
        show(dim("nothing has left yet: `mastertrade data retention apply` carries it out, --dry-run says what would"))


async def _apply(words: list[str], dry_run: bool, to: Path | None, as_json: bool) -> None:
    from mastertrade.market_data_service.retention.due import rules_of
    from mastertrade.market_data_service.retention.policies import DataKind, Policies

    selection = parse_selection(words)
    async with with_database() as manager:
        policies = await Policies(manager=manager, clock=SystemClock()).all()
    now = SystemClock().now()
    cutoffs = [at for one in policies if (at := one.cutoff(now)) is not None]
    if not cutoffs:
        raise NotFound("no policy lets anything leave: `mastertrade data retention set` makes one")
    await retire(selection, rules_of(policies, now), max(cutoffs), tuple(DataKind), dry_run, to, as_json)


async def retire(
    selection: Selection,
    rule_of: "RuleOf",
    latest: datetime,
    kinds: "Sequence[DataKind]",
    dry_run: bool,
    to: Path | None,
    as_json: bool,
) -> None:
    """Show what would leave, or let it leave and show what became of it. Exit code 1: something due stays."""
    from mastertrade.market_data_service.retention.retirement import Retirement

    outcomes: list[Outcome] = []
    async with open_everything() as (settings, database):
        folder = to or settings.core.home / FOLDER
        engine = Retirement(manager=database.manager, clock=SystemClock(), folder=folder)
        if dry_run:
            due = await engine.plan(selection, rule_of, latest=latest, kinds=kinds)
            _show_due(due, selection, as_json)
            return
        with transfer("retiring", is_quiet=as_json) as progress:
            async for one in engine.run(selection, rule_of, latest=latest, kinds=kinds, progress=progress):
                outcomes.append(one)
    if as_json:
        emit_json({"units": [_outcome_json(one) for one in outcomes]})
    else:
        _show_outcomes(outcomes, selection)
    if any(one.state == "kept" for one in outcomes):
        raise SystemExit(1)


def kind_of(text: str, kinds: Any) -> Any:
    try:
        return kinds(text)
    except ValueError as error:
        raise UsageError(f"kind {text or 'missing'}: must be one of {', '.join(kinds)}") from error


def _show_due(due: "list[Due]", selection: Selection, as_json: bool) -> None:
    from mastertrade.market_data_service.retention.retirement import NOT_ROLLED_UP, explain

    rolled_later = (NOT_ROLLED_UP, None)
    lines = [
        (one.unit, one.rule.action.value if one.unit.obstacle in rolled_later else "stays",
         None if one.unit.obstacle in rolled_later else explain(one.unit, one.unit.obstacle))
        for one in due
    ]  # fmt: skip
    if as_json:
        emit_json({"units": [{**_unit_json(unit), "action": action, "why": why} for unit, action, why in lines]})
    elif lines:
        show(_grouped(lines))
        show(dim("nothing was changed (--dry-run)"))
    else:
        show(_nothing(selection))


def _show_outcomes(outcomes: "list[Outcome]", selection: Selection) -> None:
    if not outcomes:
        show(_nothing(selection))
        return
    show(_grouped([(one.unit, one.state, one.why) for one in outcomes]))
    files = [one for one in outcomes if one.file is not None]
    if files:
        what = f"{counted(len(files), 'file')}, {size(sum(one.bytes for one in files))}"
        show(dim(f"{what}; `mastertrade data restore` brings them back"))


def _nothing(selection: Selection) -> str:
    return f"nothing of {'what is stored' if selection == EVERYTHING else selection} is old enough to leave"


def _grouped(lines: "Sequence[tuple[Any, str, str | None]]") -> Any:
    """A line for each unbroken stretch of a series that has one fate."""
    stretches: list[tuple[tuple[Any, ...], list[Any]]] = []
    named = [
        ((one.kind.value, one.venue, one.symbol, one.interval_s, state, why or ""), one) for one, state, why in lines
    ]
    for key, unit in sorted(named, key=lambda line: (*line[0][:4], line[1].starts)):
        if stretches and stretches[-1][0] == key and stretches[-1][1][-1].ends == unit.starts:
            stretches[-1][1].append(unit)
        else:
            stretches.append((key, [unit]))
    rows: list[list[Cell]] = []
    for (kind, venue, symbol, interval_s, state, why), units in stretches:
        shown = warning(state) if state in ("kept", "stays") else good(state)
        ends = [f"{units[0].starts:%Y-%m-%d}", f"{units[-1].ends:%Y-%m-%d}"]
        rows.append(
            [kind, venue, symbol, interval(interval_s), *ends, count(sum(one.rows for one in units)), shown, why]
        )
    return table(["kind", "venue", "symbol", "tf", "from", "to", "rows", "state", "why"], rows, right=["rows"])


def _unit_json(unit: Any) -> dict[str, Any]:
    return {
        "kind": unit.kind.value, "venue": unit.venue, "symbol": unit.symbol,
        "timeframe": interval(unit.interval_s) if unit.interval_s else None, "from": unit.starts, "to": unit.ends,
        "rows": unit.rows,
    }  # fmt: skip


def _outcome_json(one: "Outcome") -> dict[str, Any]:
    return {**_unit_json(one.unit), "state": one.state, "why": one.why, "file": one.file, "bytes": one.bytes}


def _policy_json(one: "Policy") -> dict[str, Any]:
    pattern = one.pattern
    return {
        "kind": pattern.kind.value, "venue": pattern.venue, "symbol": pattern.symbol, "timeframe": pattern.timeframe,
        "keep_days": one.keep_days, "action": one.action.value, "reason": one.reason, "valid_from": one.valid_from,
        "valid_to": one.valid_to,
    }  # fmt: skip


def _total_json(row: Any) -> dict[str, Any]:
    return {
        "kind": row["kind"], "venue": row["venue"], "symbol": row["symbol"],
        "timeframe": interval(row["interval_s"]) if row["interval_s"] else None, "from": row["starts"],
        "to": row["ends"], "rows": row["rows"], "units": row["units"], "bytes": row["bytes"], "state": row["state"],
    }  # fmt: skip
