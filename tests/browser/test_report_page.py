"""The pages of reports in a real browser: no complaint, everything drawn, every hand works, no sideways scrolling.

Without a browser these tests are skipped, except where CI is set: there they fail.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mastertrade.backtest.report import Comparison, Report, to_html
from tests.browser import chromium
from tests.pure.sample_bars import random_walk
from tests.pure.sample_reports import HOUR_S, run_report, sweep_report, walk_forward_report

LONG_NAME = "A_VERY_LONG_NAME_WITHOUT_ANY_PLACE_TO_BREAK_IT_" * 3
REPORTS: dict[str, Report] = {
    "run": run_report(),
    "markets": run_report({f"M{place}/USDT": random_walk(900, seed=place, interval_s=HOUR_S) for place in range(3)}),
    "sweep": sweep_report(best=run_report(title=LONG_NAME)),
    "walk": walk_forward_report(title=LONG_NAME),
    "comparison": Comparison(title=LONG_NAME, runs=[run_report(fast=fast, slow=40) for fast in (4, 8, 12, 16, 20)]),
}
INKED = """
(() => [...document.querySelectorAll('canvas')].map((canvas) => {
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let inked = 0;
  for (let i = 3; i < pixels.length; i += 4) inked += pixels[i] > 0;
  return inked / (canvas.width * canvas.height);
}))()
"""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CANDLES = "document.querySelector('#candles canvas')"
READOUT = "document.querySelector('#candles .readout').textContent"


@pytest.fixture(scope="module")
def page() -> Iterator[chromium.Page]:
    binary = chromium.find()
    if binary is None:
        said = f"no browser found ({', '.join(chromium.NAMES)}); install one, such as the package chromium"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(said)
        pytest.skip(said)
    with chromium.running(binary) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, report in REPORTS.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(to_html(report), encoding="utf-8")
    return found


def frame(page: chromium.Page) -> None:
    page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
@pytest.mark.parametrize("name", REPORTS)
def test_a_page_draws_without_complaint_at_every_width(
    page: chromium.Page, files: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    page.open(files[name], width=width, dark=dark)
    assert page.problems == []
    assert page.requests == [files[name].resolve().as_uri()], "one file, and nothing from anywhere else"
    assert page.run(SIDEWAYS) == 0
    inked = page.run(INKED)
    assert len(inked) == {"walk": 1, "comparison": 1}.get(name, 2)
    assert min(inked) > 0.01, "a chart is empty"


def test_without_scripts_the_drawings_and_the_tables_are_there(page: chromium.Page, files: dict[str, Path]) -> None:
    page.open(files["run"], width=390, scripts=False)
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    drawn = page.run("[...document.querySelectorAll('.plot svg')].map((one) => one.getBoundingClientRect().width)")
    assert len(drawn) >= 4
    assert min(drawn) > 200
    assert page.run("document.querySelectorAll('table.trades tbody tr').length") == 100
    assert page.run("document.querySelectorAll('canvas').length") == 0
    assert page.run(SIDEWAYS) == 0


def test_trades_sort_grow_and_lead_to_their_candles(page: chromium.Page, files: dict[str, Path]) -> None:
    page.open(files["run"], width=1280)
    nets = "[...document.querySelectorAll('table.trades tbody tr')].map((row) => row.cells[8].textContent)"
    page.run("[...document.querySelectorAll('table.trades thead button')][8].click()")
    shown = [float(text.replace("\N{MINUS SIGN}", "-").replace(",", "")) for text in page.run(nets)]
    assert shown == sorted(shown, reverse=True)
    page.run("[...document.querySelectorAll('table.trades thead button')][8].click()")
    rising = [float(text.replace("\N{MINUS SIGN}", "-").replace(",", "")) for text in page.run(nets)]
    assert rising == sorted(rising)
    rows = "document.querySelectorAll('table.trades tbody tr').length"
    assert page.run(rows) == 100
    page.run("document.querySelector('.more').click()")
    assert page.run(rows) == len(REPORTS["run"].result.trades)  # type: ignore[union-attr]
    before = page.run(READOUT)
    page.run("document.querySelector('table.trades tbody tr').click()")
    frame(page)
    assert page.run(READOUT).startswith("trade ")
    assert page.run(READOUT) != before
    assert page.run("document.querySelectorAll('tr.chosen').length") == 1


def test_the_candles_zoom_and_move_by_keys_wheel_and_mouse(page: chromium.Page, files: dict[str, Path]) -> None:
    page.open(files["run"], width=1280)
    page.run(f"{CANDLES}.scrollIntoView({{block: 'center', behavior: 'instant'}}); {CANDLES}.focus()")
    seen = [page.run(READOUT)]
    for key in ("+", "ArrowLeft", "-", "n", "p", "0"):
        page.press(key)
        frame(page)
        seen.append(page.run(READOUT))
    assert seen[1] != seen[0]
    assert seen[2] != seen[1]
    assert seen[4].startswith("trade ")
    left, top, width, height = page.run(
        f"(() => {{ const box = {CANDLES}.getBoundingClientRect();"
        " return [box.left, box.top, box.width, box.height]; })()"
    )
    x, y = left + width / 2, top + height / 2
    page.mouse("mouseMoved", x, y)
    frame(page)
    pointed = page.run(READOUT)
    assert "high" in pointed or "trade" in pointed
    for _ in range(6):
        page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-240)
    frame(page)
    assert page.run(READOUT) != pointed
    zoomed = page.run(READOUT)
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    page.mouse("mouseMoved", x + 300, y, button="left", buttons=1)
    page.mouse("mouseReleased", x + 300, y, button="left", clickCount=1)
    page.mouse("mouseMoved", x, y)
    frame(page)
    assert page.run(READOUT) != zoomed
    assert page.problems == []


def test_two_fingers_zoom_on_a_phone(page: chromium.Page, files: dict[str, Path]) -> None:
    page.open(files["run"], width=390)
    page.run(f"{CANDLES}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    frame(page)
    before = page.run(READOUT)
    y = page.run(f"{CANDLES}.getBoundingClientRect().top + 150")
    for kind, apart in (("touchStart", 20), ("touchMove", 60), ("touchMove", 110), ("touchEnd", 0)):
        points = [{"x": 170 - apart, "y": y, "id": 1}, {"x": 170 + apart, "y": y, "id": 2}] if apart else []
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    frame(page)
    assert page.run(READOUT) != before
    assert page.problems == []


def test_the_markets_of_a_run_can_be_chosen(page: chromium.Page, files: dict[str, Path]) -> None:
    page.open(files["markets"], width=1280)
    drawn = f"{CANDLES}.toDataURL()"
    first = page.run(drawn)
    page.run("(() => { const one = document.querySelector('#candles select'); one.value = 2; one.onchange(); })()")
    frame(page)
    assert page.run(drawn) != first


def test_a_hundred_and_thirty_thousand_candles_are_drawn_with_fewer_strokes_than_there_are_candles(
    page: chromium.Page, tmp_path: Path
) -> None:
    bars = random_walk(130_000, seed=4, interval_s=300, deviation=0.002, gaps=False)
    file = tmp_path / "large.html"
    file.write_text(to_html(run_report({"BTC/USDT": bars}, fast=20, slow=100)), encoding="utf-8")
    assert file.stat().st_size < 6_000_000
    page.open(file, width=1280)
    assert page.problems == []
    page.run(f"{CANDLES}.focus()")
    page.press("+")
    page.press("ArrowLeft")
    frame(page)
    strokes = page.run(
        """(async () => {
          const kind = CanvasRenderingContext2D.prototype;
          let count = 0;
          for (const name of ['moveTo', 'lineTo', 'rect', 'fillRect', 'strokeRect', 'arc', 'fillText']) {
            const plain = kind[name];
            kind[name] = function (...given) { count++; return plain.apply(this, given); };
          }
          const canvas = document.querySelector('#candles canvas');
          canvas.dispatchEvent(new KeyboardEvent('keydown', { key: '-' }));
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          return count;
        })()"""
    )
    assert 1_280 < strokes < 100_000, f"{strokes:,.0f} strokes: a redraw must not be felt"
