"""A sweep in memory: rounds of the sampler, tried by workers, one row a trial in the order of their numbers."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from mastertrade.backtest.samplers import Sampler
from mastertrade.backtest.trials import Evaluate, Outcome, Trial, Tried, as_trials
from mastertrade.backtest.workers import Limits, Workers

MOST_OF_A_BATCH: Final = 128
"""Trials a worker takes at once: what they share is computed once, and little is lost when it dies."""
WAIT_S: Final = 0.5

Show = Callable[[int, int], None]


class Pool(Protocol):
    """Where trials run: child processes here, or a cluster."""

    @property
    def count(self) -> int: ...

    @property
    def idle(self) -> int: ...

    @property
    def is_busy(self) -> bool: ...

    def submit(self, trials: Sequence[Trial], /) -> None: ...

    def results(self, timeout_s: float, /) -> list[tuple[Trial, Outcome]]: ...


def sweep(
    evaluate: Evaluate,
    sampler: Sampler,
    *,
    seed: int = 0,
    workers: int | None = None,
    limits: Limits | None = None,
    show: Show | None = None,
) -> list[Tried]:
    """Every trial of the sampler, by number. The rows do not depend on the number of workers."""
    with Workers(evaluate, count=workers, limits=limits) as pool:
        return run_rounds(pool, sampler, seed=seed, show=show)


def run_rounds(pool: Pool, sampler: Sampler, *, seed: int = 0, show: Show | None = None) -> list[Tried]:
    rows: list[Tried] = []
    while parameters := sampler.next_round(rows):
        trials = as_trials(parameters, first=len(rows), study_seed=seed)
        done: dict[int, Tried] = {}
        for trial, outcome in run_all(pool, trials):
            done[trial.number] = Tried(trial=trial, outcome=outcome)
            if show is not None:
                show(len(rows) + len(done), sampler.planned)
        rows += [done[trial.number] for trial in trials]
    return rows


def run_all(pool: Pool, trials: Sequence[Trial]) -> Iterator[tuple[Trial, Outcome]]:
    """All of them, as they are finished."""
    batches = batches_of(trials, pool.count)
    is_fed = False
    while pool.is_busy or not is_fed:
        while not is_fed and pool.idle > 0:
            batch = next(batches, None)
            if batch is None:
                is_fed = True
            else:
                pool.submit(batch)
        yield from pool.results(WAIT_S)


def batches_of(trials: Sequence[Trial], workers: int) -> Iterator[Sequence[Trial]]:
    """Large ones first, since what neighbours share is computed once a batch; smaller and smaller ones later, so that
    no worker is left to work alone at the end."""
    first, least = 0, max(1, len(trials) // (workers * 64))
    while first < len(trials):
        size = max(least, min(MOST_OF_A_BATCH, (len(trials) - first) // (workers * 3)))
        yield trials[first : first + size]
        first += size


def best_of(rows: Sequence[Tried], objective: str) -> Tried | None:
    """The row with the highest figure; of equals the first."""
    valued = [(value, row) for row in rows if (value := row.outcome.value(objective)) is not None]
    return max(valued, key=lambda pair: (pair[0], -pair[1].number))[1] if valued else None
