"""The strategy service on a real database: signals are stored and published together, once, as a backtest sees them."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from mastertrade.domain.events import SignalRaised
from mastertrade.domain.strategy import StrategyStatus
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.columns import together
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import DatabaseDown
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategies import TEMPLATES, Parameters, build
from mastertrade.strategy_service.config import StrategySettings
from mastertrade.strategy_service.service import StrategyService
from tests.postgres.strategy_seed import (
    START,
    ArraySource,
    RecordingBus,
    add_account,
    add_instrument,
    batch,
    coarser,
    count,
    minute_bars,
)
from tests.pure.sample_bars import recorded_bars

VENUE = "simulated"
RISING = [10, 9, 8, 7, 9, 11, 12, 13]
"""With averages of 2 and 3 minutes the fast one meets the slow one at the 9 and crosses above at the 11, the sixth."""
CROSS = 5


@dataclass
class Desk:
    manager: PostgresManager
    clock: ReplayClock
    bus: RecordingBus
    source: ArraySource
    service: StrategyService
    account_id: UUID
    bars: dict[int, tuple[str, Bars]]

    async def create(self, name: str = "cross", **more: Any) -> UUID:
        wanted: dict[str, Any] = {"template": "ma_cross", "parameters": {"fast": 2, "slow": 3}, "timeframe_s": 60}
        wanted |= {"symbols": [symbol for symbol, _ in self.bars.values()]} | more
        strategy = await self.service.registry.create_strategy(name=name, account_id=self.account_id, **wanted)
        return strategy.id

    async def minute(self, place: int, venue: str = VENUE) -> None:
        """Deliver one minute as the bus would: the handler inside its own transaction."""
        event = batch(venue, self.bars, START + timedelta(minutes=place))
        self.clock.advance(event.occurred_at)
        async with self.manager.transaction() as tx:
            await self.service.on_candles_closed(event, tx)

    async def minutes(self, places: range) -> None:
        for place in places:
            await self.minute(place)

    @property
    def raised(self) -> list[SignalRaised]:
        return [event for event in self.bus.events if isinstance(event, SignalRaised)]


@pytest.fixture
def open_desk(database: PostgresManager) -> Callable[..., Awaitable[Desk]]:
    async def make(closes: list[float] | None = None, templates: dict[str, Any] | None = None) -> Desk:
        instrument_id = await add_instrument(database, VENUE, "BTC/USDT")
        return await desk_of(database, {instrument_id: ("BTC/USDT", minute_bars(closes or RISING))}, templates)

    return make


async def desk_of(
    database: PostgresManager, bars: dict[int, tuple[str, Bars]], templates: dict[str, Any] | None = None
) -> Desk:
    clock, bus = ReplayClock(START), RecordingBus()
    source = ArraySource({number: minutes for number, (_, minutes) in bars.items()})
    service = StrategyService(
        settings=StrategySettings(),
        clock=clock,
        bus=bus,
        manager=database,
        bars=source,
        templates=TEMPLATES if templates is None else templates,
    )
    await service.start()
    return Desk(
        manager=database,
        clock=clock,
        bus=bus,
        source=source,
        service=service,
        account_id=await add_account(database, VENUE),
        bars=bars,
    )


async def test_a_crossing_is_stored_with_its_evidence_and_published(
    open_desk: Callable[..., Awaitable[Desk]],
) -> None:
    desk = await open_desk()
    strategy_id = await desk.create()

    await desk.minutes(range(8))

    (event,) = desk.raised
    signal = event.signal
    row = await desk.manager.fetchrow("SELECT * FROM signals")
    assert row is not None
    assert (row["id"], row["strategy_id"], row["account_id"]) == (signal.id, strategy_id, desk.account_id)
    assert (row["signal_type"], row["symbol"], row["price"], row["confidence"]) == ("BUY", "BTC/USDT", 11, 75.0)
    assert row["bar_close"] == row["timestamp"] == signal.raised_at == START + timedelta(minutes=CROSS + 1)
    assert row["valid_until"] == signal.valid_until == signal.raised_at + timedelta(seconds=30)
    assert row["evidence"] == signal.evidence
    assert (row["evidence"]["close"], row["evidence"]["sma_2"], row["evidence"]["sma_3"]) == (11.0, 10.0, 9.0)
    assert (event.correlation_id, event.key) == (signal.id, str(desk.account_id))


async def test_the_same_minute_delivered_twice_raises_one_signal_and_one_event(
    open_desk: Callable[..., Awaitable[Desk]],
) -> None:
    desk = await open_desk()
    await desk.create()
    await desk.minutes(range(8))

    await desk.minutes(range(8))
    await desk.service.start()
    await desk.minutes(range(8))

    assert await count(desk.manager, "signals") == 1
    assert len(desk.raised) == 1


async def test_a_transaction_that_fails_leaves_neither_signal_nor_event(
    open_desk: Callable[..., Awaitable[Desk]],
) -> None:
    desk = await open_desk()
    await desk.create()
    event = batch(VENUE, desk.bars, START + timedelta(minutes=CROSS))

    async def dies_before_the_commit() -> None:
        async with desk.manager.transaction() as tx:
            await desk.service.on_candles_closed(event, tx)
            raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError, match="dies here"):
        await dies_before_the_commit()
    assert (await count(desk.manager, "signals"), desk.raised) == (0, [])

    await desk.minute(CROSS)
    assert (await count(desk.manager, "signals"), len(desk.raised)) == (1, 1)


class Broken:
    """A template of somebody who did not test it."""

    name, legacy_type, parameter_type = "broken", "BROKEN", Parameters

    def warm_up(self, params: Parameters) -> int:
        return 0

    def positions(self, bars: Bars, params: Parameters) -> FloatArray:
        raise ZeroDivisionError("volume was zero")

    def evidence(self, bars: Bars, params: Parameters, i: int) -> dict[str, float]:
        return {}

    def confidence(self, bars: Bars, params: Parameters, i: int) -> float:
        return 0.0


async def test_a_strategy_that_fails_is_recorded_and_does_not_stop_the_others(
    open_desk: Callable[..., Awaitable[Desk]],
) -> None:
    desk = await open_desk(templates={**TEMPLATES, "broken": Broken()})
    broken = await desk.create("broken", template="broken", parameters={})
    works = await desk.create("works")
    await desk.manager.execute("UPDATE strategies SET template = NULL, type = 'swing' WHERE id = $1", works)
    unknown, works = works, await desk.create("works too")

    await desk.minute(CROSS)

    rows = await desk.manager.fetch("SELECT * FROM strategy_performance")
    errors = {row["strategy_id"]: row["error"] for row in rows}
    known = ", ".join(sorted([*TEMPLATES, "broken"]))
    assert errors == {
        broken: "ZeroDivisionError: volume was zero",
        unknown: f"UsageError: strategy type 'swing' has no template; known: {known}",
        works: None,
    }
    summary = next(row for row in rows if row["strategy_id"] == works)
    assert (summary["signals_count"], summary["symbol"]) == (1, "BTC/USDT")
    assert summary["signals_summary"] == [{"type": "BUY", "confidence": 75.0, "price": 11.0}]
    assert 0 < summary["execution_time"] < 5
    assert [event.signal.strategy_id for event in desk.raised] == [works]


async def test_a_database_that_fails_is_no_outcome_of_a_strategy_but_a_reason_to_try_again(
    open_desk: Callable[..., Awaitable[Desk]], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk()
    await desk.create()

    async def lost(*_: Any, **__: Any) -> Bars:
        raise DatabaseDown("the connection is lost")

    with monkeypatch.context() as broken:
        broken.setattr(desk.source, "read", lost)
        with pytest.raises(DatabaseDown):
            await desk.minute(CROSS)
    assert await count(desk.manager, "strategy_performance") == 0

    await desk.minute(CROSS)
    assert len(desk.raised) == 1


async def test_strategies_run_only_when_their_bar_closes(open_desk: Callable[..., Awaitable[Desk]]) -> None:
    desk = await open_desk([100.0 + place for place in range(61)])
    await desk.create("every quarter", timeframe_s=900)
    await desk.create("every hour", timeframe_s=3600)

    await desk.minutes(range(61))

    rows = await desk.manager.fetch(
        "SELECT s.name, array_agg(p.timestamp ORDER BY p.timestamp) AS times"
        " FROM strategy_performance p JOIN strategies s ON s.id = p.strategy_id GROUP BY 1"
    )
    minutes = {row["name"]: [(at - START).total_seconds() / 60 for at in row["times"]] for row in rows}
    assert minutes == {"every quarter": [15, 30, 45, 60], "every hour": [60]}
    assert len(desk.source.reads) == 5


@pytest.mark.parametrize("status", [s for s in StrategyStatus if s is not StrategyStatus.ACTIVE])
async def test_only_active_strategies_run(open_desk: Callable[..., Awaitable[Desk]], status: StrategyStatus) -> None:
    desk = await open_desk()
    await desk.service.registry.set_status(await desk.create(), status)
    await desk.minutes(range(8))
    assert (await count(desk.manager, "strategy_performance"), desk.raised) == (0, [])


async def test_the_operators_kill_switch_stops_an_active_strategy(open_desk: Callable[..., Awaitable[Desk]]) -> None:
    desk = await open_desk()
    await desk.manager.execute("UPDATE strategies SET enabled = false WHERE id = $1", await desk.create())
    await desk.minutes(range(8))
    assert desk.raised == []


async def test_candles_of_another_venue_are_not_the_accounts_business(
    open_desk: Callable[..., Awaitable[Desk]],
) -> None:
    desk = await open_desk()
    await desk.create()
    await desk.minute(CROSS, venue="elsewhere")
    assert await count(desk.manager, "strategy_performance") == 0


async def test_a_bar_with_a_missing_minute_is_not_evaluated(open_desk: Callable[..., Awaitable[Desk]]) -> None:
    desk = await open_desk([100.0 + place for place in range(30)])
    (number,) = desk.bars
    symbol, minutes = desk.bars[number]
    kept = np.arange(len(minutes)) != 7
    holed = Bars(
        interval_s=60,
        time=minutes.time[kept],
        open=minutes.open[kept],
        high=minutes.high[kept],
        low=minutes.low[kept],
        close=minutes.close[kept],
        volume=minutes.volume[kept],
    )
    desk.bars[number], desk.source.minutes[number] = (symbol, holed), holed
    await desk.create(timeframe_s=900)

    await desk.minutes(range(30))

    rows = await desk.manager.fetch("SELECT error FROM strategy_performance ORDER BY timestamp")
    assert [row["error"] for row in rows] == ["the bar up to 2021-09-18 00:15:00+00:00 is incomplete", None]


async def test_a_strategy_that_compares_markets_waits_for_the_last_of_them(database: PostgresManager) -> None:
    bars = {
        await add_instrument(database, VENUE, symbol): (symbol, minute_bars(closes))
        for symbol, closes in (("BTC/USDT", [100.0, 101, 102, 103]), ("ETH/USDT", [50.0, 51, 54, 56]))
    }
    desk = await desk_of(database, bars)
    await desk.create(template="momentum_rank", parameters={"lookback": 1, "every": 1})
    (_, late), whole = bars, dict(desk.source.minutes)
    desk.source.minutes[late] = whole[late][:1]
    desk.bars = {number: pair for number, pair in bars.items() if number != late}
    await desk.minute(1)
    errors = await database.fetch("SELECT error FROM strategy_performance")
    assert [row["error"] for row in errors] == ["waits for the bar up to 2021-09-18 00:02:00+00:00 of ETH/USDT"] * 2

    desk.source.minutes[late], desk.bars = whole[late], {late: bars[late]}
    await desk.minute(1)
    assert [(event.signal.symbol, event.signal.type) for event in desk.raised] == [("ETH/USDT", "BUY")]


async def test_a_minute_that_ends_no_bar_costs_about_a_millisecond_at_most(
    open_desk: Callable[..., Awaitable[Desk]],
) -> None:
    desk = await open_desk([100.0] * 200)
    for number in range(20):
        await desk.create(f"strategy {number}", timeframe_s=3600)
    events = [batch(VENUE, desk.bars, START + timedelta(minutes=place)) for place in range(1, 51)]
    seconds = []
    async with desk.manager.transaction() as tx:
        for event in events:
            started = time.perf_counter()
            await desk.service.on_candles_closed(event, tx)
            seconds.append(time.perf_counter() - started)
    # The best quarter: other tests share the machine. A database in doubt would cost tens of milliseconds.
    assert sorted(seconds)[len(seconds) // 4] < 0.005
    assert desk.source.reads == []


async def test_live_signals_on_recorded_candles_are_the_changes_a_backtest_sees(
    database: PostgresManager, real_candles: Path
) -> None:
    """Law 7, over real hours of three pairs: same bars, same decisions."""
    begin = datetime.fromisoformat("2021-09-20T00:00:00+00:00")
    history = round((begin - timedelta(days=1)).timestamp() * 1000)
    end = round((begin + timedelta(hours=10)).timestamp() * 1000)
    bars: dict[int, tuple[str, Bars]] = {}
    for pair in ("BTC_USDT", "ETH_USDT", "SOL_USDT"):
        minutes = recorded_bars(real_candles, pair)
        symbol = pair.replace("_", "/")
        number = await add_instrument(database, VENUE, symbol)
        low, high = np.searchsorted(minutes.time, (history, end)).tolist()
        bars[number] = (symbol, minutes[low:high])
    desk = await desk_of(database, bars)
    setups: dict[str, dict[str, Any]] = {
        "ma_cross": {"fast": 5, "slow": 20},
        "rsi_reversion": {"period": 7},
        "momentum_rank": {"lookback": 12, "every": 6},
        "btc_correlation": {"window": 24},
    }
    names = {await desk.create(name, template=name, parameters=setups[name], timeframe_s=300): name for name in setups}

    first = round((begin - START).total_seconds() / 60)
    await desk.minutes(range(first, first + 10 * 60))

    signals = [event.signal for event in desk.raised]
    live = {(names[s.strategy_id], s.instrument_id, s.bar_close, s.type) for s in signals}
    expected = set()
    markets = together({symbol: coarser(minutes, 300) for symbol, minutes in bars.values()})
    for name, parameters in setups.items():
        for number, (symbol, _) in bars.items():
            whole = markets[symbol]
            targets = build(name, parameters).positions(whole)
            for i in range(1, len(whole)):
                close = datetime.fromtimestamp(int(whole.time[i]) / 1000 + 300, begin.tzinfo)
                if targets[i] != targets[i - 1] and close > begin:
                    expected.add((name, number, close, "BUY" if targets[i] else "SELL"))
    assert live == expected
    assert len(live) > 20
    assert await count(database, "signals") == len(live)
