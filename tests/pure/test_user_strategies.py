"""Strategies of users' files: found by name or path, run like those of the house, and told what is wrong with them."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mastertrade as mt
from mastertrade import strategies
from mastertrade.research.provenance import code_hash
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.strategies.rule import EXAMPLE
from mastertrade.strategies.user_file import BrokenStrategy, load
from mastertrade.strategies.user_template import StrategyFailed
from tests.pure.sample_bars import random_walk, written_bars
from tests.pure.strategy_files import CROSS, PARAMETERS, TRAILING, write_strategy

BARS = random_walk(400, seed=7)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of strategies, in a home of the test's."""
    monkeypatch.setenv("MASTERTRADE_HOME", str(tmp_path))
    return tmp_path / "strategies"


def positions_of(text: str, folder: Path, **parameters: Any) -> Any:
    return strategies.build(str(write_strategy(folder, "some.py", text)), parameters).positions(BARS)


@pytest.mark.parametrize("text", [CROSS, TRAILING], ids=["positions", "on_bar"])
def test_a_file_is_a_strategy_by_its_name_and_by_its_path(text: str, folder: Path) -> None:
    path = write_strategy(folder, "mine.py", text)
    found = [mt.backtest(BARS, strategy, fast=4, slow=9) for strategy in ("mine", str(path), path)]
    assert len(found[0].trades) > 3
    assert found[0].parameters == {"fast": 4, "slow": 9}
    assert len({tuple(result.equity) for result in found}) == 1


def test_a_copy_of_a_house_template_does_what_the_template_does(folder: Path) -> None:
    house = Path(strategies.ma_cross.__file__).read_text("utf-8")  # type: ignore[attr-defined] # a module of the room
    write_strategy(folder, "copied.py", house)
    one, other = (
        strategies.build("copied", {"fast": 5, "slow": 20}),
        strategies.build("ma_cross", {"fast": 5, "slow": 20}),
    )
    assert np.array_equal(one.positions(BARS), other.positions(BARS))
    assert one.warm_up == other.warm_up == 20
    assert one.evidence(BARS, 30) == other.evidence(BARS, 30)
    assert one.confidence(BARS, 30) == other.confidence(BARS, 30)


def test_a_rule_is_a_file_too(folder: Path) -> None:
    write_strategy(folder, "pullback.json", json.dumps(EXAMPLE))
    assert np.array_equal(strategies.build("pullback").positions(BARS), strategies.build("rule").positions(BARS))


def test_a_sweep_and_a_walk_forward_run_a_file_in_their_workers(folder: Path) -> None:
    write_strategy(folder, "mine.py", TRAILING)
    table = mt.sweep(BARS, "mine", {"fast": [3, 5], "slow": [10, 20], "stop_loss": [0.05]}, workers=2)
    assert [row["status"] for row in table] == ["done"] * 4
    alone = mt.backtest(BARS, "mine", fast=5, slow=20, stop_loss=0.05)
    assert alone.metrics["sharpe_ratio"] == table[3]["sharpe_ratio"]
    days = random_walk(120, seed=2, interval_s=86_400, gaps=False)
    walk = mt.walk_forward(days, "mine", {"fast": [3, 5]}, train_days=40, test_days=20, workers=1)
    assert len(walk.results) == 4


def test_an_edited_file_is_read_again_and_has_another_hash_and_what_was_found_stays(folder: Path) -> None:
    path = write_strategy(folder, "mine.py", CROSS)
    before = strategies.find("mine")
    was, targets = code_hash("mine"), strategies.build("mine").positions(BARS)
    path.write_text(CROSS.replace(">", "<"))
    assert (strategies.build("mine").positions(BARS) != targets).any()
    assert (strategies.build(before).positions(BARS) == targets).all()
    assert code_hash(before) == was != code_hash("mine")
    assert code_hash("ma_cross") not in (was, code_hash("mine"))


def test_a_strategy_travels_to_a_worker_that_has_no_file(folder: Path) -> None:
    path = write_strategy(folder, "mine.py", TRAILING)
    built = strategies.build("mine", {"fast": 4})
    packed = pickle.dumps(built)
    path.unlink()
    assert np.array_equal(pickle.loads(packed).positions(BARS), built.positions(BARS))  # noqa: S301


def test_a_file_in_the_folder_has_its_name_as_reference_and_any_other_its_path(folder: Path, tmp_path: Path) -> None:
    write_strategy(folder, "mine.py", CROSS)
    other = write_strategy(tmp_path / "elsewhere", "mine.py", CROSS)
    assert strategies.reference(strategies.find("mine")) == "mine"
    assert strategies.reference(strategies.find(other)) == str(other)
    assert strategies.short_name(str(other)) == "mine"


BROKEN = {
    "syntax": ("def positions(bars, params)\n", "line 1: SyntaxError: expected ':'"),
    "raises": ("x = 1\ny = x / 0\n", "line 2: ZeroDivisionError: division by zero"),
    "leaves": ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
    "absent": ("import no_such_package\n", "line 1: ModuleNotFoundError: No module named 'no_such_package'"),
    "empty": ("", "has neither positions(bars, params) nor a class with on_bar"),
    "twofold": (CROSS + "class More:\n    def on_bar(self, bar): ...\n", "positions(bars, params) and class More"),
    "arguments": (
        "def positions(bars):\n    return bars.close\n",
        "line 1: positions(bars, params) cannot be called so",
    ),
    "undecorated": (
        CROSS.replace("@dataclass(frozen=True, kw_only=True)", ""),
        "@dataclass(frozen=True, kw_only=True)",
    ),
    "unranged": (CROSS.replace("Annotated[int, Range(low=2, high=100)]", "int"), "Settings.fast has no Range"),
    "default": (CROSS.replace("= 5", "= 500"), "fast 500 is outside 2..100; the nearest allowed is 100"),
    "kind": (CROSS.replace("int, Range(low=2, high=100)] = 5", "str, Range(low=2, high=100)] = 'a'"), "Settings.fast"),
    "backwards": (CROSS.replace("low=2, high=100", "low=100, high=2"), "begins at 100 and ends at 2"),
}


def test_a_file_that_is_broken_says_where_and_why_and_the_others_still_load(folder: Path) -> None:
    for name, (text, _) in BROKEN.items():
        write_strategy(folder, f"{name}.py", text)
    (folder / "latin.py").write_bytes(b"# caf\xe9\n")
    write_strategy(folder, "unruly.json", '{"name": "x"}')
    write_strategy(folder, "ma_cross.py", CROSS)
    write_strategy(folder, "mine.py", CROSS)
    write_strategy(folder, "notes.txt", "not a strategy")
    shelf = strategies.shelf()
    assert list(shelf.templates) == ["mine"]
    assert set(shelf.broken) == {*BROKEN, "latin", "unruly", "ma_cross"}
    for name, (_, said) in BROKEN.items():
        assert str(shelf.broken[name]).startswith(f"{folder / name}.py"), name
        assert said in str(shelf.broken[name]), name
    assert "rename the file" in str(shelf.broken["ma_cross"])
    assert "UTF-8" in str(shelf.broken["latin"])
    assert set(strategies.all_templates()) == {*strategies.TEMPLATES, "mine"}
    with pytest.raises(BrokenStrategy, match="line 2: ZeroDivisionError"):
        mt.backtest(BARS, "raises")


def test_a_name_that_nobody_knows_is_told_with_the_nearest_among_all(folder: Path) -> None:
    write_strategy(folder, "trailing.py", TRAILING)
    with pytest.raises(UsageError, match="'trialing' is unknown; the nearest is 'trailing'"):
        mt.backtest(BARS, "trialing")
    with pytest.raises(NotFound, match="there is no such file"):
        mt.backtest(BARS, "no/such.py")


def test_parameters_of_a_file_are_checked_like_those_of_the_house(folder: Path) -> None:
    write_strategy(folder, "mine.py", CROSS)
    with pytest.raises(UsageError, match="mine: parameter 'fats' is unknown; the nearest is 'fast'"):
        mt.backtest(BARS, "mine", fats=5)
    with pytest.raises(UsageError, match=r"mine: slow 500 is outside 3\.\.400; the nearest allowed is 400"):
        mt.backtest(BARS, "mine", slow=500)
    with pytest.raises(UsageError, match="'fats' is unknown; the nearest is 'fast'"):
        mt.sweep(BARS, "mine", {"fats": [5]})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return bars.close[1:] > 0", r"some.py: gave 399 targets for 400 bars; each bar needs one target"),
        ("return bars.sma(20) - bars.close", "2021-01-01 00:01 .and .* more., is nan; an indicator has no value"),
        ("return bars.close", "is 10.*; a target goes from -1 .short. over 0 .out. to 1"),
        ("return ['buy'] * len(bars)", "the targets are no numbers: could not convert string"),
        ("np.where(bars.close > 1, 1, 0)", "gave nothing; it must return a target for each bar"),
        ("return 1.0", "gave an array of shape"),
        ("return 1 / 0", "some.py line 5: ZeroDivisionError: division by zero"),
        ("exit(7)", "some.py line 5: SystemExit: 7"),
        ("bars.close[0] = 1.0", "some.py line 5: ValueError: assignment destination is read-only; .* change a copy"),
        ("return bars.smma(3)", "some.py line 5: AttributeError: .*; did you mean sma"),
        ("bars.sma(3)[5] = 1.0", "some.py line 5: ValueError: assignment destination is read-only"),
    ],
)  # fmt: skip
def test_what_a_strategy_answers_is_checked_and_named(body: str, said: str, folder: Path) -> None:
    with pytest.raises(StrategyFailed, match=said):
        positions_of(f"import numpy as np\n\n\ndef positions(bars, params):\n    {body}\n", folder)


def test_indicators_a_strategy_asks_for_are_shared_with_the_other_trials(folder: Path) -> None:
    from mastertrade.quant.columns import columns_of

    columns = columns_of(BARS)
    built = strategies.build(write_strategy(folder, "mine.py", CROSS))
    first = built.positions(columns)
    assert columns.kept_bytes == 2 * 8 * len(BARS)
    assert np.array_equal(first, built.positions(columns))
    assert BARS.close.flags.writeable, "what is sealed for a strategy stays the caller's own"


SEES = """
class Watcher:
    def __init__(self, params):
        self.seen = []

    def on_bar(self, bar):
        self.seen.append((bar.index, bar.position, bar.entry_price, bar.bars_held, bar.profit, bar.closes[-1],
                          len(bar.closes)))
        Watcher.last = self
        return {1: 1.0, 2: None, 4: 0.0, 5: -1.0, 7: 0.5}.get(bar.index)
"""


def test_on_bar_sees_its_position_as_the_backtest_would_fill_it(folder: Path) -> None:
    bars = written_bars([10, 11, 12, 13, 14, 15, 16, 20, 18, 17], [11, 12, 13, 14, 15, 16, 20, 18, 17, 16])
    template = load(write_strategy(folder, "watcher.py", SEES))
    targets = strategies.build(template).positions(bars)
    assert targets.tolist() == [0, 1, 1, 1, 0, -1, -1, 0.5, 0.5, 0.5]
    seen = template.inner.kind.last.seen  # type: ignore[union-attr] # the class of the file
    index, position, entry, held, profit, close, known = zip(*seen, strict=True)
    assert index == tuple(range(10))
    assert known == tuple(range(1, 11))
    assert close == tuple(bars.close)
    assert position == (0, 0, 1, 1, 1, 0, -1, -1, 0.5, 0.5)
    assert np.array_equal(entry, [np.nan, np.nan, 12, 12, 12, np.nan, 16, 16, 18, 18], equal_nan=True)
    assert held == (0, 0, 1, 2, 3, 0, 1, 2, 1, 2)
    assert profit[4] == pytest.approx(15 / 12 - 1)
    assert profit[7] == pytest.approx(-(18 / 16 - 1))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def on_bar(self, bar): return bar.closes[bar.index + 1]", "line 3, at bar 0: IndexError"),
        ("def on_bar(self, bar): return 1 / (bar.index - 5)", "line 3, at bar 5: ZeroDivisionError"),
        ("def on_bar(self, bar): return float('nan')", "the target of bar 0, 2021-01-01 00:01 .* is nan"),
        ("def on_bar(self, bar): return 'buy'", "at bar 0: TypeError"),
        ("def on_bar(self, bar): return bar.sma", "at bar 0: AttributeError"),
        ("def on_bar(self, bar): return bar.positoin", "line 3, at bar 0: .*; did you mean position"),
        ("indicators = lambda self, ask: {'a': ask.smaa(3)}", "indicator 'smaa' is unknown; the nearest is 'sma'"),
        ("indicators = lambda self, ask: {'a': ask.macd()}", "macd has several lines; name one of"),
        ("indicators = lambda self, ask: {'close': ask.sma(3)}", "an indicator cannot be called 'close'"),
        ("indicators = lambda self, ask: [ask.sma(3)]", "must return names with what was asked for"),
        ("indicators = lambda self, ask: {'a': ask.sma(3)[1:]}", "TypeError: 'Asked' object is not subscriptable"),
    ],
)
def test_what_on_bar_does_wrong_is_named_with_its_bar(body: str, said: str, folder: Path) -> None:
    rest = "" if "on_bar" in body else "    def on_bar(self, bar): return 0.0\n"
    with pytest.raises(StrategyFailed, match=said):
        positions_of(f"\nclass Some:\n    {body}\n{rest}", folder)


def test_lines_of_indicators_can_be_asked_for_by_their_names(folder: Path) -> None:
    text = (
        PARAMETERS
        + "class Some:\n"
        + "    def indicators(self, ask): return {'top': ask.donchian(self.params.slow).upper, 'rsi': ask.rsi(14)}\n"
        + "    def on_bar(self, bar): return 1.0 if bar.rsi > 50 and bar.close >= bar.top else 0.0\n"
    )
    from mastertrade.quant.columns import columns_of

    columns = columns_of(BARS)
    wanted = (columns.rsi(14) > 50) & (columns.close >= columns.donchian(20).upper)
    assert np.array_equal(positions_of(text, folder), wanted)
