"""Paper accounts for swaps: what they are made as, and that they stay so."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mastertrade.domain.market import InstrumentKind
from mastertrade.market_data_service.simulation import SimulatedMarket
from mastertrade.plans import Plan, open_account
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import PostgresManager

pytestmark = pytest.mark.asyncio
START = datetime(2024, 1, 1, tzinfo=UTC)
PLAN = Plan(
    source=SimulatedMarket(seed=1, start=START), feed="", account="swaps", venue="binance", quote_asset="USDT",
    cash=Decimal(1000), strategies=(), begin_after=START, kind=InstrumentKind.SWAP, leverage=Decimal("2.5"),
)  # fmt: skip


async def test_an_account_keeps_the_kind_and_leverage_it_was_made_with(database: PostgresManager) -> None:
    made = await open_account(database, PLAN, at=START)
    assert (made.kind, made.leverage) == (InstrumentKind.SWAP, Decimal("2.5"))
    assert await open_account(database, PLAN, at=START) == made
    assert await open_account(database, replace(PLAN, leverage=None), at=START) == made
    with pytest.raises(UsageError, match=r"account swaps was made for swap with leverage 2\.5;"):
        await open_account(database, replace(PLAN, leverage=Decimal(3)), at=START)
    with pytest.raises(UsageError, match="made for swap"):
        await open_account(database, replace(PLAN, kind=InstrumentKind.SPOT, leverage=None), at=START)
    assert await database.fetchval("SELECT sum(free_balance) FROM portfolio_balances") == 1000


async def test_without_a_leverage_a_new_account_has_none(database: PostgresManager) -> None:
    assert (await open_account(database, replace(PLAN, leverage=None), at=START)).leverage == 1
