"""What people see of a backtest: one model of it, and a writer each for terminal, browser, notebook and files."""

from mastertrade.backtest.report.document import from_document, from_json, to_document, to_json
from mastertrade.backtest.report.model import (
    Comparison,
    Luck,
    Provenance,
    Report,
    RunReport,
    SweepReport,
    Trial,
    WalkForwardReport,
    Window,
)
from mastertrade.backtest.report.summary import format_summary, summarise
from mastertrade.backtest.report.tables import equity_csv, trades_csv
from mastertrade.backtest.report.terminal import WIDTH, run_text
from mastertrade.backtest.report.terminal_research import comparison_text, sweep_text, walk_forward_text

__all__ = [
    "Comparison",
    "Luck",
    "Provenance",
    "Report",
    "RunReport",
    "SweepReport",
    "Trial",
    "WalkForwardReport",
    "Window",
    "equity_csv",
    "format_summary",
    "from_document",
    "from_json",
    "summarise",
    "to_document",
    "to_html",
    "to_json",
    "to_snippet",
    "to_text",
    "trades_csv",
]


def to_text(report: Report, width: int = WIDTH) -> str:
    """The report for a terminal."""
    if isinstance(report, RunReport):
        return run_text(report, width)
    if isinstance(report, SweepReport):
        return sweep_text(report, width)
    return walk_forward_text(report, width) if isinstance(report, WalkForwardReport) else comparison_text(report, width)


def to_html(report: Report) -> str:
    """The report as one file for a browser, which needs nothing else."""
    from mastertrade.backtest.report import page  # templates are read only when there is a page to make

    if isinstance(report, RunReport):
        return page.run_page(report)
    if isinstance(report, SweepReport):
        return page.sweep_page(report)
    return page.walk_forward_page(report) if isinstance(report, WalkForwardReport) else page.comparison_page(report)


def to_snippet(report: Report) -> str:
    """The report for a cell of a notebook."""
    from mastertrade.backtest.report.snippet import snippet

    return snippet(report, to_text(report))
