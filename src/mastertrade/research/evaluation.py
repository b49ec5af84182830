"""What a worker does with trials: build the strategy, run it on the shared columns, and keep what fits in a row."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Final

from mastertrade import strategies
from mastertrade.backtest.alone import Alone
from mastertrade.backtest.score import Score, score_of
from mastertrade.backtest.trials import Outcome, Trial
from mastertrade.backtest.workers import reason_of, seed_everything
from mastertrade.quant.bars import Bars
from mastertrade.quant.columns import Markets, together
from mastertrade.research.options import Options, of_markets
from mastertrade.strategies import Strategy

BARS_TO_LOAD_BY: Final = 512


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One strategy on these markets under these options; a trial brings the parameters that vary."""

    markets: Mapping[str, Bars]
    strategy: Strategy
    fixed: Mapping[str, Any] = field(default_factory=dict)
    options: Options

    def __call__(self, trials: Sequence[Trial]) -> Iterator[Outcome]:
        for trial in trials:
            started = time.perf_counter()
            seed_everything(trial.seed)
            try:
                made = self._score({**self.fixed, **trial.parameters})
            except Exception as error:  # noqa: BLE001 - a strategy is anybody's code: what it raises is its outcome
                yield Outcome(failure=reason_of(error), seconds=time.perf_counter() - started)
            else:
                yield Outcome(
                    figures=made.figures, daily_returns=made.daily_returns, seconds=time.perf_counter() - started
                )

    def prepare(self, one: Trial) -> None:
        """What all trials share, worked out before there are workers."""
        with suppress(
            ValueError
        ):  # terms that only a trial's parameters complete; where they do not, the trial says it
            if self._alone is not None:
                self._alone.prepared(self.options.terms)
        if strategies.is_of_the_house(self.strategy):
            self._load_machine_code(one)

    def _load_machine_code(self, one: Trial) -> None:
        """By a run over few bars, so that no worker has to load it. Not with somebody else's code, which runs in
        workers only."""
        short = replace(self, markets={symbol: bars[:BARS_TO_LOAD_BY] for symbol, bars in self.markets.items()})
        with suppress(Exception):  # it will be the trial's outcome
            short._score({**self.fixed, **one.parameters})

    def _score(self, parameters: Mapping[str, Any]) -> Score:
        if self._alone is None:
            return score_of(self.options.run(self._columns, self.strategy, parameters))
        options, mine = self.options.varied(self.strategy, parameters)
        built = strategies.build(self.strategy, mine)
        return self._alone.score(built.template, built.params, options.terms)

    @cached_property
    def _columns(self) -> Markets:
        """The markets with what was computed of them, for all trials."""
        return together(self.markets)

    @cached_property
    def _alone(self) -> Alone | None:
        """The only market, if there is only one."""
        if len(self.markets) != 1:
            return None
        ((symbol, columns),) = self._columns.items()
        given = {
            name: (of_markets(name, getattr(self.options, name), self.markets) or {}).get(symbol)
            for name in ("rules", "funding", "detail")
        }
        return Alone(symbol, columns, **given)

    def __getstate__(self) -> dict[str, Any]:
        """To somewhere else goes what it was made of, and none of what it computed."""
        return {one.name: getattr(self, one.name) for one in fields(self)}
