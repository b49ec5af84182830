"""The circuit breaker's ladder, and what it does to an entry."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.risk_manager.breaker import ORDER, BreakerLevel, breaker_level, loss_percent
from mastertrade.risk_manager.gathering import Inputs
from tests.pure.risk_case import LIMITS, check_of, entry, exit_, judged


@pytest.mark.parametrize(
    ("drawdown", "day", "level", "multiplier"),
    [
        ("0", "0", "none", "1"),
        ("4.99", "2.99", "none", "1"),
        ("5", "0", "warning", "0.75"),
        ("10", "0", "level_1", "0.5"),
        ("15", "0", "level_2", "0"),
        ("20", "0", "level_3", "0"),
        ("99", "0", "level_3", "0"),
        ("0", "3", "level_1", "0.5"),
        ("0", "5", "level_2", "0"),
        ("6", "3", "level_1", "0.5"),
        ("20", "3", "level_3", "0"),
    ],
)
def test_the_ladder(drawdown: str, day: str, level: str, multiplier: str) -> None:
    found = breaker_level(Decimal(drawdown), Decimal(day), LIMITS)
    assert (found, found.multiplier) == (BreakerLevel(level), Decimal(multiplier))
    assert found.gives_up is (level == "level_3")


percent = st.decimals(0, 100, places=2)


@given(percent, percent, percent, percent)
def test_deeper_losses_never_lower_the_level(one: Decimal, other: Decimal, day: Decimal, later: Decimal) -> None:
    less = breaker_level(min(one, other), min(day, later), LIMITS)
    more = breaker_level(max(one, other), max(day, later), LIMITS)
    assert ORDER.index(less) <= ORDER.index(more)
    assert less.multiplier >= more.multiplier


@pytest.mark.parametrize(
    ("equity", "share"), [("95001", "1"), ("95000", "0.75"), ("90000", "0.5"), ("85000", None), ("70000", None)]
)
def test_entries_shrink_with_the_drawdown_and_end(equity: str, share: str | None) -> None:
    case = entry(equity=Decimal(equity), day_start_equity=Decimal(equity), week_start_equity=Decimal(equity))
    judgement = judged(case)
    check = check_of(judgement, "circuit_breaker")
    assert check.passed is (share is not None)
    if share is not None:
        asked = judgement.verdict.requested_quantity
        assert check.reduced_to in ((None,) if share == "1" else (round(asked * Decimal(share) - Decimal("5e-6"), 5),))
        assert judgement.verdict.approved_quantity <= asked * Decimal(share)


def test_an_override_holds_it_open_and_exits_never_meet_it() -> None:
    down = {"equity": Decimal(88_000), "day_start_equity": Decimal(88_000), "week_start_equity": Decimal(88_000)}
    check = check_of(judged(entry(**down, breaker_override="held open until noon by ann: tested")), "circuit_breaker")
    assert (check.passed, check.reduced_to) == (True, None)
    assert "level_1" in check.detail
    assert "by ann" in check.detail
    assert check_of(judged(exit_(**down)), "circuit_breaker").detail == "an exit is exempt"


def test_nothing_to_compare_with_refuses() -> None:
    with pytest.raises(ValueError, match="not above 0"):
        loss_percent(Decimal(0), Decimal(1))
    check = check_of(judged(entry(high_water_mark=Decimal(0))), "circuit_breaker")
    assert not check.passed
    assert "could not be evaluated" in check.detail


def test_inputs_of_before_the_breaker_are_judged_as_they_were() -> None:
    data = Inputs(case=entry(), limits=LIMITS, limits_version=1).to_json()
    for name in [name for name in data["limits"] if name.startswith("breaker_")]:
        del data["limits"][name]
    del data["case"]["breaker_override"], data["case"]["requested"]
    again = Inputs.from_json(data)
    assert again.limits.breaker_warning_percent == 100
    assert again.case.breaker_override == ""
