"""What the paper venue for swaps asks of stored market data."""

from datetime import timedelta
from decimal import Decimal

import pytest

from mastertrade.exchanges.paper_margin import Tier
from mastertrade.exchanges.paper_swaps import FundingRate
from mastertrade.market_data_service.swap_rules import DatabaseSwapRules
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.swap_seed import BTC, START

pytestmark = pytest.mark.asyncio
HOUR = timedelta(hours=1)


async def instrument(database: PostgresManager) -> int:
    await database.execute("INSERT INTO venues (id) VALUES ('binance')")
    id: int = await database.fetchval(
        "INSERT INTO instruments (venue, symbol, base, quote, kind, settle, tick_size, lot_size, min_notional, "
        "maker_fee, taker_fee) VALUES ('binance', $1, 'BTC', 'USDT', 'swap', 'USDT', 0.1, 0.001, 5, 0.0002, 0.0005) "
        "RETURNING id",
        BTC,
    )
    return id


async def test_rates_are_those_after_the_last_settlement_dealt_with_and_up_to_now(database: PostgresManager) -> None:
    id, rules = await instrument(database), DatabaseSwapRules(database)
    times = [START + hours * HOUR for hours in (0, 8, 16, 24)]
    await database.fetchrow(
        "SELECT new_places FROM store_funding($1, $2, $3, $4)", id, times, [0.0001, -0.0002, 0.0003, 0.0004], START
    )
    assert await rules.funding_rates(id, after=times[0], until=times[2]) == [
        FundingRate(times[1], Decimal("-0.0002")), FundingRate(times[2], Decimal("0.0003")),
    ]  # fmt: skip
    assert await rules.funding_rates(id, after=times[3], until=times[3] + HOUR) == []


async def test_tiers_are_those_of_the_time(database: PostgresManager) -> None:
    id, rules = await instrument(database), DatabaseSwapRules(database)
    assert list(await rules.tiers(id, at=START)) == []
    for known_at, rate in ((START, "0.004"), (START + HOUR, "0.006")):
        await database.fetchval(
            "SELECT learn_leverage_tiers($1, $2, $3, $4, $5, $6)",
            id, [Decimal(0)], [None], [Decimal(rate)], [Decimal(50)], known_at,
        )  # fmt: skip
    for at, rate in ((START, "0.004"), (START + 2 * HOUR, "0.006")):
        assert list(await rules.tiers(id, at=at)) == [
            Tier(notional_from=Decimal(0), notional_to=None, maintenance_rate=Decimal(rate), max_leverage=Decimal(50))
        ]
