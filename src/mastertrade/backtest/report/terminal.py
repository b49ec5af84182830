"""Reports as text for 80 columns: name, figure, what it means."""

from collections.abc import Iterable, Sequence
from textwrap import wrap

from mastertrade.backtest.report.decimate import sampled
from mastertrade.backtest.report.figures import month_grid
from mastertrade.backtest.report.luck import figures as luck_figures
from mastertrade.backtest.report.luck import verdict
from mastertrade.backtest.report.model import Luck, RunReport
from mastertrade.backtest.report.overview import Figure, overview
from mastertrade.backtest.report.trades import fill_rules
from mastertrade.backtest.report.wording import NOTHING, number
from mastertrade.quant.bars import FloatArray

WIDTH = 80
BLOCKS = "▁▂▃▄▅▆▇█"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def run_text(report: RunReport, width: int = WIDTH) -> str:
    """Everything one asks first, and the rules by which it was measured."""
    seen = overview(report)
    start, end = number(report.result.cash), number(report.result.final_equity)
    curve = sparkline(report.result.equity, max(width - len(start) - len(end) - 12, 8))
    blocks = [
        [*paragraph(seen.head, width), *paragraph(seen.details, width), *paragraph(seen.period, width)],
        [f"equity  {start} {curve} {end}"],
        rows(seen.figures, width),
        ["costs", *rows(seen.costs, width)],
        luck_lines(report.luck, width),
        month_lines(seen.summary["monthly_returns"]),
        ["how orders were filled", *bullets(fill_rules(report.result), width)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def luck_lines(luck: Luck, width: int = WIDTH) -> list[str]:
    told = [Figure(name=name, value=value, note=note) for name, value, note in luck_figures(luck)]
    return ["luck", *(f"  {line}" for line in paragraph(verdict(luck), width - 2)), *rows(told, width)]


def rows(figures: Sequence[Figure], width: int = WIDTH) -> list[str]:
    """Names left, figures right under each other, notes wrapped beside them."""
    if not figures:
        return []
    names = max(15, *(len(figure.name) for figure in figures))
    values = max(12, *(len(figure.value) for figure in figures))
    offset = names + values + 6
    lines = []
    for figure in figures:
        note = wrap(clean(figure.note), max(width - offset, 20)) or [""]
        lines.append(f"  {figure.name:<{names}}  {figure.value:>{values}}  {note[0]}".rstrip())
        lines += [" " * offset + more for more in note[1:]]
    return lines


def table(headers: Sequence[str], body: Iterable[Sequence[str]], left: int = 1, indent: int = 2) -> list[str]:
    """Aligned columns, the first ``left`` of them words, the others figures."""
    cells = [list(headers), *([clean(cell) for cell in row] for row in body)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return [
        " " * indent
        + "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def month_lines(monthly: dict[str, float]) -> list[str]:
    """A line a year in percent, whole ones from 10 on so that a year fits a line."""
    if not monthly:
        return []
    head = "months, %" + "".join(f"{name:>5}" for name in MONTHS) + "   year"
    return [head, *(_year(*row) for row in month_grid(monthly))]


def _year(year: int, months: Sequence[float | None], whole: float) -> str:
    return f"  {year:<7}" + "".join(f"{_short(value):>5}" for value in months) + f"{_short(whole):>7}"


def _short(fraction: float | None) -> str:
    if fraction is None:
        return NOTHING
    shown = fraction * 100
    return number(shown, 1 if abs(shown) < 9.95 else 0)


def sparkline(values: Sequence[float] | FloatArray, width: int) -> str:
    """The course of a curve in one line, from its lowest value to its highest."""
    points = sampled(values, width)
    if not len(points):
        return NOTHING
    low, span = float(points.min()), float(points.max() - points.min())
    if span <= 0.0:
        return BLOCKS[0] * len(points)
    return "".join(BLOCKS[min(int((value - low) / span * len(BLOCKS)), len(BLOCKS) - 1)] for value in points.tolist())


def bullets(sentences: Iterable[str], width: int = WIDTH) -> list[str]:
    return [line for sentence in sentences for line in paragraph(sentence, width, first="  - ", more="    ")]


def paragraph(text: str, width: int = WIDTH, first: str = "", more: str = "") -> list[str]:
    return wrap(clean(text), width, initial_indent=first, subsequent_indent=more)


def clean(text: str) -> str:
    """Without anything that could steer a terminal."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
