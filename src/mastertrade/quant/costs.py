"""What a trade costs. One written model, so that backtest and paper venue can differ in nothing else.

The rates are floats. A float prints as the shortest text that reads back as itself, so ``Decimal(str(costs.slippage))``
is exactly the rate somebody wrote. Exact rooms convert the rates that way, once, and call the same formulas below,
which work on any one kind of number.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

BUY_SIGN = 1
SELL_SIGN = -1


class Number(Protocol):
    """What float and Decimal have in common, as far as the formulas need it."""

    def __add__(self: "N", other: "N", /) -> "N": ...
    def __mul__(self: "N", other: "N", /) -> "N": ...
    def __rmul__(self: "N", other: int, /) -> "N": ...
    def __radd__(self: "N", other: int, /) -> "N": ...


N = TypeVar("N", bound=Number)


def fill_price(reference: N, side_sign: int, half_spread: N, slippage: N) -> N:
    """What a market order gets when the price stands at ``reference``: always worse than it, never rounded.

    ``side_sign`` is +1 for a buy, -1 for a sell.
    """
    return reference * (1 + side_sign * (half_spread + slippage))


def fee(quantity: N, price: N, rate: N) -> N:
    """The fee in quote for one fill, never rounded."""
    return quantity * price * rate


MAX_IMPACT = 100.0
USUAL_PARTICIPATION = 0.1
"""The part of a bar's volume that we count on being able to trade, unless said otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one side of a trade costs. Fees, half-spread and slippage are fractions of its value; half the spread and
    the slippage together are the 0.05 % by which a market order is worse than the price it meets.

    ``impact`` is Y of the square-root law, I = Y·σ·√(Q/V): how much worse the price of a market order of quantity Q
    gets where σ is the volatility and V the volume of a day (``quant.impact``); 0 says that size does not matter.
    ``participation`` is the largest part of a bar's volume an order takes, the rest waits for the next bar; 0
    switches it off. Unless it is given, it is a tenth, or off where impact is.
    """

    taker_fee: float = 0.001
    maker_fee: float = 0.001
    half_spread: float = 0.0002
    slippage: float = 0.0003
    impact: float = 1.0
    participation: float | None = None

    def __post_init__(self) -> None:
        for name in ("taker_fee", "maker_fee", "half_spread", "slippage"):
            rate = getattr(self, name)
            if not 0.0 <= rate < 1.0:
                raise ValueError(f"cost rate {name} {rate!r} is outside 0..1; 0.1 % is written 0.001")
        if not 0.0 <= self.impact <= MAX_IMPACT:
            raise ValueError(f"impact {self.impact!r} is outside 0..{MAX_IMPACT:g}; 1 is usual, 0 is none")
        if self.participation is not None and not 0.0 <= self.participation <= 1.0:
            raise ValueError(f"participation {self.participation!r} is outside 0..1; a tenth is written 0.1, 0 is off")
        if self.price_impact + max(self.taker_fee, self.maker_fee) >= 1.0:
            raise ValueError(f"{self} would take the whole value of a sale")

    @property
    def price_impact(self) -> float:
        """By how much of itself the price of a small market order is worse than its reference."""
        return self.half_spread + self.slippage

    @property
    def participation_cap(self) -> float:
        """The part of a bar's volume an order may take; 0 is no limit."""
        if self.participation is not None:
            return self.participation
        return USUAL_PARTICIPATION if self.impact > 0.0 else 0.0

    @property
    def most_impact(self) -> float:
        """The impact of no size is more than half of what a price has left: beyond that the law says nothing, and a
        sale must bring something."""
        return (1.0 - self.price_impact) / 2.0

    def market_price(self, reference: float, side_sign: int) -> float:
        return fill_price(reference, side_sign, self.half_spread, self.slippage)

    def taker_fee_on(self, quantity: float, price: float) -> float:
        return fee(quantity, price, self.taker_fee)


FREE = Costs(taker_fee=0.0, maker_fee=0.0, half_spread=0.0, slippage=0.0, impact=0.0)
"""No costs at all: for showing what costs change, never for judging a strategy."""
