"""Order states, client order ids and rounding."""

from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.domain.orders import (
    ACTIVE,
    FINAL,
    LATE_FILL_FROM,
    LEGAL_MOVES,
    OrderStatus,
    client_order_id,
    round_down,
    round_up,
)

APPROVAL = UUID("0192f3a4-0000-7000-8000-000000000001")
STEPS = st.sampled_from([Decimal(text) for text in ("0.00000001", "0.0001", "0.05", "1", "2.5", "100")])
AMOUNTS = st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False, places=10)


def test_every_state_is_either_active_or_final() -> None:
    assert set(OrderStatus) == ACTIVE | FINAL
    assert not ACTIVE & FINAL
    assert set(LEGAL_MOVES) == set(OrderStatus)


def test_a_final_order_is_left_only_by_a_late_fill() -> None:
    late = {OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED}
    assert {status for status in FINAL if LEGAL_MOVES[status]} == LATE_FILL_FROM
    assert all(LEGAL_MOVES[status] == late for status in LATE_FILL_FROM)


def test_nothing_is_sent_twice_no_state_leads_back_to_new_or_submitting() -> None:
    for source, targets in LEGAL_MOVES.items():
        assert OrderStatus.NEW not in targets
        assert OrderStatus.SUBMITTING not in targets or source is OrderStatus.NEW


def test_every_active_state_can_reach_a_final_one() -> None:
    for status in ACTIVE:
        seen, frontier = {status}, {status}
        while frontier:
            frontier = {target for source in frontier for target in LEGAL_MOVES[source]} - seen
            seen |= frontier
        assert seen & FINAL, status


def test_a_client_order_id_is_the_same_for_the_same_approval_and_attempt_only() -> None:
    first = client_order_id(APPROVAL, 1)
    assert first == client_order_id(APPROVAL, 1)
    assert len({first, client_order_id(APPROVAL, 2), client_order_id(APPROVAL, 1, "other")}) == 3


@given(st.uuids(), st.integers(min_value=1, max_value=99))
def test_a_client_order_id_is_24_plain_characters_with_our_prefix(approval: UUID, attempt: int) -> None:
    text = client_order_id(approval, attempt)
    assert len(text) == 24
    assert text.isascii()
    assert text.isalnum()
    assert text.startswith("mt")


@given(AMOUNTS, STEPS)
def test_rounding_stays_within_one_step_and_on_the_grid(value: Decimal, step: Decimal) -> None:
    low, high = round_down(value, step), round_up(value, step)
    assert low <= value <= high
    assert high - low in (0, step)
    assert low % step == 0
    assert high % step == 0


@pytest.mark.parametrize("bad", [Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity")])
def test_rounding_refuses_what_is_no_number(bad: Decimal) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        round_down(bad, Decimal("0.01"))
    with pytest.raises(ValueError, match="must be finite"):
        round_up(Decimal(1), bad)


def test_rounding_refuses_a_step_of_zero() -> None:
    with pytest.raises(ValueError, match="step above 0"):
        round_down(Decimal(1), Decimal(0))
