"""Sweeps, walk-forwards and comparisons as text for 80 columns."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from mastertrade.backtest.report.model import Comparison, RunReport, SweepReport, WalkForwardReport
from mastertrade.backtest.report.overview import Figure, overview
from mastertrade.backtest.report.sweep_view import failures, neighbours, ranked, score
from mastertrade.backtest.report.terminal import WIDTH, bullets, luck_lines, paragraph, rows, sparkline, table
from mastertrade.backtest.report.trades import fill_rules
from mastertrade.backtest.report.wording import NOTHING, count, day, number, parameters, percent

TOP = 10
SHOWN = (
    ("sharpe_ratio", "Sharpe"),
    ("total_return", "return"),
    ("max_drawdown", "drawdown"),
    ("total_trades", "trades"),
)
RATES = frozenset({"total_return", "max_drawdown", "win_rate", "cagr", "exposure"})


def figure(name: str, value: float | None) -> str:
    """A flat figure by its name: rates in percent, counts whole."""
    if name in RATES:
        return percent(value, 1, sign=name in ("total_return", "cagr"))
    return number(value, 0 if name.startswith("total_") or name.endswith("_trades") else 2)


def sweep_text(sweep: SweepReport, width: int = WIDTH, top: int = TOP) -> str:
    order, failed = ranked(sweep), failures(sweep)
    blocks = [
        [*paragraph(f"{sweep.title}: {_trials(sweep)}, best {label(sweep.objective)} first", width)],
        _top_trials(sweep, top, width) if order else ["no trial gave a figure"],
        rows(_neighbour_rows(sweep), width),
        luck_lines(sweep.luck, width),
        ["failed", *bullets((f"{times:,} x {reason}" for reason, times in failed), width)] if failed else [],
    ]
    if sweep.best is not None:
        blocks.append(["how orders were filled", *bullets(fill_rules(sweep.best.result), width)])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def walk_forward_text(walk: WalkForwardReport, width: int = WIDTH) -> str:
    name = label(walk.objective)
    headers = ("tested from", "to", f"{name} in", "out", "return out")
    body = [
        (
            day(window.test_start),
            day(window.test_end - 1),
            figure(walk.objective, window.in_sample.get(walk.objective)),
            figure(walk.objective, window.out_of_sample.get(walk.objective)),
            percent(window.out_of_sample.get("total_return"), 1),
        )
        for window in walk.windows
    ]
    lines = table(headers, body, left=2)
    chosen = [
        line
        for place, window in enumerate(walk.windows, 1)
        for line in paragraph(f"{place}. {parameters(window.parameters)}", width, first="  ", more="     ")
    ]
    blocks = [
        [*paragraph(f"{walk.title}: {count(len(walk.windows), 'window')}, {walk.scheme}", width)],
        _walk_equity(walk, width),
        lines if body else ["no window"],
        rows(walk_figures(walk), width),
        ["parameters chosen, window by window", *chosen] if chosen else [],
        luck_lines(walk.luck, width),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def comparison_text(comparison: Comparison, width: int = WIDTH) -> str:
    lines = [comparison_row(run_number, run) for run_number, run in enumerate(comparison.runs, 1)]
    headers = ("", "return", "drawdown", "Sharpe", "trades", "won", "costs", "equity")
    blocks = [
        paragraph(f"{comparison.title}: {count(len(comparison.runs), 'run')}", width),
        table(headers, lines),
        [
            line
            for run_number, run in enumerate(comparison.runs, 1)
            for line in paragraph(f"{run_number}. {run_line(run)}", width, first="  ", more="     ")
        ],
    ]
    rules = dict.fromkeys(rule for run in comparison.runs for rule in fill_rules(run.result))
    blocks.append(["how orders were filled", *bullets(rules, width)])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def run_line(run: RunReport) -> str:
    seen = overview(run)
    return "; ".join(filter(None, (seen.head, seen.period, seen.details)))


def comparison_row(run_number: int, run: RunReport) -> Sequence[str]:
    summary = overview(run).summary
    paid = summary["gross_profit"] - summary["net_profit"]
    return (
        f"{run_number}.",
        percent(summary["total_return"], 1),
        percent(summary["max_drawdown"], 1, sign=False),
        number(summary["sharpe_ratio"]),
        f"{summary['total_trades']:,}",
        percent(summary["win_rate"], 0, sign=False),
        percent(-paid / run.result.cash, 1),
        sparkline(run.result.equity, 18),
    )


def label(objective: str) -> str:
    """sharpe_ratio is what people call Sharpe."""
    known_names = dict(SHOWN)
    return known_names.get(objective, objective.replace("_ratio", "").replace("_", " "))


def walk_figures(walk: WalkForwardReport) -> list[Figure]:
    inside, outside = (_mean(walk.objective, side) for side in _sides(walk))
    profits = [value for window in walk.windows if (value := window.out_of_sample.get("total_return")) is not None]
    won = sum(value > 0.0 for value in profits)
    name = label(walk.objective)
    ways = (("in", inside, "on the time it was chosen on"), ("out", outside, "on time not seen before"))
    figures = [
        Figure(name=f"{name} {way}", value=figure(walk.objective, value), note=f"mean of the windows, {on}")
        for way, value, on in ways
    ]
    if inside is not None and outside is not None and inside > 0.0:
        kept = outside / inside
        note = "of it was left out of sample; half or more is a good sign, less says fitted to noise"
        figures.append(
            Figure(name="kept", value=percent(kept, 0, sign=False), note=note, tone="good" if kept >= 0.5 else "bad")
        )
    if profits:
        figures.append(Figure(name="windows won", value=f"{won} of {len(profits)}", note="out of sample, after costs"))
    return figures


def _sides(walk: WalkForwardReport) -> tuple[list[Mapping[str, float | None]], list[Mapping[str, float | None]]]:
    return [window.in_sample for window in walk.windows], [window.out_of_sample for window in walk.windows]


def _mean(name: str, sides: list[Mapping[str, float | None]]) -> float | None:
    values = [value for side in sides if (value := side.get(name)) is not None]
    return fmean(values) if values else None


def _walk_equity(walk: WalkForwardReport, width: int) -> list[str]:
    if walk.equity is None or not len(walk.equity):
        return []
    start, end = number(walk.cash), number(float(walk.equity[-1]))
    made = percent(float(walk.equity[-1]) / walk.cash - 1.0)
    curve = sparkline(walk.equity, max(width - len(start) - len(end) - 12, 8))
    return [f"equity  {start} {curve} {end}", f"        {made} out of sample, all windows in a row, after all costs"]


def _trials(sweep: SweepReport) -> str:
    made, planned = len(sweep.trials), sweep.planned
    if planned is not None and planned > made:
        return f"{made:,} of {count(planned, 'trial')} so far ({sweep.sampler})"
    return f"{count(made, 'trial')} ({sweep.sampler})"


def _top_trials(sweep: SweepReport, top: int, width: int) -> list[str]:
    columns = shown_columns(sweep)
    headers = ("", *(label(name) for name in columns), "parameters")
    body = [
        (
            f"{place}.",
            *(figure(name, trial.metrics.get(name)) for name in columns),
            parameters(trial.parameters) or NOTHING,
        )
        for place, trial in enumerate(ranked(sweep)[:top], 1)
    ]
    fixed = table(headers[:-1], [row[:-1] for row in body])
    offset = max(map(len, fixed)) + 2
    lines = [f"{fixed[0]:<{offset}}{headers[-1]}"]
    for line, row in zip(fixed[1:], body, strict=True):
        first, *more = paragraph(row[-1], max(width - offset, 24))
        lines += [f"{line:<{offset}}{first}", *(" " * offset + part for part in more)]
    return lines


def shown_columns(sweep: SweepReport) -> list[str]:
    """The objective first, then the usual figures that some trial has."""
    usual = (name for name, _ in SHOWN if any(trial.metrics.get(name) is not None for trial in sweep.trials))
    return list(dict.fromkeys((sweep.objective, *usual)))


def _neighbour_rows(sweep: SweepReport) -> list[Figure]:
    found, order = neighbours(sweep), ranked(sweep)
    if found is None:
        return []
    name = label(sweep.objective)
    return [
        Figure(name="best", value=figure(sweep.objective, score(sweep, order[0])), note=f"{name} of the first trial"),
        Figure(name="neighbours", value=figure(sweep.objective, found.middle),
               note=f"middle {name} of the {found.count} trials beside it; the worst has"
                    f" {figure(sweep.objective, found.worst)}"),
        Figure(name="", value="", note=found.verdict),
    ]  # fmt: skip
