"""The circuit breaker: the deeper an account is down, the smaller its entries, until there are none and what it holds
is given up. Pure. Levels and multipliers are the older system's."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

from mastertrade.risk_manager.limits import Limits


class BreakerLevel(StrEnum):
    NONE = "none"
    WARNING = "warning"
    LEVEL_1 = "level_1"
    LEVEL_2 = "level_2"
    LEVEL_3 = "level_3"

    @property
    def multiplier(self) -> Decimal:
        """What is left of the size of an entry."""
        return MULTIPLIERS[self]

    @property
    def gives_up(self) -> bool:
        """Whether everything held is sold and trading stops until somebody resumes it."""
        return self is BreakerLevel.LEVEL_3


MULTIPLIERS: Final = {
    BreakerLevel.NONE: Decimal(1),
    BreakerLevel.WARNING: Decimal("0.75"),
    BreakerLevel.LEVEL_1: Decimal("0.5"),
    BreakerLevel.LEVEL_2: Decimal(0),
    BreakerLevel.LEVEL_3: Decimal(0),
}
ORDER: Final = tuple(BreakerLevel)


def breaker_level(drawdown_percent: Decimal, day_loss_percent: Decimal, limits: Limits) -> BreakerLevel:
    """By the loss from the highest equity ever, and by that since the start of the day: the tighter of both. A level is
    reached at its number."""
    by_drawdown = (
        (limits.breaker_level_3_percent, BreakerLevel.LEVEL_3),
        (limits.breaker_level_2_percent, BreakerLevel.LEVEL_2),
        (limits.breaker_level_1_percent, BreakerLevel.LEVEL_1),
        (limits.breaker_warning_percent, BreakerLevel.WARNING),
    )
    by_day = (
        (limits.max_daily_loss_percent, BreakerLevel.LEVEL_2),
        (limits.breaker_daily_percent, BreakerLevel.LEVEL_1),
    )
    reached = [
        next((level for least, level in steps if loss >= least), BreakerLevel.NONE)
        for loss, steps in ((drawdown_percent, by_drawdown), (day_loss_percent, by_day))
    ]
    return max(reached, key=ORDER.index)


def loss_percent(reference: Decimal, equity: Decimal) -> Decimal:
    """ValueError for a reference that nothing can be a part of."""
    if not reference > 0:
        raise ValueError(f"equity was {reference}, not above 0")
    return max(Decimal(0), (reference - equity) / reference * 100)
