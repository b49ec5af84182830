"""What ``mt.backtest`` hands back: the run, its figures by name, and a page for people."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from mastertrade.backtest.report import Luck, Provenance, RunReport, format_summary, summarise
from mastertrade.backtest.result import BacktestResult, Trades
from mastertrade.quant.bars import Bars, FloatArray, TimeArray
from mastertrade.research.reported import Reported
from mastertrade.research.statistics import luck_of_run


class Result(Reported):
    """``equity`` is the account at each bar's close (``time`` has the bars' starts), ``trades`` every position from
    entry to exit, ``metrics`` all figures by name, with None for what the run cannot give. Rates are fractions."""

    def __init__(
        self,
        run: BacktestResult,
        *,
        strategy: str,
        parameters: Mapping[str, Any],
        markets: Mapping[str, Bars] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.run = run
        self.markets = dict(markets or {})
        self.strategy = strategy
        self.parameters = dict(parameters)
        self.settings = dict(settings or {})

    @property
    def equity(self) -> FloatArray:
        return self.run.equity

    @property
    def time(self) -> TimeArray:
        return self.run.time

    @property
    def trades(self) -> Trades:
        """A sequence of ``BacktestTrade``; ``trades.rows`` are the same as one numpy array."""
        return self.run.trades

    @property
    def fill_rules(self) -> str:
        """What filled when, at which price: ``print(result.fill_rules)``."""
        return self.run.fill_rules

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return summarise(self.run)

    @cached_property
    def luck(self) -> Luck:
        """What the run proves by itself, were it the only one ever made."""
        return luck_of_run(self.run)

    @property
    def title(self) -> str:
        given = ", ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
                          for name, value in {**self.parameters, **self.settings}.items())  # fmt: skip
        return f"{self.strategy}({given})"

    def __repr__(self) -> str:
        return format_summary(self.metrics, self.title)

    def report(self) -> RunReport:
        """With the bars, so that its page draws the trades on the candles and compares with holding."""
        return RunReport(
            title=self.strategy,
            result=self.run,
            bars=self.markets,
            provenance=Provenance(strategy=self.strategy, parameters=self.parameters, settings=self.settings),
            luck=self.luck,
        )
