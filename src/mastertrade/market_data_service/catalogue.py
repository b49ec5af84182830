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
    """Which series are meant; None means any."""

    venue: str | None = None
    symbol: str | None = None
    interval_s: int | None = None

    def __str__(self) -> str:
        interval = None if self.interval_s is None else interval_name(self.interval_s)
        return " ".join(filter(None, (self.venue, self.symbol, interval))) or "any series"

    def filters(self) -> dict[str, Any]:
        return {"venue": self.venue, "symbol": self.symbol, "interval_s": self.interval_s}


EVERYTHING = Selection()


def parse_selection(words: Sequence[str]) -> Selection:
    """Venue, symbol and timeframe in any order, each may be left out: ``binance BTC/USDT 1m``, ``BTCUSDT``."""
    found: dict[str, Any] = {}
    for word in " ".join(words).split():
        name, value = _understood(word)
        if name in found:
            raise UsageError(
                f"{' '.join(words)}: name at most one venue, one symbol and one timeframe, such as binance BTC/USDT 1m"
            )
        found[name] = value
    return Selection(**found)


def _understood(word: str) -> tuple[str, str | int]:
    try:
        if _INTERVAL.fullmatch(word):
            return "interval_s", interval_seconds(word)
        if "/" in word or word.isupper():
            return "symbol", canonical_symbol(word)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return "venue", word


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
