"""What a trade costs. One written model, so that backtest and paper venue can differ in nothing else.

The rates are floats. A float prints as the shortest text that reads back as itself, so ``Decimal(str(costs.slippage))``
is exactly the rate somebody wrote. Exact rooms convert the rates that way, once, and call the same formulas below,
which work on any one kind of number.
"""

from dataclasses import dataclass, fields
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The rates of one side of a trade, as fractions of its value. Half the spread and the slippage together are the
    0.05 % by which a market order is worse than the price it meets."""

    taker_fee: float = 0.001
    maker_fee: float = 0.001
    half_spread: float = 0.0002
    slippage: float = 0.0003

    def __post_init__(self) -> None:
        for field in fields(self):
            rate = getattr(self, field.name)
            if not 0.0 <= rate < 1.0:
                raise ValueError(f"cost rate {field.name} {rate!r} is outside 0..1; 0.1 % is written 0.001")
        if self.price_impact + max(self.taker_fee, self.maker_fee) >= 1.0:
            raise ValueError(f"{self} would take the whole value of a sale")

    @property
    def price_impact(self) -> float:
        """By how much of itself the price of a market order is worse than its reference."""
        return self.half_spread + self.slippage

    def market_price(self, reference: float, side_sign: int) -> float:
        return fill_price(reference, side_sign, self.half_spread, self.slippage)

    def taker_fee_on(self, quantity: float, price: float) -> float:
        return fee(quantity, price, self.taker_fee)


FREE = Costs(taker_fee=0.0, maker_fee=0.0, half_spread=0.0, slippage=0.0)
"""No costs at all: for showing what costs change, never for judging a strategy."""
