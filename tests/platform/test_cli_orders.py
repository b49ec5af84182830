"""Orders by hand while the platform runs, and what people look at afterwards."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.postgres.embedded import embedded_server
from mastertrade.shared.postgres_manager import PostgresManager
from tests.platform.cli_poisons import answers, is_told_well, poisoned
from tests.platform.command_line import CommandLine, command_line
from tests.postgres.poison import contents


@pytest.fixture(scope="module")
def mastertrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """In a home where the platform has run, an order waited for it, and others were placed meanwhile."""
    with command_line(tmp_path_factory.mktemp("home")) as program:
        play(program, minutes=3)
        waiting = program("order", "place", "BUY", "0.004", "BTC/USDT", "--reason", "waits", "--json")
        assert waiting.code == 0, waiting.err
        assert waiting.json()["disposition"] is None
        assert "nothing runs here" in program("order", "place", "BUY", "0.2", "ETH/USDT").out
        with program.running("up", "--speed", "60", "--json") as running:
            running.line()
            bought = program("order", "place", "buy", "0.005", "btc/usdt", "--wait", "60", "--json")
            assert bought.code == 0, bought.out
            assert (bought.json()["disposition"], bought.json()["status"]) == ("approved", "FILLED")
            assert program("order", "place", "SELL", "0.002", "BTC/USDT", "--wait", "60").code == 0
            refused = program("order", "place", "SELL", "5", "ADA/USDT", "--wait", "60")
            assert refused.code == 1
            assert "exit_has_position" in refused.out
            resting = program(
                "order", "place", "BUY", "0.3", "SOL/USDT", "--limit", "40", "--post-only", "--wait", "4", "--json"
            ).json()
            assert at_rest(program, resting)["status"] == "OPEN"
            assert "LIMIT at 40" in program("order", "show", resting["client_order_id"]).out
            assert ", post-only" in program("order", "show", resting["client_order_id"]).out
            cancelled = program("order", "cancel", resting["client_order_id"], "--wait", "60", "--json").json()
            assert (cancelled["wanted"], cancelled["orders"][0]["status"]) == (1, "CANCELED")
            assert program("order", "cancel-all").out == "no order may still trade\n"
            algos_by_hand(program)
            assert running.end(signal.SIGINT).code == 0
        yield program


def algos_by_hand(program: CommandLine) -> None:
    """A slice at once, an order that waits and is ended, and one that takes another's place."""
    over = ("--over", "2m", "--slices", "2", "--json")
    twap = program("order", "place", "BUY", "0.5", "SOL/USDT", *over).json()["algo_order"]
    stop = program("order", "place", "SELL", "0.007", "BTC/USDT", "--stop", "100", "--target", "999999")
    assert stop.code == 0, stop.err
    assert "trigger stop 100, target 999999" in stop.out
    listed = program("order", "algos", "-s", "BTC/USDT", "--json").json()["algo_orders"]
    (waiting,) = listed
    assert (waiting["kind"], waiting["status"]) == ("trigger", "working")
    assert "trail" not in program("order", "algos").out
    ended = program("order", "cancel", waiting["id"][:8], "--wait", "60", "--json").json()
    assert (ended["wanted"], ended["algo_orders"][0]["status"]) == (1, "canceled")
    (left,) = ended["unguarded"]
    assert (left["symbol"], Decimal(left["quantity"]), left["kind"]) == ("BTC/USDT", Decimal("0.007"), "trigger")
    rests = ("--limit", "0.2", "--wait", "2", "--json")
    resting = program("order", "place", "BUY", "100", "ADA/USDT", *rests).json()
    assert at_rest(program, resting)["status"] == "OPEN"
    replaced = program("order", "replace", resting["client_order_id"], "--limit", "0.21", "--json")
    assert replaced.code == 0, replaced.err
    for name, status in ((replaced.json()["algo_order"], "done"), (twap, "done")):
        for _ in range(240):
            shown = program("order", "show", name[:8], "--json").json()
            if shown["algo_order"]["status"] != "working":
                break
            time.sleep(0.25)
        assert shown["algo_order"]["status"] == status, str(shown)
    assert {one["status"] for one in shown["steps"]} == {"FILLED"}  # one slice where the machine was too slow for two
    assert sum(Decimal(one["filled_quantity"]) for one in shown["steps"]) == Decimal("0.5")
    assert "slice" in program("order", "show", twap).out
    assert program("order", "cancel-all", "--wait", "60").code == 0


def at_rest(program: CommandLine, placed: dict[str, Any]) -> dict[str, Any]:
    """The order once the venue has answered; a busy machine takes longer than a short wait."""
    for _ in range(240):
        shown: dict[str, Any] = program("order", "show", placed["client_order_id"], "--json").json()["order"]
        if shown["status"] not in ("NEW", "SUBMITTING"):
            return shown
        time.sleep(0.25)
    raise AssertionError(f"no answer: {placed}")


def play(program: CommandLine, *, minutes: int) -> None:
    with program.running("up", "--speed", "0", "--json") as running:
        for _ in range(minutes):
            running.line()
        assert running.end(signal.SIGINT).code == 0


def test_what_waited_was_carried_out_when_the_platform_ran_again(mastertrade: CommandLine) -> None:
    orders = mastertrade("order", "list", "--symbol", "BTC/USDT", "--json").json()["orders"]
    assert [(one["side"], Decimal(one["filled_quantity"]), one["status"]) for one in reversed(orders)] == [
        ("BUY", Decimal("0.004"), "FILLED"), ("BUY", Decimal("0.005"), "FILLED"), ("SELL", Decimal("0.002"), "FILLED"),
    ]  # fmt: skip
    assert {one["strategy"] for one in orders} == {"manual"}
    assert mastertrade("order", "list", "--open", "--json").json()["orders"] == []
    assert mastertrade("order", "list", "--open").out == "no orders\n"


def test_an_order_is_shown_with_every_step_and_explained(mastertrade: CommandLine) -> None:
    (last, *_) = mastertrade("order", "list", "--status", "filled", "--json").json()["orders"]
    found = mastertrade("order", "show", last["client_order_id"], "--json").json()
    steps = [one["to_status"] for one in found["steps"] if one["to_status"]]
    assert steps[:2] == ["NEW", "SUBMITTING"]
    assert steps[-1] == "FILLED"
    assert sum(Decimal(fill["quantity"]) for fill in found["fills"]) == Decimal(last["filled_quantity"])
    text = mastertrade("order", "show", last["id"][:30])
    assert text.code == 0, text.err
    assert f"why: mastertrade why {last['client_order_id']}" in text.out
    why = mastertrade("why", last["client_order_id"])
    assert "by_hand" in why.out


def test_lots_say_when_what_is_held_was_bought(mastertrade: CommandLine) -> None:
    held = mastertrade("position", "lots", "-s", "BTC/USDT", "--json").json()["lots"]
    assert sum(Decimal(one["quantity"]) for one in held) == Decimal("0.007")
    everything = mastertrade("position", "lots", "--all", "--json", "-n", "1000").json()["lots"]
    assert Decimal("0.002") in [Decimal(one["quantity"]) for one in everything if one["sale"]]
    assert "realised" in mastertrade("position", "lots", "--all").out
    assert mastertrade("position", "lots", "-s", "XRP/USDT").out == "no lots\n"


def test_positions_balances_and_ledger_say_the_same(mastertrade: CommandLine) -> None:
    positions = mastertrade("position", "list", "--json").json()["positions"]
    held = {one["symbol"].partition("/")[0]: Decimal(one["quantity"]) for one in positions}
    assert held["BTC"] == Decimal("0.007")
    balances = mastertrade("balance", "list", "--json").json()["balances"]
    owned = {one["asset"]: Decimal(one["free_balance"]) + Decimal(one["locked_balance"]) for one in balances}
    assert {asset: owned[asset] for asset in held} == held
    entries = mastertrade("ledger", "--json", "-n", "1000").json()["entries"]
    booked: dict[str, Decimal] = {}
    for entry in entries:
        sums: dict[str, Decimal] = {}
        for line in entry["lines"]:
            sums[line["asset"]] = sums.get(line["asset"], Decimal(0)) + Decimal(line["amount"])
            if line["account"] == "asset:spot":
                booked[line["asset"]] = booked.get(line["asset"], Decimal(0)) + Decimal(line["amount"])
        assert set(sums.values()) == {Decimal(0)}, entry
    assert {asset: amount for asset, amount in booked.items() if amount} == owned
    for command in (("position", "list", "--all"), ("balance", "list"), ("ledger",), ("ledger", "--asset", "BTC")):
        answer = mastertrade(*command)
        assert (answer.code, answer.err) == (0, ""), command
        assert "BTC" in answer.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("list", "--status", "LOST"), 2, "--status LOST: must be one of NEW"),
        (("show", "mtnothing"), 3, "there is no order 'mtnothing'"),
        (("place", "HOLD", "1", "BTC/USDT"), 2, "is no order; write BUY or SELL"),
        (("place", "BUY", "NaN", "BTC/USDT"), 2, "quantity 'NaN' is not a plain decimal number"),
        (("place", "BUY", "1", "BTC/USDT", "--limit", "cheap"), 2, "--limit 'cheap' is not a plain decimal number"),
        (("place", "BUY", "1", "BTC/USDT", "--limit", "0.001"), 4, "limit price 0.001 is no multiple of the tick"),
        (("place", "BUY", "1", "BTC/USDT", "--stop", "low"), 2, "--stop 'low' is not a plain decimal number"),
        (("place", "BUY", "1", "BTC/USDT", "--over", "soon"), 2, "write it like 90m, 8h or 1d12h"),
        (("place", "BUY", "1", "BTC/USDT", "--slices", "3"), 2, "--slices needs --over"),
        (("place", "BUY", "1", "BTC/USDT", "--stop", "1", "--over", "2h"), 2, "an order is one of trigger and twap"),
        (("place", "SELL", "1", "BTC/USDT", "--stop", "999999"), 4, "a stop at 999999 is not below the market at"),
        (("replace", "mtnothing", "--limit", "1"), 3, "there is no order 'mtnothing'"),
        (("replace", "mtnothing"), 2, "nothing changes"),
        (("cancel", "mtnothing"), 3, "there is no order 'mtnothing'"),
        (("cancel-all", "--account", "nobody"), 3, "there is no account 'nobody'"),
        (("reconcile", "--account", "nobody"), 3, "there is no account 'nobody'"),
        (("reconcile", "--waive", "0123"), 2, "--waive needs a --reason"),
        (("reconcile", "--waive", "0123", "--reason", "so"), 6, "add --confirm if you mean it"),
        (("reconcile", "--waive", "0123", "--reason", "so", "--confirm"), 3, "'0123' names no open difference"),
        (("reconcile", "--waive", "1", "--book", "2"), 2, "exclude each other"),
        (("place", "BUY", "1", "FOO/USDT"), 3, "FOO/USDT is no market"),
        (("place", "BUY", "1", "BTC/USDT", "--account", "nobody"), 3, "there is no account 'nobody'"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    mastertrade: CommandLine, arguments: tuple[str, ...], code: int, told: str
) -> None:
    answer = mastertrade("order", *arguments)
    assert answer.code == code
    assert told in answer.err
    assert answer.err.count("\n") == 1
    assert json.loads(mastertrade("order", *arguments, "--json").out)["error"]["exit_code"] == code


def test_what_nobody_should_write_is_told_in_a_line_and_nothing_is_stored(mastertrade: CommandLine) -> None:
    (last, *_) = mastertrade("order", "list", "--json").json()["orders"]
    lines = poisoned(last["client_order_id"])
    before = stored(mastertrade)
    told = answers(mastertrade, lines)
    wrong = [(line, one) for line, one in zip(lines, told, strict=True) if not is_told_well(one)]
    assert [([word[:40] for word in line], one["code"], one["err"][:300]) for line, one in wrong] == []
    assert stored(mastertrade) == before
    assert mastertrade("order", "place", "BUY", "0.004", "BTC/USDT", "--wait", "0").code == 0
    play(mastertrade, minutes=2)


def stored(program: CommandLine) -> dict[str, str]:
    async def look() -> dict[str, str]:
        with embedded_server(program.home) as server:
            manager = PostgresManager(server.dsn("mastertrade"))
            await manager.connect()
            try:
                return await contents(manager)
            finally:
                await manager.close()

    return asyncio.run(look())


def test_a_venue_that_differs_stops_openings_until_somebody_decides(mastertrade: CommandLine) -> None:
    """Last here, because it changes what the account holds."""
    agreed = mastertrade("order", "reconcile", "--json").json()
    assert [(one["account"], one["state"], one["quarantined"]) for one in agreed["accounts"]] == [
        ("paper simulated-a", "live", 0)
    ]
    assert agreed["breaks"] == []
    sql(mastertrade, "UPDATE paper_venue.balances SET amount = amount - 3 WHERE asset = 'USDT'")
    play(mastertrade, minutes=3)
    answer = mastertrade("order", "reconcile")
    assert answer.code == 1
    assert "broken" in answer.out
    assert "stops openings" in answer.out
    (found,) = mastertrade("order", "reconcile", "--json").json()["breaks"]
    assert (found["kind"], found["subject"], Decimal(found["ours"]) - Decimal(found["theirs"])) == (
        "balance",
        "USDT",
        3,
    )
    decide = ("--reason", "a fee of the house", "--confirm")
    assert mastertrade("order", "reconcile", "--waive", found["id"][:8], *decide).code == 0
    booked = mastertrade("order", "reconcile", "--book", found["id"], *decide)
    assert booked.code == 0, booked.err
    assert booked.out.startswith("booked: our ledger has ")
    play(mastertrade, minutes=2)
    assert mastertrade("order", "reconcile", "--json").json()["accounts"][0]["state"] == "live"
    closed = mastertrade("order", "reconcile", "--closed")
    assert closed.code == 0
    assert "a fee of the house" in closed.out
    entries = mastertrade("ledger", "--json", "-n", "1000").json()["entries"]  # strategies trade meanwhile
    assert [one["source_key"] for one in entries if one["kind"] == "adjustment"] == [found["id"]]
    assert mastertrade("doctor").code == 0


def sql(program: CommandLine, statement: str) -> None:
    async def execute() -> None:
        with embedded_server(program.home) as server:
            manager = PostgresManager(server.dsn("mastertrade"))
            await manager.connect()
            await manager.execute(statement)
            await manager.close()

    asyncio.run(execute())
