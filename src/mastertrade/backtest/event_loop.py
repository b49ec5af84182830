"""The compiled loop that jumps from event to event: the next bar whose target changes, the bar that touches a stop.

It repeats the rules of the slow twin operation by operation, so that both give the same bits. What it saves are the
bars between: a block of 64 bars whose extremes stay clear of stop and target holds no touch, and one whose highest
close sets no peak has its deepest fall at its lowest close. Importing this imports numba.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float64, int64, njit, typeof, types, uint64, void

from mastertrade.backtest.bits import next_bit
from mastertrade.backtest.result import TRADE_DTYPE, ExitReason
from mastertrade.backtest.twin_state import TICK_TOLERANCE
from mastertrade.quant.sizing import STEP_TOLERANCE

TERMS = np.dtype(
    [
        *((name, np.float64) for name in (
            "cash", "taker_fee", "maker_fee", "half_spread", "slippage", "price_impact", "most_impact", "participation",
            "size", "limit", "stop_loss", "take_profit", "stop_atr", "target_atr", "lot", "tick", "min_notional",
        )),
        *((name, np.int64) for name in ("is_quantity", "time_bars", "interval_ms")),
    ],
    align=True,
)  # fmt: skip
NUMBERS = ("final_equity", "max_drawdown", "fees", "won", "lost", "net")
COUNTS = ("trades", "wins", "losses", "unfilled", "ambiguous", "invested_bars", "was_cut")
"""The places of the results. ``was_cut`` says that a bar's volume was too small for an order: the others mean nothing
then."""
NEARLY = 1.0 + 1e-12
"""A product and a quotient of the same numbers are rounded differently: what is this near is looked at."""
SIGNAL, STOPPED, TAKEN = int(ExitReason.SIGNAL), int(ExitReason.STOP), int(ExitReason.TARGET)
OVER_TIME, AT_END = int(ExitReason.TIME), int(ExitReason.END)

_helper: Callable[..., Any] = njit(error_model="numpy", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


@_helper
def _floored(quantity: float, step: float) -> Any:
    return quantity if step <= 0.0 else np.floor(quantity / step + STEP_TOLERANCE) * step


@_helper
def _moved(per_root: float, quantity: float, most: float) -> float:
    return min(per_root * math.sqrt(quantity), most) if per_root != 0.0 else 0.0


@_helper
def _against_us(price: float, tick: float, side: float) -> Any:
    if tick <= 0.0:
        return price
    ticks = price / tick
    on_tick = np.ceil(ticks - TICK_TOLERANCE) if side > 0.0 else np.floor(ticks + TICK_TOLERANCE)
    return max(on_tick, 1.0) * tick


@_helper
def _changes(state: Any, enters: Any, leaves: Any) -> None:
    """Where the state begins, and where it ends."""
    carried = np.uint64(0)
    for word in range(len(state)):
        now = state[word]
        before = now << np.uint64(1) | carried
        enters[word], leaves[word] = now & ~before, before & ~now
        carried = now >> np.uint64(63)


@_helper
def _first_touch(low: Any, high: Any, least: Any, most: Any, start: int, end: int, stop: float, target: float) -> int:
    """The first bar from ``start`` on that reaches stop or target; ``end`` when none before it does."""
    bar = start
    while bar < end:
        block = bar >> 6
        last = min((block + 1) << 6, end)
        if least[block] <= stop or most[block] >= target:
            for place in range(bar, last):
                if low[place] <= stop or high[place] >= target:
                    return place
        bar = last
    return end


@_helper
def _marked(close: Any, least: Any, most: Any, start: int, end: int, cash: float, quantity: float, peak: float,
            drawdown: float) -> tuple[float, float]:  # fmt: skip
    """Peak and deepest fall of the equity after the closes from ``start`` to before ``end``."""
    bar, floor = start, peak * (1.0 - drawdown) * NEARLY
    while bar < end:
        block = bar >> 6
        last = min((block + 1) << 6, end)
        if cash + quantity * most[block] > peak or cash + quantity * least[block] < floor:
            for place in range(bar, last):
                equity = cash + quantity * close[place]
                if equity > peak:
                    peak = equity
                else:
                    drawdown = max(drawdown, 1.0 - equity / peak)
            floor = peak * (1.0 - drawdown) * NEARLY
        bar = last
    return peak, drawdown


@_helper
def _add(total: float, rest: float, value: float) -> tuple[float, float]:
    """Neumaier's sum: ``total + rest`` is what was added, to twice the digits (ZAMM 54, 1974)."""
    sum_ = total + value
    larger, smaller = (total, value) if abs(total) >= abs(value) else (value, total)
    return sum_, rest + ((larger - sum_) + smaller)


_Floats, _Counts = types.Array(float64, 1, "C", readonly=True), types.Array(int64, 1, "C", readonly=True)
_Words = types.Array(uint64, 1, "C", readonly=True)
_SIGNATURE = void(
    _Counts, *(_Floats,) * 12, _Counts, _Words, typeof(np.zeros(0, TERMS)),
    uint64[:, ::1], float64[::1], int64[::1], float64[::1], typeof(np.zeros(0, TRADE_DTYPE)),
    float64[::1], float64[::1],
)  # fmt: skip


@njit(_SIGNATURE, error_model="numpy", nogil=True, cache=True)
def simulate(  # noqa: C901 - one life of a position from top to bottom, its numbers in registers
    time: Any, open_: Any, high: Any, low: Any, close: Any, volume: Any, unit: Any, atr: Any, impact: Any,
    low_least: Any, high_most: Any, close_least: Any, close_most: Any, day_end: Any, mask: Any, all_terms: Any,
    scratch: Any, number: Any, whole: Any, daily: Any, trades: Any, equity: Any, invested: Any,
) -> None:  # fmt: skip
    """One strategy from the first bar to the last.

    ``atr`` and ``impact`` have no length where they are not needed, ``daily``, ``trades``, ``equity`` and ``invested``
    have none where they are not wanted. Daily equity begins with the cash, which is not ours to write.
    """
    terms = all_terms[0]
    taker_fee, maker_fee, worse, most_impact = terms.taker_fee, terms.maker_fee, terms.price_impact, terms.most_impact
    half_spread, slippage, participation = terms.half_spread, terms.slippage, terms.participation
    lot, tick, time_bars = terms.lot, terms.tick, terms.time_bars
    has_exits = max(terms.stop_loss, terms.stop_atr, terms.take_profit, terms.target_atr) > 0.0
    count, days = len(close), len(day_end)
    enters, leaves = scratch[0], scratch[1]
    wants_days, wants_trades, wants_curve = len(daily) > 0, len(trades) > 0, len(equity) > 0
    _changes(mask, enters, leaves)
    cash = peak = terms.cash
    drawdown = fees = fees_rest = won = won_rest = lost = lost_rest = net = net_rest = 0.0
    made = wins = losses = unfilled = ambiguous = bars_held = was_cut = day = drawn = 0
    decided = next_bit(enters, 0, count)
    while decided < count:
        entry = decided + 1
        wanted = 0.0
        if unit[decided] > 0.0:
            wanted = terms.size if terms.is_quantity else max(cash, 0.0) * terms.size / unit[decided]
            if terms.limit > 0.0:
                wanted = min(wanted, max(cash, 0.0) * terms.limit / close[decided])
            wanted = _floored(wanted, lot)
        unfilled += wanted <= 0.0
        if wanted <= 0.0 or entry >= count:
            decided = next_bit(enters, entry, count)
            continue
        if participation > 0.0 and wanted > _floored(participation * volume[entry], lot):
            was_cut = 1
            break
        # the fill at the open
        reference, known = open_[entry], impact[decided] if len(impact) > 0 else 0.0
        moved = _moved(known, wanted, most_impact)
        plain = reference * (1.0 + (worse + moved))
        price = _against_us(plain, tick, 1.0)
        affordable = cash / (price * (1.0 + taker_fee))
        quantity = wanted if wanted <= affordable else _floored(affordable, lot)
        if quantity <= 0.0 or quantity * price < terms.min_notional:
            unfilled += 1
            decided = next_bit(enters, entry, count)
            continue
        if quantity < wanted:
            moved = _moved(known, quantity, most_impact)
            plain = reference * (1.0 + (worse + moved))
            price = _against_us(plain, tick, 1.0)
        if wants_days:
            while day < days and day_end[day] < entry:
                daily[day + 1] = cash
                day += 1
        if wants_curve:
            equity[drawn:entry], invested[drawn:entry] = cash, 0.0
        value, paid = quantity * reference, quantity * price * taker_fee
        spread, slipped, moving = value * half_spread, value * slippage + quantity * (price - plain), value * moved
        cash -= quantity * price + paid
        # the bar that ends it
        stop, target = -math.inf, math.inf
        if terms.stop_loss > 0.0:
            stop = price * (1.0 - terms.stop_loss)
        if terms.stop_atr > 0.0:
            stop = max(stop, price - terms.stop_atr * atr[decided])
        if terms.take_profit > 0.0:
            target = price * (1.0 + terms.take_profit)
        if terms.target_atr > 0.0:
            target = min(target, price + terms.target_atr * atr[decided])
        leave, reason = next_bit(leaves, entry, count), SIGNAL
        if time_bars > 0 and entry + time_bars - 1 < leave:
            leave, reason = entry + time_bars - 1, OVER_TIME
        end = min(leave + 1, count)
        out = _first_touch(low, high, low_least, high_most, entry, end, stop, target) if has_exits else end
        resume, is_ambiguous, at_close = out, False, 0
        if out < end:
            reached = open_[out]
            if reached <= stop:
                reason = STOPPED
            elif reached >= target:
                reason = TAKEN
            elif low[out] <= stop:
                is_ambiguous = high[out] >= target
                reached, reason = stop, STOPPED
            else:
                reached, reason = target, TAKEN
        elif end < count:
            reached = open_[out]
            if participation > 0.0 and quantity > _floored(participation * volume[out], lot):
                was_cut = 1
                break
            resume = leave
        else:
            out, at_close, reason = count - 1, 1, AT_END
            reached = close[out]
        # what the account was worth until then
        if entry < out:
            peak, drawdown = _marked(close, close_least, close_most, entry, out, cash, quantity, peak, drawdown)
            if wants_days:
                while day < days and day_end[day] < out:
                    daily[day + 1] = cash + quantity * close[day_end[day]]
                    day += 1
        if wants_curve:
            held = out + at_close - entry
            values, worth, marks = invested[entry : entry + held], equity[entry : entry + held], close[entry:]
            for place in range(held):  # of known places, so that several bars are written at a time
                value = quantity * marks[place]
                values[place], worth[place] = value, cash + value
            drawn = out
        # the fill that ends it
        if reason == TAKEN:
            sold = _against_us(reached, tick, -1.0)
            fee = quantity * sold * maker_fee
            slipped += quantity * -(sold - reached)
        else:
            known = impact[out - 1 + at_close] if len(impact) > 0 else 0.0
            moved = _moved(known, quantity, most_impact)
            plain = reached * (1.0 - (worse + moved))
            sold = _against_us(plain, tick, -1.0)
            fee = quantity * sold * taker_fee
            value = quantity * reached
            spread += value * half_spread
            slipped += value * slippage + quantity * -(sold - plain)
            moving += value * moved
        cash += quantity * sold - fee
        if wants_curve and at_close:
            equity[out], drawn = cash, count
        if cash > peak:
            peak = cash
        else:
            drawdown = max(drawdown, 1.0 - cash / peak)
        # the trade
        held, paid, gross = out - entry + at_close, paid + fee, quantity * (reached - reference)
        brought = gross - ((paid + spread + slipped) + moving)
        if wants_trades:
            row = trades[made]
            row.symbol, row.side, row.reason, row.is_ambiguous, row.bars_held = 0, 1, reason, is_ambiguous, held
            row.entry_time, row.exit_time = time[entry], time[out] + at_close * terms.interval_ms
            row.quantity, row.entry_price, row.exit_price, row.gross = quantity, price, sold, gross
            row.fees, row.spread, row.slippage, row.impact, row.funding = paid, spread, slipped, moving, 0.0
        made, bars_held, ambiguous = made + 1, bars_held + held, ambiguous + is_ambiguous
        fees, fees_rest = _add(fees, fees_rest, paid)
        net, net_rest = _add(net, net_rest, brought)
        wins, losses = wins + (brought > 0.0), losses + (brought < 0.0)
        won, won_rest = _add(won, won_rest, max(brought, 0.0))  # adding 0 costs less than guessing wrong whether to
        lost, lost_rest = _add(lost, lost_rest, max(-brought, 0.0))
        decided = count if at_close else next_bit(enters, resume, count)
    if wants_days:
        while day < days:
            daily[day + 1] = cash
            day += 1
    if wants_curve:
        equity[drawn:], invested[drawn:] = cash, 0.0
    number[0], number[1], number[2] = cash, drawdown, fees + fees_rest
    number[3], number[4], number[5] = won + won_rest, lost + lost_rest, net + net_rest
    whole[0], whole[1], whole[2], whole[3] = made, wins, losses, unfilled
    whole[4], whole[5], whole[6] = ambiguous, bars_held, was_cut
