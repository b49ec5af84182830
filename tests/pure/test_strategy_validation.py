"""Validation catches the traps everybody falls into, says where, and lets what is honest pass."""

import re
import time
from pathlib import Path

import pytest

from mastertrade import strategies
from mastertrade.shared.errors import UsageError
from mastertrade.strategies.beginnings import FORMS, beginning
from mastertrade.strategies.shelves import Strategy
from mastertrade.strategies.validation import Check, Verdict, validate
from mastertrade.strategies.validation_bars import simulated
from tests.pure.sample_bars import random_walk
from tests.pure.strategy_files import CROSS, PARAMETERS, TRAILING, write_strategy

HEAD = "import numpy as np\nimport pandas as pd\n\n\ndef positions(bars, params):\n    close = pd.Series(bars.close)\n"

TRAPS = {
    "shift by -1": "return close.shift(-1) > close",
    "a shift that is meant to align": "return (close.rolling(10).mean().shift(-5) > close).to_numpy()",
    "a centred window": "return close < close.rolling(11, center=True).mean()",
    "a resample that leaks": (
        "hours = pd.Series(bars.time // 3_600_000)\n    return close.groupby(hours).transform('last') > close"
    ),
    "a resampled high of the hour that is not over": (
        "hours = pd.Series(bars.time // 3_600_000)\n"
        "    return close >= pd.Series(bars.high).groupby(hours).transform('max') * 0.999"
    ),
    "global normalisation": "return (close - close.mean()) / close.std() < -1",
    "a peek at the last close": "return bars.close < bars.close[-1]",
    "a maximum of the future": "return close[::-1].cummax()[::-1] > close * 1.01",
    "a fit on the whole sample": (
        "x = np.arange(len(close))\n    slope, start = np.polyfit(x, close, 1) if len(x) > 1 else (0.0, close[0])\n"
        "    return close < start + slope * x"
    ),
    "filling backwards": "return close.where(close.diff() > 0).bfill().fillna(0) > close",
    "interpolation across a hole": "return close.where(bars.volume > np.roll(bars.volume, 1)).interpolate() > close",
    "ranks among all bars": "return close.rank(pct=True) < 0.2",
    "a smoothing that runs both ways": "return np.convolve(close, np.ones(5) / 5, mode='same') > close",
    "a roll that wraps round": "return np.roll(bars.close, -1) > bars.close",
    "numbering from the end": "return (np.arange(len(close)) - len(close)) % 7 == 0",
    "a Fourier filter over everything": (
        "parts = np.fft.rfft(close)\n    parts[20:] = 0\n    return np.fft.irfft(parts, n=len(close)) > close"
    ),
    "extremes confirmed later": (
        "low = pd.Series(bars.low)\n    return (low < low.shift(1)) & (low < low.shift(-1))"
    ),
}  # fmt: skip


def checked(text: str, folder: Path) -> Verdict:
    return validate(strategies.find(write_strategy(folder, "some.py", text)))


def failure(verdict: Verdict) -> Check:
    (found,) = [check for check in verdict.checks if check.state == "failed"]
    return found


@pytest.mark.parametrize("name", TRAPS)
def test_a_look_at_the_future_is_caught_and_shown(name: str, tmp_path: Path) -> None:
    verdict = checked(f"{HEAD}    {TRAPS[name]}\n", tmp_path)
    assert not verdict.passed
    (failed,) = [check for check in verdict.checks if check.name == "look-ahead"]
    assert failed.state == "failed"
    found = verdict.look_ahead
    assert found is not None
    assert found.look.target_then != found.look.target_later
    assert f"bar {found.look.bar}, 2022-01-0" in failed.said


def test_how_far_a_strategy_looks_ahead_is_told(tmp_path: Path) -> None:
    shifted = checked(f"{HEAD}    return close.shift(-3) > close\n", tmp_path)
    assert "it settles only 3 bars later" in failure(shifted).said
    alternating = checked(f"{HEAD}    return (np.arange(len(close)) + len(close)) % 2\n", tmp_path)
    assert "not settled 64 bars later either" in failure(alternating).said


@pytest.mark.parametrize(
    ("body", "name", "said"),
    [
        ("return np.random.rand(len(close)) > 0.5", "determinism", "draws random numbers without a seed"),
        ("return np.random.default_rng().random(len(close)) > 0.5", "determinism", "on the same bars"),
        (
            "seen.append(1)\n    return np.full(len(close), len(seen) % 2)",
            "determinism",
            "remembers what it saw before",
        ),
        (
            "return (close - close.rolling(9).mean()) / close.rolling(9).std() * 0",
            "targets",
            "is nan; an indicator has",
        ),
        (
            "return close.pct_change().fillna(0).clip(-1, 1) / (close.rolling(5).std() > 0).cummax()",
            "targets",
            "is nan",
        ),
        ("return (close.diff() / close.diff().abs()).fillna(0) if close.std() else close * np.nan", "NaN", "on a flat"),
        ("return close > close[20]", "look-ahead", "fails on fewer bars"),
        ("if len(close) == 1110: raise KeyError(1110)\n    return close > 0", "determinism", "KeyError: 1110"),
        ("return close[5:]", "targets", "gave 2,215 targets for 2,220 bars"),
        ("import requests\n    return close > 0", "purity", "line 7: import requests reaches for the network"),
        ("return close > len(open('x').read())", "purity", "line 7: open() reaches for files"),
        ("return close > pd.Timestamp.now().year", "purity", "line 7: .now() reaches for the clock"),
    ],
)
def test_what_else_is_wrong_with_a_strategy_is_found(body: str, name: str, said: str, tmp_path: Path) -> None:
    verdict = checked(f"{HEAD}    {body}\n\n\nseen = []\n", tmp_path)
    failed = [check for check in verdict.checks if check.state == "failed"]
    assert failed[0].name == name
    assert said in failed[0].said, failed[0].said


def test_a_position_before_the_declared_warm_up_is_found(tmp_path: Path) -> None:
    early = checked(CROSS + "\n\ndef warm_up(params):\n    return 3 * params.slow\n", tmp_path)
    assert failure(early).name == "warm-up"
    assert "holds a position at bar" in failure(early).said


def test_what_only_fails_at_the_end_of_a_range_is_found_with_its_parameters(tmp_path: Path) -> None:
    text = PARAMETERS + "def positions(bars, params):\n    return bars.close > 100 / (params.slow - 400)\n"
    assert (
        "line 11: ZeroDivisionError: division by zero (with fast=100 slow=400)" in failure(checked(text, tmp_path)).said
    )


@pytest.mark.parametrize("text", [CROSS, TRAILING], ids=["positions", "on_bar"])
def test_an_honest_strategy_passes_on_simulated_and_on_given_bars(text: str, tmp_path: Path) -> None:
    template = strategies.find(write_strategy(tmp_path, "some.py", text))
    verdict = validate(template)
    assert (verdict.passed, len(verdict.checks)) == (True, 6), verdict.checks
    assert validate(template, random_walk(300, seed=5), parameters={"fast": 3, "slow": 9}).passed


@pytest.mark.parametrize("form", FORMS)
def test_what_a_new_file_begins_with_passes_and_trades(form: str, tmp_path: Path) -> None:
    strategy: Strategy = write_strategy(tmp_path, f"begun{FORMS[form].suffix}", beginning("begun", form))
    verdict = validate(strategies.find(strategy))
    assert {check.state for check in verdict.checks} == {"passed"}, verdict.checks
    assert strategies.build(strategy).positions(simulated()).any()


def test_every_strategy_of_the_guide_passes_and_trades(tmp_path: Path) -> None:
    guide = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-strategy.md"
    printed = re.findall(r"^```(python|json)\n(.*?)^```", guide.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert [language for language, _ in printed] == ["python", "python", "json"]
    for place, (language, text) in enumerate(printed):
        strategy: Strategy = write_strategy(tmp_path, f"mine{place}.{'json' if language == 'json' else 'py'}", text)
        assert validate(strategies.find(strategy)).passed
        assert strategies.build(strategy).positions(simulated()).any()


def test_a_strategy_that_never_holds_anything_is_not_called_proven(tmp_path: Path) -> None:
    verdict = checked("def positions(bars, params):\n    return bars.close < 0\n", tmp_path)
    assert verdict.passed
    assert [check.name for check in verdict.checks if check.state == "warning"] == ["targets"]


def test_every_template_of_the_house_passes() -> None:
    for template in strategies.TEMPLATES.values():
        verdict = validate(template)
        assert verdict.passed, verdict.checks


def test_a_strategy_that_compares_markets_is_checked_on_simulated_ones() -> None:
    comparing = next(one for one in strategies.TEMPLATES.values() if getattr(one, "reads_markets", False))
    with pytest.raises(UsageError, match="compares markets"):
        validate(comparing, random_walk(300, seed=5))


def test_a_slow_strategy_is_asked_less_in_the_time_there_is_and_still_caught(tmp_path: Path) -> None:
    slow = "def positions(bars, params):\n    sum(range(1_000 * len(bars)))\n    return bars.close > bars.close[-1]\n"
    began = time.monotonic()
    verdict = validate(strategies.find(write_strategy(tmp_path, "slow.py", PARAMETERS + slow)), seconds=0.3)
    assert time.monotonic() - began < 5.0
    told = {check.name: check.said for check in verdict.checks}
    assert "1 set of parameters instead of" in told["targets"]
    assert failure(verdict).name == "look-ahead"
