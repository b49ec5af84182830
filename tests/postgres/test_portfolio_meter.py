"""Portfolio risk out of the database: what is held, what was known, and what is kept."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.quant.bars import Bars
from mastertrade.risk_manager.measuring import PortfolioMeter
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager

DAY = timedelta(days=1)
NOW = datetime(2023, 6, 1, tzinfo=UTC)
DAYS = 150
"""Of candles: they reach back over the loss of USDC's peg in March 2023."""


@pytest.fixture
def meter(database: PostgresManager) -> PortfolioMeter:
    return PortfolioMeter(database=database, bars_of=DatabaseBars, window_days=120)


async def an_account(database: PostgresManager) -> None:
    """Bitcoin worth 2,000, ether worth 1,000, a coin without a market and 7,000 in cash."""
    market, clock = MarketDataPostgresDatabase(), ReplayClock(NOW)
    listed = [listing("paper", symbol) for symbol in ("BTC/USDT", "ETH/USDT")]
    await market.add_instruments(database, listed, at=NOW - DAY * DAYS)
    store = CandleStore(manager=database, clock=clock)
    for number, (instrument, last) in enumerate(zip(await market.instruments(database), (2_000.0, 500.0), strict=True)):
        steps = np.random.default_rng(number).normal(0, 0.03, DAYS)
        close = last * np.exp(np.cumsum(steps) - np.sum(steps))
        time = np.array([(NOW - DAY * (DAYS - i)).timestamp() * 1000 for i in range(DAYS)], dtype=np.int64)
        bars = Bars(interval_s=86_400, time=time, open=close, high=close, low=close, close=close, volume=np.ones(DAYS))
        await store.load(instrument.id, bars)
    await database.execute(
        "INSERT INTO accounts (name, venue) VALUES ('main', 'paper'), ('idle', 'paper')",
    )
    for asset, free, locked in (("USDT", 6_000, 1_000), ("BTC", 1, 0), ("ETH", 1, 1), ("SCAM", 5, 0)):
        await database.execute(
            "INSERT INTO portfolio_balances (account_id, asset, free_balance, locked_balance)"
            " SELECT id, $1, $2, $3 FROM accounts WHERE name = 'main'",
            asset, Decimal(free), Decimal(locked),
        )  # fmt: skip
    await database.execute("SELECT mark_book(ARRAY['paper'], $1)", NOW)


async def test_the_book_is_what_the_account_held_at_its_last_mark(
    database: PostgresManager, meter: PortfolioMeter
) -> None:
    await an_account(database)
    book = await meter.book()
    assert (book.account, book.as_of, book.equity, book.cash) == ("main", NOW, Decimal(10_000), Decimal(7_000))
    held = [(one.symbol, one.quantity, one.value) for one in book.holdings]
    assert held == [
        ("BTC/USDT", Decimal(1), Decimal(2_000)),
        ("ETH/USDT", Decimal(2), Decimal(1_000)),
        ("SCAM/USDT", Decimal(5), None),
    ]
    assert await meter.book("main") == book == await meter.book(str(book.account_id))


async def test_figures_are_kept_by_account_and_day_and_an_older_one_changes_nothing(
    database: PostgresManager, meter: PortfolioMeter
) -> None:
    await an_account(database)
    book = await meter.book("main")
    found = await meter.condition(book, confidences=(0.95,))
    assert found.risk.days == 120
    assert found.risk.notes == ("no recent price: SCAM; counted as nothing",)
    await meter.store(found)
    await meter.store(found)
    rows = await database.fetch("SELECT * FROM var_calculations ORDER BY method")
    assert {row["account_id"] for row in rows} == {book.account_id}
    assert {row["date"] for row in rows} == {NOW.date()}
    kept = {row["method"]: row["values"]["value_at_risk"] for row in rows}
    assert kept["historical_0.95_1d"] == found.risk.figures[0].value_at_risk
    assert {"student_t_0.95_1d", "monte_carlo_0.95_1d", "historical_0.95_5d"} <= set(kept)

    await database.execute("UPDATE risk_metrics SET timestamp = timestamp + interval '1 hour', metrics = '{}'")
    await meter.store(found)
    assert await database.fetchval("SELECT metrics FROM risk_metrics") == {}, "a newer one is there"
    [matrix] = await database.fetch("SELECT correlations FROM correlation_matrices")
    assert matrix["correlations"] == found.risk.correlation


async def test_crashes_are_taken_from_the_candles_of_then(database: PostgresManager, meter: PortfolioMeter) -> None:
    await an_account(database)
    found = {one.name: one for one in await meter.stress(await meter.book())}
    assert {name for name, one in found.items() if one.loss is not None} == {"2023-03"}
    btc = next(hit for hit in found["2023-03"].hits if hit.symbol == "BTC/USDT")
    closes = await database.fetch(
        "SELECT c.close FROM candles c JOIN instruments i ON i.id = c.instrument_id WHERE i.symbol = 'BTC/USDT'"
        " AND open_time BETWEEN '2023-03-08Z' AND '2023-03-12Z' ORDER BY open_time"
    )
    first, *later = [row["close"] for row in closes]
    assert btc.move_percent == pytest.approx((min(later) / first - 1) * 100)
    assert found["2020-03"].hits == ()


async def test_an_account_nobody_knows_is_an_error_that_names_those_there_are(
    database: PostgresManager, meter: PortfolioMeter
) -> None:
    with pytest.raises(NotFound, match=r"no account was ever marked; there is none yet; mastertrade demo makes one"):
        await meter.book()
    await an_account(database)
    with pytest.raises(
        NotFound, match=r"account 'mian' is unknown or never marked; there are: (main|idle), (main|idle)"
    ):
        await meter.book("mian")


async def test_forecasts_are_tested_on_the_past_of_what_is_held_and_kept_by_day(
    database: PostgresManager, meter: PortfolioMeter
) -> None:
    await an_account(database)
    book = await meter.book()
    found = await meter.backtest(book, confidences=(0.95,))
    assert {one.days for one in found} == {DAYS - 1 - 60}
    assert {one.method for one in found} == {
        "historical", "weighted_historical", "filtered_historical", "normal", "student_t", "cornish_fisher"
    }  # fmt: skip
    await meter.store_backtest(book, found)
    await meter.store_backtest(book, found)
    rows = await database.fetch("SELECT * FROM var_backtests ORDER BY method")
    assert len(rows) == 6
    assert {(row["account_id"], row["date"]) for row in rows} == {(book.account_id, NOW.date())}
    kept = {row["method"]: (row["days"], row["hits"], row["light"]) for row in rows}
    assert kept == {one.method: (one.days, one.hits, one.light.value) for one in found}


async def test_kept_forecasts_are_held_against_what_came_without_what_was_paid_in(
    database: PostgresManager, meter: PortfolioMeter
) -> None:
    await an_account(database)
    book = await meter.book()
    value, last = 10_000.0, NOW - DAY * 2
    for back in range(30, -1, -1):
        at = last - DAY * back
        await database.execute(
            "INSERT INTO risk_metrics (account_id, date, timestamp, metrics) VALUES ($1, $2, $3, $4)",
            book.account_id, at.date(), at, {"var_1d": value * 0.02, "total_portfolio_value": value},
        )  # fmt: skip
        value *= 0.9 if back in (5, 9) else 1.001
    await withdraw(database, book.account_id, at=last - DAY * 20 + DAY / 2, value=Decimal(-5_000))
    for row in await database.fetch("SELECT date, metrics FROM risk_metrics WHERE date > $1", (last - DAY * 20).date()):
        metrics = row["metrics"] | {"total_portfolio_value": row["metrics"]["total_portfolio_value"] - 5_000}
        await database.execute("UPDATE risk_metrics SET metrics = $2 WHERE date = $1", row["date"], metrics)
    [kept] = await meter.backtest(replace(book, holdings=()), confidences=(0.95,))
    assert (kept.method, kept.days, kept.hits) == ("kept", 30, 2), "a withdrawal of half is no loss"


async def withdraw(database: PostgresManager, account_id: UUID, *, at: datetime, value: Decimal) -> None:
    entry = await database.fetchval("SELECT deposit($1, 'USDT', 1, $2, $3)", account_id, f"test {at}", at)
    await database.execute(
        "INSERT INTO account_flows (entry_id, account_id, value, marked_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (entry_id) DO UPDATE SET value = EXCLUDED.value, marked_at = EXCLUDED.marked_at",
        entry, account_id, value, at,
    )  # fmt: skip
