"""The slow, obvious backtest: the fill rules as plain Python, one step of time after another.

It is the oracle of every compiled loop, and what runs where numba is not installed. The rule numbers are those of
``contract.FILL_RULES``.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mastertrade.backtest.market import Market
from mastertrade.backtest.options import SizingMethod, Terms
from mastertrade.backtest.result import BacktestTrade, Counts, ExitReason, Simulated, Trades
from mastertrade.backtest.twin_state import (
    BOTH,
    NEITHER,
    STOP,
    TARGET,
    Fill,
    Order,
    Place,
    Position,
    against_us,
    nearest_stop,
    nearest_target,
    touched_by,
)
from mastertrade.quant.costs import fee
from mastertrade.quant.sizing import floor_to_step


def simulate(markets: Sequence[Market], terms: Terms) -> Simulated:
    account = _Account(terms=terms, cash=terms.cash, places=[Place(market) for market in markets])
    times = sorted({time for market in markets for time in market.time.tolist()})
    equity, invested = [], []
    for now in times:
        trading = [place for place in account.places if place.has_bar_at(now)]
        account.step(trading)
        worth = [place.worth for place in account.places]
        equity.append(account.cash + _total(worth))
        invested.append(_total(map(abs, worth)))
        if equity[-1] <= 0.0:
            break
        account.decide(trading, equity[-1])
    is_ruined = bool(equity) and equity[-1] <= 0.0
    if equity:
        account.close_everything(ExitReason.LIQUIDATION if is_ruined else ExitReason.END)
        is_ruined = is_ruined or account.cash <= 0.0
        equity[-1] = 0.0 if is_ruined else account.cash
    return Simulated(
        time=np.array(times[: len(equity)], dtype=np.int64),
        equity=np.array(equity, dtype=np.float64),
        invested=np.array(invested, dtype=np.float64),
        trades=Trades.of(account.trades, [market.symbol for market in markets]),
        counts=Counts(**account.counts),
        is_ruined=is_ruined,
    )


@dataclass(slots=True, kw_only=True)
class _Account:
    terms: Terms
    cash: float
    places: list[Place]
    trades: list[BacktestTrade] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: {"unfilled": 0, "carried": 0, "ambiguous": 0, "drilled": 0, "liquidations": 0}
    )

    # --- rule 3: one step of time ---

    def step(self, trading: list[Place]) -> None:
        for place in trading:
            place.begin_bar()
            place.room = self._room(place)
            self._pay_funding(place)
        for place in trading:
            self._reduce(place)
        for place in trading:
            self._enter(place)
        for place in trading:
            self._exit_inside_bar(place)
        for place in trading:
            place.mark = place.close[place.bar]
            self._remember_best(place)

    def _room(self, place: Place) -> float:
        cap = self.terms.costs.participation_cap
        return floor_to_step(cap * place.volume[place.bar], place.rules.lot) if cap > 0.0 else math.inf

    def _pay_funding(self, place: Place) -> None:
        held = place.position
        if held and place.funding:
            paid = held.side * held.quantity * place.mark * place.funding[place.bar]
            self.cash -= paid
            held.funding += paid

    def _remember_best(self, place: Place) -> None:
        held = place.position
        if held:
            best = place.high[place.bar] if held.side > 0 else place.low[place.bar]
            held.best = max(held.best, best) if held.side > 0 else min(held.best, best)

    # --- rules 1 and 2: deciding at a close ---

    def decide(self, closing: list[Place], equity: float) -> None:
        for place in closing:
            target = place.targets[place.bar]
            before = place.targets[place.bar - 1] if place.bar else 0.0
            if target != before:
                place.order = self._ordered(place, target, equity)
            elif self._is_over_time(place):
                place.order = Order(0.0, ExitReason.TIME, place.rules.lot)

    def _ordered(self, place: Place, target: float, equity: float) -> Order | None:
        lot = place.rules.lot
        quantity = 0.0
        if target != 0.0:
            quantity = floor_to_step(self._size(place, target, equity), lot)
            self.counts["unfilled"] += quantity <= 0.0
        if quantity <= 0.0:
            return Order(0.0, ExitReason.SIGNAL, lot) if place.position else None
        atr = place.atr[place.bar] if place.atr else math.nan
        return Order(quantity if target > 0.0 else -quantity, ExitReason.SIGNAL, lot, atr)

    def _size(self, place: Place, target: float, equity: float) -> float:
        """Of the whole position; 0 where what it is measured by is not known."""
        sizing = self.terms.sizing
        unit = place.long_unit[place.bar] if target > 0.0 else place.short_unit[place.bar]
        if not unit > 0.0:
            return 0.0
        if sizing.method is SizingMethod.QUANTITY:
            size = sizing.value * abs(target)
        else:
            size = max(equity, 0.0) * sizing.value * abs(target) / unit
        if sizing.limit > 0.0:
            size = min(size, max(equity, 0.0) * sizing.limit / place.close[place.bar])
        return size

    def _is_over_time(self, place: Place) -> bool:
        held, most = place.position, self.terms.exits.time_bars
        if not held or not most or place.bar - held.bar + 1 < most:
            return False
        return place.order is None or place.order.quantity * held.side > 0.0

    # --- rules 1, 2 and 4: filling at an open ---

    def _reduce(self, place: Place) -> None:
        order, held = place.order, place.position
        if not order or not held:
            return
        keep = max(order.quantity * held.side, 0.0)
        need = held.quantity - keep
        if need <= 0.0:
            return
        quantity = min(need, place.room)
        if quantity > 0.0:
            self._leave(place, self._market_fill(place, place.mark, -held.side, quantity), order.reason)
            place.room -= quantity
        if quantity < need:
            self.counts["carried"] += 1
            return
        held.quantity = keep  # exactly, whatever the subtraction left
        if order.quantity * held.side >= 0.0:
            place.order = None

    def _enter(self, place: Place) -> None:
        order, held = place.order, place.position
        if not order or (held and order.quantity * held.side <= 0.0):  # what is to be closed has not all found room
            return
        need = abs(order.quantity) - (held.quantity if held else 0.0)
        if need <= 0.0:
            self._drop(place, order)
            return
        if not held and self.terms.max_positions and self._positions() >= self.terms.max_positions:
            self._drop(place, order)
            return
        quantity = min(need, place.room)
        if quantity <= 0.0:
            self.counts["carried"] += 1
            return
        side = 1 if order.quantity > 0.0 else -1
        price = self._market_fill(place, place.mark, side, quantity).price
        affordable = self._free() / (price * (1.0 / self.terms.margin.leverage + self.terms.costs.taker_fee))
        if quantity > affordable:
            need = quantity = floor_to_step(affordable, place.rules.lot)
        is_too_small = need * price < place.rules.min_notional and not order.has_entered
        if quantity <= 0.0 or is_too_small:
            self._drop(place, order)
            return
        if not held:
            held = place.position = Position(
                side=side, time=place.time[place.bar], bar=place.bar, atr=order.atr, best=math.nan
            )
        fill = self._market_fill(place, place.mark, side, quantity)
        self.cash -= side * (quantity * fill.price) + fill.fee
        held.enter(fill)
        held.quantity += quantity
        if math.isnan(held.best):
            held.best = fill.price
        place.room -= quantity
        order.has_entered = True
        if quantity < need:
            self.counts["carried"] += 1
        else:
            place.order = None

    def _drop(self, place: Place, order: Order) -> None:
        """What was never begun is counted."""
        self.counts["unfilled"] += not (order.has_entered or place.position)
        place.order = None

    def _positions(self) -> int:
        return sum(place.position is not None for place in self.places)

    def _free(self) -> float:
        """The equity that is not bound as margin; without leverage and shorts it is the cash."""
        bound = 0.0
        for place in self.places:
            bound += place.worth - abs(place.worth) / self.terms.margin.leverage
        return self.cash + bound

    # --- rules 5, 6 and 8: leaving inside a bar ---

    def _exit_inside_bar(self, place: Place) -> None:
        held = place.position
        if not held:
            return
        stop, reason = nearest_stop(held, self.terms)
        target = nearest_target(held, self.terms.exits)
        bar = place.bar
        touched, price = touched_by(held.side, stop, target, place.open[bar], place.high[bar], place.low[bar])
        if touched == BOTH:
            touched, price = self._drilled(place, held, stop, target)
        if touched == STOP:
            self._leave(place, self._market_fill(place, price, -held.side, held.quantity), reason)
            place.order = None
        elif touched == TARGET:
            self._leave(place, self._limit_fill(place, price, -held.side, held.quantity), ExitReason.TARGET)
            place.order = None

    def _drilled(self, place: Place, held: Position, stop: float, target: float) -> tuple[str, float]:
        """What the finer bars of a bar that touches both say came first, and at which price; the stop where they do not
        tell."""
        detail = place.market.detail
        for open_, high, low in detail.of_bar(place.bar) if detail else ():
            touched, price = touched_by(held.side, stop, target, open_, high, low)
            if touched == BOTH:
                break
            if touched != NEITHER:
                self.counts["drilled"] += 1
                return touched, price
        self.counts["ambiguous"] += 1
        held.is_ambiguous = True
        return STOP, stop

    # --- rule 9, and an account that is worth nothing ---

    def close_everything(self, reason: ExitReason) -> None:
        for place in self.places:
            if place.position:
                side, quantity = place.position.side, place.position.quantity
                fill = self._market_fill(place, place.mark, -side, quantity, at_close=True)
                self._leave(place, fill, reason, at_close=True)

    # --- fills ---

    def _leave(self, place: Place, fill: Fill, reason: ExitReason, *, at_close: bool = False) -> None:
        """Take the fill into the account; a position that is gone becomes a trade."""
        held = place.position
        assert held is not None
        self.cash += held.side * (fill.quantity * fill.price) - fill.fee
        held.leave(fill)
        if fill.quantity < held.quantity:
            held.quantity -= fill.quantity
            return
        place.position = None
        self.counts["liquidations"] += reason is ExitReason.LIQUIDATION
        self.trades.append(
            BacktestTrade(
                symbol=place.symbol,
                side=held.side,
                quantity=held.entered,
                entry_time=held.time,
                entry_price=held.entry_price,
                exit_time=place.time[place.bar] + (place.interval_ms if at_close else 0),
                exit_price=held.exit_price,
                bars_held=place.bar - held.bar + at_close,
                gross=held.entered * (held.side * (held.exit_reference - held.entry_reference)),
                fees=held.fees,
                spread=held.spread,
                slippage=held.slippage,
                impact=held.impact,
                funding=held.funding,
                reason=reason,
                is_ambiguous=held.is_ambiguous,
            )
        )

    def _market_fill(
        self, place: Place, reference: float, side: int, quantity: float, *, at_close: bool = False
    ) -> Fill:
        """What a market order gets where the price stands at ``reference``; ``side`` is 1 for a purchase."""
        costs = self.terms.costs
        known = place.bar if at_close else place.bar - 1
        impact = min(place.impact_after(known) * math.sqrt(quantity), costs.most_impact)
        plain = reference * (1.0 + side * (costs.price_impact + impact))
        price = against_us(plain, place.rules.tick, side)
        value = quantity * reference
        return Fill(
            quantity=quantity,
            reference=reference,
            price=price,
            fee=fee(quantity, price, costs.taker_fee),
            spread=value * costs.half_spread,
            slippage=value * costs.slippage + quantity * (side * (price - plain)),
            impact=value * impact,
        )

    def _limit_fill(self, place: Place, reference: float, side: int, quantity: float) -> Fill:
        price = against_us(reference, place.rules.tick, side)
        return Fill(
            quantity=quantity,
            reference=reference,
            price=price,
            fee=fee(quantity, price, self.terms.costs.maker_fee),
            slippage=quantity * (side * (price - reference)),
        )


def _total(values: Iterable[float]) -> float:
    """One addition after the other: ``sum`` corrects its rounding since Python 3.12, the compiled loops do not."""
    total = 0.0
    for value in values:
        total += value
    return total
