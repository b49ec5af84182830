"""What other engines need for the questions of the backtest benchmark. Run by the Python that has them installed, with
the name of the engine, of the question, and the folder of the input; prints one JSON object."""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from backtest_data import CASH, FAST, FEE, SLOW, STOP, TARGET, load, pairs

ROUNDS = 3


def averages(close: np.ndarray, fast: int, slow: int) -> np.ndarray:
    """True where the fast average is above the slow one, both known."""
    sums = np.concatenate(([0.0], np.cumsum(close)))
    found = np.zeros(len(close), dtype=bool)
    first = (sums[slow:] - sums[:-slow]) / slow
    second = ((sums[fast:] - sums[:-fast]) / fast)[slow - fast :]
    found[slow - 1 :] = second > first
    return found


def crossings(close: np.ndarray, fast: int, slow: int) -> tuple[np.ndarray, np.ndarray]:
    above = averages(close, fast, slow)
    entries, exits = np.zeros_like(above), np.zeros_like(above)
    entries[slow:] = above[slow:] & ~above[slow - 1 : -1]
    exits[slow:] = ~above[slow:] & above[slow - 1 : -1]
    return entries, exits


class Raptorbt:
    def __init__(self, bars: dict[str, np.ndarray]) -> None:
        import raptorbt

        self.engine = raptorbt
        stamps = bars["time"] * 1_000_000
        self.columns = (stamps, bars["open"], bars["high"], bars["low"], bars["close"], bars["volume"])
        self.close = bars["close"]

    def config(self, **changes: Any) -> Any:
        config = self.engine.BacktestConfig(initial_capital=CASH, fees=FEE, fill_timing="next_bar_open", **changes)
        config.set_fixed_stop(STOP)
        config.set_fixed_target(TARGET)
        return config

    def run(self) -> int:
        found = self.engine.run_single_backtest(*self.columns, *crossings(self.close, FAST, SLOW), config=self.config())
        return int(found.metrics.total_trades)

    def sweep(self, count: int) -> int:
        config, items = self.config(), []
        for number, (fast, slow) in enumerate(pairs(count)):
            entries, exits = crossings(self.close, fast, slow)
            items.append(self.engine.BatchSingleItem(str(number), entries, exits))
        found = self.engine.batch_single_backtest(*self.columns, items, config=config)
        return sum(int(one.metrics.total_trades) for _, one in found)


class Vectorbt:
    def __init__(self, bars: dict[str, np.ndarray]) -> None:
        import vectorbt

        self.engine = vectorbt
        self.bars = bars

    def portfolio(self, entries: np.ndarray, exits: np.ndarray) -> Any:
        later = [np.concatenate((np.zeros((1, *one.shape[1:]), dtype=bool), one[:-1])) for one in (entries, exits)]
        shape = (-1, 1) if entries.ndim == 2 else (-1,)
        prices = {name: self.bars[name].reshape(shape) for name in ("open", "high", "low", "close")}
        return self.engine.Portfolio.from_signals(
            prices["close"] if entries.ndim == 1 else np.broadcast_to(prices["close"], entries.shape),
            *later, price=prices["open"], open=prices["open"], high=prices["high"], low=prices["low"], size=1.0,
            fees=FEE, init_cash=CASH, sl_stop=STOP, tp_stop=TARGET, stop_entry_price="fillprice", freq="1min",
        )  # fmt: skip

    def run(self) -> int:
        return int(self.portfolio(*crossings(self.bars["close"], FAST, SLOW)).trades.count())

    def sweep(self, count: int) -> int:
        made = [crossings(self.bars["close"], *pair) for pair in pairs(count)]
        found = self.portfolio(*(np.column_stack([one[side] for one in made]) for side in (0, 1)))
        found.max_drawdown(), found.sharpe_ratio()
        return int(found.trades.count().sum())


class BacktestingPy:
    def __init__(self, bars: dict[str, np.ndarray]) -> None:
        import backtesting
        import pandas as pd

        index = pd.to_datetime(bars["time"], unit="ms")
        columns = {name.capitalize(): bars[name] for name in ("open", "high", "low", "close", "volume")}
        self.engine, self.frame = backtesting, pd.DataFrame(columns, index=index)

    def run(self) -> int:
        return self.of(FAST, SLOW)

    def sweep(self, count: int) -> int:
        return sum(self.of(fast, slow) for fast, slow in pairs(count))

    def of(self, fast: int, slow: int) -> int:
        entries, exits = crossings(self.frame["Close"].to_numpy(), fast, slow)
        engine = self.engine

        class Cross(engine.Strategy):  # type: ignore[name-defined, misc]
            def init(self) -> None:
                self.enters = self.I(lambda: entries, plot=False)
                self.leaves = self.I(lambda: exits, plot=False)

            def next(self) -> None:
                price = self.data.Close[-1]
                if self.enters[-1]:
                    self.buy(size=1, sl=price * (1 - STOP), tp=price * (1 + TARGET))
                elif self.leaves[-1]:
                    self.position.close()

        test = engine.Backtest(self.frame, Cross, cash=CASH, commission=FEE, trade_on_close=False, finalize_trades=True)
        return int(test.run()["# Trades"])


ENGINES = {"raptorbt": Raptorbt, "vectorbt": Vectorbt, "backtesting.py": BacktestingPy}
QUESTIONS = {
    ("raptorbt", "run"): ("run", 0), ("vectorbt", "run"): ("run", 0), ("backtesting.py", "run"): ("slow", 0),
    ("raptorbt", "sweep"): ("sweep", 200), ("vectorbt", "sweep"): ("sweep", 50),
    ("backtesting.py", "sweep"): ("sweep", 2),
    ("raptorbt", "start"): ("start", 0), ("vectorbt", "start"): ("start", 0), ("backtesting.py", "start"): ("start", 0),
}  # fmt: skip


def main(name: str, question: str, folder: Path) -> dict[str, Any]:
    series, count = QUESTIONS[name, question]
    bars = load(folder, series)
    engine = ENGINES[name](bars)
    work = (lambda: engine.sweep(count)) if question == "sweep" else engine.run
    trades = work()
    first = resource.getrusage(resource.RUSAGE_SELF)
    took: list[float] = []
    for _ in range(0 if question == "start" else ROUNDS if name != "backtesting.py" else 1):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return {
        "cpu_s": took,
        "units": count or len(bars["close"]),
        "trades": trades,
        "first_cpu_s": first.ru_utime + first.ru_stime,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
