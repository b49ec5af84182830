"""The whole walk of an account for swaps: short and long on margin, from candle to ledger, with funding and liquidation."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any

import numpy as np
import pytest

from mastertrade.backtest.engine import run as run_backtest
from mastertrade.backtest.options import Margin
from mastertrade.backtest.result import Rules
from mastertrade.domain.market import InstrumentKind
from mastertrade.exchanges.exchange import SwapVenue
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.plans import Plan, StrategyPlan
from mastertrade.platform import Platform
from mastertrade.quant.bars import Bars
from mastertrade.quant.costs import Costs
from mastertrade.quant.resample import join
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategies import build
from tests.platform.walk_laws import broken_laws
from tests.platform.walk_seed import ACCOUNT, START, opened, simulated, story
from tests.postgres.market_seed import SmallMarket

MINUTES = 120
VENUE = simulated().instruments[0].venue
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
FAST, SLOW = ({"indicator": "sma", "period": period} for period in (2, 6))
SIDES: dict[str, Any] = {
    "long": {"enter": {"above": [FAST, SLOW]}, "exit": {"below": [FAST, SLOW]}},
    "short": {"enter": {"below": [FAST, SLOW]}, "exit": {"crosses_above": ["close", SLOW]}},
}
"""Turns over at once where the averages cross, and is flat where only the price came back."""


def swaps() -> SmallMarket:
    """The simulator's markets as swaps, and one of them as spot beside them."""
    end = START + timedelta(minutes=MINUTES)
    bars = {}
    for series in simulated(("BTC/USDT", "ETH/USDT")).history(end):
        if series.listing.venue == VENUE:
            bars[VENUE, f"{series.listing.symbol}:USDT"] = reduce(join, series.chunks)
    return SmallMarket({**bars, (VENUE, "BTC/USDT"): bars[VENUE, BTC]})


def swap_plan(source: SmallMarket, *, leverage: str = "3", cash: str = "10000") -> Plan:
    strategy = StrategyPlan(name="sides", template="rule", parameters={"rule": SIDES}, timeframe_s=60)
    return Plan(
        source=source, feed=ACCOUNT, account=ACCOUNT, venue=VENUE, quote_asset="USDT", cash=Decimal(cash),
        strategies=[strategy], begin_after=START, end=START + timedelta(minutes=MINUTES), kind=InstrumentKind.SWAP,
        leverage=Decimal(leverage),
    )  # fmt: skip


async def knows_funding(database: PostgresManager, symbol: str, *rates: tuple[float, float]) -> None:
    id = await database.fetchval("SELECT id FROM instruments WHERE venue = $1 AND symbol = $2", VENUE, symbol)
    await database.fetchrow(
        "SELECT new_places FROM store_funding($1, $2, $3, $4)",
        id, [START + timedelta(minutes=minute) for minute, _ in rates], [rate for _, rate in rates], START,
    )  # fmt: skip


async def play(platform: Platform) -> None:
    assert (await platform.play()).is_finished


async def test_a_replay_of_swaps_goes_short_and_long_as_a_backtest_and_every_book_agrees(
    database: PostgresManager, dsn: str
) -> None:
    source = swaps()
    plan = swap_plan(source)
    async with opened(database, dsn, plan) as platform:
        assert isinstance(platform.venue, SwapVenue)
        for symbol in (BTC, ETH):
            await knows_funding(database, symbol, *((minute, 0.0003) for minute in range(0, MINUTES, 10)))
        await play(platform)
        assert await platform.venue.positions([]) == {
            row["symbol"]: row["quantity"]
            for row in await database.fetch(
                "SELECT i.symbol, c.quantity FROM contract_positions c JOIN instruments i ON i.id = c.instrument_id "
                "WHERE c.quantity <> 0"
            )
        }
    assert await broken_laws(database) == []
    told = await story(database)
    prices = backtested(plan, source)
    assert len(prices) > 40
    assert {row[:4] for row in told.signals} == {key for key in prices if plan.end and key[2] <= plan.end}
    assert len(told.fills) > 40
    for strategy, symbol, bar_close, kind, _side, _quantity, price, *_fees, trade_time, _profit in told.fills:
        assert trade_time == bar_close
        assert float(price) == pytest.approx(prices[strategy, symbol, bar_close, kind], rel=1e-12)
    sides = await database.fetch("SELECT side, count(*) FROM strategy_positions GROUP BY 1")
    assert {row["side"] for row in sides if row["count"] > 5} == {"long", "short"}
    paid = await database.fetch("SELECT sign(amount) AS sign, count(*) FROM funding_payments GROUP BY 1")
    assert {row["sign"] for row in paid} == {-1, 1}, "longs paid, and shorts got it"


async def test_a_short_that_the_account_cannot_carry_is_closed_by_the_venue_and_the_books_follow(
    database: PostgresManager, dsn: str
) -> None:
    calm = swaps()
    plan = swap_plan(calm)
    place = next(
        int(np.searchsorted(calm.bars[VENUE, BTC].time, trade.entry_time)) + 1
        for trade in trades_of(plan, calm, BTC, calm.bars[VENUE, BTC])
        if trade.side < 0 and trade.bars_held > 3 and trade.entry_time > to_milliseconds(START) + 600_000
    )
    source = SmallMarket({**calm.bars, (VENUE, BTC): raised(calm.bars[VENUE, BTC], place)})
    plan = replace(plan, source=source, end=to_datetime(int(calm.bars[VENUE, BTC].time[place + 3])))
    async with opened(database, dsn, plan) as platform:
        await play(platform)
        assert isinstance(platform.venue, SwapVenue)
        assert BTC not in await platform.venue.positions([])
    assert await broken_laws(database) == []
    (closed,) = await database.fetch(
        "SELECT o.side, o.status, s.name FROM orders o JOIN strategies s ON s.id = o.strategy_id "
        "WHERE o.client_order_id LIKE 'liquidation-%'"
    )
    assert tuple(closed.values()) == ("BUY", "FILLED", "sides")
    still = await database.fetchval(
        "SELECT count(*) FROM strategy_positions WHERE status = 'open' AND symbol = $1", BTC
    )
    assert still == 0
    left = await database.fetchval("SELECT sum(free_balance + locked_balance) FROM portfolio_balances")
    assert 0 < left < 200, "of 10,000, and what is left is the margin it had to keep"


def raised(bars: Bars, place: int, times: float = 40.0) -> Bars:
    """From inside of this bar on the price is a multiple of what it was."""
    factor = np.where(np.arange(len(bars)) > place, times, 1.0)
    inside = np.where(np.arange(len(bars)) >= place, times, 1.0)
    return replace(
        bars, open=bars.open * factor, low=bars.low * factor, high=bars.high * inside, close=bars.close * inside
    )


def backtested(plan: Plan, source: SmallMarket) -> dict[tuple[str, str, datetime, str], float]:
    """The price each decision is filled at, as in the walk of spot markets."""
    filled = {}
    for (_, symbol), bars in source.bars.items():
        if symbol in (BTC, ETH):
            for trade in trades_of(plan, source, symbol, bars):
                enters, leaves = ("BUY", "SELL") if trade.side > 0 else ("SELL", "BUY")
                filled["sides", symbol, to_datetime(trade.entry_time), enters] = trade.entry_price
                if not trade.closed_at_end:
                    filled["sides", symbol, to_datetime(trade.exit_time), leaves] = trade.exit_price
    return filled


def trades_of(plan: Plan, source: SmallMarket, symbol: str, bars: Bars) -> Any:
    built = build("rule", {"rule": SIDES})
    (listed,) = (one for one in source.instruments if one.symbol == symbol)
    result = run_backtest(
        {symbol: bars}, built.template, built.params, costs=Costs(impact=0), position_fraction=0.01, shorts=True,
        margin=Margin(leverage=float(plan.leverage or 1)), rules={symbol: Rules(tick=float(listed.tick_size))},
    )  # fmt: skip
    return result.trades
