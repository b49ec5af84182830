"""The templates beyond the first two keep the rules they promise; those that compare markets, whatever is missing."""

from dataclasses import replace

import numpy as np
import pytest

from mastertrade.backtest.engine import run
from mastertrade.quant.bars import Bars
from mastertrade.quant.columns import Columns, Markets, together
from mastertrade.shared.errors import UsageError
from mastertrade.strategies import build
from tests.pure.sample_bars import among_others, random_walk, written_bars


def rising(*steps: float, places: list[int] | None = None) -> Bars:
    """Closes that gain these percentages one after the other."""
    closes = (100.0 * np.cumprod(1.0 + np.array(steps) / 100.0)).tolist()
    return written_bars(closes, closes, places=places)


def without(bars: Bars, *places: int) -> Bars:
    kept = np.delete(np.arange(len(bars)), places)
    columns = {name: getattr(bars, name)[kept] for name in ("time", "open", "high", "low", "close", "volume")}
    return replace(bars, **columns)


def targets_of(markets: Markets, name: str, **parameters: float) -> dict[str, list[float]]:
    built = build(name, parameters)
    return {symbol: built.positions(one).tolist() for symbol, one in markets.items()}


def test_the_market_that_gained_most_is_held_until_the_next_choice() -> None:
    markets = together(
        {"A": rising(0, 1, 1, 1, 1, 1), "B": rising(0, 2, 0, 3, -9, -9), "C": rising(0, -1, -2, 0.5, 0, 9)}
    )
    assert targets_of(markets, "momentum_rank", lookback=1, every=1) == {
        "A": [0, 0, 1, 0, 1, 0],
        "B": [0, 1, 0, 1, 0, 0],
        "C": [0, 0, 0, 0, 0, 1],
    }
    two = targets_of(markets, "momentum_rank", lookback=1, every=1, top=2)
    assert two == {"A": [0, 1, 1, 1, 1, 1], "B": [0, 1, 0, 1, 0, 0], "C": [0, 0, 0, 0, 0, 1]}, "no loser fills a place"
    assert targets_of(markets, "momentum_rank", lookback=1, every=2)["B"] == [0, 1, 1, 1, 1, 0], "of every two bars"
    assert targets_of(markets, "momentum_rank", lookback=1, every=1, minimum=0.05)["C"] == [0, 0, 0, 0, 0, 1]


def test_a_market_whose_bar_is_missing_at_a_choice_is_ranked_by_its_last_and_moves_at_its_next() -> None:
    a, b = rising(0, 1, 1, 1, 1), rising(0, 3, 3, 0, 0)
    whole = targets_of(together({"A": a, "B": b}), "momentum_rank", lookback=2, every=1)
    assert whole == {"A": [0, 0, 0, 0, 1], "B": [0, 0, 1, 1, 0]}
    holed = targets_of(together({"A": a, "B": without(b, 3)}), "momentum_rank", lookback=2, every=1)
    assert holed["B"] == [0, 0, 1, 1], "two gains of its own bars lie behind its last one too"
    silent = targets_of(together({"A": a, "B": without(b, 3, 4)}), "momentum_rank", lookback=2, every=1)
    assert silent == {"A": [0, 0, 0, 0, 1], "B": [0, 0, 1]}, "after two bars of silence the other one is held"


def test_a_later_start_of_the_data_changes_no_later_choice() -> None:
    columns = among_others(random_walk(400, seed=3))
    built = build("momentum_rank", {"lookback": 8, "every": 12})
    whole, part = built.positions(columns), built.positions(columns[200:])
    assert whole[240:].tolist() == part[40:].tolist()
    assert 0 < whole[240:].sum() < 160


def test_markets_that_begin_later_or_end_earlier_are_ranked_while_they_trade() -> None:
    long, late, ended = (random_walk(300, seed, gaps=False) for seed in (4, 5, 6))
    markets = together({"long": long, "late": late[250:], "ended": ended[:100]})
    targets = targets_of(markets, "momentum_rank", lookback=10, every=5)
    assert sum(targets["late"][:10]) == 0.0
    assert [len(values) for values in targets.values()] == [300, 50, 100]
    held = np.array(targets["long"][:100]) + np.array(targets["ended"])
    assert held.max() == 1.0, "one place, one market"


def test_alone_a_market_is_held_while_it_gains_and_no_bars_make_no_targets() -> None:
    alone = Columns(rising(0, 1, -1, 1))
    assert build("momentum_rank", {"lookback": 1, "every": 1}).positions(alone).tolist() == [0, 1, 0, 1]
    assert build("momentum_rank").positions(alone[:0]).tolist() == []


def test_the_evidence_of_a_choice_names_gain_and_rank() -> None:
    markets = together({"A": rising(0, 1, 1), "B": rising(0, 2, 0), "C": rising(0, 3, 3)})
    built = build("momentum_rank", {"lookback": 1, "every": 1})
    evidence = built.evidence(markets["B"], 1)
    assert evidence == pytest.approx({"close": 102.0, "gain_1": 0.02, "rank": 2.0, "ranked": 3.0})
    assert built.confidence(markets["C"], 1) == 90.0


def test_a_coin_is_held_while_it_follows_bitcoin_and_bitcoin_rises() -> None:
    numbers = np.random.default_rng(7)
    moves = numbers.normal(0.0, 1.0, 200)
    follows = np.where(np.arange(200) < 120, moves, numbers.normal(0.0, 1.0, 200))
    markets = together({"BTC/USDT": rising(*moves), "ETH/USDT": rising(*follows)})
    built = build("btc_correlation", {"window": 20, "momentum": 5})
    targets, gain = built.positions(markets["ETH/USDT"]), markets["BTC/USDT"].rate_of_change(5)
    assert targets[:20].tolist() == [0.0] * 20
    assert targets[20:120].tolist() == np.where(gain[20:120] > 0.0, 1.0, 0.0).tolist()
    assert not targets[140:].any(), "it went its own way"
    assert not built.positions(markets["BTC/USDT"]).any(), "Bitcoin is read, not held"


def test_a_lead_holds_the_coin_that_moves_after_bitcoin() -> None:
    moves = np.random.default_rng(8).normal(0.0, 1.0, 200)
    markets = together({"BTC/USDT": rising(*moves), "ETH/USDT": rising(*np.roll(moves, 3))})
    held = {
        lead: build("btc_correlation", {"window": 20, "lead": lead}).positions(markets["ETH/USDT"]).sum()
        for lead in (0, 2, 3, 4)
    }
    assert held[3] > 50
    assert held[0] == held[2] == held[4] == 0.0


def test_bitcoin_of_the_coins_own_quote_is_read_and_without_any_the_mistake_is_named() -> None:
    walk = random_walk(80, seed=9)
    flat = written_bars([1.0] * 80, [1.0] * 80)
    markets = together({"BTC/EUR": flat, "BTC/USDT": walk, "ETH/USDT": walk})
    built = build("btc_correlation", {"window": 10})
    assert built.evidence(markets["ETH/USDT"], 60)["correlation"] == pytest.approx(1.0)
    with pytest.raises(UsageError, match=r"none among 'ETH/USDT', 'SOL/USDT'; add one such as BTC/USDT"):
        run({"ETH/USDT": walk, "SOL/USDT": walk}, built.template, built.params)


def test_a_backtest_of_several_markets_shows_them_to_the_template_that_compares_them() -> None:
    markets = among_others(random_walk(600, seed=11)).markets
    built = build("momentum_rank", {"lookback": 10, "every": 5})
    trades = run(markets, built.template, built.params).trades
    assert {trade.symbol for trade in trades} == set(markets)


def test_bands_hold_from_coming_back_over_the_lower_one_until_the_average() -> None:
    columns = Columns(random_walk(2_000, seed=12))
    bands, close = columns.bollinger(20, 2.0), columns.close
    held, expected = False, []
    for i in range(len(close)):
        if i and close[i - 1] < bands.lower[i - 1] and close[i] >= bands.lower[i]:
            held = True
        if close[i] >= bands.middle[i]:
            held = False
        expected.append(float(held))
    built = build("bollinger_reversion")
    assert built.positions(columns).tolist() == expected
    assert 0 < sum(expected) < 2_000
    patient = build("bollinger_reversion", {"exit": 2.0}).positions(columns)
    exits = [i for i in range(1, 2_000) if patient[i - 1] and not patient[i]]
    assert exits
    assert all(close[i - 1] > bands.upper[i - 1] and close[i] <= bands.upper[i] for i in exits)


def test_a_breakout_is_a_close_beyond_the_channel_of_the_bars_before() -> None:
    columns = Columns(random_walk(1_000, seed=13))
    held, expected = False, []
    for i in range(len(columns)):
        if i >= 20 and columns.close[i] > columns.high[i - 20 : i].max():
            held = True
        if i >= 10 and columns.close[i] < columns.low[i - 10 : i].min():
            held = False
        expected.append(float(held))
    assert build("donchian_breakout").positions(columns).tolist() == expected
    assert 0 < sum(expected) < 1_000


def test_a_volatility_breakout_is_a_gain_beyond_the_usual_range_of_then() -> None:
    columns = Columns(random_walk(1_000, seed=14))
    usual, average, close = columns.atr(14), columns.sma(20), columns.close
    held, expected = False, []
    for i in range(len(columns)):
        move = (close[i] - close[i - 1]) / usual[i - 1] if i else 0.0
        if move > 1.5:
            held = True
        if move < -1.5 or close[i] < average[i]:
            held = False
        expected.append(float(held))
    assert build("volatility_breakout").positions(columns).tolist() == expected
    assert 0 < sum(expected) < 1_000


def test_a_macd_cross_on_its_own_side_of_zero_is_more_sure() -> None:
    columns, built = Columns(random_walk(600, seed=15)), build("macd")
    targets, lines = built.positions(columns), columns.macd()
    changes = [i for i in range(1, 600) if targets[i] != targets[i - 1]]
    assert {built.confidence(columns, i) for i in changes} == {70.0, 85.0}
    assert all((built.confidence(columns, i) == 85.0) == ((lines.line[i] > 0) == bool(targets[i])) for i in changes)
