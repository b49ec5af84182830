"""Backtests on stored candles trade by what the markets were: their rules of the time, their funding, finer bars."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from mastertrade.backtest.options import Funding, RulesVersion
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.kind_rows import Funding as FundingRow
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.quant.bars import Bars
from mastertrade.research.asking import Asked, find
from mastertrade.research.options import Options
from mastertrade.research.stored import Job, again, to_row
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import Refused, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategy_service.backtests import BacktestDatabase
from tests.pure.sample_bars import random_walk

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
AT = datetime(2026, 1, 1, tzinfo=UTC)
MARKET = MarketDataPostgresDatabase()
SWAP, SPOT = "BTC/USDT:USDT", "BTC/USDT"
HOURS = 24 * 40


def minutes() -> Bars:
    walk = random_walk(HOURS * 60, seed=4)
    first = int(BEGIN.timestamp()) * 1000
    return replace(walk, interval_s=60, time=first + np.arange(len(walk), dtype=np.int64) * 60_000)


async def stored(database: PostgresManager, symbol: str) -> int:
    await MARKET.add_instruments(database, [listing("binance", symbol)], at=BEGIN)
    (id,) = [one.id for one in await MARKET.instruments(database) if one.symbol == symbol]
    await CandleStore(manager=database, clock=ReplayClock(AT)).load(id, minutes())
    return id


async def settle(database: PostgresManager, id: int, rate: float) -> None:
    times = [int((BEGIN + timedelta(hours=8 * n)).timestamp() * 1_000_000) for n in range(HOURS // 8)]
    await KindStore(manager=database, clock=ReplayClock(AT)).store_funding(id, [FundingRow(at, rate) for at in times])


def asked(symbol: str, **more: object) -> Asked:
    return Asked(symbols=(symbol,), venue="binance", interval="1h", **more)  # type: ignore[arg-type]


async def run(database: PostgresManager, what: Asked, **options: object) -> Job:
    found = await find(what, database)
    return Job(
        strategy="ma_cross", parameters={"fast": 5, "slow": 20}, asked=what, found=found, at=AT,
        options=Options(**options),  # type: ignore[arg-type]
    )  # fmt: skip


async def test_a_run_trades_by_the_rules_of_the_time(database: PostgresManager) -> None:
    id = await stored(database, SPOT)
    changed = BEGIN + timedelta(days=20)
    await database.execute(
        "UPDATE instruments SET lot_size = 1, tick_size = $2, updated_at = $3 WHERE id = $1",
        id,
        Decimal("0.5"),
        changed,
    )
    job = await run(database, asked(SPOT))
    before, after = job.found.rules[SPOT]
    assert isinstance(before, RulesVersion)
    assert (after.rules.lot, after.rules.tick) == (1.0, 0.5)
    assert after.valid_from == int(changed.timestamp() * 1000)
    trades = job.run().run.trades
    late = trades.rows["entry_time"] >= after.valid_from
    assert late.any()
    assert (~late).any()
    assert np.array_equal(trades.rows["quantity"][late] % 1.0, np.zeros(int(late.sum())))
    assert (trades.rows["quantity"][~late] % 1.0 > 0).any()


async def test_a_swap_pays_its_stored_funding_and_one_without_says_so(database: PostgresManager) -> None:
    id = await stored(database, SWAP)
    plain = await run(database, asked(SWAP))
    assert any("no funding rates are stored" in note for note in plain.found.notes)
    assert plain.found.funding == {}
    free = plain.run()
    await settle(database, id, 0.0005)
    job = await run(database, asked(SWAP))
    assert not any("funding" in note for note in job.found.notes)
    paid = job.run()
    assert float(np.sum(paid.run.trades.rows["funding"])) > 0
    assert paid.run.equity[-1] < free.run.equity[-1]
    by_hand = replace(plain.options, rules=plain.found.rules, funding=job.found.funding)
    assert isinstance(job.found.funding[SWAP], Funding)
    again_by_hand = by_hand.run(plain.found.markets, "ma_cross", {"fast": 5, "slow": 20})
    assert again_by_hand.equity[-1] == paid.run.equity[-1]


async def test_finer_stored_candles_tell_what_a_bar_touched_first(database: PostgresManager) -> None:
    await stored(database, SPOT)
    tight = {"stop_loss": 0.002, "take_profit": 0.002}
    coarse = (await run(database, asked(SPOT), **tight)).run()
    fine = (await run(database, asked(SPOT, detail="1m"), **tight)).run()
    assert coarse.run.counts.ambiguous > 0
    assert fine.run.counts.ambiguous < coarse.run.counts.ambiguous
    assert fine.run.counts.drilled > 0
    assert fine.run.equity[-1] != coarse.run.equity[-1]
    for wrong, told in (("1h", "shorter than the bars"), ("7m", "divide")):
        with pytest.raises((UsageError, ValueError), match=told):
            await find(asked(SPOT, detail=wrong), database)


async def test_a_stored_run_is_made_again_with_all_of_it_and_refused_when_it_has_changed(
    database: PostgresManager,
) -> None:
    id = await stored(database, SWAP)
    await settle(database, id, 0.0001)
    job = await run(database, asked(SWAP, detail="1m"), stop_loss=0.01, take_profit=0.01)
    row = to_row(job, job.run())
    kept = BacktestDatabase()
    await kept.save_run(database, row, at=AT)
    found = await kept.run(database, str(row.id))
    _, result = await again(found, database)
    assert result.run.equity[-1] == job.run().run.equity[-1]
    assert result.run.trades == job.run().run.trades
    await database.execute("UPDATE funding_rates SET rate = 0.0002 WHERE instrument_id = $1", id)
    with pytest.raises(Refused, match="rules or funding"):
        await again(found, database)
