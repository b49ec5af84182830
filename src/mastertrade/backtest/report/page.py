"""One self-contained HTML file: drawings and tables that need no script, and a script that makes them answer."""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from mastertrade.backtest.report.markup import Child, Safe, asset, script_data, tag
from mastertrade.backtest.report.model import Comparison, RunReport, SweepReport, WalkForwardReport
from mastertrade.backtest.report.overview import overview
from mastertrade.backtest.report.page_data import curve_data, overlay_data, run_data
from mastertrade.backtest.report.parts import banner, luck_section, provenance_section, rules_section, tiles
from mastertrade.backtest.report.sections import (
    candles_section,
    distribution_section,
    equity_section,
    figures_section,
    headline,
    months_section,
    trades_section,
)
from mastertrade.backtest.report.sections_research import (
    COLOURS,
    failures_section,
    map_section,
    overlay_section,
    run_name,
    side_by_side_section,
    sweep_tiles,
    top_section,
    walk_curve,
    walk_equity_section,
    windows_section,
)
from mastertrade.backtest.report.terminal_research import label, walk_figures
from mastertrade.backtest.report.trades import fill_rules, trade_columns
from mastertrade.backtest.report.wording import count
from mastertrade.quant.costs import Costs

SCRIPTS = ("data.js", "view.js", "curve.js", "candles.js", "trades.js", "main.js")


def run_page(report: RunReport) -> str:
    seen = overview(report)
    body = [
        head(seen.head, [seen.details, seen.period]),
        banner(report.luck),
        headline(seen),
        *run_sections(report),
        luck_section(report.luck),
        rules_section(fill_rules(report.result)),
        provenance_section(report.provenance, costs_text(report.result.costs)),
    ]
    return document(seen.head, body, run_data(report, trade_columns(report.result)))


def sweep_page(sweep: SweepReport) -> str:
    """The map and the best trials; below them the run of the best, when it is there."""
    title = f"{sweep.title}: {count(len(sweep.trials), 'trial')}"
    best = sweep.best
    body: list[Child] = [
        head(title, [f"sampler {sweep.sampler}, sought: the highest {label(sweep.objective)}"]),
        banner(sweep.luck),
        tiles(sweep_tiles(sweep)),
        map_section(sweep),
        top_section(sweep),
        failures_section(sweep),
        luck_section(sweep.luck),
    ]
    if best is not None:
        seen = overview(best)
        heading = tag("header", tag("h1", "The best trial"), tag("p", seen.head), tag("p", seen.period), class_="head")
        body += [heading, headline(seen), *run_sections(best), rules_section(fill_rules(best.result))]
    body.append(provenance_section(sweep.provenance, costs_text(best.result.costs) if best else ""))
    return document(title, body, run_data(best, trade_columns(best.result)) if best else None)


def walk_forward_page(walk: WalkForwardReport) -> str:
    title = f"{walk.title}: {count(len(walk.windows), 'window')}"
    body: list[Child] = [
        head(title, [f"{walk.scheme}; chosen by {label(walk.objective)} on the time before each window"]),
        banner(walk.luck),
        tiles(walk_figures(walk)),
        walk_equity_section(walk),
        windows_section(walk),
        luck_section(walk.luck),
        provenance_section(walk.provenance, ""),
    ]
    has_curve = walk.time is not None and walk.equity is not None and len(walk.equity)
    return document(title, body, curve_data(*walk_curve(walk)) if has_curve else None)


def comparison_page(comparison: Comparison) -> str:
    title = f"{comparison.title}: {count(len(comparison.runs), 'run')}"
    drawn = [run for run in comparison.runs if len(run.result.time)][:COLOURS]
    names = [run_name(place, run) for place, run in enumerate(drawn)]
    rules = dict.fromkeys(rule for run in comparison.runs for rule in fill_rules(run.result))
    body: list[Child] = [
        head(title, []),
        overlay_section(comparison),
        side_by_side_section(comparison),
        rules_section(rules),
        *(
            provenance_section(run.provenance, costs_text(run.result.costs), run_name(place, run))
            for place, run in enumerate(comparison.runs)
        ),
    ]
    return document(title, body, overlay_data(drawn, names) if drawn else None)


def run_sections(report: RunReport) -> list[Child]:
    seen, trades = overview(report), trade_columns(report.result)
    return [
        equity_section(report),
        candles_section(report, trades),
        figures_section(seen),
        months_section(seen.summary["monthly_returns"]),
        distribution_section(trades),
        trades_section(trades, len(report.result.symbols) > 1),
    ]


def head(title: str, lines: list[str]) -> Safe:
    return tag("header", tag("h1", title), [tag("p", line) for line in lines if line], class_="head")


def document(title: str, body: list[Child], data: str | None) -> str:
    style, script = _asset("page.css"), _script()
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'"
    parts = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", http_equiv="Content-Security-Policy", content=policy),
            tag("meta", name="color-scheme", content="light dark"),
            tag("meta", name="generator", content="MasterTrade"),
            tag("title", title),
            asset("style", style),
        ),
        tag(
            "body",
            tag("main", body),
            tag("footer", "Made by MasterTrade. The past of a strategy is no promise."),
            script_data(data, "report-data") if data is not None else None,
            asset("script", script),
        ),
        lang="en",
    )
    return f"<!doctype html>\n{parts}\n"


def costs_text(costs: Costs) -> str:
    """Every rate that is not zero, by its name."""
    rates = {name: getattr(costs, name) for name in costs.__dataclass_fields__}
    return ", ".join(f"{name} {value:g}" for name, value in rates.items() if value) or "none"


@cache
def _asset(name: str) -> str:
    return files("mastertrade.backtest.report").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    return '(() => {\n"use strict";\n' + "\n".join(map(_asset, SCRIPTS)) + "})();\n"


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode("ascii")
