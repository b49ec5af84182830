"""Which bars a backtest is asked to run on: stored candles of a venue, or files. The request can be stored, so that the
same bars are found again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from mastertrade.backtest.options import Funding, RulesVersion
from mastertrade.backtest.result import Rules
from mastertrade.domain.market import Instrument, InstrumentKind
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.postgres_instruments import InstrumentsPostgresDatabase
from mastertrade.market_data_service.postgres_kinds import KindsPostgresDatabase
from mastertrade.market_data_service.source import to_datetime
from mastertrade.quant.bars import Bars
from mastertrade.research.loading import bars as bars_of
from mastertrade.research.loading import folder_of_bars, interval_s_of
from mastertrade.research.options import Options
from mastertrade.research.provenance import data_hash
from mastertrade.shared.errors import BadData, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager

FEWEST_BARS: Final = 100
"""Bars below which a backtest says nothing."""
MOST_MISSING: Final = 0.05
"""The share of bars that may be missing between the first and the last before somebody has to say so."""
EARLIEST: Final = datetime(2009, 1, 3, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """``symbols`` of ``venue`` out of the database, or ``files`` (a folder holds one file a symbol). ``since`` is
    included and ``until`` is not; None is all there is. More than ``most_missing`` of the bars may not be missing.
    ``detail`` is the length of finer stored bars that tell what a bar touched first."""

    symbols: tuple[str, ...] = ()
    venue: str | None = None
    interval: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    files: tuple[str, ...] = ()
    most_missing: float = MOST_MISSING
    detail: str | None = None

    def __post_init__(self) -> None:
        if bool(self.files) == bool(self.symbols):
            raise UsageError("a backtest needs bars: name --symbol for stored candles, or --file for a file or folder")
        if self.symbols and self.interval is None:
            raise UsageError("stored candles make bars of any length: say which with --tf, such as --tf 1h")
        if self.detail is not None and self.files:
            raise UsageError(f"--detail {self.detail}: finer bars are read from stored candles; import the files first")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise UsageError(f"nothing lies between {self.since:%Y-%m-%d %H:%M} and {self.until:%Y-%m-%d %H:%M}")

    def to_settings(self) -> dict[str, Any]:
        """For storing; ``from_settings`` makes the same request of it."""
        plain = asdict(self)
        moments = {name: None if plain[name] is None else plain[name].isoformat() for name in ("since", "until")}
        return {**plain, **moments, "symbols": list(self.symbols), "files": list(self.files)}

    @classmethod
    def from_settings(cls, stored: Mapping[str, Any]) -> "Asked":
        moments = {
            name: None if stored[name] is None else datetime.fromisoformat(stored[name]) for name in ("since", "until")
        }
        return cls(**{**stored, **moments, "symbols": tuple(stored["symbols"]), "files": tuple(stored["files"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """``source`` says where the bars came from, ``notes`` what somebody should know of them. ``rules`` are those of the
    time, ``funding`` is of swaps, and ``detail`` finer bars, where they were asked for."""

    markets: Mapping[str, Bars]
    rules: Mapping[str, Sequence[RulesVersion]] = field(default_factory=dict)
    funding: Mapping[str, Funding] = field(default_factory=dict)
    detail: Mapping[str, Bars] | None = None
    source: str
    notes: Sequence[str] = ()

    def on(self, options: Options) -> Options:
        """The options with what the markets themselves say."""
        return replace(options, rules=self.rules, funding=self.funding or None, detail=self.detail)

    @property
    def hash(self) -> str:
        """Of all that decides a result beside strategy and options."""
        return data_hash(self.markets, rules=self.rules, funding=self.funding, detail=self.detail)


async def find(asked: Asked, manager: PostgresManager, *, as_of: datetime | None = None) -> Found:
    """The bars that were asked for; with ``as_of`` the stored candles as they were known then. BadData or NotFound when
    there are too few, or none that early."""
    found = _of_files(asked) if asked.files else await _of_database(asked, manager, as_of)
    notes = [note for symbol, bars in found.markets.items() for note in _examined(symbol, bars, asked)]
    return replace(found, notes=[*found.notes, *notes])


def _of_files(asked: Asked) -> Found:
    markets: dict[str, Bars] = {}
    for name in asked.files:
        path = Path(name)
        one = folder_of_bars(path, interval=asked.interval) if path.is_dir() else {_symbol_of(path): _bars(path, asked)}
        for symbol, bars in one.items():
            if symbol in markets:
                raise UsageError(f"{path}: {symbol} was given twice; give each market once")
            markets[symbol] = _between(bars, asked)
    return Found(markets=markets, source=", ".join(str(Path(name)) for name in asked.files))


def _bars(path: Path, asked: Asked) -> Bars:
    return bars_of(path, interval=asked.interval)


def _symbol_of(path: Path) -> str:
    from mastertrade.market_data_service.files import describe_file

    described = describe_file(path) if path.is_file() else None
    return path.name.partition(".")[0] if described is None else described.symbol


def _between(bars: Bars, asked: Asked) -> Bars:
    first = 0 if asked.since is None else int(np.searchsorted(bars.time, _ms(asked.since), side="left"))
    last = len(bars) if asked.until is None else int(np.searchsorted(bars.time, _ms(asked.until), side="left"))
    return bars[first:last]


async def _of_database(asked: Asked, manager: PostgresManager, as_of: datetime | None) -> Found:
    assert asked.interval is not None
    interval_s = interval_s_of(asked.interval)
    database = MarketDataPostgresDatabase()
    known = await database.instruments(manager, venues=[asked.venue] if asked.venue else None)
    reader = DatabaseBars(manager)
    markets: dict[str, Bars] = {}
    detail: dict[str, Bars] = {}
    rules: dict[str, Sequence[RulesVersion]] = {}
    funding: dict[str, Funding] = {}
    notes: list[str] = []
    finer_s = None if asked.detail is None else _finer(asked.detail, interval_s)
    venues = set()
    for symbol in asked.symbols:
        instrument = _instrument(symbol, asked.venue, known)
        venues.add(instrument.venue)
        since, until = asked.since or EARLIEST, asked.until or datetime.now(UTC)
        bars = await reader.read(instrument.id, interval_s, since, until, as_of=as_of)
        if len(bars) == 0:
            raise NotFound(
                f"{symbol} at {instrument.venue}: no candles of {asked.interval} or shorter in this time; "
                "`mastertrade data list` shows what is stored"
            )
        name = instrument.symbol
        markets[name] = bars
        rules[name] = await _rules_of(instrument.id, manager)
        first, end = to_datetime(int(bars.time[0])), to_datetime(int(bars.time[-1]) + interval_s * 1000)
        if instrument.kind is not InstrumentKind.SPOT:
            funding[name] = await _funding_of(instrument.id, manager, first, end)
            if not funding[name].time:
                del funding[name]
                notes.append(
                    f"{name}: no funding rates are stored, so positions pay none; bring them with `mastertrade data "
                    f"download {name} --kind funding --venue {instrument.venue} --since {first:%Y-%m-%d}`"
                )
        if finer_s is not None:
            detail[name] = await reader.read(instrument.id, finer_s, first, end, as_of=as_of)
            if len(detail[name]) == 0:
                raise NotFound(f"{name}: no candles of {asked.detail} are stored in this time; leave --detail out")
    return Found(
        markets=markets,
        rules=rules,
        funding=funding,
        detail=detail if finer_s is not None else None,
        source=", ".join(sorted(venues)),
        notes=notes,
    )


def _finer(name: str, interval_s: int) -> int:
    finer_s = interval_s_of(name)
    if finer_s >= interval_s or interval_s % finer_s:
        raise UsageError(f"--detail {name}: must be shorter than the bars and divide them, such as 1m of 1h")
    return finer_s


async def _rules_of(instrument_id: int, manager: PostgresManager) -> Sequence[RulesVersion]:
    """The versions between which something changes that decides an order; the first holds for the time before it."""
    versions: list[RulesVersion] = []
    for one in await InstrumentsPostgresDatabase().instrument_versions(manager, instrument_id):
        rules = Rules(lot=float(one.lot_size), tick=float(one.tick_size), min_notional=float(one.min_notional))
        if not versions or versions[-1].rules != rules:
            versions.append(RulesVersion(valid_from=_ms(one.valid_from), rules=rules))
    return versions


async def _funding_of(instrument_id: int, manager: PostgresManager, first: datetime, end: datetime) -> Funding:
    rows = await KindsPostgresDatabase().funding_rates(manager, instrument_id, first, end)
    return Funding(time=[_ms(row["time"]) for row in rows], rate=[row["rate"] for row in rows])


def _instrument(symbol: str, venue: str | None, known: Sequence[Instrument]) -> Instrument:
    named = [one for one in known if one.symbol == symbol.upper()]
    if len(named) == 1:
        return named[0]
    if named:
        raise UsageError(
            f"{symbol} is listed at {', '.join(sorted(one.venue for one in named))}; say which with --venue"
        )
    where = f" at {venue}" if venue else ""
    raise NotFound(f"{symbol}{where} is not known here; `mastertrade data list` shows the markets that are")


def _examined(symbol: str, bars: Bars, asked: Asked) -> list[str]:
    name = symbol or "the bars"
    if len(bars) < FEWEST_BARS:
        raise BadData(f"{name}: {len(bars)} bars are fewer than the {FEWEST_BARS} below which a backtest says nothing")
    step_ms = bars.interval_s * 1000
    begins = to_datetime(int(bars.time[0]))
    if asked.since is not None and int(bars.time[0]) - _ms(asked.since) > max(
        step_ms, asked.most_missing * _span(bars)
    ):
        raise BadData(
            f"{name}: the first bar is of {begins:%Y-%m-%d %H:%M}, long after the {asked.since:%Y-%m-%d %H:%M} asked "
            f"for; take --since {begins:%Y-%m-%d}, or fetch the candles before it"
        )
    missing = 1.0 - len(bars) / (_span(bars) / step_ms)
    if missing > asked.most_missing:
        raise BadData(
            f"{name}: {missing:.1%} of the bars are missing, more than the {asked.most_missing:.1%} allowed; "
            "`mastertrade data gaps` shows where and why. To go on with them: --most-missing "
            f"{min(1.0, missing + 0.005):.2f}"
        )
    return [f"{name}: {missing:.2%} of the bars are missing"] if missing > 0.0 else []


def _span(bars: Bars) -> int:
    return int(bars.time[-1] - bars.time[0]) + bars.interval_s * 1000


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
