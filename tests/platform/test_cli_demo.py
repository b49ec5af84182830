"""``mastertrade demo``: the whole platform once, as a newcomer runs it, and what can be asked about it afterwards."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.platform.command_line import Answer, CommandLine, command_line

PAIRS = ("BTC_USDT", "ETH_USDT", "SOL_USDT", "ADA_USDT", "DOGE_USDT")
COUNTS = ("rows", "gaps", "missing", "signals", "approved", "reduced", "refused", "orders", "fills", "batches")


@pytest.fixture(scope="module")
def mastertrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("home")) as program:
        yield program


@pytest.fixture(scope="module")
def first(mastertrade: CommandLine) -> Answer:
    """The demo as it is typed first, in an empty home."""
    return mastertrade("demo", "--json")


def assert_complete(report: dict[str, Any]) -> None:
    """Counts are numbers, money is exact text, and the numbers fit each other."""
    for name in COUNTS:
        assert type(report[name]) is int, name
    assert type(report["seconds"]) is float
    assert type(report["ledger_balanced"]) is bool
    assert report["ledger_balanced"], report["ledger_problems"]
    assert type(report["equity"]) is str
    assert abs(Decimal(report["equity"]) / Decimal(report["cash"]) - 1) < Decimal("0.2")
    assert report["signals"] == report["approved"] + report["reduced"] + report["refused"]
    assert report["orders"] == report["approved"] + report["reduced"]
    assert sum(report["refusals"].values()) >= bool(report["refused"])


def test_the_demo_reports_everything_as_exactly_one_object(first: Answer) -> None:
    assert (first.code, first.err) == (0, "")
    report = first.json()
    assert_complete(report)
    assert report["data"] == "synthetic"
    assert report["rows"] == 10 * (30 * 1440 + 5)
    assert report["gaps"] == 0
    assert report["batches"] == 2 * 1440
    assert report["fills"] > 0
    assert [one["template"] for one in report["backtests"]] == ["ma_cross", "rsi_reversion"]
    assert all(one["total_trades"] > 0 and one["fees"] > 0 for one in report["backtests"])


def test_the_last_order_is_filled_and_explained_from_the_candle_to_the_ledger(
    mastertrade: CommandLine, first: Answer
) -> None:
    order = mastertrade("why", "last-order", "--json").json()
    assert order["client_order_id"] == first.json()["last_order"]
    assert order["status"] == "FILLED"
    assert order["evidence"]["close"] > 0
    assert len(order["checks"]) >= 10
    assert all({"name", "value", "limit", "unit", "passed", "detail"} <= set(check) for check in order["checks"])
    assert [step["to"] for step in order["steps"]][:2] == ["NEW", "SUBMITTING"]
    recorded = [datetime.fromisoformat(step["recorded_at"]) for step in order["steps"]]
    assert recorded == sorted(recorded)
    assert sum(Decimal(fill["quantity"]) for fill in order["fills"]) == Decimal(order["quantity"])
    for asset in {line["asset"] for line in order["ledger"]}:
        assert sum(Decimal(line["amount"]) for line in order["ledger"] if line["asset"] == asset) == 0
    view = f"SELECT * FROM v_lineage WHERE client_order_id = '{order['client_order_id']}'"
    assert mastertrade("sql", view, "--json").json()["rows"] == [order]


def test_an_order_is_found_by_each_of_its_ids_and_read_by_people(mastertrade: CommandLine, first: Answer) -> None:
    order = mastertrade("why", "--json").json()
    for name in ("client_order_id", "order_id", "signal_id"):
        answer = mastertrade("why", order[name])
        assert answer.code == 0
        text = answer.out
        assert text.startswith(f"order {order['client_order_id']}  {order['side']}")
        headings = ("1 candle", "2 signal", "3 verdict", "4 approval", "5 venue", "6 fills", "7 ledger", "sql: SELECT")
        places = [text.index(f"\n{heading}") for heading in headings]
        assert places == sorted(places)
        assert all(check["detail"] in text for check in order["checks"])
        assert " ms" in text
        assert "…" not in text


def test_a_refusal_is_explained_by_the_check_that_refused(mastertrade: CommandLine, first: Answer) -> None:
    refused = mastertrade("why", "last-refusal", "--json").json()
    assert refused["disposition"] not in ("approved", "reduced")
    assert not all(check["passed"] for check in refused["checks"])
    text = mastertrade("why", refused["signal_id"]).out
    assert text.startswith(f"signal {refused['signal_id']}")
    assert f"because {refused['verdict_reason']}" in text
    assert "\n  refused  " in text


def test_a_second_demo_trades_on_an_account_of_its_own_and_says_the_same(
    mastertrade: CommandLine, first: Answer
) -> None:
    before = first.json()
    text = mastertrade("demo", "--hours", "6")
    assert (text.code, text.err) == (0, "")
    for words in ("account demo-2", "balanced: every asset", "synthetic: a seeded", "mastertrade why last-order"):
        assert words in text.out
    again = mastertrade("demo", "--hours", "6", "--json").json()
    assert_complete(again)
    assert again["account"] == "demo-3"
    assert again["rows"] == before["rows"]
    assert again["batches"] == 6 * 60
    assert f"verdicts{'':<16}{again['approved']} approved, {again['reduced']} reduced" in text.out


def test_the_demo_runs_on_real_candles_of_five_pairs(
    mastertrade: CommandLine, real_candles: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "binance_1m"
    folder.mkdir()
    for pair in PAIRS:
        (folder / f"{pair}-1m.csv.gz").symlink_to(real_candles / f"{pair}-1m.csv.gz")

    answer = mastertrade("demo", "--data", folder, "--json")

    assert (answer.code, answer.err) == (0, "")
    report = answer.json()
    assert_complete(report)
    assert report["data"] == str(folder)
    assert report["rows"] == 5 * 43_079 - 2  # two files go on for a minute after the others
    assert (report["gaps"], report["missing"]) == (5, 5 * 120)
    assert report["fills"] > 0
    assert mastertrade("doctor", "--json").json()["healthy"]
