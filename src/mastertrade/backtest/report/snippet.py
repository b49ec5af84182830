"""A report in the size of a notebook's cell: figures, a small curve, and the fill rules behind a click.

Everything is in the markup itself: no style sheet, no script, nothing that leaks into the notebook around it."""

import numpy as np

from mastertrade.backtest.report.charts import curves_path
from mastertrade.backtest.report.luck import verdict
from mastertrade.backtest.report.markup import Safe, tag
from mastertrade.backtest.report.model import Report, RunReport
from mastertrade.backtest.report.overview import Figure, overview
from mastertrade.backtest.report.trades import fill_rules

WIDTH, HEIGHT = 560, 70
TONES = {"good": "color:#0f9d75", "bad": "color:#d6483d"}


def snippet(report: Report, text: str) -> str:
    """``text`` is what the terminal would show; a run gets more than that."""
    return run_snippet(report) if isinstance(report, RunReport) else str(tag("pre", text, style="line-height:1.35"))


def run_snippet(report: RunReport) -> Safe:
    seen = overview(report)
    curve = np.concatenate(([report.result.cash], report.result.equity))
    drawing = tag(
        "svg",
        tag("path", d=curves_path(curve, WIDTH, HEIGHT), fill="none", stroke="#3b7cf0", stroke_width="1.5"),
        viewBox=f"0 -3 {WIDTH} {HEIGHT + 6}", width=WIDTH, height=HEIGHT + 6, role="img", aria_label="equity",
        style="max-width:100%;display:block;margin:6px 0",
    )  # fmt: skip
    rows = [_row(figure) for figure in (*seen.figures, *seen.costs)]
    return tag(
        "div",
        tag("div", tag("strong", seen.head), style="font-size:1.1em"),
        tag("div", " · ".join(filter(None, (seen.details, seen.period))), style="opacity:.7"),
        drawing,
        tag("div", tag("strong", "Luck. "), verdict(report.luck)),
        tag("table", tag("tbody", rows), style="border-collapse:collapse;margin:6px 0"),
        tag(
            "details",
            tag("summary", "How orders were filled"),
            tag("ul", [tag("li", rule) for rule in fill_rules(report.result)]),
        ),
        style="font-family:system-ui,sans-serif;font-size:13px;max-width:640px",
    )


def _row(figure: Figure) -> Safe:
    cell = "padding:1px 12px 1px 0;text-align:left;background:none;border:0"
    value = f"{cell};text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap"
    return tag(
        "tr",
        tag("th", figure.name, style=f"{cell};font-weight:400;white-space:nowrap"),
        tag("td", figure.value, style=f"{value};font-weight:600;{TONES.get(figure.tone, '')}"),
        tag("td", figure.note, style=f"{cell};opacity:.7"),
    )
