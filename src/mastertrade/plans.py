"""What a run is to do, and the paper account that trades it where no keys do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from mastertrade.domain.market import Instrument, InstrumentKind
from mastertrade.domain.orders import Environment
from mastertrade.exchanges.market_feed import MarketFeed
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.exchanges.paper_swaps import PaperSwapVenue
from mastertrade.market_data_service.source import Source
from mastertrade.market_data_service.swap_rules import DatabaseSwapRules
from mastertrade.order_executor.postgres_database import Account, ExecutorPostgresDatabase
from mastertrade.quant.costs import Costs
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import UsageError
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager

PAPER_DEPOSIT_KEY: Final = "opening balance"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyPlan:
    name: str
    template: str
    parameters: Mapping[str, Any]
    timeframe_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run: a market to play, an account at one of its venues, and strategies on it.

    ``feed`` names the position to go on from. A feed that is new begins after ``begin_after``; a batch that had not
    closed at ``end`` is not played. ``speed`` is market seconds per second; None is as fast as everyone acts.

    With ``present`` the market is the one of now, which is asked there for its prices, and strategies of the account
    that are not in the plan are paused. With ``keys_of`` the account is that one, and its stored keys trade; without
    it, paper money does, ``cash`` of it.

    The account trades the markets of one ``kind`` that are paid in its quote asset. ``leverage`` is that of a paper
    account for swaps; None is what it has, and 1 for a new one.
    """

    source: Source
    feed: str
    account: str
    venue: str
    quote_asset: str
    cash: Decimal
    strategies: Sequence[StrategyPlan]
    begin_after: datetime
    kind: InstrumentKind = InstrumentKind.SPOT
    leverage: Decimal | None = None
    end: datetime | None = None
    speed: float | None = None
    present: MarketFeed | None = None
    keys_of: Account | None = None

    def traded(self, instruments: Iterable[Instrument]) -> dict[str, Instrument]:
        """Of these, the markets of the account, by symbol."""
        return {
            one.symbol: one
            for one in instruments
            if (one.venue, one.quote, one.kind) == (self.venue, self.quote_asset, self.kind)
            and one.settle in (None, self.quote_asset)
        }


async def open_account(manager: PostgresManager, plan: Plan, *, at: datetime) -> Account:
    """The plan's account with its opening balance in our books, made when it does not exist yet. UsageError for one
    that was made otherwise."""
    database = ExecutorPostgresDatabase()
    account = await database.create_account(
        manager,
        name=plan.account,
        venue=plan.venue,
        environment=Environment.PAPER,
        quote_asset=plan.quote_asset,
        kind=plan.kind,
        leverage=plan.leverage or Decimal(1),
    )
    if account.kind is not plan.kind or plan.leverage not in (None, account.leverage):
        raise UsageError(
            f"account {account.name} was made for {account.kind.value} with leverage {account.leverage.normalize():f}; "
            "it cannot be another one now: go on as it is, or use a MASTERTRADE_HOME of its own"
        )
    await database.deposit(
        manager,
        account.id,
        asset=plan.quote_asset,
        amount=plan.cash,
        source_key=f"{plan.account}: {PAPER_DEPOSIT_KEY}",
        at=at,
    )
    return account


async def open_paper(
    own: PostgresManager,
    manager: PostgresManager,
    plan: Plan,
    account: Account,
    instruments: Sequence[Instrument],
    *,
    clock: Clock,
    failpoints: Failpoints,
) -> PaperVenue:
    """The account's paper venue over connections of its ``own``, with the plan's money in its books."""
    venue: PaperVenue
    if account.kind is InstrumentKind.SWAP:
        venue = PaperSwapVenue(
            name=plan.venue,
            account=plan.account,
            asset=plan.quote_asset,
            leverage=account.leverage,
            manager=own,
            instruments=plan.traded(instruments),
            rules=DatabaseSwapRules(manager),
            costs=Costs(),
            clock=clock,
            failpoints=failpoints,
        )
    else:
        venue = PaperVenue(
            name=plan.venue,
            account=plan.account,
            manager=own,
            instruments={one.symbol: one for one in instruments if (one.venue, one.kind) == (plan.venue, account.kind)},
            costs=Costs(),
            clock=clock,
            failpoints=failpoints,
        )
    await venue.deposit(key=PAPER_DEPOSIT_KEY, asset=plan.quote_asset, amount=plan.cash)
    return venue
