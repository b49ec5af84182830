"""The contract of every backtest here: what fills when, at which price, at which cost.

The slow twin (``twin.py``) is this text as plain Python; the compiled loops must give the same numbers to the last bit.
"""

from typing import Final

FILL_RULES: Final = """\
1. A change of the target at a bar's close (before the first bar it is 0) is an order for the next open there is; a
   gap is only a longer wait. An order of the last bar is never filled. An order replaces what is left of an older
   one.
2. Size is measured at the close that decides: from the equity of the whole account, times the target, floored to
   the lot. At the open it shrinks to what cash or margin pays for, fee included. An order below a lot, or at its
   first fill below the minimum notional, is not traded.
3. Bars of the same time are one step: funding on what was carried to the open, then closings and reductions, then
   openings in the order of the symbols up to the most positions allowed, then exits inside the bar; then every
   close is marked and all decide. An opening that finds no place is dropped.
4. A market order gets the open, worse by half the spread, slippage and impact, rounded to the tick against us, and
   pays the taker fee. The impact is that of the square-root law over the day before. At an open an order takes at
   most the allowed part of the bar's volume; the rest waits for the next open.
5. Stop and target are measured from the price paid and live from the entry bar. Where a bar opens at or beyond the
   stop, else at or beyond the target, it fills at the open; touched inside the bar, at its level. Where a bar
   touches both inside, the stop is taken and the bar counted as ambiguous, unless finer bars tell. A stop is a
   market order; a target is a limit order: maker fee, no spread, no slippage, no impact. Both fill whole.
6. Trailing and break-even stops follow the best price of the bars before; of several stops the nearest counts. A
   time exit is decided at the close it names, unless the target changes there, and leaves at the next open.
7. After such an exit nothing is entered until the target changes to something else than 0.
8. A short, or a position with leverage, is liquidated where its own margin falls to the maintenance rate, before
   any stop beyond that, as a market order. An account that is worth nothing at a close ends the run.
9. What is held after the last bar is closed at its last close, at the same costs, and marked as such.
"""
