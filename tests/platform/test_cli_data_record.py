"""``mastertrade data record`` beside a venue of ``mastertrade venue simulate``."""

import json
import signal
from collections.abc import Iterator

import pytest

from tests.platform.command_line import CommandLine, command_line

LOOKS = 200
"""At what is stored, each by a process of its own."""


@pytest.fixture(scope="module")
def mastertrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("home")) as program:
        yield program


@pytest.fixture(scope="module")
def url(mastertrade: CommandLine) -> Iterator[str]:
    with mastertrade.running("venue", "simulate", "--port", "0", "--json") as venue:
        yield json.loads(venue.line())["url"]
        venue.end(signal.SIGINT)


def rows_stored(mastertrade: CommandLine) -> dict[tuple[str, str], int]:
    listed = json.loads(mastertrade("data", "list", "--json").out)
    return {(one["symbol"], one["timeframe"]): one["rows"] for one in listed if one["rows"]}


def test_it_stores_what_has_closed_until_ctrl_c_and_says_how_it_stood(mastertrade: CommandLine, url: str) -> None:
    asked = ("data", "record", "BTC/USDT", "ETH/USDT:USDT", "--venue", "binance", "--url", url, "--tf", "1m,5m")
    with mastertrade.running(*asked, "--json") as running:
        for _ in range(LOOKS):
            if len(rows := rows_stored(mastertrade)) == 4:
                break
        ended = running.end(signal.SIGINT)
    assert (ended.code, ended.err) == (0, "")
    told = {(one["symbol"], one["timeframe"]): one for one in ended.json()["series"]}
    assert set(told) == {(symbol, length) for symbol in ("BTC/USDT", "ETH/USDT:USDT") for length in ("1m", "5m")}
    for series, one in told.items():
        assert one["rows"] >= rows[series] >= 1, one


def test_it_ends_after_the_time_it_is_given(mastertrade: CommandLine, url: str) -> None:
    answer = mastertrade("data", "record", "SOL/USDT", "--venue", "binance", "--url", url, "--for", "2s")
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--for", "5x"), 2, "--for 5x: write how long as 90s, 30m, 8h or 7d"),
        (("--for", "-5s"), 2, "--for -5s: must be longer than nothing"),
        (("--tf", "7m"), 2, "interval '7m'"),
        (("--url", "http://127.0.0.1:1"), 5, "http://127.0.0.1:1"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    mastertrade: CommandLine, url: str, arguments: tuple[str, ...], code: int, told: str
) -> None:
    with_url = arguments if "--url" in arguments else (*arguments, "--url", url)
    answer = mastertrade("data", "record", "BTC/USDT", "--venue", "binance", *with_url)
    assert (answer.code, answer.out) == (code, "")
    assert told in answer.err
    assert answer.err.count("\n") == 1
