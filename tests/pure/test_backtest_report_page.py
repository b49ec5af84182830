"""The HTML page: complete without a script, safe whatever a name holds, bounded, and the same each time."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from mastertrade.backtest.report import Comparison, Report, RunReport, to_html, to_snippet
from mastertrade.backtest.report import page_data as carried
from mastertrade.backtest.report.codec import Packer, decimal_scale
from mastertrade.backtest.report.trades import trade_columns
from mastertrade.quant.bars import Bars
from tests.pure.sample_bars import random_walk
from tests.pure.sample_reports import run_report, sweep_report, trial, walk_forward_report

EVIL = "</script><img src=x onerror=alert(1)>\"'&<b>"
VOID = {"meta", "path", "rect", "br"}


class Outline(HTMLParser):
    """Which elements there are, and whether each is closed by its own end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def several(count: int) -> tuple[Any, ...]:
    return tuple(trial(i, {"a": i % 9, "b": i % 5, "c": "xy"[i % 2]}, (i % 13) / 5 - 1) for i in range(count))


PAGES: dict[str, Report] = {
    "run": run_report(),
    "run without bars": run_report({"A/B": random_walk(1_000, seed=1)[:0]}),
    "run without candles": replace(run_report(), bars={}),
    "several markets": run_report({name: random_walk(800, seed=place) for place, name in enumerate("XYZ")}),
    "sweep": sweep_report(best=run_report()),
    "sweep of three parameters": sweep_report(trials=several(300)),
    "sweep of many values": sweep_report(
        trials=tuple(trial(i, {"a": i % 97, "b": i // 97}, i / 500 - 1) for i in range(1_000))
    ),
    "sweep without trials": sweep_report(trials=()),
    "walk-forward": walk_forward_report(),
    "walk-forward without windows": walk_forward_report(windows=(), time=None, equity=None),
    "comparison": Comparison(title="two", runs=[run_report(), run_report(fast=10, slow=40)]),
    "comparison of nothing": Comparison(title="empty", runs=[]),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_html_that_needs_nothing_else_and_shows_no_nan(name: str) -> None:
    text = to_html(PAGES[name])
    outline = Outline(text)
    assert not any("src" in attributes or "srcset" in attributes for _, attributes in outline.elements)
    assert "http:" not in text
    assert "https:" not in text
    assert not re.search(r"\b(nan|inf|none)\b", " ".join(outline.text).replace("none of them", ""), re.IGNORECASE)
    identities = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_without_a_script_the_run_is_told_in_drawings_and_tables() -> None:
    report = run_report()
    outline = Outline(to_html(report))
    text = " ".join(outline.text)
    assert outline.count("svg") >= 4
    assert outline.count("tr") >= 100
    for said in (
        *("Equity and drawdown", "Trades on the candles", "Months", "Distribution", "From gross to net"),
        *("How orders were filled", "Where it comes from", "ab" * 32, "Likely luck", "buy and hold"),
    ):
        assert said in text
    assert f"The first 100 of {len(report.result.trades)} trades" in text


def test_the_page_is_the_same_each_time() -> None:
    assert to_html(run_report()) == to_html(run_report())


@pytest.mark.parametrize(
    "report",
    [
        run_report({EVIL: random_walk(900, seed=2), "B": random_walk(900, seed=3)}, title=EVIL),
        sweep_report(title=EVIL, trials=(trial(1, {EVIL: EVIL}, 1.0), trial(2, {EVIL: "y"}, 0.5)), objective=EVIL),
        sweep_report(trials=tuple(replace(one, failure=EVIL) for one in sweep_report().trials)),
        walk_forward_report(title=EVIL, objective=EVIL, scheme=EVIL),
        Comparison(title=EVIL, runs=[run_report(title=EVIL)]),
    ],
)
def test_no_name_can_become_markup(report: Report) -> None:
    for text in (to_html(report), to_snippet(report)):
        outline = Outline(text)
        assert outline.count("img") == outline.count("b") == 0
        assert outline.count("script") <= 2
        assert not any(name.startswith("on") for _, attributes in outline.elements for name in attributes)
    assert EVIL in " ".join(outline.text) + "".join(outline.text)


def test_the_policy_lets_only_our_own_script_and_style_run() -> None:
    text = to_html(run_report())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert "default-src &#x27;none&#x27;" in policy[1]
    for name in ("style", "script"):
        (body,) = re.findall(rf"<{name}>(.*?)</{name}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"sha256-{digest}" in policy[1]


def unpacked(block: str, columns: dict[str, Any], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What assets/data.js does, written again to hold the packing to it."""
    how = columns[name]
    size = 8 if how["kind"] == "f8" else 4
    raw = zlib.decompress(base64.b64decode(block))[how["at"] : how["at"] + how["count"] * size]
    plain = np.frombuffer(raw, dtype=np.uint8).reshape(size, -1).T.tobytes()
    values = np.frombuffer(plain, dtype={"f8": "<f8", "f4": "<f4"}.get(how["kind"], "<i4")).astype(np.float64)
    if how["kind"] == "d4":
        return how.get("base", 0) + np.cumsum(values) * how.get("step", 1) / how.get("divisor", 1)
    if "to" in how:
        close = unpacked(block, columns, name.rpartition(".")[0] + "." + how["to"])
        return np.round(close * how["divisor"] + values) / how["divisor"]
    return values


@pytest.mark.parametrize("decimals", [2, 8, None])
def test_candles_come_out_of_the_page_exactly_as_they_went_in(decimals: int | None) -> None:
    bars = random_walk(5_000, seed=7)
    names = ("open", "high", "low", "close")
    if decimals is not None:
        scale = 1.0 if decimals == 2 else 1e-5
        written = {name: np.round(getattr(bars, name) * scale, decimals) for name in names}
        bars = Bars(interval_s=60, time=bars.time, volume=bars.volume, **written)
    packer = Packer()
    packer.candles("m", bars)
    for name in ("time", *names):
        assert np.array_equal(unpacked(packer.text(), packer.columns, f"m.{name}"), getattr(bars, name)), name
    assert (decimal_scale([getattr(bars, name) for name in names]) is None) == (decimals is None)


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page, flags=re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_the_size_of_a_page_is_bounded_and_what_was_left_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried, "MOST_CANDLES", 1_000)
    monkeypatch.setattr(carried, "MOST_TRADES", 50)
    monkeypatch.setattr(carried, "CURVE_BUCKETS", 100)
    report = run_report()
    data = data_of(to_html(report))
    assert data["markets"][0]["merged"] == 3
    assert data["columns"]["market0.time"]["count"] == 1_000
    assert data["columns"]["equity.time"]["count"] <= 400
    assert (data["columns"]["trade.net"]["count"], data["trades"]) == (50, len(report.result.trades))
    net = np.abs(trade_columns(report.result).net)
    kept = unpacked(data["block"], data["columns"], "trade.number").astype(int) - 1
    assert net[kept].min() >= np.delete(net, kept).max()
    high = unpacked(data["block"], data["columns"], "market0.high")
    assert high.max() == pytest.approx(report.bars["BTC/USDT"].high.max())
    curve = unpacked(data["block"], data["columns"], "equity.value")
    assert curve.min() == pytest.approx(report.result.equity.min(), abs=1e-3)
    assert curve[-1] == pytest.approx(report.result.final_equity, abs=1e-3)


def test_a_notebook_gets_a_small_piece_without_script_or_style_sheet() -> None:
    report: RunReport = run_report()
    text = to_snippet(report)
    outline = Outline(text)
    assert len(text) < 17_000
    assert outline.count("script") == outline.count("style") == 0
    assert outline.count("svg") == 1
    assert "Likely luck" in text
    assert "57 of 60 trials" in to_snippet(sweep_report())
