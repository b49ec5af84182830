"""The simulated market: the same for a seed from wherever it starts, and shaped like a real one."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mastertrade.market_data_service.simulation import PAIRS, VENUES, SimulatedMarket
from mastertrade.market_data_service.source import CandleBatch
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import join
from mastertrade.quant.simulator import SimulatedPair, simulate_day
from mastertrade.shared.errors import UsageError

DAY = 19_000
START = datetime(2024, 3, 1, 23, 30, tzinfo=UTC)


def days(pair: SimulatedPair, count: int, *, seed: int = 7, venue: int = 0) -> Bars:
    bars = simulate_day(pair, seed=seed, day=DAY, venue=venue)
    for day in range(DAY + 1, DAY + count):
        bars = join(bars, simulate_day(pair, seed=seed, day=day, venue=venue))
    return bars


def returns(bars: Bars) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.diff(np.log(bars.close))


@pytest.mark.parametrize("symbol", PAIRS)
@pytest.mark.parametrize("venue", [0, 1])
def test_every_bar_is_a_candle_and_opens_where_the_last_one_closed(symbol: str, venue: int) -> None:
    bars = days(PAIRS[symbol], 3, venue=venue)
    assert (np.diff(bars.time) == 60_000).all()
    assert (bars.low > 0).all()
    assert (bars.volume >= 0).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert np.array_equal(bars.open[1:], bars.close[:-1])
    for column in (bars.open, bars.high, bars.low, bars.close):
        assert np.array_equal(column, np.round(column, PAIRS[symbol].price_decimals))


def test_a_seed_is_a_market() -> None:
    pair = PAIRS["ETH/USDT"]
    assert np.array_equal(days(pair, 1).close, days(pair, 1).close)
    assert not np.array_equal(days(pair, 1).close, days(pair, 1, seed=8).close)


def test_a_seed_stays_the_market_it_was() -> None:
    """Feeds go on for ever: another version of the simulator would break them in the middle."""
    bars = simulate_day(PAIRS["BTC/USDT"], seed=7, day=DAY)
    assert [bars.open[0], bars.close[0], bars.high[720], bars.low[720], bars.close[-1], bars.volume[0]] == WRITTEN


def test_volatility_is_as_asked_and_comes_in_clusters() -> None:
    for pair in PAIRS.values():
        changes = returns(days(pair, 40))
        assert changes.std() * (365 * 1440) ** 0.5 == pytest.approx(pair.annual_volatility, rel=0.35)
        size = np.abs(changes)
        assert np.corrcoef(size[:-60], size[60:])[0, 1] > 0.1
        assert abs(np.corrcoef(changes[:-1], changes[1:])[0, 1]) < 0.05
        assert (changes**4).mean() / changes.var() ** 2 > 4  # fatter tails than a normal distribution's 3


def test_pairs_move_with_the_leader() -> None:
    leader = returns(days(PAIRS["BTC/USDT"], 20))
    for symbol, pair in PAIRS.items():
        if symbol != "BTC/USDT":
            assert np.corrcoef(leader, returns(days(pair, 20)))[0, 1] > 0.4


def test_prices_stay_plausible_for_decades() -> None:
    for pair in PAIRS.values():
        closes = [simulate_day(pair, seed=1, day=day).close[-1] for day in range(10_000, 30_000, 400)]
        assert min(closes) / pair.base_price > 0.02
        assert max(closes) / pair.base_price < 50


def test_the_second_venue_follows_and_now_and_then_leaves() -> None:
    distance = []
    for pair in PAIRS.values():
        first, second = days(pair, 30), days(pair, 30, venue=1)
        distance.append(np.abs(np.log(second.close / first.close)))
    together = np.concatenate(distance)
    assert np.median(together) < 0.0004
    assert together.max() < 0.02
    dislocated = sum(int((np.diff((one > 0.0035).astype(int)) == 1).sum()) for one in distance)
    assert 30 < dislocated < 300  # in a month, over five pairs


async def batches(market: SimulatedMarket, after: datetime | None = None, most: int = 10_000) -> list[CandleBatch]:
    ids = {listing.key: number for number, listing in enumerate(market.instruments, 1)}
    found: list[CandleBatch] = []
    async for batch in market.batches(ids, after):
        found.append(batch)
        if len(found) == most:
            break
    return found


async def test_a_replay_may_start_at_any_minute() -> None:
    end = START + timedelta(hours=2)
    whole = await batches(SimulatedMarket(seed=5, start=START, end=end))
    assert [batch.open_time for batch in whole] == [START + timedelta(minutes=n) for n in range(120)]
    assert {len(batch.candles) for batch in whole} == {len(PAIRS) * len(VENUES)}
    late = await batches(SimulatedMarket(seed=5, start=START + timedelta(minutes=45), end=end))
    assert late == whole[45:]
    assert (
        await batches(SimulatedMarket(seed=5, start=START, end=end), after=START + timedelta(minutes=44)) == whole[45:]
    )


async def test_without_an_end_the_market_goes_on() -> None:
    found = await batches(SimulatedMarket(seed=5, start=START, symbols=["BTC/USDT"]), most=3_000)
    assert found[-1].open_time == START + timedelta(minutes=2_999)


def test_history_and_replay_tell_the_same() -> None:
    until = START + timedelta(hours=1, seconds=59)
    market = SimulatedMarket(seed=5, start=START, symbols=["SOL/USDT"])
    first, second = (list(history.chunks) for history in market.history(until))
    assert sum(map(len, first)) == sum(map(len, second)) == 60
    assert [len(chunk) for chunk in first] == [30, 30]  # a chunk a day


def test_an_unknown_symbol_is_refused() -> None:
    with pytest.raises(UsageError, match="the simulator has no XRP/USDT; it has BTC/USDT"):
        SimulatedMarket(seed=1, start=START, symbols=["XRP/USDT"])


WRITTEN = [78466.72, 78425.14, 77318.82, 77162.03, 77992.09, 38.66166]
