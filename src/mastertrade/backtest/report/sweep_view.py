"""What the trials of a sweep say together: the best, how its neighbours do, and the map of the parameters."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from mastertrade.backtest.report.model import SweepReport, Trial
from mastertrade.backtest.report.wording import known, number, parameter

PLATEAU = 0.7
"""Neighbours whose median reaches this part of the best stand on the same plateau."""
NEAREST = 8
"""As many trials are neighbours where the parameters lie on no grid."""
MAX_CELLS_A_SIDE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    count: int
    middle: float
    worst: float
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One parameter: at each of its values the best and the middle of all trials that had it."""

    name: str
    labels: list[str]
    best: list[float]
    middle: list[float]
    counts: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterMap:
    """Two parameters: ``cells[row][column]`` is the mean objective of the trials there, None where there was none."""

    row_name: str
    column_name: str
    row_labels: list[str]
    column_labels: list[str]
    cells: list[list[float | None]]


def score(sweep: SweepReport, trial: Trial) -> float | None:
    return known(trial.metrics.get(sweep.objective)) if trial.failure is None else None


def ranked(sweep: SweepReport) -> list[Trial]:
    """Trials that have the objective, best first; equals in the order in which they were made."""
    scored = [(value, trial) for trial in sweep.trials if (value := score(sweep, trial)) is not None]
    return [trial for _, trial in sorted(scored, key=lambda pair: (-pair[0], pair[1].number))]


def failures(sweep: SweepReport) -> list[tuple[str, int]]:
    """Reasons and how often, the most frequent first; a trial that ran but lacks the objective counts among them."""
    reasons = Counter(trial.failure or f"no {sweep.objective}" for trial in sweep.trials if score(sweep, trial) is None)
    return sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))


def varied(sweep: SweepReport) -> dict[str, list[Any]]:
    """The parameters that took more than one value, and these in order: numbers by size, anything else by its text."""
    names = dict.fromkeys(name for trial in sweep.trials for name in trial.parameters)
    found = {}
    for name in names:
        values = {parameter(trial.parameters[name]): trial.parameters[name] for trial in sweep.trials
                  if name in trial.parameters}  # fmt: skip
        if len(values) > 1:
            found[name] = sorted(values.values(), key=_order)
    return found


def neighbours(sweep: SweepReport) -> Neighbours | None:
    """Trials at most one step away in every parameter; without such a grid, the nearest ones by rank."""
    order = ranked(sweep)
    axes = varied(sweep)
    if len(order) < 2 or not axes:
        return None
    places = {name: {parameter(value): place for place, value in enumerate(values)} for name, values in axes.items()}
    best, others = order[0], order[1:]

    def steps(trial: Trial) -> list[float]:
        return [
            abs(place[parameter(trial.parameters.get(name))] - place[parameter(best.parameters.get(name))])
            for name, place in places.items()
            if parameter(trial.parameters.get(name)) in place and parameter(best.parameters.get(name)) in place
        ]

    near = [trial for trial in others if max(steps(trial), default=0) <= 1]
    if len(near) < min(2, len(others)):
        spans = [max(len(place) - 1, 1) for place in places.values()]
        distance = {
            trial.number: sum((step / span) ** 2 for step, span in zip(steps(trial), spans, strict=False))
            for trial in others
        }
        near = sorted(others, key=lambda trial: (distance[trial.number], trial.number))[:NEAREST]
    values = [value for trial in near if (value := score(sweep, trial)) is not None]
    top, middle = score(sweep, best) or 0.0, median(values)
    return Neighbours(count=len(values), middle=middle, worst=min(values), verdict=_verdict(top, middle))


def slices(sweep: SweepReport) -> list[Slice]:
    """A slice for each parameter that varied; many values of a number are put into equal groups."""
    found = []
    for name, values in varied(sweep).items():
        groups: dict[str, list[float]] = {parameter(value): [] for value in values}
        for trial in sweep.trials:
            if (value := score(sweep, trial)) is not None and name in trial.parameters:
                groups[parameter(trial.parameters[name])].append(value)
        kept = _grouped([(label, group) for label, group in groups.items() if group])
        found.append(
            Slice(
                name=name,
                labels=[label for label, _ in kept],
                best=[max(group) for _, group in kept],
                middle=[median(group) for _, group in kept],
                counts=[len(group) for _, group in kept],
            )
        )
    return [one for one in found if one.labels]


def parameter_map(sweep: SweepReport) -> ParameterMap | None:
    """The map when exactly two parameters varied."""
    axes = varied(sweep)
    if len(axes) != 2:
        return None
    (row_name, row_values), (column_name, column_values) = axes.items()
    rows, row_labels = _binned(row_values)
    columns, column_labels = _binned(column_values)
    cells: dict[tuple[int, int], list[float]] = {}
    for trial in sweep.trials:
        value = score(sweep, trial)
        if value is not None and row_name in trial.parameters and column_name in trial.parameters:
            place = rows[parameter(trial.parameters[row_name])], columns[parameter(trial.parameters[column_name])]
            cells.setdefault(place, []).append(value)
    return ParameterMap(
        row_name=row_name,
        column_name=column_name,
        row_labels=row_labels,
        column_labels=column_labels,
        cells=[
            [fmean(cells[row, column]) if (row, column) in cells else None for column in range(len(column_labels))]
            for row in range(len(row_labels))
        ],
    )


def _binned(values: Sequence[Any]) -> tuple[dict[str, int], list[str]]:
    """Each value's place on an axis of at most MAX_CELLS_A_SIDE, and the labels of the places."""
    size = -(-len(values) // MAX_CELLS_A_SIDE)
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    places = {parameter(value): place for place, part in enumerate(parts) for value in part}
    return places, [_range([parameter(value) for value in part]) for part in parts]


def _grouped(groups: list[tuple[str, list[float]]]) -> list[tuple[str, list[float]]]:
    size = -(-len(groups) // MAX_CELLS_A_SIDE) or 1
    parts = [groups[start : start + size] for start in range(0, len(groups), size)]
    return [(_range([label for label, _ in part]), [one for _, group in part for one in group]) for part in parts]


def _range(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{labels[0]}..{labels[-1]}"


def _verdict(best: float, middle: float) -> str:
    if best <= 0.0:
        return "even the best trial lost: there is nothing to choose here"
    if middle >= PLATEAU * best:
        return "a plateau: small changes of the parameters keep most of it"
    if middle > 0.0:
        return f"a slope: small changes leave {number(middle / best * 100, 0)} % of it"
    return "a lone peak: small changes lose it all, so it is probably fitted to noise"


def _order(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, float(value), "")
    return (1, 0.0, str(value))
