"""Keys of a venue by the command line: in by standard input, and out nowhere."""

import json
import signal
from collections.abc import Iterator

import pytest

from mastertrade.shared.sealing import KEY_FILE
from tests.platform.command_line import CommandLine, command_line

WITHOUT_PORT = ("venue", "simulate", "--port", "0", "--symbols", "btc/usdt", "--json")


@pytest.fixture(scope="module")
def mastertrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("home")) as program:
        yield program


def test_an_account_from_its_keys_to_their_end(mastertrade: CommandLine) -> None:
    with mastertrade.running(*WITHOUT_PORT) as venue:
        told = json.loads(venue.line())
        keys, url = told["keys"], told["url"]
        given = f"{keys['api_key']}\n{keys['secret']}\n"
        added = mastertrade("account", "add", "mine", "--venue", "Binance", "--url", url, stdin=given)
        assert (added.code, added.err) == (0, ""), added
        assert "keys stored" in added.out
        listed = mastertrade("account", "list", "--json")
        (row,) = listed.json()["accounts"]
        assert (row["account"], row["venue"], row["environment"]) == ("mine", "binance", "testnet")
        assert row["keys"]["rights"]["may_withdraw"] is False
        checked = mastertrade("account", "check", "mine")
        assert "read, trade" in checked.out
        assert "1 asset\n" in checked.out
        swaps = mastertrade(
            "account", "add", "swaps", "--venue", "binance", "--swaps", "--leverage", "2.5", "--url", url, stdin=given
        )
        assert (swaps.code, swaps.err) == (0, ""), swaps
        assert "swaps, leverage 2.5" in swaps.out
        rows = {row["account"]: row for row in mastertrade("account", "list", "--json").json()["accounts"]}
        assert [(rows[one]["kind"], float(rows[one]["leverage"])) for one in ("mine", "swaps")] == [
            ("spot", 1), ("swap", 2.5),
        ]  # fmt: skip
        wrong = mastertrade("account", "add", "two", "--venue", "binance", "--url", url, stdin=given.upper())
        assert (wrong.code, wrong.out) == (4, "")
        assert "does not accept the keys" in wrong.err
        everything = "".join(one.out + one.err for one in (added, listed, checked, wrong))
        for secret in keys.values():
            assert secret not in everything
            assert secret.upper() not in everything
        assert venue.end(signal.SIGINT).code == 0
    gone = mastertrade("account", "check", "mine")
    assert gone.code == 5
    assert "does not answer" in gone.err
    assert mastertrade("account", "remove", "mine").code == 0
    assert mastertrade("account", "list", "--json").json()["accounts"][0]["keys"] is None
    assert (mastertrade.home / KEY_FILE).exists()


def test_what_cannot_be_an_account_is_said_before_keys_are_asked_for(mastertrade: CommandLine) -> None:
    real = mastertrade("account", "add", "real", "--venue", "binance", "--environment", "production", stdin="a\nb\n")
    assert (real.code, "ENABLE_LIVE_TRADING=true" in real.err) == (2, True), real
    for arguments, words in (
        (("--venue", "mtgox"), "venue 'mtgox' cannot be traded at yet"),
        (("--venue", "binance", "--environment", "paper"), "must be testnet or production"),
        (("--venue", "binance", "--leverage", "2"), "it is for --swaps"),
        (("--venue", "binance", "--swaps", "--leverage", "much"), "'much' is not a plain decimal number"),
        (("--venue", "kraken", "--swaps"), "an account for swaps can be at binance"),
        (("--venue", "binance", "--url", "http://10.0.0.1"), "is no venue of this machine"),
    ):
        refused = mastertrade("account", "add", "mine", *arguments)
        assert (refused.code, refused.out) == (2, ""), refused
        assert words in refused.err
