"""Downloading candles: what was never answered is asked for, page by page, and each page is stored with what it proves.

Whatever ends a download, what was stored is counted, and the same download goes on from there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, TypeVar

from mastertrade.domain.market import InstrumentStatus
from mastertrade.exchanges.market_feed import CandlePage, FeedDown, FeedKind, MarketFeed, VenueMarket
from mastertrade.market_data_service.candle_pages import bars_of, requests_of
from mastertrade.market_data_service.candle_store import CandleStore, Outcome
from mastertrade.market_data_service.download_report import DownloadReport, Progress, SeriesDownload, Wanted
from mastertrade.market_data_service.instrument_sync import InstrumentSync
from mastertrade.market_data_service.patience import PATIENCE, asked
from mastertrade.market_data_service.postgres_candles import RecordedGap, Stretch
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import MasterTradeError
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.retry import Backoff

PIECE_BARS: Final = 20_000
"""What one worker takes at once: some twenty pages, so that others find work, and a lost claim blocks little."""
AT_ONCE: Final = 4
"""Pieces in the air together; the venue's own limits pace their questions."""
CLAIM_S: Final = 15.0
"""A killed worker keeps others from its piece for so long."""
RENEW_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.5
SETTLED: Final = timedelta(seconds=2)
"""A bar is asked for so long after its close: clocks differ, and venues take a moment."""
CONFIRMED_AT_ONCE: Final = 100
"""Questions a run asks again to confirm holes; the next run goes on."""
CONFIRM_BARS: Final = 400
LONG: Final = 3
"""Empty pages in a row that are worth a look at coarser bars."""
DAY_S: Final = 86_400

T = TypeVar("T")


class _Stopped(Exception):
    """Another piece has found out that the venue cannot be asked any more."""


class Downloader:
    """``AT_ONCE`` pieces at a time. One download is one call of ``run``; ``series`` tells how far it is, even when it
    was cancelled."""

    def __init__(
        self,
        *,
        feed: MarketFeed,
        manager: PostgresManager,
        clock: Clock,
        patience: Backoff = PATIENCE,
        claim_s: float = CLAIM_S,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._feed = feed
        self._clock = clock
        self._patience = patience
        self._claim_s = claim_s
        self._store = CandleStore(manager=manager, clock=clock, failpoints=failpoints)
        self._failpoints = failpoints or Failpoints()
        self._sync = InstrumentSync(feed=feed, manager=manager, clock=clock)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._progress: Progress | None = None
        self._stopped: MasterTradeError | None = None
        self.series: list[SeriesDownload] = []

    async def run(self, wanted: Wanted, *, progress: Progress | None = None) -> DownloadReport:
        """UnknownSymbol, UnsupportedTimeframe and NotOffered come before anything is asked for. What fails later is the
        ``failure`` of its series, and what the venue had answered for is kept."""
        began = self._clock.monotonic()
        self._progress, self._stopped = progress, None
        markets = await self._asked(self._feed.markets)
        self.series = await self._plan(wanted)
        async with asyncio.TaskGroup() as group:
            for one in self.series:
                group.create_task(self._series(one, markets.get(one.symbol), wanted.kind))
        return DownloadReport(series=tuple(self.series), seconds=self._clock.monotonic() - began)

    async def _plan(self, wanted: Wanted) -> list[SeriesDownload]:
        now = await self._asked(self._feed.now) - SETTLED
        last = now if wanted.until is None else min(wanted.until, now)
        ids = await self._sync.register(wanted.symbols, wanted.intervals_s, wanted.kind)
        planned = []
        for symbol in wanted.symbols:
            for interval_s in wanted.intervals_s:
                one = SeriesDownload(
                    venue=self._sync.venue_of(wanted.kind),
                    symbol=symbol,
                    interval_s=interval_s,
                    since=_moved(wanted.since, interval_s, up=True),
                    until=_moved(last, interval_s, up=False),
                    instrument_id=ids[symbol],
                )
                planned.append(one)
        return planned

    async def _series(self, one: SeriesDownload, market: VenueMarket | None, kind: FeedKind) -> None:
        began = self._clock.monotonic()
        try:
            if one.since < one.until:
                spans = await self._unanswered(one, one.since, one.until)
                one.total = sum(_bars(one, span) for span in spans)
                one.already = one.bars - one.total
                if market is None:
                    await self._never_again(one, spans)
                else:
                    await self._fetch(one, spans, kind)
                    await self._confirm(one, kind)
                    await self._halted(one, market)
        except _Stopped:
            one.failure = self._stopped
        except MasterTradeError as error:
            one.failure = error
        finally:
            one.seconds = self._clock.monotonic() - began
        await self._sum_up(one)

    async def _fetch(self, one: SeriesDownload, spans: Sequence[Stretch], kind: FeedKind) -> None:
        for span in spans:
            if _bars(one, span) > PIECE_BARS:
                async with self._slots:
                    await self._lead(one, span, kind)
        pieces = list(_pieces(await self._unanswered(one, one.since, one.until), one.interval_s))
        while pieces:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._piece(one, piece, kind)) for piece in pieces]
            except ExceptionGroup as failed:
                raise _cause(failed) from failed
            pieces = [piece for piece, task in zip(pieces, tasks, strict=True) if not task.result()]
            if pieces:
                one.waiting_for = "another download, which holds a part of it"
                self._tell()
                await self._clock.sleep(LOOK_AGAIN_S)
        one.waiting_for = ""

    async def _piece(self, one: SeriesDownload, piece: Stretch, kind: FeedKind) -> bool:
        """False while another worker holds a part of it."""
        async with self._slots, self._claimed(one, piece, kind) as is_ours:
            if is_ours:
                for span in await self._unanswered(one, *piece):
                    await self._span(one, span, kind)
        return is_ours

    async def _span(self, one: SeriesDownload, span: Stretch, kind: FeedKind) -> None:
        """Ask until everything in the span was answered for, or lies beyond what the venue gives."""
        rest = [span]
        while rest:
            since, until = rest.pop()
            page = await self._page(one, since, until, kind)
            if page.reaches_from_ms is not None:
                end = min(to_datetime(page.reaches_from_ms), until)
                await self._out_of_reach(one, (since, end))
                page = CandlePage(rows=(), since=since, until=end)
            else:
                await self._keep(one, page)
            if page.until < until:
                rest.append((page.until, until))
            if since < page.since:
                rest.append((since, page.since))

    async def _lead(self, one: SeriesDownload, span: Stretch, kind: FeedKind) -> None:
        """Whether a long span begins before the market was listed: coarser bars tell in one answer where it begins."""
        since, until = span
        page = await self._page(one, since, until, kind)
        if page.reaches_from_ms is not None:
            await self._out_of_reach(one, (since, min(to_datetime(page.reaches_from_ms), until)))
            return
        await self._keep(one, page)
        if page.rows or page.until >= until:
            return
        begins = await self._first_after(one, page.until, until, kind)
        if begins is not None and page.until < begins:
            await self._store.record_request(
                one.instrument_id, one.interval_s, page.until, begins, Outcome.EMPTY,
            )  # fmt: skip
            self._count(one, (page.until, begins))

    async def _first_after(
        self, one: SeriesDownload, since: datetime, until: datetime, kind: FeedKind
    ) -> datetime | None:
        """The first moment from ``since`` on at which there may be bars, by the longest bars the venue has; None if
        they cannot tell."""
        coarse_s = max(self._feed.timeframes)
        if coarse_s <= one.interval_s * LONG:
            return None
        cursor, end = _moved(since, coarse_s, up=False), _moved(until, coarse_s, up=True)
        while cursor < end:
            page = await self._page(one, cursor, end, kind, interval_s=coarse_s)
            if page.reaches_from_ms is not None or page.since > cursor:
                return None
            if page.rows:
                return min(max(to_datetime(page.rows[0].time_ms), since), until)
            cursor = page.until
        return until

    async def _keep(self, one: SeriesDownload, page: CandlePage) -> None:
        where = f"{one.venue} {one.symbol}"
        now_ms = to_milliseconds(one.until)  # which has passed at the venue
        before = one.refused.total
        bars = bars_of(page, where=where, interval_s=one.interval_s, now_ms=now_ms, refused=one.refused)
        if len(bars):
            loaded = await self._store.load(one.instrument_id, bars)
            one.loaded += loaded  # not in one step: another piece adds to it meanwhile
            self._failpoints.reach("download.stored")
        rule = "" if one.refused.total == before else ", ".join(one.refused.counts)
        for request in requests_of(page, bars, one.interval_s, rule=rule):
            await self._store.record_request(
                one.instrument_id, one.interval_s, *request.stretch, request.outcome, error=request.error
            )
        self._count(one, (page.since, page.until))

    async def _out_of_reach(self, one: SeriesDownload, span: Stretch) -> None:
        said = (
            f"{one.venue} {one.symbol}: the venue gives nothing older than {span[1]:%Y-%m-%d %H:%M}; bring the time "
            "before from files (mastertrade data import)"
        )
        await self._store.record_request(one.instrument_id, one.interval_s, *span, Outcome.FAILED, error=said)
        one.note = said
        self._count(one, span)

    async def _confirm(self, one: SeriesDownload, kind: FeedKind) -> None:
        """Ask a second time for what the venue said it does not have."""
        holes = [gap for gap in await self._gaps(one) if gap.reason == "venue empty" and not gap.is_confirmed]
        done = one.done
        for span in list(_merged(holes, one.interval_s))[:CONFIRMED_AT_ONCE]:
            async with self._slots:
                await self._span(one, span, kind)
        one.done = done

    async def _halted(self, one: SeriesDownload, market: VenueMarket) -> None:
        if market.instrument.status is not InstrumentStatus.HALTED:
            return
        one.note = one.note or f"{one.symbol} is halted at {one.venue}"
        last = await self._sync.last_close_time(one.instrument_id, one.interval_s)
        if last is not None and last < one.until:
            await self._store.record_request(one.instrument_id, one.interval_s, last, one.until, Outcome.HALTED)

    async def _never_again(self, one: SeriesDownload, spans: Sequence[Stretch]) -> None:
        one.note = f"{one.venue} no longer lists {one.symbol}; what was stored stays"
        for span in spans:
            await self._store.record_request(one.instrument_id, one.interval_s, *span, Outcome.DELISTED)

    async def _sum_up(self, one: SeriesDownload) -> None:
        gaps = await self._gaps(one)
        one.gaps, one.missing = len(gaps), sum(gap.missing for gap in gaps)
        one.unconfirmed = sum(not gap.is_confirmed for gap in gaps if gap.reason == "venue empty")
        self._tell()

    async def _gaps(self, one: SeriesDownload) -> list[RecordedGap]:
        found = await self._store.gaps(one.instrument_id, one.interval_s)
        return [gap for gap in found if gap.ends > one.since and gap.starts < one.until]

    async def _unanswered(self, one: SeriesDownload, since: datetime, until: datetime) -> list[Stretch]:
        return await self._store.unanswered(one.instrument_id, one.interval_s, since, until)

    async def _page(
        self, one: SeriesDownload, since: datetime, until: datetime, kind: FeedKind, *, interval_s: int = 0
    ) -> CandlePage:
        length_s = interval_s or one.interval_s

        def ask() -> Awaitable[CandlePage]:
            one.requests += 1
            return self._feed.candles(one.symbol, length_s, since=since, until=until, kind=kind)

        def again(error: FeedDown) -> None:
            one.retries += 1
            one.waiting_for = str(error)
            self._tell()

        try:
            page = await self._asked(ask, again)
        except FeedDown as error:
            self._stopped = self._stopped or error
            await self._store.record_request(
                one.instrument_id, one.interval_s, since, min(until, since + PIECE_BARS * timedelta(seconds=length_s)),
                Outcome.FAILED, error=str(error),
            )  # fmt: skip
            raise
        one.waiting_for = ""
        return page

    async def _asked(self, call: Callable[[], Awaitable[T]], again: Callable[[FeedDown], None] | None = None) -> T:
        """Patiently. When one piece has lost its patience, the others do not begin to wait as well."""

        def is_worth_it(error: FeedDown) -> bool:
            if again is not None:
                again(error)
            return self._stopped is None

        if self._stopped is not None:
            raise _Stopped
        return await asked(call, again=is_worth_it, patience=self._patience, sleep=self._clock.sleep)

    @asynccontextmanager
    async def _claimed(self, one: SeriesDownload, piece: Stretch, kind: FeedKind) -> AsyncIterator[bool]:
        """Hold a piece while working on it; the claim is renewed until then."""
        key = (one.instrument_id, one.interval_s, *piece)
        claim = await self._store.claim(*key, kind=kind.value, for_s=self._claim_s)
        if claim is None:
            yield False
            return

        async def renew() -> None:
            while True:
                await self._clock.sleep(min(RENEW_S, self._claim_s / 3))
                await self._store.claim(*key, kind=kind.value, claim_id=claim, for_s=self._claim_s)

        renewing = asyncio.create_task(renew())
        try:
            yield True
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError, MasterTradeError):
                await renewing
            await self._store.release(claim)

    def _count(self, one: SeriesDownload, span: Stretch) -> None:
        one.done = min(one.total, one.done + _bars(one, span))
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.series)


def _cause(failed: ExceptionGroup[Exception]) -> Exception:
    """The first failure that is more than a consequence of another."""
    leaves = list(_leaves(failed))
    return next((one for one in leaves if not isinstance(one, _Stopped)), leaves[0])


def _leaves(failed: Exception) -> Iterator[Exception]:
    if isinstance(failed, ExceptionGroup):
        for one in failed.exceptions:
            yield from _leaves(one)
    else:
        yield failed


def _bars(one: SeriesDownload, span: Stretch) -> int:
    return int((span[1] - span[0]).total_seconds()) // one.interval_s


def _moved(moment: datetime, interval_s: int, *, up: bool) -> datetime:
    """To the start of its bar, or of the next one."""
    milliseconds, step_ms = to_milliseconds(moment), interval_s * 1000
    whole = -(-milliseconds // step_ms) if up else milliseconds // step_ms
    return to_datetime(whole * step_ms)


def _pieces(spans: Sequence[Stretch], interval_s: int) -> Iterator[Stretch]:
    """Cut at moments that are the same for every worker."""
    step = timedelta(seconds=interval_s * PIECE_BARS)
    for since, until in spans:
        cursor = since
        while cursor < until:
            end = min(_moved(cursor, interval_s * PIECE_BARS, up=False) + step, until)
            yield cursor, end
            cursor = end


def _merged(holes: Sequence[RecordedGap], interval_s: int) -> Iterator[Stretch]:
    """Holes that fit into one question together, and long ones in parts of that length."""
    step = timedelta(seconds=interval_s * CONFIRM_BARS)
    begin: datetime | None = None
    end: datetime | None = None
    for hole in holes:
        if begin is not None and end is not None and hole.ends - begin > step:
            yield begin, end
            begin = None
        begin, end = begin or hole.starts, hole.ends
        while end - begin > step:
            yield begin, begin + step
            begin += step
    if begin is not None and end is not None and begin < end:
        yield begin, end
