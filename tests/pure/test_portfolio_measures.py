"""What an account may lose, from what it holds and how its markets moved."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from mastertrade.quant.risk.tails import TailMethod, tail_of
from mastertrade.risk_manager.portfolio import FEWEST_DAYS, Book, Daily, Holding, daily_returns, measure, together
from mastertrade.risk_manager.stress import read_shocks, under_moves, under_shocks
from mastertrade.shared.errors import UsageError

DAY_MS = 86_400_000
NOW = datetime(2024, 1, 31, tzinfo=UTC)


def holding(asset: str, number: int, value: float | None) -> Holding:
    worth = None if value is None else Decimal(str(value))
    return Holding(asset=asset, instrument_id=number, symbol=f"{asset}/USDT", quantity=Decimal(1), value=worth)


def book(*holdings: Holding, equity: float = 10_000.0) -> Book:
    return Book(
        account_id=UUID(int=1), account="one", venue="paper", quote="USDT", as_of=NOW, equity=Decimal(str(equity)),
        cash=Decimal(0), high_water_mark=Decimal(str(equity)) * 2, high_water_at=NOW,
        max_drawdown=Decimal(0), holdings=holdings,
    )  # fmt: skip


def days(returns: np.ndarray, first: int = 0) -> Daily:
    return Daily(np.arange(first, first + len(returns), dtype=np.int64) * DAY_MS, returns)


def drawn(seed: int, count: int = 250, scale: float = 0.03) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(5, count) * scale


def test_one_holding_loses_what_its_market_loses() -> None:
    returns = drawn(1)
    found = measure(book(holding("BTC", 1, 4_000)), {1: days(returns)}, window_days=250)
    historical = next(one for one in found.figures if one.method is TailMethod.HISTORICAL)
    expected = tail_of(TailMethod.HISTORICAL, returns, 0.95)
    assert expected.value_at_risk is not None
    assert expected.expected_shortfall is not None
    assert historical.value_at_risk == pytest.approx(4_000 * expected.value_at_risk)
    assert historical.expected_shortfall == pytest.approx(4_000 * expected.expected_shortfall)
    assert historical.percent == pytest.approx(40 * expected.value_at_risk)
    assert (found.days, found.leverage, found.concentration, found.drawdown_percent) == (250, 0.4, 1.0, 50.0)
    assert found.adjusted_exposure == pytest.approx(4_000)


def test_the_parts_sum_to_the_normal_figure_without_mean() -> None:
    held = book(holding("BTC", 1, 3_000), holding("ETH", 2, 1_500), holding("DOGE", 3, 500))
    base = drawn(1)
    daily = {1: days(base), 2: days(base + drawn(2) / 3), 3: days(drawn(3))}
    found = measure(held, daily, window_days=250)
    adds = [part.component for part in found.parts]
    assert all(one is not None for one in adds)
    deviation = sum(one for one in adds if one is not None) / 1.6448536
    assert deviation == pytest.approx(5_000 * np.std(together(list(daily.values())) @ [0.6, 0.3, 0.1]), rel=0.05)
    assert [part.symbol for part in found.parts] == ["BTC/USDT", "ETH/USDT", "DOGE/USDT"]
    assert found.correlation["BTC/USDT"]["ETH/USDT"] > found.correlation["BTC/USDT"]["DOGE/USDT"]
    assert found.adjusted_exposure is not None
    assert 2_500 < found.adjusted_exposure < 5_000


def test_longer_horizons_may_lose_more_and_the_same_seed_says_the_same() -> None:
    held, daily = book(holding("BTC", 1, 4_000)), {1: days(drawn(1))}
    found = measure(held, daily, window_days=250)
    one, five = (
        next(
            f for f in found.figures if (f.method, f.confidence, f.horizon_days) == (TailMethod.HISTORICAL, 0.99, days)
        )
        for days in (1, 5)
    )
    assert one.value_at_risk is not None
    assert five.value_at_risk is not None
    assert one.value_at_risk < five.value_at_risk < 5 * one.value_at_risk
    assert five.note == "drawn from 250 days"
    assert measure(held, daily, window_days=250) == found


def test_a_hedge_takes_risk_away() -> None:
    returns = drawn(1)
    daily = {1: days(returns), 2: days(returns * 1.1)}
    hedged = measure(book(holding("BTC", 1, 4_000), holding("ETH", 2, -3_500)), daily, window_days=250)
    alone = measure(book(holding("BTC", 1, 4_000)), daily, window_days=250)
    assert (hedged.figures[0].value_at_risk or 0) < (alone.figures[0].value_at_risk or 0) / 5
    assert min(part.component or 0 for part in hedged.parts) < 0
    assert hedged.exposure == 7_500


def test_an_account_that_holds_nothing_risks_nothing() -> None:
    found = measure(book(), {}, window_days=250)
    assert [(one.value_at_risk, one.note) for one in found.figures] == [(0.0, "nothing is held")]
    assert (found.exposure, found.concentration, found.parts, found.notes) == (0.0, 0.0, (), ())
    broke = measure(book(equity=0), {}, window_days=250)
    assert (broke.leverage, broke.drawdown_percent) == (None, 0.0)


def test_what_cannot_be_measured_is_named_and_not_guessed() -> None:
    held = book(holding("BTC", 1, 4_000), holding("NEW", 2, 1_000), holding("DEAD", 3, None))
    found = measure(held, {1: days(drawn(1)), 2: days(drawn(2, FEWEST_DAYS - 1))}, window_days=250)
    assert found.notes == (
        "no recent price: DEAD; counted as nothing",
        "fewer than 20 daily returns: NEW/USDT; not in the losses below",
    )
    assert found.exposure == 5_000
    assert next(part for part in found.parts if part.symbol == "NEW/USDT").component is None
    apart = measure(
        book(holding("BTC", 1, 1), holding("ETH", 2, 1)), {1: days(drawn(1)), 2: days(drawn(2), 240)}, window_days=250
    )
    assert apart.figures == ()
    assert apart.notes == ("only 10 days are common to all markets; 20 are needed",)


def test_few_days_speak_through_a_normal_distribution() -> None:
    found = measure(book(holding("BTC", 1, 4_000)), {1: days(drawn(1, 30))}, window_days=250)
    assert found.figures[0].method is TailMethod.NORMAL
    assert found.figures[0].note == "30 days are too few for their own losses, 60 are needed"
    assert all(one.method is not TailMethod.HISTORICAL or "Cornish" in one.note for one in found.figures)


def test_returns_over_a_hole_belong_to_no_day() -> None:
    time = np.array([0, 1, 2, 5, 6], dtype=np.int64) * DAY_MS
    found = daily_returns(time, np.array([1.0, 2.0, 3.0, 30.0, 60.0]))
    assert found.time.tolist() == [1 * DAY_MS, 2 * DAY_MS, 6 * DAY_MS]
    assert found.returns.tolist() == [1.0, 0.5, 1.0]
    assert len(daily_returns(time[:1], np.ones(1)).returns) == 0


def test_a_crash_costs_its_moves_and_the_worst_of_them_where_none_is_known() -> None:
    held = book(holding("BTC", 1, 4_000), holding("ETH", 2, 1_000), holding("NEW", 3, 500))
    found = under_moves(held, "then", "a crash", {"BTC/USDT": -0.4, "ETH/USDT": -0.5})
    assert (found.loss, found.percent, found.equity_after) == (2_350.0, 23.5, 7_650.0)
    assert [(hit.symbol, hit.is_assumed) for hit in found.hits] == [
        ("BTC/USDT", False), ("ETH/USDT", False), ("NEW/USDT", True)
    ]  # fmt: skip
    assert under_moves(held, "then", "", {"XRP/USDT": -0.9}).loss is None
    short = replace(held, holdings=(holding("BTC", 1, -1_000),))
    assert under_moves(short, "up", "", {"BTC/USDT": 0.25}).loss == 250.0


def test_shocks_are_read_by_asset_symbol_and_star() -> None:
    held = book(holding("BTC", 1, 4_000), holding("ETH", 2, 1_000), holding("NEW", 3, 500))
    found = under_shocks(held, read_shocks(["btc=-30", "ETH/USDT=10", "*=-50"]))
    assert found.loss == pytest.approx(1_200 - 100 + 250)
    assert under_shocks(held, read_shocks(["BTC=-30"])).loss == pytest.approx(1_200)
    for word in ("BTC", "BTC=", "=-3", "BTC=-101", "BTC=nan", "BTC=-3%"):
        with pytest.raises(UsageError, match="is none; write an asset and percent"):
            read_shocks([word])
