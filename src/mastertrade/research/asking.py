"""Which bars a backtest is asked to run on: stored candles of a venue, or files. The request can be stored, so that the
same bars are found again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from mastertrade.backtest.result import Rules
from mastertrade.domain.market import Instrument
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.source import to_datetime
from mastertrade.quant.bars import Bars
from mastertrade.research.loading import bars as bars_of
from mastertrade.research.loading import folder_of_bars, interval_s_of
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
    included and ``until`` is not; None is all there is. More than ``most_missing`` of the bars may not be missing."""

    symbols: tuple[str, ...] = ()
    venue: str | None = None
    interval: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    files: tuple[str, ...] = ()
    most_missing: float = MOST_MISSING

    def __post_init__(self) -> None:
        if bool(self.files) == bool(self.symbols):
            raise UsageError("a backtest needs bars: name --symbol for stored candles, or --file for a file or folder")
        if self.symbols and self.interval is None:
            raise UsageError("stored candles make bars of any length: say which with --tf, such as --tf 1h")
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
    """``source`` says where the bars came from, ``notes`` what somebody should know of them."""

    markets: Mapping[str, Bars]
    rules: Mapping[str, Rules] = field(default_factory=dict)
    source: str
    notes: Sequence[str] = ()


async def find(asked: Asked, manager: PostgresManager, *, as_of: datetime | None = None) -> Found:
    """The bars that were asked for; with ``as_of`` the stored candles as they were known then. BadData or NotFound when
    there are too few, or none that early."""
    found = _of_files(asked) if asked.files else await _of_database(asked, manager, as_of)
    notes = [note for symbol, bars in found.markets.items() for note in _examined(symbol, bars, asked)]
    return Found(markets=found.markets, rules=found.rules, source=found.source, notes=[*found.notes, *notes])


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
    rules: dict[str, Rules] = {}
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
        markets[instrument.symbol] = bars
        rules[instrument.symbol] = Rules(
            lot=float(instrument.lot_size),
            tick=float(instrument.tick_size),
            min_notional=float(instrument.min_notional),
        )
    return Found(markets=markets, rules=rules, source=", ".join(sorted(venues)))


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
