"""How a run is traded: size, exits, margin and the market's rules. What is not given keeps to spot, whole and plain."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum

from mastertrade.backtest.result import Rules
from mastertrade.quant.costs import Costs
from mastertrade.quant.sizing import MAX_KELLY_SHARE, fractional_kelly, kelly_binary

MAX_LEVERAGE = 125.0
MAX_FRACTION = MAX_LEVERAGE
USUAL_FRACTION = 0.02


class SizingMethod(IntEnum):
    FRACTION = 0
    QUANTITY = 1
    RISK = 2
    ATR = 3
    VOLATILITY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What a full target of 1 buys; a target of 0.5 buys half of it. Made by one of the methods below, each of which
    measures at the close that decides, and is floored to the market's lot. ``limit`` caps the position as a fraction of
    equity (0 is no cap but the cash)."""

    method: SizingMethod = SizingMethod.FRACTION
    value: float = USUAL_FRACTION
    multiple: float = 2.0
    limit: float = 0.0

    def __post_init__(self) -> None:
        if self.method is SizingMethod.FRACTION and not 0.0 < self.value <= MAX_FRACTION:
            raise ValueError(f"position fraction {self.value!r} is not above 0 and at most {MAX_FRACTION:g}")
        if not 0.0 < self.value < math.inf:
            raise ValueError(f"size {self.value!r} is not above 0")
        if not (0.0 < self.multiple < math.inf and 0.0 <= self.limit <= MAX_FRACTION):
            raise ValueError(f"{self}: the ATR multiple must be above 0 and the limit within 0..{MAX_FRACTION:g}")

    def __str__(self) -> str:
        kind = f"{self.method.name.lower()} {self.value:g}"
        kind += f" over {self.multiple:g} ranges" if self.method is SizingMethod.ATR else ""
        return kind + (f", at most {self.limit:g} of equity" if self.limit else "")

    @classmethod
    def fraction(cls, fraction: float) -> "Sizing":
        """This part of the whole account's equity; above 1 needs leverage."""
        return cls(method=SizingMethod.FRACTION, value=fraction)

    @classmethod
    def quantity(cls, quantity: float) -> "Sizing":
        """Always this many units of the base asset."""
        return cls(method=SizingMethod.QUANTITY, value=quantity)

    @classmethod
    def risk(cls, fraction: float, *, limit: float = 1.0) -> "Sizing":
        """As much as loses this part of equity at the stop loss, fees and slippage of both sides included; needs
        one."""
        return cls(method=SizingMethod.RISK, value=fraction, limit=limit)

    @classmethod
    def atr(cls, fraction: float, *, multiple: float = 2.0, limit: float = 1.0) -> "Sizing":
        """As much as loses this part of equity when the price moves by ``multiple`` average true ranges."""
        return cls(method=SizingMethod.ATR, value=fraction, multiple=multiple, limit=limit)

    @classmethod
    def volatility(cls, target: float, *, limit: float = 1.0) -> "Sizing":
        """The weight at which the position has this volatility a year."""
        return cls(method=SizingMethod.VOLATILITY, value=target, limit=limit)

    @classmethod
    def kelly(cls, win_rate: float, payoff: float, *, share: float = MAX_KELLY_SHARE, limit: float = 1.0) -> "Sizing":
        """The given share of the growth-optimal weight of a bet with this win rate and payoff. ValueError without an
        edge: such a strategy should not be traded at any size."""
        best = kelly_binary(win_rate, payoff)
        if not best > 0.0:
            raise ValueError(f"win rate {win_rate:g} with payoff {payoff:g} has no edge: Kelly says to stake nothing")
        return cls(method=SizingMethod.FRACTION, value=fractional_kelly(best, share=share, limit=limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exits:
    """What ends a position before its target does; 0 is off. Fractions are of the price paid at entry, ``_atr`` ones
    are multiples of the average true range at the close that decided the entry. Of several stops the nearest counts.

    ``trailing`` follows the best price of the bars before; ``break_even`` moves the stop to the price paid once the
    best price was this far in front. ``time_bars`` leaves at the open after that many closes.
    """

    stop_loss: float = 0.0
    take_profit: float = 0.0
    trailing: float = 0.0
    break_even: float = 0.0
    stop_atr: float = 0.0
    target_atr: float = 0.0
    trailing_atr: float = 0.0
    time_bars: int = 0
    atr_period: int = 14

    def __post_init__(self) -> None:
        for name in (one.name for one in fields(self)):
            value = getattr(self, name)
            most = 1.0 if name in ("stop_loss", "trailing") else math.inf
            if not 0 <= value < most:
                raise ValueError(f"exit {name} {value!r} must be at least 0 and below {most:g}; 5 % is written 0.05")
        if self.time_bars != int(self.time_bars) or self.atr_period < 1:
            raise ValueError(f"exit time_bars {self.time_bars!r} and atr_period {self.atr_period!r} are whole bars")

    @property
    def has_stop(self) -> bool:
        """Whether a position has a stop from its entry on."""
        return max(self.stop_loss, self.stop_atr, self.trailing, self.trailing_atr) > 0.0

    @property
    def has_moving_stop(self) -> bool:
        return max(self.trailing, self.trailing_atr, self.break_even) > 0.0

    @property
    def needs_atr(self) -> bool:
        return max(self.stop_atr, self.target_atr, self.trailing_atr) > 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """Trading on margin: positions may be ``leverage`` times the equity behind them, and each is liquidated alone where
    its margin falls to ``maintenance`` of its value."""

    leverage: float = 1.0
    maintenance: float = 0.005

    def __post_init__(self) -> None:
        if not 1.0 <= self.leverage <= MAX_LEVERAGE:
            raise ValueError(f"leverage {self.leverage!r} is outside 1..{MAX_LEVERAGE:g}")
        if not 0.0 <= self.maintenance < 1.0 / self.leverage:
            raise ValueError(
                f"maintenance margin {self.maintenance!r} must be at least 0 and below 1/leverage {1 / self.leverage:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """Funding payments of a perpetual: at each time (epoch ms) a long pays ``rate`` of its value, a short receives
    it."""

    time: Sequence[int]
    rate: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.time) != len(self.rate) or not all(math.isfinite(rate) for rate in self.rate):
            raise ValueError(f"funding needs one finite rate a time: {len(self.time)} times, {len(self.rate)} rates")


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesVersion:
    """The market's rules from this time (epoch ms) on."""

    valid_from: int
    rules: Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How an account trades, whatever the markets. ``max_positions`` of 0 is no limit; ``shorts`` allows targets below
    0, which need a venue that lends."""

    costs: Costs = field(default_factory=Costs)
    cash: float = 10_000.0
    sizing: Sizing = field(default_factory=Sizing)
    exits: Exits = field(default_factory=Exits)
    margin: Margin = field(default_factory=Margin)
    max_positions: int = 0
    shorts: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.cash < math.inf:
            raise ValueError(f"starting cash {self.cash!r} is not a positive amount")
        if self.max_positions < 0 or self.max_positions != int(self.max_positions):
            raise ValueError(f"max positions {self.max_positions!r} must be a whole number; 0 is no limit")
        size, leverage = self.sizing, self.margin.leverage
        if size.method is SizingMethod.FRACTION and size.value > leverage:
            raise ValueError(f"position fraction {size.value:g} needs leverage of at least that; it is {leverage:g}")
        if size.method is SizingMethod.RISK and not self.exits.has_stop:
            raise ValueError("sizing by risk needs a stop to measure it from: give stop_loss, stop_atr or trailing")
