"""Two worlds compared: each kind of difference, and none where there is none."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.orders import Order, OrderStatus, Side
from mastertrade.exchanges.exchange import VenueOrder
from mastertrade.order_executor.reconciliation import Break, BreakKind, Ours, Theirs, compare, is_ours
from tests.pure.test_executor_answers import answer, order

S = OrderStatus
OPEN, THEIR_OPEN = order(S.OPEN), answer(S.OPEN)


def differences(
    orders: tuple[Order, ...] = (),
    answers: dict[str, VenueOrder | None] | None = None,
    resting: tuple[VenueOrder, ...] = (),
    ended: dict[str, OrderStatus] | None = None,
    **balances: Any,
) -> tuple[Break, ...]:
    own = {asset: Decimal(pair[0]) for asset, pair in balances.items()}
    told = {asset: Decimal(pair[1]) for asset, pair in balances.items() if pair[1] is not None}
    ours = Ours(orders=orders, ended=ended or {}, balances=own)
    return compare(ours, Theirs(resting=resting, answers=answers or {}, balances=told))


def test_worlds_that_agree_have_no_differences() -> None:
    assert differences() == ()
    assert differences((OPEN,), {"mt1": THEIR_OPEN}, (THEIR_OPEN,), USDT=("10", "10"), BTC=("0", None)) == ()
    assert differences(USDT=("10", "10.00000001")) == (), "venues round to the eighth decimal"


def test_a_balance_that_differs_is_a_break_on_either_side() -> None:
    found = differences(USDT=("10", "9"), BTC=("1", None), ETH=("0", "2"), BNB=("1", "1"))
    assert [(one.kind, one.subject, one.ours, one.theirs, one.blocks) for one in found] == [
        (BreakKind.BALANCE, "BTC", 1, 0, True),
        (BreakKind.BALANCE, "ETH", 0, 2, True),
        (BreakKind.BALANCE, "USDT", 10, 9, True),
    ]


@pytest.mark.parametrize("status", sorted(S))
def test_an_order_the_venue_does_not_know_is_gone_only_where_it_once_stood(status: OrderStatus) -> None:
    found = differences((order(status),), {"mt1": None})
    may_be_absent = status in (S.NEW, S.SUBMITTING, S.UNKNOWN)
    assert [one.kind for one in found] == ([] if may_be_absent else [BreakKind.ORDER_GONE])
    assert differences((order(status),)) == (), "nobody asked about it"


@pytest.mark.parametrize("change", [{"quantity": Decimal(3)}, {"side": Side.SELL}, {"symbol": "ETH/USDT"}])
def test_an_order_that_is_another_one_there_differs(change: dict[str, Any]) -> None:
    (found,) = differences((OPEN,), {"mt1": replace(THEIR_OPEN, **change)})
    assert (found.kind, found.subject, found.blocks) == (BreakKind.ORDER_DIFFERS, "mt1", True)


def test_more_filled_than_told_is_missing_fills_and_less_is_a_list_that_lags() -> None:
    (found,) = differences((OPEN,), {"mt1": answer(S.PARTIALLY_FILLED, "1.5")})
    assert (found.kind, found.ours, found.theirs) == (BreakKind.MISSING_FILLS, 0, Decimal("1.5"))
    assert differences((order(S.PARTIALLY_FILLED, "1"),), {"mt1": answer(S.PARTIALLY_FILLED, "0.5")}) == ()


def test_a_stranger_is_marked_and_blocks_only_when_our_books_ended_it() -> None:
    stranger = replace(THEIR_OPEN, client_order_id="web_7")
    (found,) = differences((OPEN,), {"mt1": THEIR_OPEN}, (THEIR_OPEN, stranger))
    assert (found.kind, found.subject, found.blocks) == (BreakKind.FOREIGN_ORDER, "web_7", False)
    (found,) = differences((), {}, (THEIR_OPEN,), {"mt1": S.CANCELED})
    assert (found.kind, found.subject, found.blocks) == (BreakKind.ORDER_DIFFERS, "mt1", True)
    assert "CANCELED in our books" in found.detail


def test_our_mark_is_the_prefix() -> None:
    assert is_ours("mt0abc")
    assert not is_ours("web_7")
    assert not is_ours("")
