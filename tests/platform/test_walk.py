"""The whole walk in one process, from candle to ledger: the same every time, whatever interrupts it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from pathlib import Path

import pytest
import pytest_asyncio

from mastertrade.backtest.engine import run as run_backtest
from mastertrade.backtest.result import Rules
from mastertrade.domain.market import Candle
from mastertrade.domain.orders import OrderType, Side
from mastertrade.doors import risk_door
from mastertrade.exchanges.exchange import OrderTicket
from mastertrade.market_data_service.files import CandleFiles
from mastertrade.market_data_service.source import to_datetime
from mastertrade.plans import Plan
from mastertrade.platform import Platform, read_settings
from mastertrade.postgres.apply import apply_schema
from mastertrade.quant.costs import Costs
from mastertrade.quant.resample import join, resample
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategies import build
from tests.platform.walk_laws import broken_laws, broken_market
from tests.platform.walk_seed import ACCOUNT, START, opened, played, short_plan, story

MINUTES = 60
REAL_PAIRS = ("BTC_USDT", "ETH_USDT", "SOL_USDT", "ADA_USDT", "DOGE_USDT")
OUTAGE = datetime(2021, 9, 29, 5, tzinfo=UTC)
"""Six hours of which the two in the middle are missing everywhere: the venue was down."""

OPEN_POSITIONS = "SELECT count(*) FROM strategy_positions WHERE status = 'open'"


@pytest_asyncio.fixture
async def another(empty_database: PostgresManager) -> AsyncIterator[PostgresManager]:
    """A second database with the schema, for a run to compare with."""
    await apply_schema(empty_database)
    yield empty_database


async def play_until(platform: Platform, minutes: int) -> None:
    """Play until so much of the market has passed, then stop as Ctrl-C does."""
    playing = asyncio.create_task(platform.play())
    while platform.clock.now() < platform.plan.begin_after + timedelta(minutes=minutes):
        await asyncio.sleep(0.001)
    await platform.market_data.stop()
    assert not (await playing).is_finished


async def test_two_runs_of_one_plan_tell_the_same_story_however_often_the_executor_looks(
    database: PostgresManager, dsn: str, another: PostgresManager, empty_dsn: str
) -> None:
    plan = short_plan(minutes=MINUTES)
    await played(database, dsn, plan, order_monitor_interval="300")
    await played(another, empty_dsn, plan, order_monitor_interval="0.1")
    once, again = await story(database), await story(another)
    assert len(once.fills) > 50
    assert once == again
    assert await broken_laws(database) == []
    assert (
        await broken_market(database, plan.source, feed=ACCOUNT, begin=START, end=START + timedelta(minutes=MINUTES))
        == []
    )


async def test_a_run_that_was_stopped_and_started_again_tells_the_story_of_one_that_was_not(
    database: PostgresManager, dsn: str, another: PostgresManager, empty_dsn: str
) -> None:
    plan = short_plan(minutes=MINUTES)
    for minutes in (10, 11, 37):
        async with opened(database, dsn, plan) as platform:
            await play_until(platform, minutes)
    await played(database, dsn, plan)
    await played(another, empty_dsn, plan)
    assert await story(database) == await story(another)
    assert await broken_laws(database) == []


async def test_after_a_halt_nothing_opens_exits_still_pass_and_a_restart_finds_it(
    database: PostgresManager, dsn: str
) -> None:
    plan = short_plan(minutes=MINUTES)
    async with opened(database, dsn, plan) as platform:
        await play_until(platform, 15)
        assert await database.fetchval(OPEN_POSITIONS) > 2
        playing = asyncio.create_task(platform.play())
        await risk_door(database, read_settings({})).halt("global", "a test", "somebody")
        halted_at = await database.fetchval("SELECT clock_timestamp()")
        await platform.market_data.stop()
        await playing
    await played(database, dsn, plan)
    assert await database.fetchval("SELECT mode FROM trading_state WHERE scope = 'global'") == "halted"
    sent_later = await database.fetch(
        """SELECT o.reduces FROM order_events e JOIN orders o ON o.id = e.order_id
            WHERE e.to_status = 'SUBMITTING' AND e.created_at > $1""",
        halted_at,
    )
    assert {row["reduces"] for row in sent_later} == {True}, "exits, and only exits"
    refused = "SELECT count(*) FROM verdict_checks WHERE name = 'trading_state' AND NOT passed"
    assert await database.fetchval(refused) > 10
    assert await database.fetchval(OPEN_POSITIONS) == 0
    assert await broken_laws(database) == []


async def test_a_replay_decides_and_pays_what_a_backtest_does_on_the_same_bars(
    database: PostgresManager, dsn: str
) -> None:
    plan = short_plan(minutes=4 * MINUTES)
    await played(database, dsn, plan)
    told = await story(database)
    end = START + timedelta(minutes=4 * MINUTES)
    prices = {key: price for key, price in backtested(plan).items() if key[2] <= end}
    assert len(prices) > 200
    assert {row[:4] for row in told.signals} == set(prices)
    assert len(told.fills) > 200
    for strategy, symbol, bar_close, kind, _side, _quantity, price, *_fees, trade_time, _profit in told.fills:
        assert trade_time == bar_close, "at the open of the minute that follows the bar"
        assert float(price) == pytest.approx(prices[strategy, symbol, bar_close, kind], rel=1e-12)


def backtested(plan: Plan) -> dict[tuple[str, str, datetime, str], float]:
    """The price each decision is filled at when every strategy trades each market alone, with so little of its money
    that none is short of it. The bars are the source's own, and reach beyond the plan, so that its last decisions are
    filled. The paper venue takes an order of any size at one price, so size costs nothing here."""
    assert plan.end is not None
    filled = {}
    for series in plan.source.history(plan.end + timedelta(hours=1)):
        minutes = reduce(join, series.chunks)
        rules = {series.listing.symbol: Rules(tick=float(series.listing.tick_size))}
        for strategy in plan.strategies if series.listing.venue == plan.venue else ():
            built = build(strategy.template, strategy.parameters)
            bars = {series.listing.symbol: resample(minutes, strategy.timeframe_s)}
            result = run_backtest(
                bars, built.template, built.params, costs=Costs(impact=0), position_fraction=0.01, rules=rules
            )
            assert result.unfilled == 0
            for trade in result.trades:
                filled[strategy.name, trade.symbol, to_datetime(trade.entry_time), "BUY"] = trade.entry_price
                if not trade.closed_at_end:
                    filled[strategy.name, trade.symbol, to_datetime(trade.exit_time), "SELL"] = trade.exit_price
    return filled


async def test_every_filled_order_is_explained_by_foreign_keys_from_its_candle_to_its_ledger(
    database: PostgresManager, dsn: str
) -> None:
    await played(database, dsn, short_plan(minutes=MINUTES))
    rows = await database.fetch("SELECT * FROM v_lineage WHERE status = 'FILLED'")
    assert len(rows) == await database.fetchval("SELECT count(*) FROM orders WHERE status = 'FILLED'") > 50
    for row in rows:
        assert [name for name, value in row.items() if value is None] == []
        assert row["evidence"]["close"] == pytest.approx(float(row["signal_price"]))
        assert (
            datetime.fromisoformat(row["evidence"]["time"]) + timedelta(seconds=row["timeframe_s"]) == row["bar_close"]
        )
        assert all(check["passed"] for check in row["checks"])
        assert [step["to"] for step in row["steps"]] == ["NEW", "SUBMITTING", "OPEN", "FILLED"]
        assert sum(Decimal(fill["quantity"]) for fill in row["fills"]) == row["quantity"] == row["approved_quantity"]
        moved: Counter[str] = Counter()
        for line in row["ledger"]:
            moved[line["asset"]] += Decimal(line["amount"])  # type: ignore[assignment]
        assert set(moved.values()) == {0}


async def test_six_hours_of_real_candles_walk_to_a_balanced_ledger(
    database: PostgresManager, dsn: str, real_candles: Path, tmp_path: Path
) -> None:
    for pair in REAL_PAIRS:
        (tmp_path / f"binance_{pair}-1m.csv.gz").symlink_to(real_candles / f"{pair}-1m.csv.gz")
    source = CandleFiles(tmp_path, now=datetime.now(UTC))
    plan = short_plan(minutes=6 * MINUTES, source=source, begin_after=OUTAGE)
    await played(database, dsn, plan)
    assert plan.end is not None
    assert await broken_laws(database) == []
    assert await broken_market(database, source, feed=ACCOUNT, begin=OUTAGE, end=plan.end) == []
    told = await story(database)
    assert {row[1] for row in told.fills} == {pair.replace("_", "/") for pair in REAL_PAIRS}
    assert len(told.fills) > 300
    assert source.refused().total == 0


async def test_an_order_accepted_while_prices_arrive_trades_at_the_next_ones(
    database: PostgresManager, dsn: str
) -> None:
    async with opened(database, dsn, short_plan(minutes=1)) as platform:
        venue = platform.venue
        for number in range(30):
            await asyncio.gather(venue.place(ticket(platform, f"order{number}")), venue.on_prices([candle(platform)]))
            await venue.on_prices([candle(platform)])
            assert await venue.open_orders([]) == ()


def ticket(platform: Platform, client_order_id: str) -> OrderTicket:
    now = platform.clock.now()
    return OrderTicket(
        client_order_id=client_order_id,
        symbol="BTC/USDT",
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=Decimal("0.001"),
        limit_price=None,
        signed_at=now,
        send_by=now + timedelta(seconds=5),
    )


def candle(platform: Platform) -> Candle:
    return Candle(
        instrument_id=1,
        venue=platform.venue.name,
        symbol="BTC/USDT",
        interval_s=60,
        open_time=platform.clock.now(),
        open=100.0,
        high=100.0,
        low=100.0,
        close=100.0,
        volume=1.0,
    )
