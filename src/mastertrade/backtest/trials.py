"""A trial: one set of parameters, tried once, and what came of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Protocol

from mastertrade.quant.bars import FloatArray

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """``number`` is its place in the study; ``seed`` is for strategies that want random numbers."""

    number: int
    parameters: Parameters
    seed: int = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Thousands travel between processes; what dataclasses do by themselves takes ten times as long."""
        return _trial, (self.number, self.parameters, self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Flat figures by the names of a run's summary and the returns of each UTC day, or why there are none."""

    figures: Mapping[str, float | None] = field(default_factory=dict)
    daily_returns: FloatArray | None = None
    failure: str | None = None
    seconds: float = 0.0

    def value(self, objective: str) -> float | None:
        return None if self.failure else self.figures.get(objective)

    def __reduce__(self) -> tuple[Any, ...]:
        """As of ``Trial``."""
        return _outcome, (self.figures, self.daily_returns, self.failure, self.seconds)


def _trial(number: int, parameters: Parameters, seed: int) -> Trial:
    return Trial(number=number, parameters=parameters, seed=seed)


def _outcome(
    figures: Mapping[str, float | None], daily_returns: FloatArray | None, failure: str | None, seconds: float
) -> Outcome:
    return Outcome(figures=figures, daily_returns=daily_returns, failure=failure, seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A trial with its outcome: a row of a sweep."""

    trial: Trial
    outcome: Outcome

    @property
    def number(self) -> int:
        return self.trial.number


class Evaluate(Protocol):
    """Tries parameters, in the order given. What a single trial does wrong is its outcome, not an exception. It must
    survive pickling, where workers are not forked. One may have ``prepare``, which works out what all trials share; it
    is given one of them, before workers are forked."""

    def __call__(self, trials: Sequence[Trial], /) -> Iterator[Outcome]: ...


def seed_of(study_seed: int, number: int) -> int:
    """The same for a trial wherever it runs, and unlike its neighbours'."""
    return int.from_bytes(blake2b(f"{study_seed}/{number}".encode(), digest_size=4).digest(), "little")


def as_trials(parameters: Sequence[Parameters], *, first: int, study_seed: int) -> list[Trial]:
    return [
        Trial(number=number, parameters=dict(one), seed=seed_of(study_seed, number))
        for number, one in enumerate(parameters, first)
    ]
