"""The compiled loop over the steps of time: the twin's rules, operation by operation, so that both give the same bits.

``twin.py`` is the text to read first; every function here has its counterpart there. Importing this imports numba.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import boolean, float64, int64, njit, typeof, types, void

from mastertrade.backtest.kernel_layout import ACCOUNT, PLACE, TERMS, Columns
from mastertrade.backtest.result import TRADE_DTYPE, ExitReason
from mastertrade.backtest.twin_state import TICK_TOLERANCE
from mastertrade.quant.sizing import STEP_TOLERANCE

STOP, TARGET, BOTH, NEITHER = range(4)
NEVER = np.iinfo(np.int64).max
SIGNAL, STOPPED, TAKEN, TRAILED, BROKE_EVEN, OVER_TIME, LIQUIDATED, AT_END = (int(reason) for reason in ExitReason)

_helper: Callable[..., Any] = njit(error_model="numpy", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


@_helper
def _floor_to_step(quantity: float, step: float) -> float:
    return quantity if step <= 0.0 else float(np.floor(quantity / step + STEP_TOLERANCE) * step)


@_helper
def _against_us(price: float, tick: float, side: int) -> float:
    if tick <= 0.0:
        return price
    ticks = price / tick
    on_tick = np.ceil(ticks - TICK_TOLERANCE) if side > 0 else np.floor(ticks + TICK_TOLERANCE)
    return float(max(on_tick, 1.0) * tick)


@_helper
def _average(weight: float, value: float, more: float, other: float) -> float:
    return (weight * value + more * other) / (weight + more) if weight > 0.0 else other


@_helper
def _worth(place: Any) -> float:
    return float(place.side * place.quantity * place.mark)


@_helper
def _market_price(place: Any, terms: Any, reference: float, side: int, quantity: float) -> tuple[float, float, float]:
    """The price, the same before rounding, and the impact in it."""
    impact = min(place.known_impact * math.sqrt(quantity), terms.most_impact)
    plain = reference * (1.0 + side * (terms.price_impact + impact))
    return _against_us(plain, place.tick, side), plain, impact


@_helper
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


@_helper
def _pay_limit(place: Any, terms: Any, reference: float, side: int, quantity: float) -> tuple[float, float]:
    price = _against_us(reference, place.tick, side)
    fee = quantity * price * terms.maker_fee
    place.fees += fee
    place.slippage += quantity * (side * (price - reference))
    return price, fee


@_helper
def _leave(
    account: Any, place: Any, trades: Any, symbol: int, time: int, bars_held: int, quantity: float, reference: float,
    price: float, fee: float, reason: int,
) -> None:  # fmt: skip
    account.cash += place.side * (quantity * price) - fee
    place.exit_price = _average(place.left, place.exit_price, quantity, price)
    place.exit_reference = _average(place.left, place.exit_reference, quantity, reference)
    place.left += quantity
    if quantity < place.quantity:
        place.quantity -= quantity
        return
    account.liquidations += reason == LIQUIDATED
    trade = trades[account.trades]
    trade.symbol, trade.side, trade.reason, trade.is_ambiguous = symbol, place.side, reason, place.is_ambiguous
    trade.bars_held, trade.entry_time, trade.exit_time = bars_held, place.entry_time, time
    trade.quantity, trade.entry_price, trade.exit_price = place.entered, place.entry_price, place.exit_price
    trade.gross = place.entered * (place.side * (place.exit_reference - place.entry_reference))
    trade.fees, trade.spread, trade.slippage = place.fees, place.spread, place.slippage
    trade.impact, trade.funding = place.impact, place.funding
    account.trades += 1
    account.positions -= 1
    place.side, place.quantity = 0, 0.0


# --- filling at an open ---


@_helper
def _begin_bar(place: Any, columns: Any, first: int) -> None:
    """The market's rules of this bar, and the order on them."""
    while place.rule + 1 < place.last_rule and columns.rule_from[place.rule + 1] <= place.bar - first:
        place.rule += 1
    rule = place.rule
    place.lot, place.tick, place.min_notional = columns.lot[rule], columns.tick[rule], columns.min_notional[rule]
    if place.has_order and place.order_lot != place.lot:
        place.order_lot = place.lot
        floored = _floor_to_step(abs(place.order_quantity), place.lot)
        place.order_quantity = math.copysign(floored, place.order_quantity)


@_helper
def _reduce(account: Any, place: Any, terms: Any, trades: Any, symbol: int, time: int) -> None:
    keep = max(place.order_quantity * place.side, 0.0)
    need = place.quantity - keep
    if need <= 0.0:
        return
    side = place.side
    quantity = min(need, place.room)
    if quantity > 0.0:
        price, fee = _pay_market(place, terms, place.mark, -side, quantity)
        held = place.bar - place.entry_bar
        _leave(account, place, trades, symbol, time, held, quantity, place.mark, price, fee, place.order_reason)
        place.room -= quantity
    if quantity < need:
        account.carried += 1
        return
    if place.side != 0:
        place.quantity = keep
    if place.order_quantity * side >= 0.0:
        place.has_order = 0


@_helper
def _free(account: Any, places: Any, leverage: float) -> float:
    bound = 0.0
    for one in range(len(places)):
        worth = _worth(places[one])
        bound += worth - abs(worth) / leverage
    return float(account.cash + bound)


@_helper
def _drop(account: Any, place: Any) -> None:
    account.unfilled += place.order_has_entered == 0 and place.side == 0
    place.has_order = 0


@_helper
def _enter(account: Any, places: Any, place: Any, terms: Any, time: int) -> None:
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
        place.side, place.entry_time, place.entry_bar, place.is_ambiguous = side, time, place.bar, 0
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


@_helper
def _nearest_stop(place: Any, terms: Any) -> tuple[float, int]:
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


@_helper
def _liquidation_price(place: Any, terms: Any) -> float:
    value = place.quantity * place.entry_price
    put_in = value / terms.leverage
    if place.side > 0:
        return float((value - put_in) / (place.quantity * (1.0 - terms.maintenance)))
    return float((value + put_in) / (place.quantity * (1.0 + terms.maintenance)))


@_helper
def _nearest_target(place: Any, terms: Any) -> float:
    side, entry = place.side, place.entry_price
    nearest = float(side * math.inf)
    if terms.take_profit > 0.0:
        nearest = entry * (1.0 + side * terms.take_profit)
    if terms.target_atr > 0.0:
        level = entry + side * terms.target_atr * place.atr
        nearest = level if side * level < side * nearest else nearest
    return nearest


@_helper
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


@_helper
def _drilled(account: Any, place: Any, columns: Any, stop: float, target: float) -> tuple[int, float]:
    if len(columns.detail_start):
        for fine in range(columns.detail_start[place.bar], columns.detail_end[place.bar]):
            open_, high, low = columns.detail_open[fine], columns.detail_high[fine], columns.detail_low[fine]
            touched, price = _touched_by(place.side, stop, target, open_, high, low)
            if touched == BOTH:
                break
            if touched != NEITHER:
                account.drilled += 1
                return touched, price
    account.ambiguous += 1
    place.is_ambiguous = 1
    return STOP, stop


@_helper
def _exit(
    account: Any, place: Any, terms: Any, trades: Any, symbol: int, time: int, touched: int, price: float, reason: int
) -> None:
    side, quantity, held = place.side, place.quantity, place.bar - place.entry_bar
    if touched == STOP:
        paid, fee = _pay_market(place, terms, price, -side, quantity)
        _leave(account, place, trades, symbol, time, held, quantity, price, paid, fee, reason)
    else:
        paid, fee = _pay_limit(place, terms, price, -side, quantity)
        _leave(account, place, trades, symbol, time, held, quantity, price, paid, fee, TAKEN)
    place.has_order = 0


# --- deciding at a close ---


@_helper
def _size(terms: Any, unit: float, target: float, equity: float, close: float) -> float:
    if not unit > 0.0:
        return 0.0
    amount = max(equity, 0.0) * terms.size * abs(target)
    size = float(terms.size * abs(target) if terms.is_quantity else amount / unit)
    if terms.limit > 0.0:
        size = min(size, max(equity, 0.0) * terms.limit / close)
    return size


@_helper
def _order(account: Any, place: Any, terms: Any, columns: Any, target: float, equity: float) -> None:
    quantity = 0.0
    if target != 0.0:
        unit = columns.long_unit[place.bar] if target > 0.0 else columns.short_unit[place.bar]
        quantity = _floor_to_step(_size(terms, unit, target, equity, place.mark), place.lot)
        account.unfilled += quantity <= 0.0
    place.order_lot, place.order_reason, place.order_has_entered = place.lot, SIGNAL, 0
    if quantity <= 0.0:
        place.has_order = place.side != 0
        place.order_quantity = 0.0
    else:
        place.has_order = 1
        place.order_quantity = quantity if target > 0.0 else -quantity
        place.order_atr = columns.atr[place.bar] if len(columns.atr) else math.nan


@_helper
def _leave_over_time(place: Any, time_bars: int) -> None:
    if place.bar - place.entry_bar + 1 >= time_bars and (
        place.has_order == 0 or place.order_quantity * place.side > 0.0
    ):
        place.has_order, place.order_reason, place.order_quantity, place.order_lot = 1, OVER_TIME, 0.0, place.lot


# --- one step of time ---


@_helper
def _next_time(places: Any, time: Any) -> int:
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


@_helper
def _begin_step(account: Any, places: Any, terms: Any, columns: Any) -> None:
    for symbol in range(len(places)):
        place = places[symbol]
        if not place.is_trading:
            continue
        if len(columns.impact) and place.bar >= columns.first[symbol]:
            place.known_impact = columns.impact[place.bar]
        place.bar += 1
        place.mark = columns.open[place.bar]
        _begin_bar(place, columns, columns.first[symbol])
        place.room = math.inf
        if terms.participation > 0.0:
            place.room = _floor_to_step(terms.participation * columns.volume[place.bar], place.lot)
        if place.side != 0 and len(columns.funding):
            paid = place.side * place.quantity * place.mark * columns.funding[place.bar]
            account.cash -= paid
            place.funding += paid


@_helper
def _fill_at_open(account: Any, places: Any, terms: Any, trades: Any, now: int) -> None:
    for symbol in range(len(places)):
        place = places[symbol]
        if place.is_trading and place.has_order and place.side != 0:
            _reduce(account, place, terms, trades, symbol, now)
    for symbol in range(len(places)):
        place = places[symbol]
        if place.is_trading and place.has_order:
            _enter(account, places, place, terms, now)


@_helper
def _exit_inside_bars(account: Any, places: Any, terms: Any, trades: Any, columns: Any, now: int) -> None:
    for symbol in range(len(places)):
        place = places[symbol]
        if not place.is_trading or place.side == 0:
            continue
        stop, reason = _nearest_stop(place, terms)
        target, bar = _nearest_target(place, terms), place.bar
        touched, price = _touched_by(place.side, stop, target, columns.open[bar], columns.high[bar], columns.low[bar])
        if touched == BOTH:
            touched, price = _drilled(account, place, columns, stop, target)
        if touched != NEITHER:
            _exit(account, place, terms, trades, symbol, now, touched, price, reason)


@_helper
def _mark(places: Any, columns: Any) -> tuple[float, float]:
    """What all positions are worth at the last closes, and the same with shorts counted as positive."""
    total = worth = 0.0
    for symbol in range(len(places)):
        place = places[symbol]
        if place.is_trading:
            bar = place.bar
            place.mark = columns.close[bar]
            if place.side > 0:
                place.best = max(place.best, columns.high[bar])
            elif place.side < 0:
                place.best = min(place.best, columns.low[bar])
        if place.side != 0:
            total += _worth(place)
            worth += abs(_worth(place))
    return total, worth


@_helper
def _decide(account: Any, places: Any, terms: Any, columns: Any, equity: float) -> None:
    for symbol in range(len(places)):
        place = places[symbol]
        if not place.is_trading:
            continue
        bar = place.bar
        target = columns.targets[bar]
        before = columns.targets[bar - 1] if bar > columns.first[symbol] else 0.0
        if target != before:
            _order(account, place, terms, columns, target, equity)
        elif terms.time_bars > 0 and place.side != 0:
            _leave_over_time(place, terms.time_bars)


@_helper
def _close_everything(account: Any, places: Any, terms: Any, trades: Any, columns: Any, interval_ms: int) -> None:
    reason = LIQUIDATED if account.is_ruined else AT_END
    for symbol in range(len(places)):
        place = places[symbol]
        if place.side == 0:
            continue
        if len(columns.impact):
            place.known_impact = columns.impact[place.bar]
        quantity, held, now = place.quantity, place.bar - place.entry_bar + 1, columns.time[place.bar] + interval_ms
        price, fee = _pay_market(place, terms, place.mark, -place.side, quantity)
        _leave(account, place, trades, symbol, now, held, quantity, place.mark, price, fee, reason)


# --- the loop ---


# Read-only, so that each mix of writable and read-only columns is not compiled anew.
_Floats, _Counts = types.Array(float64, 1, "C", readonly=True), types.Array(int64, 1, "C", readonly=True)
_COUNTS = ("first", "time", "rule_from", "detail_start", "detail_end")
_SIGNATURE = void(
    *(_Counts if name in _COUNTS else _Floats for name in Columns._fields),
    *(typeof(np.zeros(0, kind)) for kind in (PLACE, ACCOUNT, TERMS, TRADE_DTYPE)),
    int64[::1],
    float64[::1],
    float64[::1],
    int64,
    boolean,
)


@njit(_SIGNATURE, error_model="numpy", nogil=True, cache=True)
def simulate(
    first: Any, time: Any, open_: Any, high: Any, low: Any, close: Any, volume: Any, targets: Any, long_unit: Any,
    short_unit: Any, atr: Any, impact: Any, funding: Any, rule_from: Any, lot: Any, tick: Any, min_notional: Any,
    detail_start: Any, detail_end: Any, detail_open: Any, detail_high: Any, detail_low: Any,
    places: Any, accounts: Any, all_terms: Any, trades: Any, times: Any, equity: Any, invested: Any,
    interval_ms: int, has_exits: bool,
) -> None:  # fmt: skip
    """The columns, in their order; then what is written: the places, the account, the trades, and for each step its
    time, the equity and what is invested."""
    columns = Columns(
        first, time, open_, high, low, close, volume, targets, long_unit, short_unit, atr, impact, funding, rule_from,
        lot, tick, min_notional, detail_start, detail_end, detail_open, detail_high, detail_low,
    )  # fmt: skip
    account, terms = accounts[0], all_terms[0]
    step, now = 0, _next_time(places, time)
    while now != NEVER:
        _begin_step(account, places, terms, columns)
        _fill_at_open(account, places, terms, trades, now)
        if has_exits:
            _exit_inside_bars(account, places, terms, trades, columns, now)
        total, worth = _mark(places, columns)
        times[step], equity[step], invested[step] = now, account.cash + total, worth
        step += 1
        if account.cash + total <= 0.0:
            account.is_ruined = 1
            break
        _decide(account, places, terms, columns, account.cash + total)
        now = _next_time(places, time)
    account.steps = step
    if step > 0:
        _close_everything(account, places, terms, trades, columns, interval_ms)
        account.is_ruined = account.is_ruined or account.cash <= 0.0
        equity[step - 1] = 0.0 if account.is_ruined else account.cash
