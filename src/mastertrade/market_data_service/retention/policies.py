"""Policies: how long what is kept, by patterns of venue, symbol and timeframe."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final
from uuid import UUID

from mastertrade.market_data_service.intervals import interval_seconds
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import PostgresManager, Row
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import new_id

QUERIES = load_queries(__file__, "retention.sql")
ANY: Final = "*"
FOREVER: Final = "forever"
LONGEST_DAYS: Final = 36_500
_DAYS: Final = {"d": 1, "w": 7, "mo": 30, "y": 365}


class DataKind(StrEnum):
    CANDLES = "candles"
    TRADES = "trades"
    FUNDING = "funding"
    BOOK = "book"
    TICKERS = "tickers"


class Action(StrEnum):
    """What becomes of rows that are older: kept in a file, or gone."""

    ARCHIVE = "archive"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """``*`` and ``?`` stand for any text and any letter; mark prices are at venues such as ``binance.mark``."""

    kind: DataKind
    venue: str = ANY
    symbol: str = ANY
    timeframe: str = ANY

    def fits(self, venue: str, symbol: str, timeframe: str) -> bool:
        return (
            fnmatchcase(venue, self.venue)
            and fnmatchcase(symbol, self.symbol)
            and fnmatchcase(timeframe, self.timeframe)
        )

    @property
    def exactness(self) -> int:
        return sum(_exactness(text) for text in (self.venue, self.symbol, self.timeframe))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``keep_days`` None: for ever."""

    id: UUID
    pattern: Pattern
    keep_days: int | None
    action: Action
    reason: str
    valid_from: datetime
    valid_to: datetime | None = None

    @property
    def keep(self) -> str:
        return FOREVER if self.keep_days is None else f"{self.keep_days}d"

    def cutoff(self, now: datetime) -> datetime | None:
        """What ended before may leave; None: nothing."""
        return None if self.keep_days is None else now - timedelta(days=self.keep_days)


USUAL: Final = (
    (Pattern(kind=DataKind.BOOK), 7, Action.DROP),
    (Pattern(kind=DataKind.TICKERS), 7, Action.DROP),
    (Pattern(kind=DataKind.TRADES), 90, Action.ARCHIVE),
    (Pattern(kind=DataKind.CANDLES, timeframe="1m"), 730, Action.ARCHIVE),
    *((Pattern(kind=DataKind.CANDLES, timeframe=tf), 1825, Action.ARCHIVE) for tf in ("5m", "15m", "30m", "1h")),
)
"""Those of the older system: longer candles, funding rates and everything else stay for ever."""


def governing(policies: Iterable[Policy], kind: DataKind, venue: str, symbol: str, timeframe: str) -> Policy | None:
    """The policy that holds for a series: the most exact one, of two alike the younger."""
    fitting = [one for one in policies if one.pattern.kind is kind and one.pattern.fits(venue, symbol, timeframe)]
    return max(fitting, key=lambda one: (one.pattern.exactness, one.valid_from, one.id), default=None)


def parse_keep(text: str) -> int | None:
    """Days of ``90d``, ``6w``, ``18mo``, ``2y``; None of ``forever``."""
    if text == FOREVER:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})(d|w|mo|y)", text)
    days = int(found[1]) * _DAYS[found[2]] if found else 0
    if not 0 < days <= LONGEST_DAYS:
        raise UsageError(
            f"--keep {text}: a number of d, w, mo or y such as 90d or 2y is expected, at most {LONGEST_DAYS} days, or "
            f"{FOREVER}"
        )
    return days


class Policies:
    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock

    async def all(self, *, with_history: bool = False) -> list[Policy]:
        rows = await QUERIES.fetch(self._manager, "policies", with_history=with_history)
        return [
            Policy(
                id=row["id"],
                pattern=Pattern(
                    kind=DataKind(row["kind"]), venue=row["venue"], symbol=row["symbol"], timeframe=row["timeframe"]
                ),
                keep_days=row["keep_days"],
                action=Action(row["action"]),
                reason=row["reason"],
                valid_from=row["valid_from"],
                valid_to=row["valid_to"],
            )
            for row in rows
        ]

    async def set(self, wanted: Sequence[tuple[Pattern, int | None, Action]], *, reason: str) -> list[Policy]:
        """From now on; what held for the same patterns is closed and stays known."""
        if not reason.strip():
            raise UsageError("--reason: say why, for whoever looks for the data later")
        for pattern, _, _ in wanted:
            _check(pattern)
        at = self._clock.now()
        ids = set()
        async with self._manager.transaction() as tx:
            for pattern, keep_days, action in wanted:
                key: dict[str, Any] = {
                    "kind": pattern.kind.value, "venue": pattern.venue, "symbol": pattern.symbol,
                    "timeframe": pattern.timeframe,
                }  # fmt: skip
                await QUERIES.execute(tx, "close_policy", **key, at=at)
                id = new_id(at)
                ids.add(id)
                values: dict[str, Any] = {"keep_days": keep_days, "action": action.value, "reason": reason.strip()}
                await QUERIES.execute(tx, "add_policy", id=id, **key, **values, at=at)
        return [one for one in await self.all() if one.id in ids]

    async def retired_totals(self) -> list[Row]:
        """What left by them, or by hand, and is not back: of each series and state."""
        return await QUERIES.fetch(self._manager, "retired_totals")


def _exactness(text: str) -> int:
    """0 for any, 1 for a pattern, 2 for a name."""
    if text == ANY:
        return 0
    return 1 if set(text) & set("*?[") else 2


def _check(pattern: Pattern) -> None:
    if pattern.kind is not DataKind.CANDLES and pattern.timeframe != ANY:
        raise UsageError(f"{pattern.kind}: only candles have a timeframe; leave out --tf {pattern.timeframe}")
    if _exactness(pattern.timeframe) == 2:
        try:
            interval_seconds(pattern.timeframe)
        except ValueError as error:
            raise UsageError(f"--tf {pattern.timeframe}: {error}") from error
