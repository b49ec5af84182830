"""What a report is made of. Every writer (terminal, page, JSON, CSV, notebook) reads these and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from mastertrade.backtest.result import BacktestResult
from mastertrade.quant.bars import Bars, FloatArray, TimeArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What it takes to make the result again. ``settings`` is whatever else was chosen, by name; ``data_source`` says
    where the bars came from, such as a venue, a file, or ``synthetic``."""

    strategy: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    data_source: str | None = None
    snapshot_hash: str | None = None
    code_hash: str | None = None
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Luck:
    """How much of a result is chance. ``deflated_sharpe`` and ``overfitting`` (PBO) are probabilities; the interval
    is what resampling the returns makes of the Sharpe ratio; ``sentence`` says it in words."""

    trials: int | None = None
    deflated_sharpe: float | None = None
    probabilistic_sharpe: float | None = None
    overfitting: float | None = None
    sharpe_interval: tuple[float, float] | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One run. ``bars`` by symbol let the page draw candles and the report compare with holding; without them both are
    left out."""

    title: str
    result: BacktestResult
    bars: Mapping[str, Bars] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    luck: Luck = field(default_factory=Luck)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One row of a sweep: its parameters and flat figures, or the reason why it failed."""

    number: int
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """``objective`` names the figure that was sought, a key of each trial's metrics; more is better. ``planned`` is
    how many trials there were to be, ``best`` the run of the best of them."""

    title: str
    objective: str
    trials: Sequence[Trial]
    planned: int | None = None
    sampler: str = "grid"
    best: RunReport | None = None
    provenance: Provenance = field(default_factory=Provenance)
    luck: Luck = field(default_factory=Luck)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One step of a walk-forward: chosen on the training time, then run on the test time, which it had not seen.
    Times are epoch milliseconds, the ends exclusive."""

    train_start: int
    train_end: int
    test_start: int
    test_end: int
    parameters: Mapping[str, Any]
    in_sample: Mapping[str, float | None]
    out_of_sample: Mapping[str, float | None]
    trials: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardReport:
    """``time`` and ``equity`` are the account over all test times together, from ``cash``."""

    title: str
    objective: str
    windows: Sequence[Window]
    scheme: str = "rolling"
    cash: float = 10_000.0
    interval_s: int = 60
    time: TimeArray | None = None
    equity: FloatArray | None = None
    provenance: Provenance = field(default_factory=Provenance)
    luck: Luck = field(default_factory=Luck)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Several runs side by side, in the order given."""

    title: str
    runs: Sequence[RunReport]


Report: TypeAlias = RunReport | SweepReport | WalkForwardReport | Comparison
