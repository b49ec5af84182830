"""Public market data of any venue that ccxt knows, over REST."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mastertrade.exchanges.candle_paging import NEVER_CUT, Asked, prove
from mastertrade.exchanges.ccxt_instruments import venue_market
from mastertrade.exchanges.ccxt_library import Gate, nearest, open_client
from mastertrade.exchanges.market_feed import (
    BookSnapshot,
    CandlePage,
    CandleRow,
    FeedDown,
    FeedKind,
    FundingPage,
    FundingRow,
    NotOffered,
    TickerRow,
    TradePage,
    TradeRow,
    UnknownSymbol,
    UnsupportedTimeframe,
    VenueMarket,
)
from mastertrade.exchanges.request_budget import RequestBudget

ABILITIES: Final = {
    FeedKind.CANDLES: "fetchOHLCV",
    FeedKind.MARK: "fetchMarkOHLCV",
    FeedKind.FUNDING: "fetchFundingRateHistory",
    FeedKind.TRADES: "fetchTrades",
    FeedKind.BOOK: "fetchOrderBook",
    FeedKind.TICKERS: "fetchTickers",
}
LIMIT: Final = 500
"""Rows to ask for where ccxt does not tell what the venue gives at once."""
DAY_S: Final = 86_400
CLOCK_FOR_S: Final = 300.0
"""How long the difference to the venue's clock is believed."""
TRADES_OF_THE_PAST: Final[Mapping[str, int | None]] = {
    "binance": 3_600_000,
    "binanceus": 3_600_000,
    "binanceusdm": 3_600_000,
    "kraken": None,
}
"""Venues that tell trades from a time on, and for how many milliseconds one answer then speaks. Others tell only the
newest ones, where an answer without rows proves nothing."""
LONGEST_FUNDING_MS: Final = 86_400_000
"""No venue settles more seldom than once a day."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)


class CcxtFeed:
    """A venue as ``MarketFeed``. ``url`` puts another server in its place: a local venue, a proxy."""

    def __init__(
        self,
        venue: str,
        *,
        url: str | None = None,
        options: Mapping[str, Any] | None = None,
        budget: RequestBudget | None = None,
    ) -> None:
        self._client = open_client(venue, url=url, options=options or {}, budget=budget)
        self._gate = Gate(self._client)
        self._name = venue
        self._markets: Mapping[str, VenueMarket] | None = None
        self._loading = asyncio.Lock()
        self._longest: dict[tuple[FeedKind, bool], int] = {}
        self._clock: tuple[float, timedelta] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def kinds(self) -> frozenset[FeedKind]:
        return frozenset(kind for kind, ability in ABILITIES.items() if self._client.has.get(ability))

    @property
    def histories(self) -> frozenset[FeedKind]:
        known = {FeedKind.CANDLES, FeedKind.MARK, FeedKind.FUNDING}
        return self.kinds & (known | {FeedKind.TRADES} if self._name in TRADES_OF_THE_PAST else known)

    @property
    def timeframes(self) -> Mapping[int, str]:
        """Those that divide a day: a week or a month begins where each venue likes it to."""
        names: Mapping[str, Any] = self._client.timeframes or {}
        lengths = {_seconds(name): name for name in names}
        return {length: lengths[length] for length in sorted(lengths) if length and DAY_S % length == 0}

    async def markets(self, *, is_fresh: bool = False) -> Mapping[str, VenueMarket]:
        async with self._loading:
            if self._markets is None or is_fresh:
                async with self._gate.asking("markets"):
                    listed = await self._client.load_markets(True)
                mode = int(self._client.precisionMode)
                found = (venue_market(market, mode) for market in listed.values())
                self._markets = {one.instrument.symbol: one for one in found if one is not None}
            return self._markets

    async def candles(
        self, symbol: str, interval_s: int, *, since: datetime, until: datetime, kind: FeedKind = FeedKind.CANDLES
    ) -> CandlePage:
        self._require(kind)
        timeframe = self._timeframe(interval_s)
        await self._require_market(symbol)
        limit, step_ms = self._limit(kind, symbol), interval_s * 1000
        since_ms, wanted_ms = _milliseconds(since), _milliseconds(until)
        # One bar less than the limit, and a millisecond earlier: some venues take the beginning as excluded.
        until_ms = min(wanted_ms, since_ms + max(1, limit - 1) * step_ms)
        asked = Asked(
            since_ms=since_ms,
            until_ms=until_ms,
            step_ms=step_ms,
            newest_ms=_milliseconds(await self.now()) // step_ms * step_ms,
        )
        params = {"until": until_ms - 1, **({"price": "mark"} if kind is FeedKind.MARK else {})}
        async with self._gate.asking(f"{symbol} {timeframe} {kind} from {since:%Y-%m-%d %H:%M}"):
            given = await self._client.fetch_ohlcv(symbol, timeframe, since_ms - 1, limit, params)
            rows = _candle_rows(given)
        times = sorted(rows)
        proven = prove(asked, times, longest=self._longest_with(kind, symbol, len(times)))
        until_ms = min(proven.until_ms, wanted_ms)
        return CandlePage(
            rows=tuple(rows[time] for time in times if proven.since_ms <= time < until_ms),
            since=_moment(proven.since_ms),
            until=_moment(until_ms),
            reaches_from_ms=proven.reaches_from_ms,
        )

    async def trades(self, symbol: str, *, since: datetime) -> TradePage:
        self._require(FeedKind.TRADES)
        if FeedKind.TRADES not in self.histories:
            known = ", ".join(TRADES_OF_THE_PAST)
            raise NotOffered(f"{self._name} tells only its latest trades; trades of the past are known from {known}")
        await self._require_market(symbol)
        since_ms, limit = _milliseconds(since), self._limit(FeedKind.TRADES, symbol)
        async with self._gate.asking(f"{symbol} trades from {since:%Y-%m-%d %H:%M:%S}"):
            given = await self._client.fetch_trades(symbol, since_ms, limit)
            rows = [_trade_row(one) for one in given]
        rows.sort(key=lambda row: row.time_ms)
        now_ms = _milliseconds(await self.now())
        is_cut = len(given) >= max(self._longest_with(FeedKind.TRADES, symbol, len(given)), NEVER_CUT)
        span_ms = TRADES_OF_THE_PAST[self._name]
        answered_ms = now_ms if span_ms is None else min(now_ms, since_ms + span_ms)
        until_ms = rows[-1].time_ms if rows and is_cut else answered_ms
        return TradePage(rows=tuple(rows), until_ms=until_ms, is_last=until_ms >= now_ms)

    async def funding(self, symbol: str, *, since: datetime) -> FundingPage:
        self._require(FeedKind.FUNDING)
        await self._require_market(symbol)
        limit = self._limit(FeedKind.FUNDING, symbol)
        async with self._gate.asking(f"{symbol} funding from {since:%Y-%m-%d %H:%M}"):
            given = await self._client.fetch_funding_rate_history(symbol, _milliseconds(since), limit)
            found = {int(one["timestamp"]): FundingRow(int(one["timestamp"]), str(one["fundingRate"])) for one in given}
        rows = tuple(found[time] for time in sorted(found))
        is_cut = len(given) >= max(self._longest_with(FeedKind.FUNDING, symbol, len(given)), NEVER_CUT)
        since_ms = _milliseconds(since)
        is_newest = is_cut and rows[0].time_ms > since_ms + LONGEST_FUNDING_MS
        is_last = is_newest or not is_cut
        until_ms = _milliseconds(await self.now()) if is_last else rows[-1].time_ms + 1
        return FundingPage(
            rows=rows, since_ms=rows[0].time_ms if is_newest else since_ms, until_ms=until_ms, is_last=is_last
        )

    async def book(self, symbol: str, *, depth: int = 100) -> BookSnapshot:
        self._require(FeedKind.BOOK)
        await self._require_market(symbol)
        async with self._gate.asking(f"{symbol} order book"):
            book = await self._client.fetch_order_book(symbol, depth)
            return BookSnapshot(
                symbol=symbol,
                time_ms=book.get("timestamp"),
                sequence=book.get("nonce"),
                bids=tuple((str(level[0]), str(level[1])) for level in book["bids"][:depth]),
                asks=tuple((str(level[0]), str(level[1])) for level in book["asks"][:depth]),
            )

    async def tickers(self, symbols: Sequence[str] | None = None) -> Sequence[TickerRow]:
        self._require(FeedKind.TICKERS)
        for symbol in symbols or ():
            await self._require_market(symbol)
        async with self._gate.asking("tickers"):
            given = await self._client.fetch_tickers(list(symbols) if symbols is not None else None)
            return [ticker_row(given[symbol]) for symbol in sorted(given)]

    async def now(self) -> datetime:
        ours = datetime.now(UTC)
        if not self._client.has.get("fetchTime"):
            return ours
        monotonic = asyncio.get_running_loop().time()
        if self._clock is None or monotonic - self._clock[0] > CLOCK_FOR_S:
            async with self._gate.asking("time"):
                theirs = _moment(int(await self._client.fetch_time()))
            self._clock = monotonic, theirs - datetime.now(UTC)
        return ours + self._clock[1]

    async def close(self) -> None:
        await self._client.close()

    def _require(self, kind: FeedKind) -> None:
        if kind not in self.kinds:
            raise NotOffered(f"{self._name} offers no {kind}; it has {', '.join(sorted(self.kinds)) or 'nothing'}")

    def _timeframe(self, interval_s: int) -> str:
        names = self.timeframes
        if interval_s not in names:
            offered = ", ".join(names.values())
            raise UnsupportedTimeframe(f"{self._name} has no candles of {interval_s} s; it has {offered}")
        return names[interval_s]

    async def _require_market(self, symbol: str) -> None:
        markets = await self.markets()
        if symbol not in markets:
            hint = nearest(symbol, list(markets))
            raise UnknownSymbol(f"{self._name} lists no {symbol} among its {len(markets):,} markets{hint}")

    def _limit(self, kind: FeedKind, symbol: str) -> int:
        """What ccxt knows of the venue's greatest page of this kind of market."""
        features: Mapping[str, Any] = self._client.features or {}
        swap = features.get("swap") or {}
        parts = (swap.get("linear"), swap.get("inverse")) if ":" in symbol else (features.get("spot"),)
        method = ABILITIES[kind].replace("Mark", "")
        named = [(part or {}).get(method) or {} for part in parts]
        limits = [one.get("mark") if kind is FeedKind.MARK and one.get("mark") else one.get("limit") for one in named]
        return max(min((int(limit) for limit in limits if limit), default=LIMIT), 2)

    def _longest_with(self, kind: FeedKind, symbol: str, rows: int) -> int:
        """The most rows the venue ever gave at once, this answer included."""
        key = kind, ":" in symbol
        self._longest[key] = max(self._longest.get(key, 0), rows)
        return self._longest[key]


def _candle_rows(given: Sequence[Sequence[Any]]) -> dict[int, CandleRow]:
    """By bar start; the last of two rows of one bar. A row without a time or with an empty cell is a broken answer."""
    rows = {}
    for cells in given:
        if len(cells) < 6 or not isinstance(cells[0], int):
            raise FeedDown(f"a row that is no candle: {str(cells)[:100]}")
        values = ("" if cell is None else str(cell) for cell in cells[1:6])
        rows[cells[0]] = CandleRow(cells[0], *values)
    return rows


def _trade_row(given: Mapping[str, Any]) -> TradeRow:
    id = given.get("id")
    return TradeRow(
        id="" if id is None else str(id),
        time_ms=int(given["timestamp"]),
        price=str(given["price"]),
        quantity=str(given["amount"]),
        side=given.get("side"),
    )


def ticker_row(given: Mapping[str, Any]) -> TickerRow:
    texts = {name: None if given.get(name) is None else str(given[name]) for name in ("bid", "ask", "last")}
    volume = given.get("baseVolume")
    return TickerRow(
        symbol=str(given["symbol"]),
        time_ms=given.get("timestamp"),
        base_volume=None if volume is None else str(volume),
        **texts,
    )


def _seconds(timeframe: str) -> int:
    """0 for what is not a plain number of seconds."""
    units = {"s": 1, "m": 60, "h": 3600, "d": DAY_S}
    number, unit = timeframe[:-1], timeframe[-1:]
    return int(number) * units[unit] if unit in units and number.isdigit() else 0


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MILLISECOND


def _moment(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)
