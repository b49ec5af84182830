"""What the account holds beside the instrument under judgement, as the few numbers the checks need.

A portfolio's variance after a trade is a square in the traded amount: with w what else is held, S the covariances and
x the amount in the judged asset it is w'Sw + 2x(Sw)_c + x²S_cc. Three numbers say it for every x, however much is held.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from mastertrade.quant.bars import FloatArray
from mastertrade.risk_manager.asset_classes import AssetClass, asset_class

ASSUMED_VOLATILITY = 0.10
"""A day's, of a market with too short a history: that of a wild one. Such a market counts as moving with all others."""

ASSUMED_VOLUME = Decimal(100_000)
"""In quote a day, of a market nobody has a whole day of: that of a thin one."""


class Held(NamedTuple):
    """One asset beside the account's currency; ``value`` in that currency. A tuple: every judgement makes one of each
    asset."""

    asset: str
    instrument_id: int | None
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Everything except the judged asset itself, of which the case has its own numbers. ``volatility`` and
    ``true_range`` are those of the judged market, daily and as fractions; ``volume`` is what it traded in quote in the
    last whole day, None where nobody knows."""

    gross: Decimal = Decimal(0)
    positions: int = 0
    asset_class: AssetClass = AssetClass.CRYPTO
    class_value: Decimal = Decimal(0)
    stablecoin_value: Decimal = Decimal(0)
    venue_equity: Decimal = Decimal(0)
    total_equity: Decimal = Decimal(0)
    squares: float = 0.0
    correlated_value: float = 0.0
    correlated_with: str = ""
    adjusted_square: float = 0.0
    adjusted_cross: float = 0.0
    variance: float = 0.0
    covariance: float = 0.0
    volatility: float = ASSUMED_VOLATILITY
    true_range: float | None = None
    volume: Decimal | None = None
    assumed: str = ""


def exposure_of(
    held: Sequence[Held],
    *,
    base: str,
    pending: Decimal,
    venue_equity: Decimal,
    total_equity: Decimal,
    correlation: FloatArray,
    volatilities: FloatArray,
    threshold: float,
    true_range: float | None,
    volume: Decimal | None,
    assumed: str,
) -> Exposure:
    """``held`` without the judged asset; rows and columns of ``correlation`` are ``held`` in this order and the judged
    market last, and so are ``volatilities``. ``pending`` is reserved for buys of other markets."""
    values = np.array([float(one.value) for one in held])
    size = len(held)
    with_judged, among = correlation[size, :size], correlation[:size, :size]
    own = float(volatilities[size])
    risks = values * volatilities[:size]
    alike = np.abs(with_judged) > threshold
    judged_class = asset_class(base)
    classes = [asset_class(one.asset) for one in held]
    gross = sum((abs(one.value) for one in held), start=pending)
    return Exposure(
        gross=gross,
        positions=size,
        asset_class=judged_class,
        class_value=_sum_of(held, classes, judged_class),
        stablecoin_value=_sum_of(held, classes, AssetClass.STABLECOIN),
        venue_equity=venue_equity,
        total_equity=total_equity,
        squares=float(values @ values),
        correlated_value=float(np.sum(np.abs(values[alike]))),
        correlated_with=", ".join(
            f"{one.asset} {rho:+.2f}" for one, rho, is_alike in zip(held, with_judged, alike, strict=True) if is_alike
        ),
        adjusted_square=float(values @ among @ values),
        adjusted_cross=float(with_judged @ values),
        variance=float(risks @ among @ risks),
        covariance=float(with_judged @ risks) * own,
        volatility=own,
        true_range=true_range,
        volume=volume,
        assumed=assumed,
    )


def largest_within(square: float, cross: float, own: float, limit: float) -> float:
    """The largest x >= 0 with ``square + 2x·cross + x²·own <= limit²``; 0 where none is, infinity where all are."""
    room = limit * limit - square
    if own <= 0.0:
        return math.inf if room >= 0.0 and cross <= 0.0 else max(room / (2.0 * cross), 0.0) if cross > 0.0 else 0.0
    inside = cross * cross + own * room
    if not inside > 0.0:
        return 0.0
    # The root that is not lost in the difference of two nearly equal numbers.
    root = math.sqrt(inside)
    return max(room / (root + cross) if cross > 0.0 else (root - cross) / own, 0.0)


def _sum_of(held: Sequence[Held], classes: Sequence[AssetClass], wanted: AssetClass) -> Decimal:
    return sum((abs(one.value) for one, found in zip(held, classes, strict=True) if found is wanted), start=Decimal(0))
