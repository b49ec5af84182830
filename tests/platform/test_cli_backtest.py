"""The backtest commands as somebody types them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform.command_line import CommandLine, command_line
from tests.postgres.test_studies import write
from tests.pure.sample_bars import random_walk


@pytest.fixture(scope="module")
def mastertrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("home")) as program:
        yield program


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(random_walk(1500, seed=4, interval_s=3600, gaps=False), tmp_path_factory.mktemp("bars"))


def test_a_run_is_kept_listed_shown_again_and_compared(mastertrade: CommandLine, file: Path, tmp_path: Path) -> None:
    page, trades = tmp_path / "page.html", tmp_path / "trades.csv"
    first = mastertrade("backtest", "run", "ma_cross", "-f", file, "-p", "fast=5", "-p", "slow=20", "--html", page)
    assert first.code == 0, first.err
    assert "how orders were filled" in first.out
    assert page.read_text().startswith("<!doctype html>")
    second = mastertrade("backtest", "run", "rsi_reversion", "--file", file, "--impact", "0", "--json").json()
    listed = mastertrade("backtest", "list", "--json").json()["runs"]
    assert [row["strategy"] for row in listed] == ["rsi_reversion", "ma_cross"]
    assert listed[0]["id"] == second["provenance"]["run_id"]
    shown = mastertrade("backtest", "report", listed[1]["id"], "--trades", trades)
    assert shown.out.strip() in first.out
    assert len(trades.read_text().splitlines()) == listed[1]["metrics"]["total_trades"] + 1
    compared = mastertrade("backtest", "compare", listed[0]["id"], listed[1]["id"])
    assert compared.out.startswith("comparison: 2 runs")


def test_exits_size_and_margin_are_flags_and_are_kept_with_the_run(mastertrade: CommandLine, file: Path) -> None:
    made = mastertrade(
        "backtest", "run", "ma_cross", "-f", file, "-p", "fast=5", "-p", "slow=20", "--stop-loss", "0.02",
        "--take-profit", "0.03", "--time-exit", "30", "--size", "risk:0.01", "--size-limit", "1.5", "--shorts",
        "--leverage", "2", "--maker-fee", "0",
    )  # fmt: skip
    assert made.code == 0, made.err
    kept = mastertrade("backtest", "list", "-n", "1", "--json").json()["runs"][0]
    shown = mastertrade("backtest", "report", kept["id"])
    assert shown.out.strip() in made.out
    assert "stop loss" in shown.out
    assert mastertrade("backtest", "report", kept["id"], "--json").json()["provenance"]["settings"] == {
        "sizing": "risk 0.01, at most 1.5 of equity", "stop_loss": 0.02, "take_profit": 0.03, "time_exit": 30,
        "shorts": True, "leverage": 2.0,
    }  # fmt: skip


def test_strategies_are_generated_kept_and_told_in_words(mastertrade: CommandLine, file: Path) -> None:
    made = mastertrade("backtest", "generate", "12", "--seed", "3", "--file", file)
    assert made.code == 0, made.err
    assert "rule='" in made.out
    assert "best: Buy when " in made.out
    assert "{" not in made.out, "no rule is shown as JSON"
    told = made.out.rpartition("mastertrade backtest report ")[2].strip()
    assert "rule='" in mastertrade("backtest", "report", told).out
    query = "SELECT count(*) AS n FROM backtest_trials WHERE status = 'done' AND parameters ? 'rule'"
    assert mastertrade("sql", query, "--json").json()["rows"][0]["n"] == 12
    assert mastertrade("backtest", "generate", "0", "--file", file).code == 2


def test_a_sweep_is_kept_with_its_best_and_shown_again(mastertrade: CommandLine, file: Path) -> None:
    made = mastertrade(
        "backtest", "sweep", "ma_cross", "-f", file, "-t", "fast=5:10:5", "-t", "slow=40", "--workers", "1"
    )
    assert made.code == 0, made.err
    found = mastertrade("backtest", "list", "-n", "1", "--json").json()
    assert found["sweeps"][0]["finished"] == 2
    assert found["runs"][0]["study_id"] == found["sweeps"][0]["id"]
    assert mastertrade("backtest", "report", found["sweeps"][0]["id"]).out.strip() in made.out


def test_a_walk_forward_is_made_and_shown_again(mastertrade: CommandLine, file: Path) -> None:
    made = mastertrade(
        "backtest", "walk-forward", "ma_cross", "-f", file, "-t", "fast=5,10", "-t", "slow=20", "--train-days", "30",
        "--test-days", "15", "--workers", "1",
    )  # fmt: skip
    assert made.code == 0, made.err
    kept = mastertrade("backtest", "list", "-n", "1", "--json").json()["runs"][0]
    assert kept["is_walk_forward"]
    assert mastertrade("backtest", "report", kept["id"]).out.strip() in made.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("run", "ma_cros"), 2, "the nearest is 'ma_cross'"),
        (("run", "ma_cross", "-f", "x.csv", "--size", "risk:0.01"), 2, "sizing by risk needs a stop"),
        (("run", "ma_cross", "-f", "x.csv", "--size", "rsk:0.01"), 2, "method 'rsk' is unknown; there are risk,"),
        (("run", "ma_cross", "-f", "x.csv", "--size", "kelly:0.6"), 2, "kelly takes 2 of them, and 1 were given"),
        (("run", "ma_cross", "-f", "x.csv", "--stop-loss", "5"), 2, "5 % is written 0.05"),
        (("run", "ma_cross", "-f", "x.csv", "--fraction", "2"), 2, "needs leverage of at least that"),
        (("run", "ma_cross"), 2, "name --symbol for stored candles, or --file"),
        (("sweep", "ma_cross", "-f", "x.csv", "-t", "fats=1,2"), 2, "the nearest is 'fast'"),
        (("report", "ffff"), 3, "there is no backtest study ffff"),
    ],
)
def test_what_is_wrong_is_said_with_the_next_step(
    mastertrade: CommandLine, arguments: tuple[str, ...], code: int, said: str
) -> None:
    answer = mastertrade("backtest", *arguments)
    assert (answer.code, said in answer.err) == (code, True), answer.err
