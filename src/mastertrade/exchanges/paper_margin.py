"""What a swap account at the paper venue must keep, and when inside a bar it no longer keeps it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

USUAL_MAINTENANCE: Final = Decimal("0.005")
"""Of the notional, where no tiers are known: what a backtest assumes too."""
HALVINGS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """The notional between two bounds needs this rate as maintenance margin. A position of it has no more leverage than
    this; a bound of None is none."""

    notional_from: Decimal
    notional_to: Decimal | None
    maintenance_rate: Decimal
    max_leverage: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A position in a bar, a short below 0: the price goes from ``open`` to ``worst``, which are the same where the bar
    is of another market. ``cost`` is what it was opened for."""

    symbol: str
    quantity: Decimal
    cost: Decimal
    open: Decimal
    worst: Decimal
    tiers: Sequence[Tier] = ()

    def price(self, moment: Decimal) -> Decimal:
        return self.open + (self.worst - self.open) * moment

    def notional(self, moment: Decimal) -> Decimal:
        return abs(self.quantity) * self.price(moment)

    def excess(self, moment: Decimal) -> Decimal:
        """What it has gained or lost, less what it must keep."""
        gained = self.quantity * self.price(moment) - self.cost.copy_sign(self.quantity)
        return gained - maintenance(self.notional(moment), self.tiers)


def maintenance(notional: Decimal, tiers: Sequence[Tier]) -> Decimal:
    """Each tier's rate is for what lies within it, so that no step up makes a position of a little more need much
    more."""
    if not tiers:
        return notional * USUAL_MAINTENANCE
    needed = Decimal(0)
    for tier in tiers:
        upper = notional if tier.notional_to is None or tier is tiers[-1] else min(notional, tier.notional_to)
        needed += max(upper - tier.notional_from, Decimal(0)) * tier.maintenance_rate
    return needed


def most_notional(leverage: Decimal, tiers: Sequence[Tier]) -> Decimal | None:
    """Up to which a position may have this leverage; None where nothing is known to end it."""
    most: Decimal | None = None
    for tier in tiers:
        if tier.max_leverage < leverage:
            return most or Decimal(0)
        most = tier.notional_to
    return most


def broken_at(wallet: Decimal, held: Sequence[Held], since: Decimal = Decimal(0)) -> Decimal | None:
    """The first moment of the bar, from ``since`` on (0 is its open, 1 when every market stands at its worst), at which
    wallet and positions together are down to the maintenance margin. None: they stay above it."""

    def is_broken(moment: Decimal) -> bool:
        return wallet + sum((one.excess(moment) for one in held), Decimal(0)) <= 0

    if not held or not is_broken(Decimal(1)):
        return None
    if is_broken(since):
        return since
    whole, broken = since, Decimal(1)
    for _ in range(HALVINGS):
        middle = (whole + broken) / 2
        if is_broken(middle):
            broken = middle
        else:
            whole = middle
    return broken
