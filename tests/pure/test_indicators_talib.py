"""Every indicator that TA-Lib has gives TA-Lib's numbers: on a random walk and on a recorded month.

Tolerance: 1e-9 of the largest value for what TA-Lib adds up and takes off again over 40,000 bars (its deviation,
correlation and money flow drift with it), 1e-11 for the rest. Warm-ups that differ are named below.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mastertrade.quant import indicators
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.indicators.catalogue import CATALOGUE
from tests.pure.sample_bars import recorded_bars
from tests.pure.test_indicator_catalogue import traded

talib: Any = pytest.importorskip("talib")

Theirs = Callable[[Bars], Sequence[FloatArray]]
DRIFTING = {"deviation", "bollinger", "correlation", "mfi"}
SAME: dict[str, tuple[dict[str, Any], Theirs]] = {
    "sma": ({"period": 20}, lambda b: (talib.SMA(b.close, 20),)),
    "ema": ({"period": 20}, lambda b: (talib.EMA(b.close, 20),)),
    "wma": ({"period": 20}, lambda b: (talib.WMA(b.close, 20),)),
    "rsi": ({"period": 14}, lambda b: (talib.RSI(b.close, 14),)),
    "macd": ({}, lambda b: talib.MACD(b.close, 12, 26, 9)),
    "bollinger": ({}, lambda b: talib.BBANDS(b.close, 20, 2, 2)[::-1]),
    "true_range": ({}, lambda b: (talib.TRANGE(b.high, b.low, b.close),)),
    "adx": (
        {},
        lambda b: [function(b.high, b.low, b.close, 14) for function in (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)],
    ),
    "stochastic": ({}, lambda b: talib.STOCH(b.high, b.low, b.close, 14, 3, 0, 3, 0)),
    "obv": ({}, lambda b: (talib.OBV(b.close, b.volume),)),
    "mfi": ({}, lambda b: (talib.MFI(b.high, b.low, b.close, b.volume, 14),)),
    "cci": ({}, lambda b: (talib.CCI(b.high, b.low, b.close, 20),)),
    "deviation": ({}, lambda b: (talib.STDDEV(b.close, 20, 1),)),
    "rate_of_change": ({}, lambda b: (talib.ROCP(b.close, 10),)),
    "highest": ({}, lambda b: (talib.MAX(b.close, 20),)),
    "lowest": ({}, lambda b: (talib.MIN(b.close, 20),)),
    "correlation": ({}, lambda b: (talib.CORREL(b.close, b.volume, 20),)),
}
SHOWS_LATER = {"macd": 33, "stochastic": 17, "true_range": 1}
"""TA-Lib shows no line of MACD and no k before the signal and d are known, and no range of the first bar."""


@pytest.fixture(scope="module", params=["random", "recorded"])
def bars(request: pytest.FixtureRequest) -> Bars:
    if request.param == "random":
        return traded(40_000, seed=8)
    folder: Path = request.getfixturevalue("real_data")
    return recorded_bars(folder, "BTC_USDT")


@pytest.mark.parametrize("name", SAME)
def test_an_indicator_gives_the_numbers_of_talib_from_the_same_bar_on(name: str, bars: Bars) -> None:
    chosen, theirs = SAME[name]
    tolerance = 1e-9 if name in DRIFTING else 1e-11
    for (output, values), expected in zip(
        CATALOGUE[name].compute(Columns(bars), chosen).items(), theirs(bars), strict=True
    ):
        shown = max(int(np.isfinite(values).argmax()), SHOWS_LATER.get(name, 0))
        assert np.isnan(expected[:shown]).all(), output
        scale = np.abs(expected[shown:]).max()
        assert np.abs(values[shown:] - expected[shown:]).max() <= tolerance * scale, output


def test_atr_begins_a_bar_before_talib_and_forgets_it(bars: Bars) -> None:
    """Wilder's first average holds the range of the first bar, TA-Lib's does not; each bar takes 1/14 of it away."""
    ours, theirs = indicators.atr(bars.high, bars.low, bars.close, 14), talib.ATR(bars.high, bars.low, bars.close, 14)
    assert (int(np.isfinite(ours).argmax()), int(np.isfinite(theirs).argmax())) == (13, 14)
    assert ours[500:] == pytest.approx(theirs[500:], rel=1e-12)


def test_what_did_not_move_is_told_apart_where_talib_says_nought(bars: Bars) -> None:
    flat = np.full(50, 7.0)
    still = replace(bars[:50], open=flat, high=flat, low=flat, close=flat)
    assert talib.RSI(flat, 14)[-1] == 0.0
    assert indicators.rsi(flat, 14)[-1] == indicators.FLAT_RSI
    assert Columns(still).stochastic().k[-1] == indicators.FLAT_RSI
    assert Columns(still).mfi()[-1] == indicators.FLAT_RSI
    assert Columns(still).cci()[-1] == Columns(still).z_score()[-1] == Columns(still).adx().adx[-1] == 0.0
