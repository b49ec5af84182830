"""Downloading trades and funding rates: what was never answered is asked for, page by page.

Rows are stored before their time is marked as answered, and rows that come twice change nothing: whatever ends it, the
same call goes on."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from mastertrade.domain.market import parse_symbol
from mastertrade.exchanges.market_feed import FeedDown, FeedKind, MarketFeed, NotOffered, TradeRow
from mastertrade.market_data_service.downloading import SETTLED
from mastertrade.market_data_service.instrument_sync import InstrumentSync
from mastertrade.market_data_service.kind_rows import Funding, Trade
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.patience import PATIENCE, asked
from mastertrade.market_data_service.postgres_kinds import KindsPostgresDatabase
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import MasterTradeError, UsageError
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.retry import Backoff

AT_ONCE: Final = 4
MILLISECOND: Final = timedelta(milliseconds=1)
T = TypeVar("T")
Row = TypeVar("Row", Trade, Funding)
HISTORIES: Final = (FeedKind.TRADES, FeedKind.FUNDING)
"""Kinds that a venue can be asked for afterwards."""


@dataclass(slots=True, kw_only=True)
class KindDownload:
    """One market while it is downloaded, and afterwards. ``done_s`` of ``total_s`` seconds were answered for; of the
    ``rows`` given ``conflicts`` stand there with other numbers, and ``unusable`` cannot be what they say."""

    venue: str
    symbol: str
    kind: FeedKind
    since: datetime
    until: datetime
    instrument_id: int
    total_s: float = 0.0
    done_s: float = 0.0
    rows: int = 0
    new: int = 0
    conflicts: int = 0
    unusable: int = 0
    requests: int = 0
    retries: int = 0
    waiting_for: str = ""
    note: str = ""
    failure: MasterTradeError | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question brought: rows, and for which time it is all there is."""

    trades: Sequence[Trade]
    rates: Sequence[Funding]
    since: datetime
    until: datetime
    is_last: bool


KindProgress = Callable[[Sequence[KindDownload]], None]


class KindDownloader:
    """One call of ``run`` is one download; ``series`` tells how far it is, even when it was cancelled."""

    def __init__(
        self,
        *,
        feed: MarketFeed,
        manager: PostgresManager,
        clock: Clock,
        patience: Backoff = PATIENCE,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._feed = feed
        self._manager = manager
        self._clock = clock
        self._patience = patience
        self._failpoints = failpoints or Failpoints()
        self._sync = InstrumentSync(feed=feed, manager=manager, clock=clock)
        self._store = KindStore(manager=manager, clock=clock)
        self._database = KindsPostgresDatabase()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._progress: KindProgress | None = None
        self.series: list[KindDownload] = []

    async def run(
        self,
        symbols: Sequence[str],
        kind: FeedKind,
        *,
        since: datetime,
        until: datetime | None = None,
        progress: KindProgress | None = None,
    ) -> Sequence[KindDownload]:
        """UnknownSymbol and NotOffered come before anything is asked for; what fails later is the ``failure`` of its
        market, and what the venue had answered is kept."""
        self._progress = progress
        self._require(symbols, kind)
        now = await self._asked(self._feed.now) - SETTLED
        end = now if until is None else min(until, now)
        ids = await self._asked(lambda: self._sync.register(symbols, (), kind))
        self.series = [
            KindDownload(
                venue=self._feed.name, symbol=symbol, kind=kind, since=since, until=end, instrument_id=ids[symbol]
            )
            for symbol in dict.fromkeys(symbols)
        ]
        async with asyncio.TaskGroup() as group:
            for one in self.series:
                group.create_task(self._market(one))
        return self.series

    def _require(self, symbols: Sequence[str], kind: FeedKind) -> None:
        name = self._feed.name
        if kind not in self._feed.histories:
            raise NotOffered(
                f"{name} has no {kind.value} to be asked for afterwards; record them as they happen (data record "
                f"--kind {kind.value}), or import files"
            )
        spot = next((symbol for symbol in symbols if ":" not in symbol), None)
        if kind is FeedKind.FUNDING and spot is not None:
            raise UsageError(f"{spot} is a spot market and has no funding; a swap is named like {spot}:{_quote(spot)}")

    async def _market(self, one: KindDownload) -> None:
        began = self._clock.monotonic()
        try:
            spans = await self._database.unanswered_kind(
                self._manager, one.instrument_id, one.kind.value, one.since, one.until
            )
            one.total_s = sum((end - start).total_seconds() for start, end in spans)
            async with self._slots:
                for start, end in spans:
                    await self._span(one, start, end)
        except MasterTradeError as error:
            one.failure = error
        finally:
            one.seconds = self._clock.monotonic() - began
            one.waiting_for = ""

    async def _span(self, one: KindDownload, start: datetime, end: datetime) -> None:
        while start < end:
            answer = await self._answer(one, start)
            upto = end if answer.is_last else min(answer.until, end)
            if upto <= start:
                one.note = f"more at {start:%Y-%m-%d %H:%M:%S.%f} than {one.venue} gives at once; some are missing"
                upto = start + MILLISECOND
            before_us = to_milliseconds(upto) * 1000
            await self._keep(one, _before(answer.trades, before_us), _before(answer.rates, before_us))
            if answer.since > start:
                one.note = f"{one.venue} gives nothing from before {answer.since:%Y-%m-%d %H:%M}"
            if answer.since < upto:
                await self._database.answer_kind(
                    self._manager,
                    one.instrument_id,
                    one.kind.value,
                    max(start, answer.since),
                    upto,
                    at=self._clock.now(),
                )
            one.done_s += (upto - start).total_seconds()
            start = upto
            if self._progress is not None:
                self._progress(self.series)

    async def _answer(self, one: KindDownload, start: datetime) -> Answer:
        one.requests += 1
        if one.kind is FeedKind.TRADES:
            page = await self._asked(lambda: self._feed.trades(one.symbol, since=start), one)
            trades = [trade_of(row) for row in page.rows]
            return Answer(trades, (), start, to_datetime(page.until_ms), page.is_last)
        told = await self._asked(lambda: self._feed.funding(one.symbol, since=start), one)
        # A venue may begin in the middle of a moment; the first millisecond asked for is answered all the same.
        since = start if told.since_ms <= to_milliseconds(start) else to_datetime(told.since_ms)
        rates = [Funding(row.time_ms * 1000, float(row.rate)) for row in told.rows]
        return Answer((), rates, since, to_datetime(told.until_ms), told.is_last)

    async def _keep(self, one: KindDownload, trades: Sequence[Trade], rates: Sequence[Funding]) -> None:
        now_us = to_milliseconds(self._clock.now()) * 1000
        good = [trade for trade in trades if trade.fault(now_us) is None]
        usable = [rate for rate in rates if rate.fault(now_us) is None]
        one.rows += len(trades) + len(rates)
        one.unusable += len(trades) - len(good) + len(rates) - len(usable)
        if good:
            loaded = await self._store.store_trades(one.instrument_id, good)
            one.new, one.conflicts = one.new + loaded.new, one.conflicts + len(loaded.conflicts)
        if usable:
            stored = await self._store.store_funding(one.instrument_id, usable)
            one.new, one.conflicts = one.new + stored.new, one.conflicts + len(stored.conflicts)
        if good or usable:
            self._failpoints.reach("kind.stored")

    async def _asked(self, call: Callable[[], Awaitable[T]], one: KindDownload | None = None) -> T:
        def again(error: FeedDown) -> bool:
            if one is not None:
                one.retries += 1
                one.waiting_for = str(error)
                if self._progress is not None:
                    self._progress(self.series)
            return True

        answer = await asked(call, again=again, patience=self._patience)
        if one is not None:
            one.waiting_for = ""
        return answer


def _quote(symbol: str) -> str:
    return parse_symbol(symbol).quote


def _before(rows: Sequence[Row], time_us: int) -> list[Row]:
    return [row for row in rows if row.time_us is not None and row.time_us < time_us]


def trade_of(row: TradeRow) -> Trade:
    """A trade without a number of its own is known by price, amount and side, as in files."""
    is_buy = None if row.side is None else row.side == "buy"
    price, amount = float(row.price), float(row.quantity)
    side = "" if row.side is None else f":{row.side}"
    return Trade(row.time_ms * 1000, row.id or f"{price}@{amount}{side}", price, amount, is_buy)
