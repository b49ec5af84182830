"""What a venue's answer means for our order, and when its silence is proof of absence. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mastertrade.domain.orders import LEGAL_MOVES, Order, OrderStatus
from mastertrade.exchanges.exchange import VenueOrder

ABSENT_ANSWERS = 3
"""Definite "no such order" answers needed before an order counts as absent."""
ABSENT_SPREAD = timedelta(seconds=60)
"""Time between the first and the last of them, so that one stale replica cannot answer them all."""

_UNANSWERED = frozenset({OrderStatus.SUBMITTING, OrderStatus.UNKNOWN})
_ENDED_UNFILLED = frozenset({OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED})


def move_for(order: Order, theirs: VenueOrder, *, at: datetime) -> OrderStatus | None:
    """The move our order makes on hearing ``theirs``; None when it stays.

    Fills are booked one by one from the venue's own list, so an answer never makes an order FILLED: it only tells
    that the order is there. An end without fills waits until every fill the venue counted is booked. Cancelled after
    its own time has ended is expired: not every venue knows that time, and then it is we who cancel.
    """
    if order.status.is_final:
        return None
    if theirs.status in _ENDED_UNFILLED and order.filled_quantity >= theirs.filled_quantity:
        end = theirs.status
        if end is OrderStatus.CANCELED and order.terms.is_over(at):
            end = OrderStatus.EXPIRED
        return end if end in LEGAL_MOVES[order.status] else OrderStatus.CANCELED
    if order.status in _UNANSWERED:
        return OrderStatus.OPEN
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """All that is known about an order no venue list shows."""

    send_by: datetime
    venue_now: datetime
    processing_limit: timedelta
    absent_answers: Sequence[datetime]
    is_among_open_orders: bool
    has_fills: bool
    doubts: Sequence[str] = ()
    """What else there is that nobody's order explains, or whoever should have told and did not."""


def is_absent(silence: Silence) -> bool:
    """Whether the order certainly never reached the venue: its send-by time is over for good on the venue's clock,
    the venue said "no such order" often enough after that and over long enough, and neither open orders nor fills
    show it, nor anything that may be it."""
    settled = silence.send_by + silence.processing_limit
    answers = [answer for answer in silence.absent_answers if answer > settled]
    return (
        silence.venue_now > settled
        and len(answers) >= ABSENT_ANSWERS
        and answers[-1] - answers[0] >= ABSENT_SPREAD
        and not silence.is_among_open_orders
        and not silence.has_fills
        and not silence.doubts
    )
