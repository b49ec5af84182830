"""Each command in words and as JSON, in a home where a short demo has run."""

import io
import json
import re
import signal
from collections.abc import Iterator
from decimal import Decimal

import pytest
from rich.console import Console

from mastertrade import __version__
from mastertrade.cli import output
from mastertrade.cli.wording import amount, measure, milliseconds, money, price, signed_share
from tests.platform.command_line import CommandLine, command_line


@pytest.fixture(scope="module")
def mastertrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("home")) as program:
        assert program("demo", "--hours", "8").code == 0
        yield program


def test_help_lists_every_command_with_its_whole_first_sentence(mastertrade: CommandLine) -> None:
    answer = mastertrade("--help")
    assert answer.code == 0
    for name in ("demo", "up", "serve", "why", "status", "halt", "resume", "sql", "doctor", "backtest", "data", "db"):
        assert re.search(rf"^  {name} +[A-Z].*\.$", answer.out, re.MULTILINE), name
    assert "..." not in answer.out.partition("Commands:")[2]
    assert "130 interrupted" in answer.out


def test_without_a_command_the_help_is_shown_and_the_code_says_usage(mastertrade: CommandLine) -> None:
    answer = mastertrade()
    assert (answer.code, answer.err) == (2, "")
    assert answer.out.startswith("Usage: mastertrade")


def test_the_version_is_told(mastertrade: CommandLine) -> None:
    assert mastertrade("--version").out == f"mastertrade {__version__}\n"


def test_status_shows_what_is_held_and_what_waits(mastertrade: CommandLine) -> None:
    found = mastertrade("status", "--json").json()
    assert found["overview"]["market_time"] == "2024-01-31T00:05:00+00:00"
    assert found["overview"]["candles"] == 10 * (30 * 1440 + 5)
    assert found["overview"]["open_orders"] == found["overview"]["waiting_events"] == 0
    assert found["running"] == []
    assert [feed["stands_at"] for feed in found["feeds"]] == ["2024-01-31T00:05:00+00:00"]
    assert {balance["asset"] for balance in found["balances"]} >= {"USDT"}
    assert all(isinstance(balance["free_balance"], str) for balance in found["balances"])
    text = mastertrade("status")
    assert text.code == 0
    assert "2024-01-31 00:05:00 UTC" in text.out
    assert all(order["client_order_id"] in text.out for order in found["recent_orders"])
    assert "…" not in text.out


def test_status_names_who_runs_on_the_database(mastertrade: CommandLine) -> None:
    with mastertrade.running("up", "--speed", "60", "--json") as running:
        running.line()
        found = mastertrade("status", "--json").json()
        assert running.end(signal.SIGINT).code == 0
    assert [one["role"] for one in found["running"]] == ["order_executor"]
    assert str(running.process.pid) in found["running"][0]["holder"]


def test_up_tells_json_lines_and_ends_with_where_it_goes_on(mastertrade: CommandLine) -> None:
    with mastertrade.running("up", "--speed", "0", "--json") as running:
        lines = [json.loads(running.line()) for _ in range(3)]
        ended = running.end(signal.SIGINT)
    assert (ended.code, ended.err) == (0, "")
    lines += ended.objects()
    times = [line["market_time"] for line in lines]
    assert times == sorted(times)
    assert times[0] < times[-1]
    assert lines[-1]["stopped"]
    assert not lines[-1]["is_finished"]
    assert lines[-1]["trading"] == "running"


def test_up_in_words_says_where_it_goes_on(mastertrade: CommandLine) -> None:
    with mastertrade.running("up", "--speed", "0") as running:
        first = running.line()
        ended = running.end(signal.SIGTERM)
    assert re.match(
        r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  signals \d+  orders \d+  fills \d+  equity ([\d,.]+|-) USDT\n", first
    )
    assert ended.code == 0
    assert re.fullmatch(r"stopped at 20\d\d-.* UTC; the same command goes on from there\n", ended.out)


def test_a_halt_is_seen_everywhere_until_it_is_resumed(mastertrade: CommandLine) -> None:
    halted = mastertrade("halt", "--reason", "news [bold]of[/] the day", "--json").json()
    assert (halted["scope"], halted["mode"], halted["reason"]) == ("global", "halted", "news [bold]of[/] the day")
    assert "news [bold]of[/] the day" in mastertrade("status").out
    doctor = mastertrade("doctor")
    assert (doctor.code, "warn  trading     halted: global (news [bold]of[/] the day)" in doctor.out) == (0, True)
    resumed = mastertrade("resume")
    assert resumed.code == 0
    assert resumed.out.startswith("global: running  change ")
    assert mastertrade("status", "--json").json()["trading"][0]["mode"] == "running"


def test_a_halt_of_one_account_leaves_the_others(mastertrade: CommandLine) -> None:
    query = "SELECT id FROM accounts WHERE name = 'demo-1'"
    scope = "account:" + mastertrade("sql", query, "--json").json()["rows"][0]["id"]
    assert mastertrade("halt", "--scope", scope).out.startswith(f"{scope}: halted")
    modes = {one["scope"]: one["mode"] for one in mastertrade("status", "--json").json()["trading"]}
    assert modes == {"global": "running", scope: "halted"}
    assert mastertrade("resume", "--scope", scope, "--json").json()["mode"] == "running"


def test_risk_tells_what_is_held_and_what_may_be_lost_and_keeps_it_by_day(mastertrade: CommandLine) -> None:
    found = mastertrade("risk", "status", "--json").json()
    book, held = found["book"], {part["symbol"]: part for part in found["parts"]}
    assert Decimal(book["equity"]) > Decimal(book["cash"]) > 0
    assert {f"{one['asset']}/USDT" for one in book["holdings"] if one["value"]} == set(held)
    assert found["exposure"] == pytest.approx(sum(abs(part["value"]) for part in held.values()))
    text = mastertrade("risk", "var", "--days", "25").out
    assert all(symbol in text for symbol in held)
    assert "value at risk" in text
    assert "…" not in text
    kept = mastertrade("sql", "SELECT count(*) AS days FROM risk_metrics WHERE account_id IS NOT NULL", "--json").json()
    assert kept["rows"][0]["days"] >= 1
    assert found["level"] in ("low", "medium", "high", "critical")


def test_alerts_are_listed_and_acknowledged(mastertrade: CommandLine) -> None:
    found = mastertrade("risk", "alerts", "--days", "3650", "--json").json()["alerts"]
    assert all(one["account"].startswith("demo-") for one in found)
    assert len(mastertrade("risk", "alerts", "--days", "3650").out.splitlines()) == max(len(found), 0) + 1
    if standing := [one for one in found if one["status"] == "open"]:
        assert mastertrade("risk", "alerts", "ack", standing[0]["id"], "--note", "seen").out.startswith(
            standing[0]["id"]
        )
        again = {one["id"]: one["status"] for one in mastertrade("risk", "alerts", "--json").json()["alerts"]}
        assert again[standing[0]["id"]] == "acknowledged"
    missing = mastertrade("risk", "alerts", "ack", "nothing")
    assert missing.code == 3
    assert "there is no open alert 'nothing'" in missing.err


def test_stops_are_shown_and_moved(mastertrade: CommandLine) -> None:
    found = {
        one["symbol"]: one for one in mastertrade("risk", "stops", "--account", "demo-1", "--json").json()["stops"]
    }
    held = mastertrade("risk", "status", "--account", "demo-1", "--json").json()["parts"]
    assert set(found) == {part["symbol"] for part in held}, "each position has its stop"
    symbol, one = next(iter(found.items()))
    assert symbol in mastertrade("risk", "stops").out
    loosened = mastertrade("risk", "stops", "move", one["id"], "0.01")
    assert (loosened.code, "--confirm" in loosened.err) == (2, True)
    assert mastertrade("risk", "stops", "set", one["id"], "--type", "trailing", "--distance", "1", "--json").code == 0
    wrong = mastertrade("risk", "stops", "set", one["id"], "--type", "fixed", "--initial", "90")
    assert "initial_stop_percent 90.0 of a stop is outside 0.1 to 20" in wrong.err
    assert mastertrade("risk", "stops", "move", one["id"], "high").code == 2
    assert "has no stop" in mastertrade("risk", "stops", "cancel", one["id"], "--reason", "tested").out


def test_locks_and_the_circuit_breaker_are_shown(mastertrade: CommandLine) -> None:
    found = mastertrade("risk", "locks", "--past", "--json").json()["locks"]
    assert all(one["reason"] and one["ends_at"] > one["starts_at"] for one in found)
    assert mastertrade("risk", "locks").code == 0
    unknown = mastertrade("risk", "locks", "lift", "018d5c7e-5640-76d9-8067-eed5ff4f163b", "--reason", "x")
    assert (unknown.code, "there is no lock" in unknown.err) == (3, True)
    assert "is no id" in mastertrade("risk", "locks", "lift", "seven", "--reason", "x").err
    breakers = {one["account"]: one for one in mastertrade("risk", "breaker", "--json").json()["breakers"]}
    assert (breakers["demo-1"]["level"], breakers["demo-1"]["override_until"]) == ("none", None)
    held = mastertrade("risk", "breaker", "override", "--account", "demo-1", "--reason", "looked").out
    assert held == "the circuit breaker of demo-1 is held open until 2024-02-01 00:00:00 UTC\n"
    assert "looked" in mastertrade("risk", "breaker").out


def test_an_order_is_judged_without_being_placed(mastertrade: CommandLine) -> None:
    orders = mastertrade("sql", "SELECT count(*) AS n FROM verdicts", "--json").json()["rows"][0]["n"]
    large = mastertrade("risk", "check", "BUY", "0.5", "BTC/USDT", "--json").json()
    assert large["disposition"] == "reduced"
    assert Decimal(large["requested_quantity"]) == Decimal("0.5") > Decimal(large["approved_quantity"]) > 0
    assert len(large["checks"]) == 33
    cut = next(one for one in large["checks"] if one["name"] == "position_size")
    assert (cut["limit"], cut["unit"], cut["passed"]) == (5.0, "%", True)
    sized = mastertrade("risk", "check", "buy", "btc/usdt")
    assert (sized.code, "nothing was placed" in sized.out) == (0, True)
    nothing_held = mastertrade("risk", "check", "SELL", "1000", "BTC/USDT")
    assert nothing_held.code == 1
    assert "refused" in nothing_held.out
    assert mastertrade("sql", "SELECT count(*) AS n FROM verdicts", "--json").json()["rows"][0]["n"] == orders


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("HOLD", "1", "BTC/USDT"), 2, "write BUY or SELL"),
        (("BUY", "much", "BTC/USDT"), 2, "quantity 'much' is not a plain decimal number"),
        (("BUY", "-1", "BTC/USDT"), 2, "No such option"),
        (("BUY", "0", "BTC/USDT"), 2, "quantity 0 is not above 0"),
        (("BUY", "NaN", "BTC/USDT"), 2, "quantity 'NaN' is not a plain decimal number"),
        (("BUY", "1", "NONE/USDT"), 3, "NONE/USDT is no market of the venue of account demo-1"),
        (("BUY", "1", "BTC/USDT", "--account", "mine"), 3, "no account 'mine'"),
        (("BUY", "1", "BTC/USDT", "--strategy", "mine"), 3, "there is no strategy 'mine'"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_an_order_nobody_could_place_is_an_error_in_one_line(
    mastertrade: CommandLine, words: tuple[str, ...], code: int, told: str
) -> None:
    found = mastertrade("risk", "check", *words)
    assert (found.code, found.out) == (code, "")
    assert told in found.err
    assert found.err.count("\n") == 1


def test_risk_tells_what_a_crash_would_cost(mastertrade: CommandLine) -> None:
    shocked = mastertrade("risk", "stress", "--shock", "*=-50", "--json").json()
    status = mastertrade("risk", "status", "--json").json()
    assert shocked["scenarios"][0]["loss"] == pytest.approx(status["exposure"] / 2)
    assert "no candles of then" in mastertrade("risk", "stress").out
    wrong = mastertrade("risk", "stress", "--shock", "BTC:-30")
    assert wrong.code == 2
    assert "such as BTC=-30" in wrong.err


def test_the_doctor_finds_a_healthy_patient_healthy(mastertrade: CommandLine) -> None:
    found = mastertrade("doctor", "--json").json()
    assert found["healthy"]
    names = [finding["what"] for finding in found["findings"]]
    assert {"postgres", "durability", "disk", "schema", "ledger", "fills", "orders", "trading", "bus", "venues"} <= set(
        names
    )
    text = mastertrade("doctor")
    assert text.code == 0
    assert all(re.search(rf"^(ok|warn) +{name} +\w", text.out, re.MULTILINE) for name in names)


def test_the_database_tells_its_state_and_a_second_init_changes_nothing(mastertrade: CommandLine) -> None:
    state = mastertrade("db", "status", "--json").json()
    assert (state["is_current"], state["next_step"]) == (True, "")
    assert "is current          yes" in mastertrade("db", "status").out
    assert mastertrade("db", "init", "--json").json()["applied"] is False
    assert "already in place" in mastertrade("db", "init").out


def test_sql_answers_exactly_in_json_and_as_a_table(mastertrade: CommandLine) -> None:
    query = (
        "SELECT 1234567890.123456789::numeric AS exact, 0.1::float8 AS about, NULL AS nothing, '{\"a\": [1]}'::jsonb AS j,"
        " true AS yes, 'x[red]' || chr(27) || 'y' AS sign, timestamptz '2024-01-01 00:00Z' AS at"
    )
    answer = mastertrade("sql", query, "--json").json()
    assert answer == {
        "rows": [
            {
                "exact": "1234567890.123456789",
                "about": 0.1,
                "nothing": None,
                "j": {"a": [1]},
                "yes": True,
                "sign": "x[red]\x1by",
                "at": "2024-01-01T00:00:00+00:00",
            }
        ],
        "is_cut": False,
    }
    text = mastertrade("sql", query).out
    assert "1234567890.123456789" in text
    assert "x[red]\\x1by" in text
    assert text.endswith("1 row\n")


def test_sql_says_when_it_shows_only_a_part(mastertrade: CommandLine) -> None:
    answer = mastertrade("sql", "SELECT generate_series(1, 1500) AS n", "--json").json()
    assert (len(answer["rows"]), answer["is_cut"]) == (1000, True)
    assert "1,500 rows, the first 1,000 of them shown" in mastertrade("sql", "SELECT generate_series(1, 1500)").out


def test_sql_without_a_statement_opens_psql_on_the_same_database_reading_only(mastertrade: CommandLine) -> None:
    answer = mastertrade("sql", stdin="SELECT 'orders: ' || (count(*) > 0) FROM orders;\nDELETE FROM dead_letters;\n")
    assert "orders: true" in answer.out
    assert "cannot execute DELETE in a read-only transaction" in answer.err
    assert "to write, first type: SET default_transaction_read_only = off" in answer.err


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_a_table_never_loses_anything_and_only_its_last_column_wraps(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    written = io.StringIO()
    screen = Console(file=written, force_terminal=True, width=width, no_color=True, soft_wrap=True, highlight=False)
    monkeypatch.setattr(output, "console", screen)
    rows = [
        ("name of a thing", "12,345.678", "every word of the last column stands there to its end, whatever the width"),
        ("x", "1", "short"),
        ("y", "2", "a" * 90),
    ]

    output.show(output.table(("thing", "number", "detail"), rows, right=("number",)))

    text = re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue())
    assert max(map(len, text.splitlines())) <= width
    assert "\nname of a thing  12,345.678" in text
    everything = "".join(("thing", "number", "detail", *(cell for row in rows for cell in row)))
    assert "".join(text.split()) == "".join(everything.split())


def test_numbers_are_short_for_people() -> None:
    assert price(Decimal("32217.154970529136")) == "32,217.155"
    assert price(0.00001234567891) == "0.000012345679"
    assert price(Decimal(123_456_789_012)) == "123,456,789,012"
    assert (
        amount(Decimal("1000000000000000000000.000000000000000001"))
        == "1,000,000,000,000,000,000,000.000000000000000001"
    )
    assert (amount(Decimal("-0.00")), amount("1234.5000"), amount(None)) == ("0", "1,234.5", "-")
    assert (money(Decimal("10226.92207")), money(-1)) == ("10,226.92", "-1.00")
    assert (measure(0.0074823641), measure(490.76637), measure(10_000.0)) == ("0.007482", "490.766", "10,000")
    assert (signed_share(-0.00001), signed_share(0.0228)) == ("0.00%", "+2.28%")
    assert milliseconds("2024-01-01T00:00:00.001+00:00", "2024-01-01T00:00:01.5+00:00") == "+1,499.0 ms"
