"""What there is and what is missing, out of the catalogue alone: no question here looks at a candle."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mastertrade.domain.market import canonical_symbol
from mastertrade.market_data_service.intervals import interval_name, interval_seconds
from mastertrade.market_data_service.postgres_candles import RecordedGap
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import Database
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__, "catalogue.sql")
MOST_SERIES = 100_000
MOST_GAPS = 1_000_000
"""Of one answer; a market that never trades in some minutes has thousands of holes a month."""
_INTERVAL = re.compile(r"\d+[smhd]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesEntry:
    """``first`` and ``last`` are the open times of the first and the last candle; ``missing`` lies between them."""

    instrument_id: int
    venue: str
    symbol: str
    interval_s: int
    first: datetime
    last: datetime
    rows: int
    missing: int

    @property
    def timeframe(self) -> str:
        return interval_name(self.interval_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which series are meant: of any of these venues, symbols and intervals; none named means any."""

    venues: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    intervals_s: tuple[int, ...] = ()

    def __str__(self) -> str:
        words = [*self.venues, *self.symbols, *map(interval_name, self.intervals_s)]
        return " ".join(words) or "any series"

    def filters(self) -> dict[str, Any]:
        lists = {"venues": self.venues, "symbols": self.symbols, "intervals_s": self.intervals_s}
        return {name: list(values) or None for name, values in lists.items()}


EVERYTHING = Selection()


def parse_selection(words: Sequence[str]) -> Selection:
    """Venues, symbols and timeframes in any order: ``binance BTC/USDT 1m``, ``BTCUSDT ETHUSDT``."""
    venues: list[str] = []
    symbols: list[str] = []
    intervals_s: list[int] = []
    for word in " ".join(words).split():
        try:
            if _INTERVAL.fullmatch(word):
                intervals_s.append(interval_seconds(word))
            elif "/" in word or word.isupper():
                symbols.append(canonical_symbol(word))
            else:
                venues.append(word)
        except ValueError as error:
            raise UsageError(str(error)) from error
    return Selection(venues=tuple(venues), symbols=tuple(symbols), intervals_s=tuple(intervals_s))


async def catalogue(db: Database, selection: Selection = EVERYTHING) -> list[SeriesEntry]:
    """Every series with candles, by venue, symbol and timeframe. NotFound when nothing matches what was named."""
    rows = await QUERIES.fetch(db, "catalogue", **selection.filters(), limit=MOST_SERIES)
    if not rows:
        await require_series(db, selection)
    return [SeriesEntry(**row) for row in rows]


async def catalogue_as_json(db: Database, selection: Selection = EVERYTHING) -> str:
    """A list of ``{venue, symbol, timeframe, first, last, rows, missing}``."""
    found: str | None = await QUERIES.fetchval(db, "catalogue_as_json", **selection.filters(), limit=MOST_SERIES)
    if found is None:
        await require_series(db, selection)
    return found or "[]"


async def gaps_of(db: Database, selection: Selection = EVERYTHING) -> list[RecordedGap]:
    """Every hole with its reason. NotFound when nothing matches what was named."""
    rows = await QUERIES.fetch(db, "gaps", **selection.filters(), limit=MOST_GAPS)
    if not rows:
        await require_series(db, selection)
    return [RecordedGap(**row) for row in rows]


async def gaps_as_json(db: Database, selection: Selection = EVERYTHING) -> str:
    """A list of ``{venue, symbol, timeframe, from, to, missing, reason, is_confirmed}``."""
    found: str | None = await QUERIES.fetchval(db, "gaps_as_json", **selection.filters(), limit=MOST_GAPS)
    if found is None:
        await require_series(db, selection)
    return found or "[]"


async def require_series(db: Database, selection: Selection) -> None:
    """NotFound when something is named that is not there."""
    if selection != EVERYTHING and not await QUERIES.fetchval(db, "has_series", **selection.filters()):
        raise NotFound(f"no series matches {selection}: `mastertrade data list` shows those there are")
