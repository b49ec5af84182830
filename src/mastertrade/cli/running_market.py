"""Which market ``up`` and ``serve`` run on: the simulator, recorded candles, or a venue as it is now."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mastertrade.cli.data_download import length_of, progress_bars, symbol_of
from mastertrade.cli.markets import (
    CASH,
    STRATEGIES,
    SYNTHETIC_START,
    TIMEFRAME_S,
    candle_files,
    common_time,
    main_market,
    simulator,
    strategy_plans,
)
from mastertrade.cli.progress import Screen
from mastertrade.cli.reading import read_positive
from mastertrade.cli.wording import interval
from mastertrade.domain.market import InstrumentKind, parse_symbol, split_symbol
from mastertrade.doors import accounts
from mastertrade.market_data_service.source import Source
from mastertrade.order_executor.accounts import AccountRow, require_leverage
from mastertrade.plans import Plan, StrategyPlan
from mastertrade.platform import OpenDatabase, PlatformSettings, market_door, request_budget
from mastertrade.research.spaces import parameters_of
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import NotFound, UsageError

if TYPE_CHECKING:
    from mastertrade.exchanges.ccxt_markets import CcxtFeed

DEFAULT_SPEED: Final = 60.0
"""A minute of the market each second: fast enough to see something happen, slow enough to follow."""
WARM_UP: Final = timedelta(days=7)
"""History stored before a new feed begins, so that strategies can decide from its first minute on."""
LATEST: Final = timedelta(minutes=1)
"""A live market begins with the minute that has closed last, so that there are prices at once."""
USUAL: Final = ("BTC", "ETH")
"""Whose markets are followed unless somebody names others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody typed. UsageError says what does not go together."""

    replay: Path | None = None
    speed: float | None = None
    venue: str = ""
    account: str = ""
    symbols: Sequence[str] = ()
    strategies: Sequence[str] = ()
    tf: str = ""
    url: str = ""
    swaps: bool = False
    leverage: str = ""

    def __post_init__(self) -> None:
        for option, is_given, is_wrong, why in (
            ("--replay", self.replay is not None, self.is_live, "a market is recorded or live"),
            ("--speed", self.speed is not None, self.is_live, "a live market has a speed of its own"),
            ("--venue", bool(self.venue), bool(self.account), "the account knows its venue"),
            ("--url", bool(self.url), not self.venue, "it stands in for a --venue"),
            ("--symbol", bool(self.symbols), not self.is_live, "it chooses among markets of a --venue or --account"),
            ("--strategy", bool(self.strategies), not self.is_live, "it trades on a --venue or --account"),
            ("--tf", bool(self.tf), not self.is_live, "it is the bar of strategies on a --venue or --account"),
            ("--swaps", self.swaps, bool(self.account), "the account knows what it trades"),
            ("--swaps", self.swaps, not (self.venue or self.replay), "the simulator has spot markets alone"),
            ("--leverage", bool(self.leverage), not self.swaps, "spot is paid in full; it is for --swaps"),
        ):
            if is_given and is_wrong:
                raise UsageError(f"{option} does not go with the rest: {why}")
        require_leverage(self.paper_leverage, "--leverage ")

    @property
    def is_live(self) -> bool:
        return bool(self.venue or self.account)

    @property
    def kind(self) -> InstrumentKind:
        return InstrumentKind.SWAP if self.swaps else InstrumentKind.SPOT

    @property
    def paper_leverage(self) -> Decimal | None:
        return read_positive("--leverage", self.leverage) if self.leverage else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A market that moves when it is played. What was before its beginning is history."""

    plan: Plan
    database: OpenDatabase
    settings: PlatformSettings

    async def load_history(self, *, is_new: bool, is_quiet: bool) -> None:
        if not is_new:
            return
        with Screen(is_quiet=is_quiet).progress("loading history", total=None) as show:
            door = market_door(self.database.manager, self.settings)
            await door.load_history(self.plan.source, until=self.plan.begin_after, progress=show)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The market of now. Its history is downloaded, and at each start what is missing of it."""

    plan: Plan
    feed: "CcxtFeed"
    database: OpenDatabase

    async def load_history(self, *, is_new: bool, is_quiet: bool) -> None:
        from mastertrade.market_data_service.download_report import Wanted
        from mastertrade.market_data_service.downloading import Downloader

        downloader = Downloader(feed=self.feed, manager=self.database.manager, clock=SystemClock())
        symbols = [one.symbol for one in self.plan.source.instruments]
        since = datetime.now(UTC) - WARM_UP
        with progress_bars(is_quiet=is_quiet) as progress:
            wanted = Wanted(symbols=symbols, intervals_s=[self.plan.source.interval_s], since=since)
            await downloader.run(wanted, progress=progress)
        failure = next((one.failure for one in downloader.series if one.failure is not None), None)
        if failure is not None:
            raise failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """A market that can be played, and from when on; before that it is history."""

    source: Source
    begin: datetime


async def tape_of(asked: Asked) -> Tape | None:
    """None for a live market. What is wrong with a folder is found here, before a server is started for it."""
    return None if asked.is_live else await asyncio.to_thread(_tape, asked)


@asynccontextmanager
async def open_market(
    asked: Asked, tape: Tape | None, database: OpenDatabase, settings: PlatformSettings
) -> AsyncIterator[Played | Live]:
    async with AsyncExitStack() as stack:
        if tape is None:
            yield await _open_live(stack, asked, database, settings)
        else:
            yield Played(plan=_plan(tape, asked), database=database, settings=settings)


def _tape(asked: Asked) -> Tape:
    replay = asked.replay
    if replay is None:
        return Tape(source=simulator(), begin=SYNTHETIC_START + WARM_UP)
    files = candle_files(replay)
    main_market(files, asked.kind)
    common = common_time(files, replay)
    if not common.length:
        raise UsageError(f"{replay}: the files have {common}; put files of the same time into one folder")
    # At most half of what there is becomes history, so that something is left to play.
    return Tape(source=files, begin=common.start + min(WARM_UP, common.length / 2))


def _plan(tape: Tape, asked: Asked) -> Plan:
    source = tape.source
    venue, quote_asset = main_market(source, asked.kind)
    account = f"paper {venue}{_swaps(asked.kind)}"
    return Plan(
        source=source,
        feed=f"up {source.name}{_swaps(asked.kind)}",
        account=account,
        venue=venue,
        quote_asset=quote_asset,
        cash=CASH,
        strategies=strategy_plans(account, source),
        begin_after=tape.begin,
        kind=asked.kind,
        leverage=asked.paper_leverage,
        speed=(DEFAULT_SPEED if asked.speed is None else asked.speed) or None,
    )


def _swaps(kind: InstrumentKind) -> str:
    """Names of what is for swaps alone end in this."""
    return " swaps" if kind is InstrumentKind.SWAP else ""


async def _open_live(stack: AsyncExitStack, asked: Asked, database: OpenDatabase, settings: PlatformSettings) -> Live:
    from mastertrade.exchanges.ccxt_markets import CcxtFeed
    from mastertrade.exchanges.ccxt_streams import CcxtStreams
    from mastertrade.exchanges.market_feed import UnknownVenue
    from mastertrade.market_data_service.live_market import LiveMarket

    row = await _account(asked.account, database, settings) if asked.account else None
    venue = row.account.venue if row is not None else asked.venue.lower()
    url = (row.keys.url if row is not None and row.keys is not None else asked.url) or None
    kind = row.account.kind if row is not None else asked.kind
    quote = row.account.quote_asset if row is not None else _quote(asked.symbols)
    symbols = symbols_of(asked.symbols, quote, kind, asked.account)
    owner = row.account.name if row is not None else f"paper {venue}{_swaps(kind)} live"
    strategies = _strategies(owner, symbols, asked, is_paper=row is None)
    budget = request_budget(database.manager, settings)
    feed = CcxtFeed(venue, url=url, budget=budget)
    stack.push_async_callback(feed.close)
    streams = None
    with suppress(UnknownVenue):  # one without websockets is asked for each bar
        streams = CcxtStreams(venue, url=url, budget=budget)
        stack.push_async_callback(streams.close)
    source = await LiveMarket.open(
        feed=feed, streams=streams, symbols=symbols, manager=database.manager, clock=SystemClock()
    )
    plan = Plan(
        source=source,
        feed=f"up {source.name}{_swaps(kind)}",
        account=owner,
        venue=venue,
        quote_asset=quote,
        cash=CASH if row is None else Decimal(0),
        strategies=strategies,
        begin_after=datetime.now(UTC) - LATEST,
        kind=kind,
        leverage=asked.paper_leverage,
        present=feed,
        keys_of=None if row is None else row.account,
    )
    return Live(plan=plan, feed=feed, database=database)


async def _account(name: str, database: OpenDatabase, settings: PlatformSettings) -> AccountRow:
    rows = {row.account.name: row for row in await accounts(database.manager, settings).list()}
    if name not in rows:
        raise NotFound(f"there is no account {name!r}; mastertrade account list shows them, account add makes one")
    if rows[name].keys is None:
        raise UsageError(f"account {name} has no keys to trade with: mastertrade account add {name} --venue VENUE")
    return rows[name]


def _quote(symbols: Sequence[str]) -> str:
    return split_symbol(symbol_of(symbols[0]))[1] if symbols else "USDT"


def symbols_of(asked: Sequence[str], quote: str, kind: InstrumentKind, account: str) -> list[str]:
    """The markets that were asked for, or the usual ones; of an account for swaps ``BTC/USDT`` is the swap of that
    name. UsageError for one that the account cannot trade."""
    symbols = [symbol_of(one) for one in asked] or [f"{base}/{quote}" for base in USUAL if base != quote]
    if kind is InstrumentKind.SWAP:
        symbols = [one if ":" in one else f"{one}:{split_symbol(one)[1]}" for one in symbols]
    what = "swaps that settle in that" if kind is InstrumentKind.SWAP else "spot markets of that"
    for symbol in symbols:
        parts = parse_symbol(symbol)
        if (parts.quote, parts.kind) != (quote, kind) or parts.settle not in (None, quote):
            whose = f"account {account} counts in {quote}" if account else f"the first one is paid in {quote}"
            raise UsageError(f"--symbol {symbol}: {whose}, and {what} are traded; name others")
    return symbols


def _strategies(owner: str, symbols: Sequence[str], asked: Asked, *, is_paper: bool) -> list[StrategyPlan]:
    """Their names say what they run: another parameter, market or length is another strategy."""
    timeframe_s = length_of(asked.tf) if asked.tf else TIMEFRAME_S
    wanted: list[tuple[str, dict[str, Any]]] = [_strategy(text) for text in asked.strategies]
    if not wanted and is_paper:
        wanted = list(STRATEGIES)
    plans = [
        StrategyPlan(name=template, template=template, parameters=parameters, timeframe_s=timeframe_s)
        for template, parameters in wanted
    ]
    return [replace(one, name=f"{owner} {_described(one, symbols)}") for one in plans]


def _strategy(text: str) -> tuple[str, dict[str, Any]]:
    template, _, parameters = text.partition(":")
    return template, dict(parameters_of([one for one in parameters.split(",") if one.strip()]))


def _described(one: StrategyPlan, symbols: Sequence[str]) -> str:
    values = " ".join(f"{name}={value}" for name, value in sorted(one.parameters.items()))
    return " ".join(filter(None, [one.template, interval(one.timeframe_s), *symbols, values]))
