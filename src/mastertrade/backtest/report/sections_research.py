"""The sections of sweeps, walk-forwards and comparisons."""

import numpy as np

from mastertrade.backtest.report.charts import HEIGHT, WIDTH, Line, bars_chart, curves, dots_chart, framed
from mastertrade.backtest.report.figures import drawdowns, equity_times
from mastertrade.backtest.report.markup import Child, Safe, tag
from mastertrade.backtest.report.model import Comparison, RunReport, SweepReport, WalkForwardReport
from mastertrade.backtest.report.overview import Figure, overview
from mastertrade.backtest.report.parts import data_table, section, shade
from mastertrade.backtest.report.sections import key, word
from mastertrade.backtest.report.sweep_view import (
    ParameterMap,
    Slice,
    failures,
    neighbours,
    parameter_map,
    ranked,
    score,
    slices,
)
from mastertrade.backtest.report.terminal_research import figure, label, shown_columns
from mastertrade.backtest.report.wording import NOTHING, count, day, number, parameters, percent
from mastertrade.quant.bars import FloatArray

TOP = 50
MOST_NUMBERS_A_SIDE = 14
"""A map with more columns than this is drawn without numbers in its cells."""
COLOURS = 8
SHORT = 40


def sweep_tiles(sweep: SweepReport) -> list[Figure]:
    order, around, failed = ranked(sweep), neighbours(sweep), failures(sweep)
    name = label(sweep.objective)
    tiles = []
    if order:
        note = parameters(order[0].parameters)
        tiles.append(Figure(name=f"best {name}", value=figure(sweep.objective, score(sweep, order[0])), note=note))
    if around is not None:
        tone = "" if around.verdict.startswith("a slope") else "good" if around.verdict.startswith("a plat") else "bad"
        shown = figure(sweep.objective, around.middle)
        tiles.append(Figure(name="its neighbours", value=shown, note=around.verdict, tone=tone))
    lost = sum(times for _, times in failed)
    note = f"{lost:,} of them failed" if lost else "none of them failed"
    planned = f"; {sweep.planned:,} planned" if sweep.planned is not None else ""
    tiles.append(Figure(name="trials made", value=f"{len(sweep.trials):,}", note=note + planned))
    if sweep.luck.deflated_sharpe is not None:
        note = "chance that the best beats the best of as many random trials"
        shown = percent(sweep.luck.deflated_sharpe, 0, sign=False)
        tone = "good" if sweep.luck.deflated_sharpe >= 0.95 else "bad"
        tiles.append(Figure(name="deflated Sharpe", value=shown, note=note, tone=tone))
    if sweep.luck.overfitting is not None:
        note = "chance that the best in sample is below the middle out of sample"
        shown = percent(sweep.luck.overfitting, 0, sign=False)
        tone = "bad" if sweep.luck.overfitting >= 0.5 else "good"
        tiles.append(Figure(name="overfitting", value=shown, note=note, tone=tone))
    return tiles


def map_section(sweep: SweepReport) -> Child:
    name, chart = label(sweep.objective), parameter_map(sweep)
    found = slices(sweep)
    if not found:
        return None
    if chart is not None:
        small = len(chart.column_labels) <= MOST_NUMBERS_A_SIDE and len(chart.row_labels) <= 2 * MOST_NUMBERS_A_SIDE
        body = _number_map(chart, sweep.objective) if small else _colour_map(chart, sweep.objective)
        note = f"{name} by {chart.row_name} (down) and {chart.column_name} (across); the best cell is framed."
        return section("map", "Parameter map", body, note=note)
    legend = tag("p", key("out", "best of the trials there"), key("equity", "middle of them"), class_="legend")
    body = tag("div", [_slice(one, sweep.objective) for one in found], class_="slices")
    note = f"{name} along each parameter, whatever the others were. Broad hills are to be trusted, spikes are not."
    return section("map", "Parameter slices", legend, body, note=note)


def top_section(sweep: SweepReport) -> Child:
    order, columns = ranked(sweep), shown_columns(sweep)
    if not order:
        return section("top", "Trials", tag("p", "No trial gave a figure.", class_="note"))
    rows = [
        [
            str(place),
            *(figure(name, trial.metrics.get(name)) for name in columns),
            tag("td", parameters(trial.parameters) or NOTHING, class_="wide"),
        ]
        for place, trial in enumerate(order[:TOP], 1)
    ]
    note = f"The best {len(rows):,} of {count(len(order), 'trial')} by {label(sweep.objective)}."
    table = data_table(("#", *map(label, columns), "parameters"), rows, "Best trials", left=0, words=("parameters",))
    return section("top", "Best trials", table, note=note)


def failures_section(sweep: SweepReport) -> Child:
    failed = failures(sweep)
    if not failed:
        return None
    rows = [[f"{times:,}", tag("td", reason, class_="wide")] for reason, times in failed[:TOP]]
    note = f"The {TOP} most frequent of {len(failed):,} reasons." if len(failed) > TOP else ""
    table = data_table(("trials", "reason"), rows, "Failed trials", left=0, words=("reason",))
    return section("failures", "Trials that failed", table, note=note)


def walk_equity_section(walk: WalkForwardReport) -> Child:
    if walk.time is None or walk.equity is None or not len(walk.equity):
        return None
    time, curve = walk_curve(walk)
    falls = drawdowns(curve)
    made = percent(float(curve[-1]) / walk.cash - 1.0)
    note = f"{made} over all test windows in a row, each with parameters chosen before it began; after all costs."
    return section(
        "equity",
        "Equity out of sample",
        tag(
            "div",
            curves(time, [Line(values=curve, class_="equity")], "equity", lambda value: number(value, 0), fill=True),
            curves(
                time, [Line(values=falls, class_="fall")], "drawdown", lambda value: percent(value, 0, sign=False),
                fill=True, kind="short", zero_at_top=True,
            ),
            class_="chart", data_chart="equity",
        ),
        note=note,
    )  # fmt: skip


def walk_curve(walk: WalkForwardReport) -> tuple[FloatArray, FloatArray]:
    assert walk.time is not None, "asked only where there is one"
    assert walk.equity is not None, "asked only where there is one"
    time = np.concatenate(([walk.time[0]], walk.time + walk.interval_s * 1000)).astype(np.float64)
    return time, np.concatenate(([walk.cash], walk.equity))


def windows_section(walk: WalkForwardReport) -> Child:
    if not walk.windows:
        return section("windows", "Windows", tag("p", "There was no window.", class_="note"))
    name = label(walk.objective)
    heights, classes, titles = [], [], []
    for place, window in enumerate(walk.windows, 1):
        for side, figures, class_ in (("in", window.in_sample, "in"), ("out of", window.out_of_sample, "out")):
            value = figures.get(walk.objective)
            heights.append(value or 0.0)
            classes.append(class_)
            titles.append(f"window {place}, {side} sample: {name} {figure(walk.objective, value)}")
    legend = tag("p", key("hold", "in sample, chosen on it"), key("equity", "out of sample"), class_="legend")
    ends = [day(walk.windows[0].test_start), day(walk.windows[-1].test_end - 1)]
    chart = bars_chart(
        heights, classes, titles, f"{name} in and out of sample", ends, lambda value: figure(walk.objective, value)
    )
    rows = [
        [
            str(place),
            f"{day(window.train_start)} to {day(window.train_end - 1)}",
            f"{day(window.test_start)} to {day(window.test_end - 1)}",
            figure(walk.objective, window.in_sample.get(walk.objective)),
            figure(walk.objective, window.out_of_sample.get(walk.objective)),
            percent(window.out_of_sample.get("total_return"), 1),
            f"{window.trials:,}" if window.trials else NOTHING,
            tag("td", parameters(window.parameters) or NOTHING, class_="wide"),
        ]
        for place, window in enumerate(walk.windows, 1)
    ]
    headers = ("#", "chosen on", "tested on", f"{name} in", f"{name} out", "return out", "trials", "parameters")
    table = data_table(headers, rows, "Windows", left=3, words=("parameters",))
    return section("windows", "Windows", legend, tag("div", chart, class_="chart"), table)


def overlay_section(comparison: Comparison) -> Child:
    runs = [run for run in comparison.runs if len(run.result.time)][:COLOURS]
    if not runs:
        return None
    legend = tag("p", [key(f"run{place}", run_name(place, run)) for place, run in enumerate(runs)], class_="legend")
    start = min(float(equity_times(run.result)[0]) for run in runs)
    end = max(float(equity_times(run.result)[-1]) for run in runs)
    grid = np.linspace(start, end, 600)
    lines = [Line(values=_on(grid, run) - 1.0, class_=f"run{place}") for place, run in enumerate(runs)]
    chart = curves(grid, lines, "returns of the runs", lambda value: percent(value, 0))
    left_out = len(comparison.runs) - len(runs)
    note = "Return since the start of each run, after all costs." + (
        f" {count(left_out, 'run')} more in the table only: {COLOURS} lines can be told apart." if left_out else ""
    )
    return section("equity", "Equity", legend, tag("div", chart, class_="chart", data_chart="equity"), note=note)


def side_by_side_section(comparison: Comparison) -> Safe:
    """A column a run, a row a figure."""
    seen = [overview(run) for run in comparison.runs]
    names = list(dict.fromkeys(figure.name for one in seen for figure in (*one.figures, *one.costs)))
    by_name = [{figure.name: figure for figure in (*one.figures, *one.costs)} for one in seen]
    rows: list[list[Child]] = [[word(name), *(_side(one.get(name)) for one in by_name)] for name in names]
    rows.append([word("period"), *(tag("td", one.period, class_="wide figure") for one in seen)])
    rows.append([word("parameters"), *(tag("td", one.details or NOTHING, class_="wide figure") for one in seen)])
    headers = ("", *(run_name(place, run) for place, run in enumerate(comparison.runs)))
    return section("figures", "Side by side", data_table(headers, rows, "Runs side by side"))


def run_name(place: int, run: RunReport) -> str:
    """With the parameters, where they are short, since runs to compare often share the rest."""
    chosen = parameters(run.provenance.parameters)
    return f"{place + 1}. {run.title}" + (f" {chosen}" if 0 < len(chosen) <= SHORT else "")


def _side(figure: Figure | None) -> Child:
    return NOTHING if figure is None else tag("td", figure.value, title=figure.note, class_=f"figure {figure.tone}")


def _on(grid: FloatArray, run: RunReport) -> FloatArray:
    """The account by its capital at each time of the grid; at rest before it began and after it ended."""
    curve = np.concatenate(([run.result.cash], run.result.equity)) / run.result.cash
    places = np.searchsorted(equity_times(run.result), grid, side="right") - 1
    found: FloatArray = curve[np.maximum(places, 0)]
    return found


def _largest(chart: ParameterMap) -> float:
    return max((abs(value) for row in chart.cells for value in row if value is not None), default=0.0)


def _best(chart: ParameterMap) -> float | None:
    return max((value for row in chart.cells for value in row if value is not None), default=None)


def _number_map(chart: ParameterMap, objective: str) -> Safe:
    largest, best = _largest(chart), _best(chart)
    rows = [
        [
            tag("th", name, scope="row"),
            *(
                tag(
                    "td",
                    figure(objective, value).replace("-", "\N{MINUS SIGN}"),
                    class_=shade(value, largest) + (" best-cell" if value is not None and value == best else ""),
                )
                for value in row
            ),
        ]
        for name, row in zip(chart.row_labels, chart.cells, strict=True)
    ]
    corner = f"{chart.row_name} \\ {chart.column_name}"
    return data_table((corner, *chart.column_labels), rows, f"{label(objective)} of each pair", class_="map")


def _colour_map(chart: ParameterMap, objective: str) -> Safe:
    largest, best = _largest(chart), _best(chart)
    height, width = HEIGHT / len(chart.row_labels), WIDTH / len(chart.column_labels)
    shapes = [
        tag(
            "rect",
            x=column * width, y=row * height, width=width, height=height,
            class_=shade(value, largest) + (" best-cell" if value is not None and value == best else ""),
        )
        for row, line in enumerate(chart.cells)
        for column, value in enumerate(line)
    ]  # fmt: skip
    named = f"{label(objective)} by {chart.row_name} and {chart.column_name}, best {figure(objective, best)}"
    return framed(shapes, named, _thinned(chart.row_labels), _thinned(chart.column_labels))


def _slice(one: Slice, objective: str) -> Safe:
    chart = dots_chart(
        [("best", one.best), ("middle", one.middle)], f"{label(objective)} by {one.name}",
        _thinned(one.labels), lambda value: figure(objective, value),
    )  # fmt: skip
    return tag("div", tag("h3", one.name), chart)


def _thinned(labels: list[str], most: int = 5) -> list[str]:
    """Labels at equal distances, the first and the last among them."""
    if len(labels) <= most:
        return labels
    return [labels[round(place)] for place in np.linspace(0, len(labels) - 1, most).tolist()]
