"""One step of time, compiled: the twin's rules, operation by operation, so that both give the same bits.

``twin.py`` is the text to read first; every function here has its counterpart there. Importing this imports numba.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from mastertrade.backtest.result import ExitReason
from mastertrade.backtest.twin_state import TICK_TOLERANCE
from mastertrade.quant.sizing import STEP_TOLERANCE

STOP, TARGET, BOTH, NEITHER = range(4)
NEVER = np.iinfo(np.int64).max
SIGNAL, STOPPED, TAKEN, TRAILED, BROKE_EVEN, OVER_TIME, LIQUIDATED, AT_END = (int(reason) for reason in ExitReason)

helper: Callable[..., Any] = njit(error_model="numpy", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


inlined: Callable[..., Any] = njit(inline="always")
"""For what is handed whole columns: a call would count their owners up and down each time."""


@helper
def _floor_to_step(quantity: float, step: float) -> float:
    return quantity if step <= 0.0 else float(np.floor(quantity / step + STEP_TOLERANCE) * step)


@helper
def _against_us(price: float, tick: float, side: int) -> float:
    if tick <= 0.0:
        return price
    ticks = price / tick
    on_tick = np.ceil(ticks - TICK_TOLERANCE) if side > 0 else np.floor(ticks + TICK_TOLERANCE)
    return float(max(on_tick, 1.0) * tick)


@helper
def _average(weight: float, value: float, more: float, other: float) -> float:
    return (weight * value + more * other) / (weight + more) if weight > 0.0 else other


@helper
def _worth(place: Any) -> float:
    return float(place.side * place.quantity * place.mark)


@helper
def _market_price(place: Any, terms: Any, reference: float, side: int, quantity: float) -> tuple[float, float, float]:
    """The price, the same before rounding, and the impact in it."""
    impact = min(place.known_impact * math.sqrt(quantity), terms.most_impact)
    plain = reference * (1.0 + side * (terms.price_impact + impact))
    return _against_us(plain, place.tick, side), plain, impact


@helper
def _pay_market(place: Any, terms: Any, reference: float, side: int, quantity: float) -> tuple[float, float]:
    """Price and fee of a market order; its costs are booked on the position."""
    price, plain, impact = _market_price(place, terms, reference, side, quantity)
    fee = quantity * price * terms.taker_fee
    value = quantity * reference
    place.fees += fee
    place.spread += value * terms.half_spread
    place.slippage += value * terms.slippage + quantity * (side * (price - plain))
    place.impact += value * impact
    return price, fee


@helper
def _pay_limit(place: Any, terms: Any, reference: float, side: int, quantity: float) -> tuple[float, float]:
    price = _against_us(reference, place.tick, side)
    fee = quantity * price * terms.maker_fee
    place.fees += fee
    place.slippage += quantity * (side * (price - reference))
    return price, fee


@inlined
def _leave(
    account: Any, place: Any, trades: Any, symbol: int, quantity: float, reference: float, price: float, fee: float,
    reason: int,
) -> None:  # fmt: skip
    """Times are written as places of bars."""
    account.cash += place.side * (quantity * price) - fee
    place.exit_price = _average(place.left, place.exit_price, quantity, price)
    place.exit_reference = _average(place.left, place.exit_reference, quantity, reference)
    place.left += quantity
    if quantity < place.quantity:
        place.quantity -= quantity
    else:
        account.liquidations += reason == LIQUIDATED
        trade = trades[account.trades]
        trade.symbol, trade.side, trade.reason, trade.is_ambiguous = symbol, place.side, reason, place.is_ambiguous
        trade.entry_time, trade.exit_time, trade.bars_held = place.entry_bar, place.bar, place.bar - place.entry_bar
        trade.quantity, trade.entry_price, trade.exit_price = place.entered, place.entry_price, place.exit_price
        trade.gross = place.entered * (place.side * (place.exit_reference - place.entry_reference))
        trade.fees, trade.spread, trade.slippage = place.fees, place.spread, place.slippage
        trade.impact, trade.funding = place.impact, place.funding
        account.trades += 1
        account.positions -= 1
        place.side, place.quantity = 0, 0.0


# --- filling at an open ---


@helper
def _put_order_on_lot(place: Any) -> None:
    if place.order_lot != place.lot:
        place.order_lot = place.lot
        floored = _floor_to_step(abs(place.order_quantity), place.lot)
        place.order_quantity = math.copysign(floored, place.order_quantity)


@inlined
def _reduce(account: Any, place: Any, terms: Any, trades: Any, symbol: int) -> None:
    keep, side = max(place.order_quantity * place.side, 0.0), place.side
    need = place.quantity - keep
    if need > 0.0:
        quantity = min(need, place.room)
        if quantity > 0.0:
            price, fee = _pay_market(place, terms, place.mark, -side, quantity)
            _leave(account, place, trades, symbol, quantity, place.mark, price, fee, place.order_reason)
            place.room -= quantity
        if quantity < need:
            account.carried += 1
        else:
            if place.side != 0:
                place.quantity = keep
            if place.order_quantity * side >= 0.0:
                place.has_order = 0


@inlined
def _free(account: Any, places: Any, leverage: float) -> float:
    bound = 0.0
    for one in range(len(places)):
        worth = _worth(places[one])
        bound += worth - abs(worth) / leverage
    return float(account.cash + bound)


@helper
def _drop(account: Any, place: Any) -> None:
    account.unfilled += place.order_has_entered == 0 and place.side == 0
    place.has_order = 0


@inlined
def _enter(account: Any, places: Any, place: Any, terms: Any) -> None:
    if place.side != 0 and place.order_quantity * place.side <= 0.0:
        return
    need = abs(place.order_quantity) - place.quantity
    if need <= 0.0 or (place.side == 0 and terms.max_positions > 0 and account.positions >= terms.max_positions):
        _drop(account, place)
        return
    quantity = min(need, place.room)
    if quantity <= 0.0:
        account.carried += 1
        return
    side = 1 if place.order_quantity > 0.0 else -1
    price = _market_price(place, terms, place.mark, side, quantity)[0]
    affordable = _free(account, places, terms.leverage) / (price * (1.0 / terms.leverage + terms.taker_fee))
    if quantity > affordable:
        need = quantity = _floor_to_step(affordable, place.lot)
    if quantity <= 0.0 or (need * price < place.min_notional and place.order_has_entered == 0):
        _drop(account, place)
        return
    if place.side == 0:
        place.side, place.entry_bar, place.is_ambiguous = side, place.bar, 0
        place.atr, place.best = place.order_atr, math.nan
        place.quantity = place.entered = place.left = 0.0
        place.fees = place.spread = place.slippage = place.impact = place.funding = 0.0
        account.positions += 1
    price, fee = _pay_market(place, terms, place.mark, side, quantity)
    account.cash -= side * (quantity * price) + fee
    place.entry_price = _average(place.entered, place.entry_price, quantity, price)
    place.entry_reference = _average(place.entered, place.entry_reference, quantity, place.mark)
    place.entered += quantity
    place.quantity += quantity
    if math.isnan(place.best):
        place.best = price
    place.room -= quantity
    place.order_has_entered = 1
    if quantity < need:
        account.carried += 1
    else:
        place.has_order = 0


# --- leaving inside a bar ---


@helper
def nearest_stop(place: Any, terms: Any) -> tuple[float, int]:
    side, entry, best = place.side, place.entry_price, place.best
    nearest, reason = -side * math.inf, STOPPED
    if terms.stop_loss > 0.0:
        nearest = entry * (1.0 - side * terms.stop_loss)
    if terms.stop_atr > 0.0:
        level = entry - side * terms.stop_atr * place.atr
        nearest = level if side * level > side * nearest else nearest
    if terms.trailing > 0.0:
        level = best * (1.0 - side * terms.trailing)
        if side * level > side * nearest:
            nearest, reason = level, TRAILED
    if terms.trailing_atr > 0.0:
        level = best - side * terms.trailing_atr * place.atr
        if side * level > side * nearest:
            nearest, reason = level, TRAILED
    is_ahead = terms.break_even > 0.0 and side * best >= side * (entry * (1.0 + side * terms.break_even))
    if is_ahead and side * entry > side * nearest:
        nearest, reason = entry, BROKE_EVEN
    if side < 0 or terms.leverage > 1.0:
        level = _liquidation_price(place, terms)
        if side * level > side * nearest:
            nearest, reason = level, LIQUIDATED
    return nearest, reason


@helper
def _liquidation_price(place: Any, terms: Any) -> float:
    value = place.quantity * place.entry_price
    put_in = value / terms.leverage
    if place.side > 0:
        return float((value - put_in) / (place.quantity * (1.0 - terms.maintenance)))
    return float((value + put_in) / (place.quantity * (1.0 + terms.maintenance)))


@helper
def nearest_target(place: Any, terms: Any) -> float:
    side, entry = place.side, place.entry_price
    nearest = float(side * math.inf)
    if terms.take_profit > 0.0:
        nearest = entry * (1.0 + side * terms.take_profit)
    if terms.target_atr > 0.0:
        level = entry + side * terms.target_atr * place.atr
        nearest = level if side * level < side * nearest else nearest
    return nearest


@helper
def _touched_by(side: int, stop: float, target: float, open_: float, high: float, low: float) -> tuple[int, float]:
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
    if is_taken:
        return TARGET, target
    return NEITHER, math.nan


@inlined
def drilled(
    account: Any, place: Any, start: Any, end: Any, open_: Any, high: Any, low: Any
) -> tuple[int, float]:  # fmt: skip
    if len(start):
        for fine in range(start[place.bar], end[place.bar]):
            touched, price = _touched_by(place.side, place.stop, place.target, open_[fine], high[fine], low[fine])
            if touched == BOTH:
                break
            if touched != NEITHER:
                account.drilled += 1
                return touched, price
    account.ambiguous += 1
    place.is_ambiguous = 1
    return STOP, place.stop


@helper
def touches(place: Any, terms: Any) -> tuple[int, float]:
    """What the bar of a position touches, and at which price."""
    place.stop, place.stop_reason = nearest_stop(place, terms)
    place.target = nearest_target(place, terms)
    found: tuple[int, float] = _touched_by(place.side, place.stop, place.target, place.open, place.high, place.low)
    return found


@inlined
def exit_inside_bar(
    account: Any, place: Any, terms: Any, trades: Any, symbol: int, touched: int, price: float
) -> None:  # fmt: skip
    side, quantity, reason = place.side, place.quantity, place.stop_reason if touched == STOP else TAKEN
    if touched == STOP:
        paid, fee = _pay_market(place, terms, price, -side, quantity)
    else:
        paid, fee = _pay_limit(place, terms, price, -side, quantity)
    _leave(account, place, trades, symbol, quantity, price, paid, fee, reason)
    place.has_order = 0


# --- deciding at a close ---


@helper
def _size(terms: Any, unit: float, target: float, equity: float, close: float) -> float:
    if not unit > 0.0:
        return 0.0
    amount = max(equity, 0.0) * terms.size * abs(target)
    size = float(terms.size * abs(target) if terms.is_quantity else amount / unit)
    if terms.limit > 0.0:
        size = min(size, max(equity, 0.0) * terms.limit / close)
    return size


@helper
def _order(account: Any, place: Any, terms: Any, equity: float) -> None:
    target, quantity = place.wanted, 0.0
    if target != 0.0:
        quantity = _floor_to_step(_size(terms, place.unit, target, equity, place.mark), place.lot)
        account.unfilled += quantity <= 0.0
    place.order_lot, place.order_reason, place.order_has_entered = place.lot, SIGNAL, 0
    if quantity <= 0.0:
        place.has_order = place.side != 0
        place.order_quantity = 0.0
    else:
        place.has_order = 1
        place.order_quantity = quantity if target > 0.0 else -quantity
        place.order_atr = place.atr_now


@helper
def _leave_over_time(place: Any, time_bars: int) -> None:
    if place.bar - place.entry_bar + 1 >= time_bars and (
        place.has_order == 0 or place.order_quantity * place.side > 0.0
    ):
        place.has_order, place.order_reason, place.order_quantity, place.order_lot = 1, OVER_TIME, 0.0, place.lot


# --- one step of time ---


@inlined
def next_time(places: Any, time: Any) -> int:
    """When the next bars begin, and which markets have one then."""
    now = NEVER
    for symbol in range(len(places)):
        place = places[symbol]
        if place.bar + 1 < place.last and time[place.bar + 1] < now:
            now = time[place.bar + 1]
    for symbol in range(len(places)):
        place = places[symbol]
        place.is_trading = place.bar + 1 < place.last and time[place.bar + 1] == now
    return now


@inlined
def begin_step(account: Any, places: Any, terms: Any, awake: Any, count: int) -> None:
    for at in range(count):
        place = places[awake[at]]
        if place.has_order:
            _put_order_on_lot(place)
        place.room = math.inf
        if terms.participation > 0.0:
            place.room = _floor_to_step(terms.participation * place.volume, place.lot)
        if place.side != 0 and place.funding_rate != 0.0:
            paid = place.side * place.quantity * place.mark * place.funding_rate
            account.cash -= paid
            place.funding += paid


@inlined
def fill_at_open(account: Any, places: Any, terms: Any, trades: Any, awake: Any, count: int) -> None:
    for at in range(count):
        place = places[awake[at]]
        if place.has_order and place.side != 0:
            _reduce(account, place, terms, trades, awake[at])
    for at in range(count):
        place = places[awake[at]]
        if place.has_order:
            _enter(account, places, place, terms)


@inlined
def mark(places: Any, close: Any) -> tuple[float, float]:
    """What all positions are worth at the last closes, and the same with shorts counted as positive."""
    total = worth = 0.0
    for symbol in range(len(places)):
        place = places[symbol]
        if place.side == 0 and place.is_awake == 0:
            continue
        if place.is_trading:
            place.mark = close[place.bar]
        if place.side == 0:
            continue
        if place.is_awake:
            place.best = max(place.best, place.high) if place.side > 0 else min(place.best, place.low)
        total += _worth(place)
        worth += abs(_worth(place))
    return total, worth


@inlined
def decide(account: Any, places: Any, terms: Any, equity: float, awake: Any, count: int) -> None:
    for at in range(count):
        place = places[awake[at]]
        if place.wanted != place.wanted_before:
            _order(account, place, terms, equity)
        elif terms.time_bars > 0 and place.side != 0:
            _leave_over_time(place, terms.time_bars)


@inlined
def close_at_last(account: Any, place: Any, terms: Any, trades: Any, symbol: int, impact: float) -> None:
    place.known_impact, quantity = impact, place.quantity
    price, fee = _pay_market(place, terms, place.mark, -place.side, quantity)
    reason = LIQUIDATED if account.is_ruined else AT_END
    _leave(account, place, trades, symbol, quantity, place.mark, price, fee, reason)
