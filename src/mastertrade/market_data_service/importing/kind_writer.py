"""Batches of a file into the database, with every row accounted for."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from mastertrade.market_data_service.importing.rejects import Rejects
from mastertrade.market_data_service.importing.report import FileReport
from mastertrade.market_data_service.kind_rows import Batch, Book, Funding, Ticker, Trade
from mastertrade.market_data_service.kind_store import KindLoaded, KindStore, of_batch

CONFLICT = "a row of this time and number is stored with other numbers; the first one stays"
NO_INSTRUMENT = "the market {name} has no name of the form BASE/QUOTE or BASE/QUOTE:SETTLE; add --symbol"
SHOWN_MARKETS = 3
AnyRow = TypeVar("AnyRow", Trade, Funding, Book, Ticker)


class KindWriter:
    """``instrument`` gives the id of a market, which is made known if it is new."""

    def __init__(
        self,
        *,
        store: KindStore,
        venue: str,
        instrument: Callable[[str, str], Awaitable[int]],
        rejects: Rejects,
        report: FileReport,
        now_us: int,
    ) -> None:
        self._store = store
        self._venue = venue
        self._instrument = instrument
        self._rejects = rejects
        self._report = report
        self._now_us = now_us
        self._ids: dict[str, int | None] = {}
        self._seen: dict[str, None] = {}

    @property
    def markets(self) -> str:
        """The markets met so far, in words."""
        names = list(self._seen)
        return ", ".join(names) if len(names) <= SHOWN_MARKETS else f"{len(names)} markets"

    async def write(self, batch: Batch) -> None:
        for name in of_batch(batch):
            instrument_id = await self._id(name, batch)
            if instrument_id is None:
                continue
            if trades := self._sound(batch.trades.get(name, [])):
                self._note("trades", await self._store.store_trades(instrument_id, trades))
            if funding := self._sound(batch.funding.get(name, [])):
                self._note("funding", await self._store.store_funding(instrument_id, funding))
            if books := self._sound(batch.books.get(name, [])):
                self._note("book", await self._store.store_books(instrument_id, books))
        if tickers := self._sound(batch.tickers):
            self._seen |= dict.fromkeys(one.symbol for one in tickers)
            self._note("tickers", await self._store.store_tickers(self._venue, tickers))

    async def _id(self, name: str, batch: Batch) -> int | None:
        if name not in self._ids:
            try:
                self._ids[name] = await self._instrument(self._venue, name)
                self._seen[name] = None
            except ValueError:
                self._ids[name] = None
        if self._ids[name] is None:
            for group in (batch.trades, batch.funding, batch.books):
                for row in group.get(name, []):
                    self._rejects.add(row.row, NO_INSTRUMENT.format(name=name or "(none)"), str(row))
        return self._ids[name]

    def _sound(self, rows: Sequence[AnyRow]) -> list[AnyRow]:
        sound = []
        for row in rows:
            fault = row.fault(self._now_us)
            if fault is None:
                sound.append(row)
            else:
                self._rejects.add(row.row, fault, str(row))
        return sound

    def _note(self, kind: str, loaded: KindLoaded[AnyRow]) -> None:
        self._report.rows_stored += loaded.new
        self._report.unchanged += loaded.unchanged
        self._report.duplicates += loaded.repeated
        stored = self._report.stored_by_kind
        stored[kind] = stored.get(kind, 0) + loaded.new
        for row in loaded.conflicts:
            self._rejects.add(row.row, CONFLICT, str(row))
