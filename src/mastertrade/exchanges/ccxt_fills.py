"""Trades of a venue that does not number them: asked for by time, told apart by market, order and id.

What was traded in one millisecond may come on two pages, in two answers, or late. So each question begins a while
before the newest trade that is known, and the cursor carries the marks of those that were told from there on."""

import hashlib
import json
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final

from mastertrade.exchanges.ccxt_rules import Told, VenueRules

OPENED: Final = ""
"""In a cursor: the moment of the opening."""
OVERLAP_MS: Final = 300_000
"""A trade may show up after a younger one."""
DAY_MS: Final = 86_400_000
FEW_PAGES: Final = 4
"""A stretch of time with more is halved, so that each answer brings the cursor on."""
SHORTEST_MS: Final = 1_000
log = logging.getLogger(__name__)

Pages = Callable[[int, int | None], AsyncIterator[Sequence[Told]]]
"""Everything from a moment to another, both included, or until now, in any order. A page may hold more."""


class TimePager:
    """``longest``: the longest stretch the venue answers for. ``reach``: how far back it tells."""

    def __init__(self, venue: str, *, longest: timedelta | None, reach: timedelta | None) -> None:
        self._venue = venue
        self._longest = longest
        self._reach = reach
        self._span_ms: int | None = None

    async def after(self, after: str, pages: Pages, now_ms: int) -> tuple[list[Told], str]:
        """What came after the cursor, oldest first, and the cursor to go on from: the same one when all is told."""
        cursor: dict[str, Any] = json.loads(after) if after else {}
        opened = int(cursor.get(OPENED, 0))
        since = self._reachable(int(cursor.get("since", opened)), now_ms)
        start = max(since - OVERLAP_MS, opened, 0)
        found, end = await self._stretch(pages, start, since, now_ms)
        told = set(cursor.get("told", ()))
        fresh = {mark: trade for mark, trade in found.items() if mark not in told}
        newest = max((_at(trade) for trade in found.values()), default=0)
        until = (now_ms // DAY_MS - 1) * DAY_MS if end is None else end
        cursor["since"] = since = max(since, newest, until)
        cursor["told"] = sorted(mark for mark, trade in found.items() if _at(trade) >= since - OVERLAP_MS)
        ordered = sorted(fresh.values(), key=lambda trade: (_at(trade), str(trade["id"])))
        return ordered, json.dumps(cursor, sort_keys=True)

    def _reachable(self, since: int, now_ms: int) -> int:
        if self._reach is None:
            return since
        earliest = now_ms - self._reach // timedelta(milliseconds=1)
        if 0 < since < earliest:
            log.error(
                "the venue no longer tells all trades since the last look; compare the balances",
                extra={"venue": self._venue, "since_ms": since, "earliest_ms": earliest},
            )
        return max(since, earliest)

    async def _stretch(self, pages: Pages, start: int, since: int, now_ms: int) -> tuple[dict[str, Told], int | None]:
        """By mark, and where the stretch ends; None: now."""
        longest = now_ms if self._longest is None else self._longest // timedelta(milliseconds=1)
        span = min(longest, self._span_ms or longest)
        while True:
            end = None if since + span >= now_ms else since + span
            self._span_ms = span
            found = await self._all(pages, start, end, in_full=span <= SHORTEST_MS)
            if found is not None:
                self._span_ms = min(span * 2, longest)
                return found, end
            span = max(min(span, now_ms - since) // 2, SHORTEST_MS)

    async def _all(self, pages: Pages, start: int, end: int | None, *, in_full: bool) -> dict[str, Told] | None:
        """None when there are too many."""
        found: dict[str, Told] = {}
        number = 0
        async for page in pages(start, end):
            if (number := number + 1) > FEW_PAGES and not in_full:
                return None
            found.update(
                (_mark(trade), trade) for trade in page if start <= _at(trade) and (end is None or _at(trade) <= end)
            )
        return found


class TradesByTime(VenueRules):
    longest: ClassVar[timedelta | None] = None
    """The longest stretch the venue answers for."""
    reach: ClassVar[timedelta | None] = None
    """How far back it tells."""

    def __init__(self) -> None:
        super().__init__()
        self._pager = TimePager(self.name, longest=self.longest, reach=self.reach)

    @abstractmethod
    def pages(self, client: Any, from_ms: int, to_ms: int | None) -> AsyncIterator[Sequence[Told]]:
        """Every trade of the account from ``from_ms`` to ``to_ms``, both included, or until now, in any order. A page
        may hold more."""

    async def trades(self, client: Any, after: str, symbols: Sequence[str], now_ms: int) -> tuple[list[Told], str]:
        """Of all markets, so that none is overlooked that is traded by hand."""
        return await self._pager.after(after, lambda from_ms, to_ms: self.pages(client, from_ms, to_ms), now_ms)


def _at(trade: Told) -> int:
    return int(trade["timestamp"])


def _mark(trade: Told) -> str:
    """Ids are used again by other markets, and by both orders of one trade with oneself."""
    text = f"{trade['symbol']} {trade['id']} {trade['order']}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
