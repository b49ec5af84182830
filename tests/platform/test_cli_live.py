"""Live trading by the command line: on a venue of this machine, with paper money and with an account's keys."""

import json
import signal
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.platform.command_line import CommandLine, Running, command_line

SIMULATE = ("venue", "simulate", "--port", "0", "--symbols", "BTC/USDT,ETH/USDT", "--json")
MOST_LINES = 120
"""One a second."""


@pytest.fixture(scope="module")
def mastertrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("home")) as program:
        yield program


@pytest.fixture(scope="module")
def venue(mastertrade: CommandLine) -> Iterator[dict[str, Any]]:
    with mastertrade.running(*SIMULATE) as running:
        yield json.loads(running.line())
        assert running.end(signal.SIGINT).code == 0


def has_prices(running: Running) -> dict[str, Any]:
    """The first status that has an equity: then the market has been seen."""
    for _ in range(MOST_LINES):
        status: dict[str, Any] = json.loads(running.line())
        if status["equity"] is not None and status["books"] == "live":
            return status
    raise AssertionError(status)


def test_an_account_trades_at_its_venue_and_the_books_agree(mastertrade: CommandLine, venue: dict[str, Any]) -> None:
    keys = f"{venue['keys']['api_key']}\n{venue['keys']['secret']}\n"
    assert mastertrade("account", "add", "mine", "--venue", "binance", "--url", venue["url"], stdin=keys).code == 0
    with mastertrade.running("up", "--account", "mine", "--json") as running:
        assert Decimal(has_prices(running)["equity"]) == 10_000
        order = ("order", "place", "BUY", "0.002", "BTC/USDT", "--account", "mine", "--wait", "60", "--json")
        bought = mastertrade(*order).json()
        assert (bought["disposition"], bought["status"]) == ("approved", "FILLED"), bought
        resting = mastertrade(
            "order", "place", "BUY", "0.01", "ETH/USDT", "--limit", "1500", "--account", "mine", "--wait", "5", "--json"
        ).json()
        assert resting["status"] == "OPEN", resting
        cancelled = mastertrade("order", "cancel", resting["client_order_id"], "--wait", "60", "--json").json()
        assert cancelled["orders"][0]["status"] == "CANCELED"
        ended = running.end(signal.SIGINT)
        assert ended.code == 0, ended.err
        assert json.loads(ended.out.splitlines()[-1])["stopped"] is True
    balances = mastertrade("balance", "list", "--account", "mine", "--json").json()["balances"]
    assert {one["asset"] for one in balances} == {"BTC", "USDT"}
    states = mastertrade("order", "reconcile", "--json").json()
    assert [(one["account"], one["state"]) for one in states["accounts"]] == [("mine", "live")]
    why = mastertrade("why", bought["client_order_id"])
    assert "by_hand" in why.out
    for secret in venue["keys"].values():
        assert secret not in ended.out + ended.err + why.out


def test_paper_money_trades_on_the_same_prices(mastertrade: CommandLine, venue: dict[str, Any]) -> None:
    live = ("up", "--venue", "binance", "--url", venue["url"], "-s", "BTC/USDT", "--json")
    with mastertrade.running(*live, "--strategy", "ma_cross:fast=3,slow=9", "--tf", "1h") as running:
        has_prices(running)
        order = ("order", "place", "BUY", "0.002", "BTC/USDT", "--account", "paper binance live", "--wait", "60")
        bought = mastertrade(*order, "--json").json()
        assert (bought["disposition"], bought["status"]) == ("approved", "FILLED"), bought
        assert running.end(signal.SIGINT).code == 0
    with mastertrade.running(*live, "--strategy", "rsi_reversion") as running:
        has_prices(running)
        assert running.end(signal.SIGINT).code == 0
    rows = mastertrade(
        "sql", "SELECT name, status FROM strategies WHERE name LIKE 'paper binance live %' ORDER BY 1", "--json"
    ).json()["rows"]
    assert [tuple(row.values()) for row in rows] == [
        ("paper binance live ma_cross 1h BTC/USDT fast=3 slow=9", "paused"),
        ("paper binance live rsi_reversion 15m BTC/USDT", "active"),
    ]


def test_paper_money_goes_short_on_margin_and_buys_back(mastertrade: CommandLine, venue: dict[str, Any]) -> None:
    live = ("up", "--venue", "binance", "--url", venue["url"], "--swaps", "--leverage", "3", "-s", "BTC/USDT", "--json")
    account = ("BTC/USDT:USDT", "--account", "paper binance swaps live", "--wait", "60", "--json")
    with mastertrade.running(*live, "--strategy", "ma_cross", "--tf", "4h") as running:
        has_prices(running)
        sold = mastertrade("order", "place", "SELL", "0.002", *account).json()
        assert (sold["disposition"], sold["status"]) == ("approved", "FILLED"), sold
        (held,) = mastertrade("position", "list", "--account", "paper binance swaps live", "--json").json()["positions"]
        assert Decimal(held["quantity"]) == Decimal("-0.002"), held
        bought = mastertrade("order", "place", "BUY", "0.002", "--reduce-only", *account).json()
        assert (bought["disposition"], bought["status"]) == ("approved", "FILLED"), bought
        assert running.end(signal.SIGINT).code == 0
    rates = mastertrade("sql", "SELECT count(*) FROM funding_rates", "--json").json()["rows"]
    assert rates[0]["count"] > 15, "the week before was asked for"


WRONG = {
    "two places": (("--venue", "binance", "--account", "mine"), 2, "--venue does not go with the rest"),
    "a recording of now": (("--venue", "binance", "--replay", "."), 2, "--replay does not go with the rest"),
    "a faster present": (("--venue", "binance", "--speed", "5"), 2, "--speed does not go with the rest"),
    "a choice of nothing": (("--symbol", "BTC/USDT"), 2, "--symbol does not go with the rest"),
    "nobody's account": (("--account", "nobody"), 3, "there is no account 'nobody'"),
    "two assets": (("--venue", "binance", "-s", "BTC/USDT", "-s", "ETH/BTC"), 2, "the first one is paid in USDT"),
    "no parameter": (("--venue", "binance", "--strategy", "ma_cross:fast"), 2, "'fast' is not a parameter"),
}


@pytest.mark.parametrize(("options", "code", "words"), WRONG.values(), ids=WRONG)
def test_what_does_not_go_together_is_said(
    mastertrade: CommandLine, options: tuple[str, ...], code: int, words: str
) -> None:
    answer = mastertrade("up", *options)
    assert (answer.code, answer.out) == (code, ""), answer
    assert words in answer.err
