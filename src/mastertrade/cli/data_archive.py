"""``mastertrade data archive`` and ``data restore``: old data into files, and back."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.data_catalogue import Series
from mastertrade.cli.data_retention import DryRun, To, kind_of, retire
from mastertrade.cli.data_snapshot import Since, Until, time_of
from mastertrade.cli.output import Cell, dim, emit_json, good, show, table, warning
from mastertrade.cli.progress import transfer
from mastertrade.cli.wording import count, counted, interval
from mastertrade.market_data_service.catalogue import parse_selection
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import NotFound, UsageError

if TYPE_CHECKING:
    from mastertrade.market_data_service.retention.policies import DataKind
    from mastertrade.market_data_service.retention.restoring import Restored
    from mastertrade.market_data_service.retention.units import Retired

Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", help="candles, trades, funding, book or tickers; may be repeated. None: candles."),
]


def archive(
    series: Series = None,
    before: Annotated[str, typer.Option("--before", help="What ended before this time, UTC, such as 2023-01-01.")] = "",
    kind: Kinds = None,
    dry_run: DryRun = False,
    to: To = None,
    as_json: Json = False,
) -> None:
    """Move old data into parquet files, in whole months (trades, books: days), whatever the policies say.

    A file is read back and its hash compared before anything is deleted. What a snapshot pins stays, and candles leave
    only when longer bars of them stand (they are made now if need be).
    """
    run(_archive(series or [], before, kind or [], dry_run, to, as_json), as_json=as_json)


def restore(
    series: Series = None,
    since: Since = "",
    until: Until = "",
    kind: Kinds = None,
    source: Annotated[Path | None, typer.Option("--from", help="Where the files are now, if they were moved.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come back.")] = False,
    as_json: Json = False,
) -> None:
    """Bring archived data back from its files. What came into the database since stays as it is: it is newer.

    Candles that were dropped for good cannot come back; they are free to be downloaded again.
    """
    run(_restore(series or [], since, until, kind or [], source, dry_run, as_json), as_json=as_json)


async def _archive(
    words: list[str], before: str, kinds: list[str], dry_run: bool, to: Path | None, as_json: bool
) -> None:
    from mastertrade.market_data_service.retention.due import Rule
    from mastertrade.market_data_service.retention.policies import Action

    cutoff = time_of(before, "--before")
    if cutoff is None:
        raise UsageError("--before: say what is old, such as --before 2023-01-01")
    cutoff = min(cutoff, SystemClock().now())
    rule = Rule(cutoff=cutoff, action=Action.ARCHIVE, reason=f"data archive --before {before}")
    await retire(parse_selection(words), lambda *_: rule, cutoff, _kinds(kinds), dry_run, to, as_json)


async def _restore(
    words: list[str], since: str, until: str, kinds: list[str], source: Path | None, dry_run: bool, as_json: bool
) -> None:
    from mastertrade.market_data_service.retention.restoring import Restoring

    selection = parse_selection(words)
    start, end = time_of(since, "--since"), time_of(until, "--until")
    done: list[Restored] = []
    async with open_everything() as (settings, database):
        restoring = Restoring(manager=database.manager, clock=SystemClock(), home=settings.core.home, folder=source)
        planned = await restoring.plan(selection, start=start, end=end, kinds=_kinds(kinds))
        if not planned:
            raise NotFound(f"nothing of {selection} is archived there; `mastertrade data retention show` lists what is")
        if not dry_run:
            rows, total = 0, sum(one.rows for one in planned)
            with transfer("restoring", is_quiet=as_json) as progress:
                for one in planned:
                    done.append(await restoring.restore(one))
                    rows += one.rows
                    progress(rows, total)
    if as_json:
        emit_json({"units": [_as_json(one) for one in done] or [_planned_json(one) for one in planned]})
    elif dry_run:
        _show([(one, one.rows if one.file else 0, 0) for one in planned], "would come back")
        show(dim("nothing was changed (--dry-run)"))
    else:
        _show([(one.retired, one.stored, one.kept) for one in done], "restored")
        files = sum(1 for one in done if one.is_from_file)
        rest = "they stay where they are; a policy may let the rows leave again at its next run, a snapshot keeps them"
        show(dim(f"{counted(files, 'file')}: {rest}"))


def _kinds(names: list[str]) -> "tuple[DataKind, ...]":
    from mastertrade.market_data_service.retention.policies import DataKind

    return tuple(kind_of(name, DataKind) for name in names) or (DataKind.CANDLES,)


def _show(lines: "list[tuple[Retired, int, int]]", state: str) -> None:
    groups: dict[tuple[Any, ...], list[tuple[Retired, int, int]]] = {}
    for line in lines:
        one = line[0]
        groups.setdefault((one.kind.value, one.venue, one.symbol, one.interval_s, one.file is None), []).append(line)
    rows: list[list[Cell]] = []
    for (kind, venue, symbol, interval_s, is_dropped), found in groups.items():
        ends: list[datetime] = [min(one.starts for one, _, _ in found), max(one.ends for one, _, _ in found)]
        fate = warning("dropped for good: `mastertrade data download` may fetch it") if is_dropped else good(state)
        numbers = [count(sum(stored for _, stored, _ in found)), count(sum(kept for _, _, kept in found))]
        rows.append([kind, venue, symbol, interval(interval_s), *(f"{at:%Y-%m-%d}" for at in ends), *numbers, fate])
    headers = ["kind", "venue", "symbol", "tf", "from", "to", "rows", "newer kept", "state"]
    show(table(headers, rows, right=["rows", "newer kept"]))


def _planned_json(one: "Retired") -> dict[str, Any]:
    return {
        "kind": one.kind.value, "venue": one.venue, "symbol": one.symbol,
        "timeframe": interval(one.interval_s) if one.interval_s else None, "from": one.starts, "to": one.ends,
        "rows": one.rows, "file": one.file, "content_hash": one.content_hash, "state": one.state,
    }  # fmt: skip


def _as_json(one: "Restored") -> dict[str, Any]:
    state = "restored" if one.is_from_file else "free to be asked for"
    return {**_planned_json(one.retired), "stored": one.stored, "kept": one.kept, "state": state}
