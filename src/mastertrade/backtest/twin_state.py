"""What the slow twin moves about: orders, positions, places of trading, and the levels at which a position ends."""

import math
from dataclasses import dataclass

from mastertrade.backtest.market import Market
from mastertrade.backtest.options import Exits, Margin, Terms
from mastertrade.backtest.result import ExitReason
from mastertrade.quant.costs import BUY_SIGN
from mastertrade.quant.sizing import floor_to_step

STOP, TARGET, BOTH, NEITHER = "stop", "target", "both", "neither"
TICK_TOLERANCE = 1e-9
"""How far off the tick, in ticks, a price still counts as on it."""


@dataclass(slots=True)
class Order:
    """``quantity`` is the position to come to, below 0 for a short; ``atr`` what the range was when it was decided."""

    quantity: float
    reason: ExitReason
    lot: float
    atr: float = math.nan
    has_entered: bool = False


@dataclass(slots=True, kw_only=True)
class Position:
    """Averages over all fills of one side, quantities above 0. ``side`` is 1 for long, -1 for short; ``best`` is the
    best price of the bars before this one."""

    side: int
    time: int
    bar: int
    atr: float
    best: float
    quantity: float = 0.0
    entered: float = 0.0
    entry_price: float = 0.0
    entry_reference: float = 0.0
    left: float = 0.0
    exit_price: float = 0.0
    exit_reference: float = 0.0
    fees: float = 0.0
    spread: float = 0.0
    slippage: float = 0.0
    impact: float = 0.0
    funding: float = 0.0
    is_ambiguous: bool = False

    def enter(self, fill: "Fill") -> None:
        self.entry_price = average(self.entered, self.entry_price, fill.quantity, fill.price)
        self.entry_reference = average(self.entered, self.entry_reference, fill.quantity, fill.reference)
        self.entered += fill.quantity
        self._pay(fill)

    def leave(self, fill: "Fill") -> None:
        self.exit_price = average(self.left, self.exit_price, fill.quantity, fill.price)
        self.exit_reference = average(self.left, self.exit_reference, fill.quantity, fill.reference)
        self.left += fill.quantity
        self._pay(fill)

    def _pay(self, fill: "Fill") -> None:
        self.fees += fill.fee
        self.spread += fill.spread
        self.slippage += fill.slippage
        self.impact += fill.impact


@dataclass(slots=True, kw_only=True)
class Fill:
    quantity: float
    reference: float
    price: float
    fee: float
    spread: float = 0.0
    slippage: float = 0.0
    impact: float = 0.0


class Place:
    """One market as the run goes: ``bar`` is the one that is traded, ``mark`` the last price seen, ``room`` the
    quantity that the bar's volume still lets us trade."""

    def __init__(self, market: Market) -> None:
        self.symbol = market.symbol
        self.interval_ms = market.interval_ms
        self.time, self.targets = market.time.tolist(), market.targets.tolist()
        self.open, self.high, self.low = market.open.tolist(), market.high.tolist(), market.low.tolist()
        self.close, self.volume = market.close.tolist(), market.volume.tolist()
        self.long_unit, self.short_unit = market.long_unit.tolist(), market.short_unit.tolist()
        self.atr, self.impact, self.funding = market.atr.tolist(), market.impact.tolist(), market.funding.tolist()
        self.market = market
        self.bar = -1
        self.mark = 0.0
        self.room = math.inf
        self.rules = market.rules[0]
        self.order: Order | None = None
        self.position: Position | None = None

    def has_bar_at(self, now: int) -> bool:
        return self.bar + 1 < len(self.time) and self.time[self.bar + 1] == now

    def begin_bar(self) -> None:
        self.bar += 1
        self.mark = self.open[self.bar]
        for start, rules in zip(self.market.rules_from, self.market.rules, strict=True):
            if start <= self.bar:
                self.rules = rules
        if self.order and self.order.lot != self.rules.lot:
            self.order.lot = self.rules.lot
            self.order.quantity = math.copysign(
                floor_to_step(abs(self.order.quantity), self.rules.lot), self.order.quantity
            )

    @property
    def worth(self) -> float:
        """Of the position at the last price; below 0 for a short, which is owed."""
        return self.position.side * self.position.quantity * self.mark if self.position else 0.0

    def impact_after(self, bar: int) -> float:
        return self.impact[bar] if self.impact else 0.0


def nearest_stop(held: Position, terms: Terms) -> tuple[float, ExitReason]:
    """The nearest stop and its reason; infinitely far where there is none."""
    exits, side, entry = terms.exits, held.side, held.entry_price
    levels: list[tuple[float, ExitReason]] = [(-side * math.inf, ExitReason.STOP)]
    if exits.stop_loss:
        levels.append((entry * (1.0 - side * exits.stop_loss), ExitReason.STOP))
    if exits.stop_atr:
        levels.append((entry - side * exits.stop_atr * held.atr, ExitReason.STOP))
    if exits.trailing:
        levels.append((held.best * (1.0 - side * exits.trailing), ExitReason.TRAILING))
    if exits.trailing_atr:
        levels.append((held.best - side * exits.trailing_atr * held.atr, ExitReason.TRAILING))
    if exits.break_even and side * held.best >= side * (entry * (1.0 + side * exits.break_even)):
        levels.append((entry, ExitReason.BREAK_EVEN))
    if side < 0 or terms.margin.leverage > 1.0:
        levels.append((liquidation_price(held, terms.margin), ExitReason.LIQUIDATION))
    return max(levels, key=lambda level: side * level[0])  # the first of equals


def liquidation_price(held: Position, margin: Margin) -> float:
    """Where the position's own margin is down to the maintenance rate of its value."""
    value = held.quantity * held.entry_price
    put_in = value / margin.leverage
    if held.side > 0:
        return (value - put_in) / (held.quantity * (1.0 - margin.maintenance))
    return (value + put_in) / (held.quantity * (1.0 + margin.maintenance))


def nearest_target(held: Position, exits: Exits) -> float:
    side, entry = held.side, held.entry_price
    levels = [side * math.inf]
    if exits.take_profit:
        levels.append(entry * (1.0 + side * exits.take_profit))
    if exits.target_atr:
        levels.append(entry + side * exits.target_atr * held.atr)
    return min(levels, key=lambda level: side * level)


def touched_by(side: int, stop: float, target: float, open_: float, high: float, low: float) -> tuple[str, float]:
    """What a bar touches, and at which price. A long is stopped from above and takes its profit from below; a short the
    other way."""
    worst, best = (low, high) if side > 0 else (high, low)
    if side * open_ <= side * stop:
        return STOP, open_
    if side * open_ >= side * target:
        return TARGET, open_
    is_stopped, is_taken = side * worst <= side * stop, side * best >= side * target
    if is_stopped and is_taken:
        return BOTH, stop
    if is_stopped:
        return STOP, stop
    return (TARGET, target) if is_taken else (NEITHER, math.nan)


def average(weight: float, value: float, more: float, other: float) -> float:
    """The first value exactly where it is the only one."""
    return (weight * value + more * other) / (weight + more) if weight > 0.0 else other


def against_us(price: float, tick: float, side: int) -> float:
    """The price on the tick that is no better for us; a sale never goes below the first tick."""
    if tick <= 0.0:
        return price
    ticks = price / tick
    on_tick = math.ceil(ticks - TICK_TOLERANCE) if side == BUY_SIGN else math.floor(ticks + TICK_TOLERANCE)
    return max(on_tick, 1) * tick
