"""The door for whoever brings trades, funding rates, books and tickers. The same rows twice change nothing; a row that
is there with other numbers is told, and the first one stays."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mastertrade.market_data_service.kind_rows import Batch, Book, Funding, Ticker, Trade, moment
from mastertrade.market_data_service.postgres_kinds import KindsPostgresDatabase, Places
from mastertrade.shared.clock import Clock
from mastertrade.shared.postgres_manager import PostgresManager, Transaction

ROWS_A_CHUNK = 20_000
"""Rows of one transaction."""
LEVELS_A_CHUNK = 200_000
"""Book levels of one transaction; a snapshot may hold ten thousand."""
TIMEOUT_S = 120.0
AnyRow = TypeVar("AnyRow", Trade, Funding, Book, Ticker)
Store = Callable[[Transaction, Sequence[AnyRow]], Awaitable[Places]]


@dataclass(slots=True)
class KindLoaded(Generic[AnyRow]):
    """Of the rows offered: how many are new (``rows`` of a file, for books), and which were refused because one with
    their key is there with other numbers. ``repeated`` ones came twice in one call."""

    new: int = 0
    unchanged: int = 0
    repeated: int = 0
    conflicts: list[AnyRow] = field(default_factory=list)


class KindStore:
    def __init__(self, *, manager: PostgresManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock
        self._database = KindsPostgresDatabase()

    async def store_trades(self, instrument_id: int, trades: Sequence[Trade]) -> KindLoaded[Trade]:
        return await self._store(
            "market_trades",
            trades,
            lambda one: (one.time_us, one.id),
            lambda tx, part: self._database.store_trades(tx, instrument_id, part, at=self._clock.now()),
        )

    async def store_funding(self, instrument_id: int, rates: Sequence[Funding]) -> KindLoaded[Funding]:
        return await self._store(
            None,
            rates,
            lambda one: one.time_us,
            lambda tx, part: self._database.store_funding(tx, instrument_id, part, at=self._clock.now()),
        )

    async def store_books(self, instrument_id: int, books: Sequence[Book]) -> KindLoaded[Book]:
        return await self._store(
            "book_updates",
            books,
            lambda one: (one.time_us, one.sequence, one.is_snapshot),
            lambda tx, part: self._database.store_books(tx, instrument_id, part, at=self._clock.now()),
        )

    async def store_tickers(self, venue: str, tickers: Sequence[Ticker]) -> KindLoaded[Ticker]:
        """The venue must be known (``add_instruments`` or an import makes it so)."""
        return await self._store(
            "market_tickers",
            tickers,
            lambda one: (one.symbol, one.time_us, one.sequence),
            lambda tx, part: self._database.store_tickers(tx, venue, part, at=self._clock.now()),
        )

    async def _store(
        self, table: str | None, rows: Sequence[AnyRow], key: Callable[[AnyRow], object], store: "Store[AnyRow]"
    ) -> KindLoaded[AnyRow]:
        loaded: KindLoaded[AnyRow] = KindLoaded()
        for part in _chunks(rows):
            once = _once(part, key, loaded)
            if table is not None:
                await self._ensure_partitions(table, once)
            async with self._manager.transaction(durable=False, statement_timeout_s=TIMEOUT_S) as tx:
                places = await store(tx, once)
            new, other = set(places.new), set(places.other)
            loaded.new += sum(_weight(once[place]) for place in new)
            loaded.conflicts += [once[place] for place in sorted(other)]
            loaded.unchanged += sum(
                _weight(row) for place, row in enumerate(once) if place not in new and place not in other
            )
        return loaded

    async def _ensure_partitions(self, table: str, rows: Iterable[AnyRow]) -> None:
        times = [row.time_us for row in rows if row.time_us is not None]
        if not times:
            return
        first, last = moment(min(times)), moment(max(times))
        # Not remembered: retention drops partitions of which nothing is left.
        await self._database.ensure_month_partitions(self._manager, table, first, last)


def of_batch(batch: Batch) -> list[str]:
    """The markets a batch brings something of."""
    return list(dict.fromkeys([*batch.trades, *batch.funding, *batch.books]))


def _weight(row: Trade | Funding | Book | Ticker) -> int:
    return row.rows if isinstance(row, Book) else 1


def _once(rows: Sequence[AnyRow], key: Callable[[AnyRow], object], loaded: KindLoaded[AnyRow]) -> list[AnyRow]:
    """The first row of each key; another one with the same numbers is a repetition, with others a conflict."""
    first: dict[object, AnyRow] = {}
    for row in rows:
        known = first.setdefault(key(row), row)
        if known is not row:
            if _says_the_same(known, row):
                loaded.repeated += _weight(row)
            else:
                loaded.conflicts.append(row)
    return list(first.values())


def _says_the_same(one: AnyRow, other: AnyRow) -> bool:
    names = [name for name in one.__slots__ if name not in ("row", "rows")]
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _chunks(rows: Sequence[AnyRow]) -> Iterable[Sequence[AnyRow]]:
    part: list[AnyRow] = []
    levels = 0
    for row in rows:
        part.append(row)
        levels += len(row.bids) + len(row.asks) if isinstance(row, Book) else 0
        if len(part) >= ROWS_A_CHUNK or levels >= LEVELS_A_CHUNK:
            yield part
            part, levels = [], 0
    if part:
        yield part
