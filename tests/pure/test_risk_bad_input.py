"""What the risk manager makes of numbers that are none: one defined answer for each, as the page on limits tells."""

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mastertrade.quant.risk.covariance import shrink_to_constant_correlation, shrink_to_identity
from mastertrade.quant.risk.tails import TailMethod, tail_of
from mastertrade.risk_manager.exposure import Exposure
from mastertrade.risk_manager.limits import kind_of
from mastertrade.risk_manager.models import StopLossConfig, StopLossType
from mastertrade.risk_manager.portfolio import Daily, measure
from mastertrade.risk_manager.stops import check_config, check_price
from mastertrade.shared.errors import UsageError
from tests.pure.risk_case import entry, judged
from tests.pure.test_risk_condition import a_book, condition

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "limits.md"


def refused(**changes: Any) -> str:
    verdict = judged(entry(**changes)).verdict
    assert not verdict.disposition.is_approval
    return verdict.reason


def nan_volatility() -> str:
    return refused(exposure=Exposure(volatility=math.nan, variance=math.nan, gross=Decimal(1_000), positions=1))


def zero_equity() -> str:
    return refused(equity=Decimal(0), quote_free=Decimal(0))


def empty_history() -> str:
    found = condition(a_book(3_000.0), days=0)
    assert found.loss.is_assumed
    return "counts as wild" if found.loss.one_day > 0 else "counts as nothing"


def one_observation() -> str:
    tail = tail_of(TailMethod.NORMAL, np.array([0.01]), 0.95)
    assert tail.value_at_risk is None
    return tail.note


def not_a_number_among_returns() -> str:
    with pytest.raises(ValueError, match="no finite numbers") as error:
        tail_of(TailMethod.HISTORICAL, np.array([0.01, math.nan]), 0.95)
    return str(error.value)


def singular_matrix() -> str:
    same = np.tile(np.random.default_rng(1).normal(0, 0.02, (60, 1)), 3)
    for shrink in (shrink_to_constant_correlation, shrink_to_identity):
        assert np.all(np.isfinite(shrink(same).covariance))
    daily = {at: Daily(np.arange(60, dtype=np.int64) * 86_400_000, same[:, 0]) for at in range(2)}
    found = measure(a_book(1_000.0, 500.0), daily, window_days=60)
    assert found.adjusted_exposure == pytest.approx(1_500.0)
    return "markets that are the same count as one"


def unknown_price() -> str:
    return refused(market_price=None)


def negative_limit() -> str:
    with pytest.raises(UsageError) as error:
        kind_of("max_position_percent").check(Decimal(-1))
    return str(error.value)


def stop_on_the_wrong_side() -> str:
    with pytest.raises(UsageError) as error:
        check_price(Decimal(61_000), market=Decimal(60_000), is_long=True)
    return str(error.value)


def stop_without_bounds() -> str:
    with pytest.raises(UsageError) as error:
        check_config(StopLossConfig(stop_type=StopLossType.FIXED, initial_stop_percent=math.inf))
    return str(error.value)


def nothing_left_of_a_lot() -> str:
    return refused(instrument=replace(entry().instrument, lot_size=Decimal(1)))


TABLE: dict[str, tuple[Callable[[], str], str]] = {
    "a volatility that is no number": (nan_volatility, "could not be evaluated"),
    "equity of 0": (zero_equity, "could not be evaluated"),
    "no history": (empty_history, "counts as wild"),
    "one observation": (one_observation, "one return has no deviation"),
    "a return that is no number": (not_a_number_among_returns, "1 of 2 returns are no finite numbers"),
    "a singular matrix": (singular_matrix, "markets that are the same count as one"),
    "a market without a price": (unknown_price, "no stored price to compare with"),
    "a negative limit": (negative_limit, "limit max_position_percent -1 % is outside 0 to 100"),
    "a stop on the wrong side": (stop_on_the_wrong_side, "must be below the market"),
    "a stop infinitely far away": (stop_without_bounds, "outside 0.1 to 20"),
    "less than a lot": (nothing_left_of_a_lot, "min_notional"),
}


@pytest.mark.parametrize("fault", TABLE)
def test_each_has_its_answer(fault: str) -> None:
    answer, told = TABLE[fault]
    assert told in answer()


def test_the_page_tells_each_of_them() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [fault for fault in TABLE if f"| {fault} |" not in page] == []
