"""Which parameters to try next. A sampler works in rounds: a round depends on the study's seed and on the outcomes of
the rounds before it, and on nothing else. So a study goes on after a crash, in several processes, on any number of
cores, and tries the same."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from mastertrade.backtest.trials import Parameters, Tried, seed_of
from mastertrade.shared.errors import UsageError

MOST_TRIALS: Final = 1_000_000
"""A study of more is a mistake in its ranges; a row and its parameters cost about a kilobyte."""
GUIDED_ROUND: Final = 16
"""Trials proposed at once by the guided sampler: enough for the cores of a machine, few enough to learn from."""
SAMPLERS: Final = ("grid", "random", "tpe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """All values from ``low`` to ``high``, both included; whole numbers where all its numbers are. ``is_log`` looks as
    closely at 1..10 as at 10..100."""

    low: float
    high: float
    step: float | None = None
    is_log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise UsageError(f"a span from {self.low} to {self.high} holds nothing; write low:high or low:high:step")
        if self.step is not None and not 0 < self.step < math.inf:
            raise UsageError(f"a span cannot go in steps of {self.step}; the step must be above 0")
        if self.is_log and (self.low <= 0 or self.step is not None):
            raise UsageError(f"a logarithmic span begins above 0 and has no step, not {self.low}..{self.high}")

    @property
    def is_whole(self) -> bool:
        return all(float(value).is_integer() for value in (self.low, self.high, self.step or 1.0)) and not self.is_log

    def values(self, name: str) -> list[float]:
        step = self.step or (1.0 if self.is_whole else None)
        if step is None:
            raise UsageError(f"{name}: a grid needs steps; write {self.low:g}:{self.high:g}:step")
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        if count > MOST_TRIALS:
            raise UsageError(f"{name}: {count:,} values are more than the {MOST_TRIALS:,} a study may try")
        found = [self.low + place * step for place in range(count)]
        return [int(value) for value in found] if self.is_whole else [round(value, 12) for value in found]

    def draw(self, numbers: np.random.Generator) -> float:
        if self.step is not None or self.is_whole:
            step = self.step or 1.0
            place = numbers.integers(0, math.floor((self.high - self.low) / step + 1e-9) + 1)
            value = round(self.low + int(place) * step, 12)
            return int(value) if self.is_whole else value
        if self.is_log:
            return float(np.exp(numbers.uniform(np.log(self.low), np.log(self.high))))
        return float(numbers.uniform(self.low, self.high))


Choice: TypeAlias = Span | Sequence[Any]
Space: TypeAlias = Mapping[str, Choice]


class Sampler(Protocol):
    """``kind`` is its name in ``SAMPLERS``; ``planned`` how many trials it will propose in all."""

    @property
    def kind(self) -> str: ...

    @property
    def planned(self) -> int: ...

    def next_round(self, before: Sequence[Tried]) -> list[Parameters]:
        """The next parameters; ``before`` are all trials proposed so far, with their outcomes, by number. Empty: the
        study is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Every combination, the last parameter moving fastest."""

    space: Space
    kind: str = "grid"

    @property
    def planned(self) -> int:
        return math.prod(len(values) for values in self._axes().values())

    def next_round(self, before: Sequence[Tried]) -> list[Parameters]:
        if before:
            return []
        if self.planned > MOST_TRIALS:
            raise UsageError(
                f"a grid of {self.planned:,} combinations is more than the {MOST_TRIALS:,} a study may try; "
                "take larger steps, or sample at random"
            )
        axes = self._axes()
        return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]

    def _axes(self) -> dict[str, Sequence[Any]]:
        return {
            name: choice.values(name) if isinstance(choice, Span) else list(choice)
            for name, choice in self.space.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Random:
    """Independent draws. What was drawn before may be drawn again: the trials stay independent."""

    space: Space
    planned: int
    seed: int = 0
    kind: str = "random"

    def next_round(self, before: Sequence[Tried]) -> list[Parameters]:
        if before:
            return []
        numbers = np.random.default_rng(self.seed)
        return [{name: _draw(choice, numbers) for name, choice in self.space.items()} for _ in range(self.planned)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guided:
    """Optuna's tree-structured Parzen estimator, sixteen proposals at a time. Each round is asked of a fresh sampler
    that was told every outcome before it, so no state has to be kept anywhere."""

    space: Space
    planned: int
    objective: str
    seed: int = 0
    kind: str = "tpe"

    def next_round(self, before: Sequence[Tried]) -> list[Parameters]:
        count = min(GUIDED_ROUND, self.planned - len(before))
        if count <= 0:
            return []
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        distributions = {name: _distribution(name, choice) for name, choice in self.space.items()}
        sampler = optuna.samplers.TPESampler(
            seed=seed_of(self.seed, len(before)), constant_liar=True, n_startup_trials=GUIDED_ROUND
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for tried in before:
            value = tried.outcome.value(self.objective)
            state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
            study.add_trial(
                optuna.trial.create_trial(
                    params=dict(tried.trial.parameters), distributions=distributions, value=value, state=state
                )
            )
        return [dict(study.ask(distributions).params) for _ in range(count)]


def make_sampler(
    kind: str, space: Space, *, trials: int | None = None, objective: str = "sharpe_ratio", seed: int = 0
) -> Sampler:
    if not space:
        raise UsageError("a sweep needs at least one parameter to vary, such as fast=5:50:5 or slow=50,100")
    for name, choice in space.items():
        if not isinstance(choice, Span) and not len(choice):
            raise UsageError(f"{name}: there is no value to try")
    if kind == "grid":
        return Grid(space=space)
    if kind not in SAMPLERS:
        raise UsageError(f"sampler {kind!r} is unknown; there are {', '.join(SAMPLERS)}")
    if trials is None or not 0 < trials <= MOST_TRIALS:
        raise UsageError(f"the {kind} sampler needs a number of trials from 1 to {MOST_TRIALS:,}, not {trials}")
    if kind == "random":
        return Random(space=space, planned=trials, seed=seed)
    return Guided(space=space, planned=trials, objective=objective, seed=seed)


def _draw(choice: Choice, numbers: np.random.Generator) -> Any:
    return choice.draw(numbers) if isinstance(choice, Span) else choice[int(numbers.integers(0, len(choice)))]


def _distribution(name: str, choice: Choice) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(choice, Span):
        return CategoricalDistribution(list(choice))
    if choice.is_whole:
        return IntDistribution(int(choice.low), int(choice.high), step=int(choice.step or 1))
    return FloatDistribution(choice.low, choice.high, step=choice.step, log=choice.is_log)
