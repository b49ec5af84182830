"""What a venue's answer means, and when silence is proof."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from mastertrade.domain.orders import LEGAL_MOVES, Order, OrderStatus, OrderType, Side
from mastertrade.exchanges.exchange import VenueOrder
from mastertrade.order_executor.answers import Silence, is_absent, move_for

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = UUID(int=1)


def order(status: OrderStatus, filled: str = "0") -> Order:
    return Order(
        id=ID,
        approval_id=ID,
        attempt=1,
        client_order_id="mt1",
        exchange_order_id=None,
        signal_id=None,
        strategy_id=None,
        account_id=ID,
        instrument_id=1,
        symbol="BTC/USDT",
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=Decimal(2),
        price=None,
        status=status,
        filled_quantity=Decimal(filled),
        reduces=False,
        order_time=NOW,
        valid_until=NOW,
        signed_at=NOW,
        send_by=NOW,
        unknown_since=None,
    )


def answer(status: OrderStatus, filled: str = "0") -> VenueOrder:
    return VenueOrder(
        client_order_id="mt1",
        exchange_order_id="7",
        symbol="BTC/USDT",
        side=Side.BUY,
        quantity=Decimal(2),
        filled_quantity=Decimal(filled),
        status=status,
    )


@pytest.mark.parametrize("ours", list(OrderStatus))
@pytest.mark.parametrize(
    "theirs",
    [
        OrderStatus.OPEN,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
        OrderStatus.REJECTED,
    ],
)
@pytest.mark.parametrize("filled", ["0", "1", "2"])
def test_every_move_an_answer_asks_for_is_legal_and_never_a_fill(
    ours: OrderStatus, theirs: OrderStatus, filled: str
) -> None:
    for booked in ("0", "1", "2"):
        move = move_for(order(ours, booked), answer(theirs, filled), at=NOW)
        assert move is None or (move in LEGAL_MOVES[ours] and move is not OrderStatus.FILLED)


def test_an_end_waits_until_the_fills_the_venue_counted_are_booked() -> None:
    assert move_for(order(OrderStatus.PARTIALLY_FILLED, "0.5"), answer(OrderStatus.CANCELED, "1"), at=NOW) is None
    assert (
        move_for(order(OrderStatus.PARTIALLY_FILLED, "1"), answer(OrderStatus.CANCELED, "1"), at=NOW)
        is OrderStatus.CANCELED
    )


def test_a_filled_order_found_after_silence_is_open_until_its_fills_are_booked() -> None:
    assert move_for(order(OrderStatus.UNKNOWN), answer(OrderStatus.FILLED, "2"), at=NOW) is OrderStatus.OPEN


def silence(**changes: Any) -> Silence:
    settled = NOW + timedelta(seconds=10)
    answers = [settled + timedelta(seconds=s) for s in (1, 31, 61)]
    facts: dict[str, Any] = {
        "send_by": NOW,
        "venue_now": answers[-1],
        "processing_limit": timedelta(seconds=10),
        "absent_answers": answers,
        "is_among_open_orders": False,
        "has_fills": False,
    }
    return Silence(**(facts | changes))


def test_three_answers_over_a_minute_after_the_send_window_prove_absence() -> None:
    assert is_absent(silence())


@pytest.mark.parametrize(
    "changes",
    [
        {"is_among_open_orders": True},
        {"has_fills": True},
        {"doubts": ["a trade that nobody's order explains"]},
        {"venue_now": NOW + timedelta(seconds=9)},
        {"absent_answers": [NOW + timedelta(seconds=s) for s in (11, 71)]},
        {"absent_answers": [NOW + timedelta(seconds=s) for s in (11, 12, 13)]},
        {"absent_answers": [NOW + timedelta(seconds=s) for s in (1, 2, 71)]},
        {"absent_answers": []},
    ],
)
def test_anything_less_leaves_the_order_unknown(changes: dict[str, Any]) -> None:
    assert not is_absent(silence(**changes))
