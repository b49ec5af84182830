"""What a new strategy file begins with: something that works at once, and says how to change it."""

from dataclasses import dataclass
from typing import Final

PARAMETERS: Final = '''from dataclasses import dataclass
from typing import Annotated

from mastertrade.strategies import Parameters, Range


@dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    """Every number you may want to vary: its type, the range it may have, and what it is unless somebody says so."""

'''

POSITIONS: Final = f'''"""NAME: hold while the fast average is above the slow one, in markets that are not too quiet.

Try it     mastertrade backtest run NAME --file BTC_USDT-1h.csv.gz
Vary it    mastertrade backtest sweep NAME --file BTC_USDT-1h.csv.gz --try fast=5:50:5 --try slow=60,100,200
Check it   mastertrade strategy validate NAME
"""

{PARAMETERS}    fast: Annotated[int, Range(low=2, high=200)] = 20
    slow: Annotated[int, Range(low=3, high=400)] = 50
    quiet: Annotated[float, Range(low=0.0, high=0.1)] = 0.001

    def contradictions(self):
        """What is wrong between numbers that are each in range; an empty list when nothing is."""
        return [] if self.fast < self.slow else [f"fast {{self.fast}} must be below slow {{self.slow}}"]


def positions(bars, params):
    """What to hold after each bar's close: 0 nothing, 1 all in, -1 short, or anything between. One number a bar.

    bars.open, .high, .low, .close, .volume and .time (UTC, epoch milliseconds) are numpy arrays. Indicators are
    methods: bars.sma(20), .ema, .rsi(14), .atr(14), .macd().histogram, .bollinger().upper, .donchian(20).lower, and
    more; they are NaN before they have enough bars, and a comparison with NaN is False. The target of a bar is traded
    at the open of the next one. It must not depend on later bars: no shift(-1), no mean or maximum over all bars.
    """
    is_rising = bars.sma(params.fast) > bars.sma(params.slow)
    is_lively = bars.atr(14) > params.quiet * bars.close
    return is_rising & is_lively


def warm_up(params):
    """How many bars at the beginning can never have a position. Optional."""
    return params.slow - 1
'''

ON_BAR: Final = f'''"""NAME: enter where the price crosses above its average, leave where it gives back some of it.

Try it     mastertrade backtest run NAME --file BTC_USDT-1h.csv.gz
Vary it    mastertrade backtest sweep NAME --file BTC_USDT-1h.csv.gz --try average=20:100:20 --try give_back=0.02,0.1
Check it   mastertrade strategy validate NAME
"""

{PARAMETERS}    average: Annotated[int, Range(low=2, high=400)] = 50
    give_back: Annotated[float, Range(low=0.001, high=0.5)] = 0.03
    patience: Annotated[int, Range(low=1, high=10_000)] = 200


class Strategy:
    """One object of it sees a market from its first bar to its last, and may remember whatever it likes."""

    def __init__(self, params):
        self.params = params
        self.best = 0.0

    def indicators(self, ask):
        """Asked for before the first bar, and there at each bar under these names. Optional."""
        return {{"average": ask.sma(self.params.average)}}

    def on_bar(self, bar):
        """What to hold after this bar's close: 0 nothing, 1 all in, -1 short, or between; None: what is held already.

        bar.open, .high, .low, .close, .volume and .time are of this bar; bar.closes and its like hold all bars so far,
        this one last. bar.position is what is held, bar.entry_price, bar.bars_held and bar.profit are of it. An
        indicator is NaN before it has enough bars, and a comparison with NaN is False. Later bars are not there to see.
        """
        if bar.position:
            self.best = max(self.best, bar.close)
            has_given_back = bar.close < self.best * (1.0 - self.params.give_back)
            return 0.0 if has_given_back or bar.bars_held >= self.params.patience else None
        if len(bar.closes) > 1 and bar.closes[-2] <= bar.average < bar.close:
            self.best = bar.close
            return 1.0
        return 0.0
'''


RULE: Final = """{
  "name": "NAME",
  "parameters": {
    "trend": {"default": 50, "low": 5, "high": 400},
    "weak": {"default": 45, "low": 5, "high": 60}
  },
  "long": {
    "enter": {
      "all": [
        {"above": ["close", {"indicator": "sma", "period": {"parameter": "trend"}}]},
        {"crosses_above": [{"indicator": "rsi", "period": 14}, {"parameter": "weak"}]}
      ]
    },
    "exit": {
      "any": [
        {"below": ["close", {"indicator": "sma", "period": {"parameter": "trend"}}]},
        {"above": [{"indicator": "rsi", "period": 14}, 70]}
      ]
    }
  }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    suffix: str
    text: str


FORMS: Final = {
    "positions": Form(suffix=".py", text=POSITIONS),
    "on_bar": Form(suffix=".py", text=ON_BAR),
    "rule": Form(suffix=".json", text=RULE),
}


def beginning(name: str, form: str) -> str:
    return FORMS[form].text.replace("NAME", name)
