"""The compiled loop over the steps of time. It gives what ``twin.py`` gives, which is the text to read first.

Most bars change nothing but the account's value: they are run through without a look at the rules, up to the next one
whose target, order, stop, funding or rule may matter. Importing this imports numba.
"""

from typing import Any

import numpy as np
from numba import boolean, float64, int64, njit, typeof, types, void

from mastertrade.backtest.kernel_layout import ACCOUNT, PLACE, TERMS, Columns
from mastertrade.backtest.kernel_step import (
    BOTH,
    NEITHER,
    NEVER,
    begin_step,
    close_at_last,
    decide,
    drilled,
    exit_inside_bar,
    fill_at_open,
    helper,
    inlined,
    mark,
    nearest_stop,
    nearest_target,
    next_time,
    touches,
)
from mastertrade.backtest.result import TRADE_DTYPE


@helper
def _is_touched(side: int, stop: float, target: float, open_: float, high: float, low: float) -> bool:
    if side > 0:
        return low <= stop or high >= target or open_ <= stop or open_ >= target
    return high >= stop or low <= target or open_ >= stop or open_ <= target


@helper
def _follow(place: Any, terms: Any, high: float, low: float) -> float:
    """Move a stop that follows the price."""
    best = max(place.best, high) if place.side > 0 else min(place.best, low)
    if best != place.best:
        place.best = best
        place.stop = nearest_stop(place, terms)[0]
    return float(place.stop)


@inlined
def _sleep(
    place: Any, terms: Any, first: int, rule_from: Any, open_: Any, high: Any, low: Any, targets: Any, funding: Any
) -> None:
    """Find the next bar that may matter to the market: until then only its price moves."""
    bar, end = place.bar + 1, place.last
    if place.rule + 1 < place.last_rule:
        end = min(end, first + rule_from[place.rule + 1])
    if place.side != 0 and terms.time_bars > 0:
        end = min(end, place.entry_bar + terms.time_bars - 1)
    if place.has_order:
        end = bar
    before = targets[bar - 1] if bar > first else 0.0
    if place.side == 0:
        while bar < end and targets[bar] == before:
            bar += 1
    else:
        side, target, stop = place.side, nearest_target(place, terms), nearest_stop(place, terms)[0]
        place.stop = stop
        while (
            bar < end
            and targets[bar] == before
            and not _is_touched(side, stop, target, open_[bar], high[bar], low[bar])
            and not (len(funding) > 0 and funding[bar] != 0.0)
        ):
            if terms.has_moving_stop:
                stop = _follow(place, terms, high[bar], low[bar])
            bar += 1
    place.wakes_at = bar


@inlined
def _pass_alone(account: Any, place: Any, close: Any, step: int, equity: Any, invested: Any) -> int:
    """Mark a single market, whose steps are its bars, up to where it wakes or the account is worth nothing."""
    cash, held, end = account.cash, place.side * place.quantity, place.wakes_at
    if held < 0.0 or cash < 0.0:  # what is owed may become more than there is
        for bar in range(step, end):
            if cash + held * close[bar] <= 0.0:
                end = bar
                break
    for bar in range(step, end):
        worth = held * close[bar] if held != 0.0 else 0.0
        equity[bar], invested[bar] = cash + worth, abs(worth)
    return int(max(step, end))


@inlined
def _pass_in_step(account: Any, places: Any, first: Any, close: Any, step: int, equity: Any, invested: Any) -> int:
    """The same of markets that have all bars at the same times."""
    end = places[0].last - first[0]
    for symbol in range(len(places)):
        end = min(end, places[symbol].wakes_at - first[symbol])
    if end <= step:
        return step
    totals, worths, cash = equity[step:end], invested[step:end], account.cash
    for place in range(len(totals)):
        totals[place] = worths[place] = 0.0
    for symbol in range(len(places)):
        if places[symbol].side != 0:
            held, prices = places[symbol].side * places[symbol].quantity, close[first[symbol] + step :]
            for place in range(len(totals)):
                of_place = held * prices[place]
                totals[place] += of_place
                worths[place] += abs(of_place)
    for place in range(len(totals)):
        if cash + totals[place] <= 0.0:
            return int(step + place)
        totals[place] += cash
    return int(end)


@inlined
def _pass_apart(
    account: Any, places: Any, time: Any, close: Any, step: int, times: Any, equity: Any, invested: Any
) -> int:
    """The same of markets that each have bars at times of their own."""
    while True:
        now = next_time(places, time)
        total = worth = 0.0
        is_quiet = now != NEVER
        for symbol in range(len(places)):
            place = places[symbol]
            is_quiet = is_quiet and not (place.is_trading and place.bar + 1 >= place.wakes_at)
            if place.side != 0:
                of_place = place.side * place.quantity * (close[place.bar + 1] if place.is_trading else place.mark)
                total += of_place
                worth += abs(of_place)
        if not is_quiet or account.cash + total <= 0.0:
            return step
        for symbol in range(len(places)):
            place = places[symbol]
            if place.is_trading:
                place.bar += 1
                place.mark = close[place.bar]
        times[step], equity[step], invested[step] = now, account.cash + total, worth
        step += 1


# Read-only, so that each mix of writable and read-only columns is not compiled anew.
_Floats, _Counts = types.Array(float64, 1, "C", readonly=True), types.Array(int64, 1, "C", readonly=True)
_COUNTS = ("first", "time", "rule_from", "detail_start", "detail_end")
_SIGNATURE = void(
    *(_Counts if name in _COUNTS else _Floats for name in Columns._fields),
    *(typeof(np.zeros(0, kind)) for kind in (PLACE, ACCOUNT, TERMS, TRADE_DTYPE)),
    int64[::1],
    float64[::1],
    float64[::1],
    boolean,
    boolean,
)


@njit(_SIGNATURE, error_model="numpy", nogil=True, cache=True)
def simulate(  # noqa: C901 - a helper that is handed all columns costs more than the step it does
    first: Any, time: Any, open_: Any, high: Any, low: Any, close: Any, volume: Any, targets: Any, long_unit: Any,
    short_unit: Any, atr: Any, impact: Any, funding: Any, rule_from: Any, lot: Any, tick: Any, min_notional: Any,
    detail_start: Any, detail_end: Any, detail_open: Any, detail_high: Any, detail_low: Any,
    places: Any, accounts: Any, all_terms: Any, trades: Any, times: Any, equity: Any, invested: Any,
    has_exits: bool, is_in_step: bool,
) -> None:  # fmt: skip
    """The columns, in their order; then what is written: the places, the account, the trades with places of bars for
    times, and for each step its time (unless all markets have the same), the equity and what is invested."""
    account, terms = accounts[0], all_terms[0]
    awake, step, awaken = np.empty(len(places), np.int64), 0, 0
    for symbol in range(len(places) if is_in_step else 0):
        places[symbol].is_trading = 1
    while account.is_ruined == 0:
        if step == 0:
            awaken = len(places)
            for symbol in range(awaken):
                awake[symbol] = symbol
        for at in range(awaken):
            symbol = awake[at]
            _sleep(places[symbol], terms, first[symbol], rule_from, open_, high, low, targets, funding)
        if len(places) == 1:
            step = _pass_alone(account, places[0], close, step, equity, invested)
        elif is_in_step:
            step = _pass_in_step(account, places, first, close, step, equity, invested)
        else:
            step = _pass_apart(account, places, time, close, step, times, equity, invested)
        now = NEVER
        if is_in_step:
            if first[0] + step >= places[0].last:
                for symbol in range(len(places) if step > 0 else 0):
                    places[symbol].bar = first[symbol] + step - 1
                    places[symbol].mark = close[places[symbol].bar]
                break
        else:
            now = next_time(places, time)
            if now == NEVER:
                break
        awaken = 0
        for symbol in range(len(places)):
            place = places[symbol]
            begin, bar = first[symbol], first[symbol] + step if is_in_step else place.bar + 1
            if is_in_step and place.side == 0 and bar < place.wakes_at:
                place.is_awake = 0
                continue  # nothing is held and nothing happens: nobody asks where it stands
            if place.is_trading == 0:
                place.is_awake = 0
                continue
            place.is_awake = bar >= place.wakes_at
            place.bar, place.mark = bar, open_[bar]
            if place.is_awake == 0:
                continue
            awake[awaken] = symbol
            awaken += 1
            while place.rule + 1 < place.last_rule and rule_from[place.rule + 1] <= bar - begin:
                place.rule += 1
            place.lot, place.tick, place.min_notional = lot[place.rule], tick[place.rule], min_notional[place.rule]
            place.open, place.high, place.low, place.close = open_[bar], high[bar], low[bar], close[bar]
            place.volume, place.wanted = volume[bar] if terms.participation > 0.0 else 0.0, targets[bar]
            place.wanted_before = targets[bar - 1] if bar > begin else 0.0
            place.unit = long_unit[bar] if place.wanted > 0.0 else short_unit[bar]
            place.atr_now = atr[bar] if len(atr) else np.nan
            place.known_impact = impact[bar - 1] if len(impact) and bar > begin else 0.0
            place.funding_rate = funding[bar] if len(funding) else 0.0
        begin_step(account, places, terms, awake, awaken)
        fill_at_open(account, places, terms, trades, awake, awaken)
        for at in range(awaken if has_exits else 0):
            symbol = awake[at]
            place = places[symbol]
            if place.side != 0:
                touched, price = touches(place, terms)
                if touched == BOTH:
                    touched, price = drilled(
                        account, place, detail_start, detail_end, detail_open, detail_high, detail_low
                    )
                if touched != NEITHER:
                    exit_inside_bar(account, place, terms, trades, symbol, touched, price)
        total, worth = mark(places, close)
        equity[step], invested[step] = account.cash + total, worth
        if not is_in_step:
            times[step] = now
        step += 1
        account.is_ruined = account.cash + total <= 0.0
        if account.is_ruined == 0:
            decide(account, places, terms, account.cash + total, awake, awaken)
    account.steps, account.ended = step, account.trades
    for symbol in range(len(places)):
        place = places[symbol]
        if place.side != 0:
            known = impact[place.bar] if len(impact) else 0.0
            close_at_last(account, place, terms, trades, symbol, known)
    if step > 0:
        account.is_ruined = account.is_ruined or account.cash <= 0.0
        equity[step - 1] = 0.0 if account.is_ruined else account.cash
