"""``mastertrade data instruments``: the markets that are known with their rules, and how these came to be."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.data_download import Url
from mastertrade.cli.output import Cell, bad, dim, emit_json, show, table, warning
from mastertrade.cli.wording import amount, count, counted, moment
from mastertrade.domain.market import InstrumentStatus
from mastertrade.exchanges.request_budget import RequestBudget
from mastertrade.platform import request_budget
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import MasterTradeError, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager

if TYPE_CHECKING:
    from mastertrade.market_data_service.instrument_sync import InstrumentChanges
    from mastertrade.market_data_service.postgres_instruments import InstrumentVersion, KnownInstrument

SHOWN: Final = 200
"""Markets a person is shown; machines get all."""
NAMED: Final = 10
RULES: Final = ("tick", "lot", "min notional", "maker", "taker")


def instruments(
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Markets, such as BTC/USDT or '*/USDT'; none: all.", show_default=False)
    ] = None,
    venue: Annotated[str, typer.Option("--venue", help="Of this exchange alone.")] = "",
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask the exchange first; without --venue every exchange that is known.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Every version of the rules, not only the present.")
    ] = False,
    url: Url = "",
    as_json: Json = False,
) -> None:
    """List the known markets with tick, lot, minimum notional, fees and status; what was valid before is kept."""
    run(_instruments(symbols or [], venue, refresh, history, url, as_json), as_json=as_json)


async def _instruments(symbols: list[str], venue: str, refresh: bool, history: bool, url: str, as_json: bool) -> None:
    if url and not (refresh and venue):
        raise UsageError("--url: names the server of one exchange to be asked; add --refresh and --venue")
    async with open_everything() as (settings, database):
        manager = database.manager
        budget = request_budget(manager, settings)
        changes, failures = await _refreshed(manager, budget, venue, url) if refresh else ([], [])
        known = await _known(manager, symbols, venue)
        versions = await _versions(manager, known) if history else {}
    if as_json:
        emit_json(
            {
                "refreshed": [_changes_json(one) for one in changes],
                "instruments": [_json(one, versions.get(one.instrument.id)) for one in known],
                "errors": [str(error) for error in failures],
            }
        )
    else:
        _tell(changes, failures, known, versions)
    if failures:
        raise SystemExit(failures[0].exit_code)


async def _refreshed(
    manager: PostgresManager, budget: RequestBudget, venue: str, url: str
) -> "tuple[list[InstrumentChanges], list[MasterTradeError]]":
    """One venue after another; one that fails does not keep the others from being asked."""
    from mastertrade.exchanges.ccxt_library import venue_names
    from mastertrade.exchanges.ccxt_markets import CcxtFeed
    from mastertrade.market_data_service.instrument_sync import InstrumentSync
    from mastertrade.market_data_service.patience import asked

    known = set(venue_names())
    venues = [venue] if venue else [name for name in await _venues(manager) if name in known]
    if not venues:
        raise UsageError("--refresh: no exchange is known yet; name one with --venue")
    changes: list[InstrumentChanges] = []
    failures: list[MasterTradeError] = []
    for name in venues:
        feed = CcxtFeed(name, url=url or None, budget=budget)
        try:
            changes.append(await asked(InstrumentSync(feed=feed, manager=manager, clock=SystemClock()).sync))
        except MasterTradeError as error:
            if venue:
                raise
            failures.append(error)
        finally:
            await feed.close()
    return changes, failures


async def _venues(manager: PostgresManager) -> list[str]:
    from mastertrade.market_data_service.postgres_instruments import InstrumentsPostgresDatabase

    found = await InstrumentsPostgresDatabase().known_instruments(manager)
    return list(dict.fromkeys(one.instrument.venue for one in found))


async def _known(manager: PostgresManager, symbols: Sequence[str], venue: str) -> "list[KnownInstrument]":
    from mastertrade.market_data_service.postgres_instruments import InstrumentsPostgresDatabase

    found = await InstrumentsPostgresDatabase().known_instruments(manager, venue=venue or None)
    if not found and venue:
        raise NotFound(f"no market of {venue} is known: add --refresh to ask it, or import its list from a file")
    chosen = [one for one in found if not symbols or any(_fits(one.instrument.symbol, name) for name in symbols)]
    if found and not chosen:
        raise NotFound(
            f"{' '.join(symbols)}: fits none of the {len(found):,} known markets; --refresh asks for new ones"
        )
    return chosen


def _fits(symbol: str, wanted: str) -> bool:
    """``BTC/USDT`` and ``BTCUSDT`` are the market itself; a pattern is any that fits it."""
    name = wanted.upper()
    return fnmatchcase(symbol, name) or ("/" not in name and fnmatchcase(symbol.replace("/", ""), name))


async def _versions(
    manager: PostgresManager, known: "Sequence[KnownInstrument]"
) -> "dict[int, list[InstrumentVersion]]":
    from mastertrade.market_data_service.postgres_instruments import InstrumentsPostgresDatabase

    if len(known) > SHOWN:
        raise UsageError(f"--history: of {len(known):,} markets at once; name at most {SHOWN}")
    store = InstrumentsPostgresDatabase()
    return {one.instrument.id: await store.instrument_versions(manager, one.instrument.id) for one in known}


def _tell(
    changes: "Sequence[InstrumentChanges]",
    failures: Sequence[MasterTradeError],
    known: "Sequence[KnownInstrument]",
    versions: "dict[int, list[InstrumentVersion]]",
) -> None:
    if not known:
        show("no market is known yet: `mastertrade data instruments --refresh --venue NAME` asks an exchange")
    elif versions:
        headers = ["venue", "symbol", "from", "to", *RULES, "status", "source"]
        rows = [_version_row(one, version) for one in known for version in versions[one.instrument.id]]
        show(table(headers, rows, right=RULES))
    else:
        headers = ["venue", "symbol", *RULES, "status", "since", "source"]
        show(table(headers, [_row(one) for one in known[:SHOWN]], right=RULES))
        more = f"; the first {SHOWN} are shown: name some, or --json lists all" if len(known) > SHOWN else ""
        show(dim(f"{counted(len(known), 'market')}{more}"))
    for one in changes:
        gone = ", ".join(one.delisted[:NAMED]) + (" …" if len(one.delisted) > NAMED else "")
        show(
            f"{one.venue} lists {counted(one.listed, 'market')}: {count(one.added)} new, {count(one.changed)} changed, "
            f"{count(len(one.delisted))} no longer there{f' ({gone})' if gone else ''}"
        )
    for error in failures:
        show(bad(str(error)))


def _row(one: "KnownInstrument") -> list[Cell]:
    instrument = one.instrument
    names = [instrument.venue, instrument.symbol]
    source = warning("assumed") if one.is_assumed else "venue"
    return [*names, *_rules(instrument), _status(instrument.status), moment(one.valid_from), source]


def _version_row(one: "KnownInstrument", version: "InstrumentVersion") -> list[Cell]:
    ends = [moment(version.valid_from), "now" if version.valid_to is None else moment(version.valid_to)]
    source = warning("assumed") if version.rules_source == "assumed" else version.rules_source
    names = [one.instrument.venue, one.instrument.symbol]
    return [*names, *ends, *_rules(version), _status(version.status), source]


def _rules(rules: Any) -> list[Cell]:
    fees = [f"{amount(fee * 100)}%" for fee in (rules.maker_fee, rules.taker_fee)]
    return [*map(amount, (rules.tick_size, rules.lot_size, rules.min_notional)), *fees]


def _status(status: InstrumentStatus) -> Cell:
    return status.value if status is InstrumentStatus.TRADABLE else warning(status.value)


def _json(one: "KnownInstrument", versions: "Sequence[InstrumentVersion] | None") -> dict[str, Any]:
    instrument = one.instrument
    found: dict[str, Any] = {
        "venue": instrument.venue, "symbol": instrument.symbol, "kind": instrument.kind, "base": instrument.base,
        "quote": instrument.quote, "settle": instrument.settle, "contract_size": instrument.contract_size,
        **_rules_json(instrument), "valid_from": one.valid_from, "is_assumed": one.is_assumed,
    }  # fmt: skip
    if versions is not None:
        found["versions"] = [
            {"valid_from": version.valid_from, "valid_to": version.valid_to, **_rules_json(version)}
            for version in versions
        ]
    return found


def _rules_json(rules: Any) -> dict[str, Any]:
    names = ("tick_size", "lot_size", "min_notional", "maker_fee", "taker_fee", "status")
    return {name: getattr(rules, name) for name in names}


def _changes_json(one: "InstrumentChanges") -> dict[str, Any]:
    names = ("venue", "listed", "added", "changed", "delisted")
    return {name: getattr(one, name) for name in names}
