"""Bad input and bad luck at the command line: one clear line, the right exit code, no traceback, nothing lost."""

import gzip
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mastertrade.postgres.folder import ServerFolder
from mastertrade.shared.postgres_manager import PostgresManager
from tests.conftest import PASSWORD, Server
from tests.platform.command_line import Answer, CommandLine, command_line

HEADER = "timestamp_ms,open,high,low,close,volume"
START = datetime(2024, 5, 1, tzinfo=UTC)
FUTURE = datetime(2190, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def mastertrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("home")) as program:
        yield program


def assert_told(answer: Answer, code: int, *words: str) -> None:
    """One line that names what is wrong, and no trace of the program's inside."""
    assert answer.code == code, answer
    assert "Traceback" not in answer.err
    assert answer.err.startswith("error: "), answer.err
    assert answer.err.count("\n") == 1, answer.err
    for word in words:
        assert word in answer.err, answer.err


# --- the database ---


def elsewhere(server: Server, database: str = "postgres", password: str = PASSWORD) -> dict[str, str]:
    return {
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_USER": "mastertrade",
        "POSTGRES_PASSWORD": password,
        "POSTGRES_DB": database,
    }


def test_a_wrong_password_names_the_variables_and_never_the_password(
    mastertrade: CommandLine, postgres_server: Server
) -> None:
    answer = mastertrade("status", variables=elsewhere(postgres_server, password="not-the-password"))
    assert_told(answer, 2, "refuses the login", "POSTGRES_PASSWORD", str(postgres_server.port))
    assert "not-the-password" not in answer.err + answer.out


def test_a_host_nobody_listens_on_is_a_dependency_down(mastertrade: CommandLine) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = str(reserved.getsockname()[1])
        answer = mastertrade("doctor", variables={"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": port})
    assert_told(answer, 5, "cannot be reached", port, "is it running?")


def test_a_database_that_is_not_there_is_named(mastertrade: CommandLine, postgres_server: Server) -> None:
    answer = mastertrade("status", variables=elsewhere(postgres_server, "no_such_database"))
    assert_told(answer, 2, "no_such_database", "POSTGRES_DB")


@pytest.mark.parametrize("command", ["status", "demo", "doctor"])
async def test_a_schema_from_the_future_is_refused_and_left_alone(
    mastertrade: CommandLine, postgres_server: Server, database: PostgresManager, dsn: str, command: str
) -> None:
    await database.execute("UPDATE schema_version SET version = 99")
    answer = mastertrade(command, variables=elsewhere(postgres_server, dsn.rpartition("/")[2]))
    if command == "doctor":
        assert answer.code == 1
        assert "version 99, this program speaks version 1; next: install the newer" in answer.out
    else:
        assert_told(answer, 5, "version 99", "version 1", "nothing was changed", "newer MasterTrade")
    assert await database.fetchval("SELECT version FROM schema_version") == 99


# --- settings and folders ---


@pytest.mark.parametrize("command", [("up",), ("db", "status")])
def test_an_unknown_variable_is_refused_before_anything_starts(tmp_path: Path, command: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    answer = CommandLine(home)(*command, variables={"MASTERTRADE_LOG_LEVLE": "INFO"})
    assert answer.code == 2
    assert "MASTERTRADE_LOG_LEVLE: there is no such setting; did you mean MASTERTRADE_LOG_LEVEL?" in answer.err
    assert "Traceback" not in answer.err
    assert not home.exists()


def test_every_wrong_setting_is_told_at_once(tmp_path: Path) -> None:
    answer = CommandLine(tmp_path)("up", variables={"POSTGRES_PORT": "many", "MASTERTRADE_LOG_LEVEL": "LOUD"})
    assert answer.code == 2
    assert "2 settings cannot be used" in answer.err
    assert "POSTGRES_PORT" in answer.err
    assert "MASTERTRADE_LOG_LEVEL" in answer.err


def test_a_home_that_cannot_be_made_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = CommandLine(tmp_path / "file" / "home")("status")
    assert_told(answer, 5, str(tmp_path / "file"), "Not a directory", "MASTERTRADE_HOME")


@pytest.mark.parametrize(
    ("size_mb", "options", "said"),
    [(64, "", "MB free and PostgreSQL needs"), (400, "ro", "Read-only file system")],
)
def test_a_full_and_a_read_only_disk_are_told_apart(tmp_path: Path, size_mb: int, options: str, said: str) -> None:
    mount = f"mount -t tmpfs -o size={size_mb}m,mode=0700 none '{tmp_path}'"
    remount = f"mount -o remount,{options} '{tmp_path}'" if options else "true"
    probe = subprocess.run(["unshare", "-Urm", "sh", "-c", mount], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"mounting a disk is not allowed here: {probe.stderr.strip()}")
    program = CommandLine(tmp_path)
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", f'{mount} && {remount} && exec "$@"', "sh", *program.command("status")],
        check=False,
        capture_output=True,
        text=True,
        env=program.environment(),
        timeout=60,
    )
    assert_told(Answer(code=done.returncode, out=done.stdout, err=done.stderr), 5, said, "MASTERTRADE_HOME")


def test_another_program_on_the_servers_port_does_not_stop_a_command(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with command_line(home) as program:
        assert program("db", "init").code == 0
        address = ServerFolder(home).read_address()
        assert address is not None
    with socket.create_server(("127.0.0.1", address.port)), command_line(home) as program:
        found = program("db", "status", "--json").json()
    assert found["is_current"]
    assert f":{address.port}/" not in found["server"]


# --- candle files ---


def rows(minutes: int, *, start: datetime = START, prices: str = "10,12,9,11") -> list[str]:
    first = int(start.timestamp() * 1000)
    return [f"{first + minute * 60_000},{prices},5" for minute in range(minutes)]


def write(folder: Path, name: str, lines: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    text = "\n".join([HEADER, *lines, ""]).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("BTC_USDT-1m.csv", [], "has a header but no rows"),
        (
            "BTC_USDT-1m.csv",
            rows(50, prices="nan,nan,nan,nan"),
            "50 of 50 rows are refused, first BTC_USDT-1m.csv: row",
        ),
        ("BTC_USDT-1m.csv", rows(50, prices="-10,12,-10,11"), "50 of 50 rows are refused"),
        ("BTC_USDT-1m.csv", rows(50, start=FUTURE), "50 of 50 rows are refused"),
        ("BTC_USDT-1m.csv", ["what is this?"] * 5, "rows are refused"),
        ("BTC_USDT-1m.csv.gz", rows(2 * 1440), "the demo needs 3 days, 1:00:00"),
        ("BTC_EUR-1m.csv", rows(10), "quoted in EUR; the paper account needs a spot market in USDT, USD, USDC"),
        ("candles.csv", rows(10), "their names must look like BTC_USDT-1m.csv.gz"),
    ],
    ids=["no rows", "NaN", "negative", "future", "not numbers", "too little", "no quote", "no candle file"],
)
def test_unusable_candles_are_one_line_with_the_file_and_the_reason(
    mastertrade: CommandLine, tmp_path: Path, name: str, lines: list[str], said: str
) -> None:
    write(tmp_path / "candles", name, lines)
    assert_told(mastertrade("demo", "--data", tmp_path / "candles"), 2, "candles", said)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("BTC_USDT-1m.csv", b"", "the file is empty (0 bytes)"),
        ("BTC_USDT-1m.csv.gz", b"\x1f\x8b\x08 not really", "cannot be read"),
        ("BTC_USDT-1m.parquet", b"PAR1 not really PAR1", "cannot be read"),
        ("BTC_USDT-1m.feather", os.urandom(2000), "cannot be read"),
        ("BTC_USDT-1m.csv", b"time,price\n1,2\n", "has the columns time, price; a candle file needs"),
        ("notes.txt", b"nothing", "no candle files among 1 files"),
    ],
)
def test_a_broken_file_is_one_line_with_its_name(
    mastertrade: CommandLine, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert_told(mastertrade("demo", "--data", tmp_path), 2, str(tmp_path), said)


def test_a_gz_that_was_cut_off_is_found_before_anything_is_stored(mastertrade: CommandLine, tmp_path: Path) -> None:
    write(tmp_path / "candles", "BTC_USDT-1m.csv.gz", rows(5 * 1440))
    whole = (tmp_path / "candles" / "BTC_USDT-1m.csv.gz").read_bytes()
    (tmp_path / "candles" / "BTC_USDT-1m.csv.gz").write_bytes(whole[: len(whole) // 2])
    assert_told(mastertrade("demo", "--data", tmp_path / "candles"), 2, "cannot be read after row", "BTC_USDT-1m")


def test_files_of_different_times_are_named_with_their_ends(mastertrade: CommandLine, tmp_path: Path) -> None:
    write(tmp_path / "candles", "BTC_USDT-1m.csv", rows(100))
    write(tmp_path / "candles", "ETH_USDT-1m.csv", rows(100, start=START + timedelta(days=9)))
    for command in (("demo", "--data"), ("up", "--replay")):
        answer = mastertrade(*command, tmp_path / "candles")
        assert_told(answer, 2, "ETH/USDT begins 2024-05-10 00:00", "BTC/USDT ends 2024-05-01 01:40")


@pytest.mark.parametrize("command", [("demo", "--data"), ("serve", "risk_manager", "--replay")])
def test_a_folder_that_is_not_there_is_named(
    mastertrade: CommandLine, tmp_path: Path, command: tuple[str, ...]
) -> None:
    assert_told(mastertrade(*command, tmp_path / "nowhere"), 2, str(tmp_path / "nowhere"), "no such folder")


# --- questions ---


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("why", "nobody"), 3, "there is no order or signal 'nobody'"),
        (("why", "last-order"), 3, "there is no order yet: run `mastertrade demo`"),
        (("why", "last-refusal"), 3, "no signal was refused yet"),
        (("halt", "--scope", "everything"), 2, "'everything' is none of global, account:NAME"),
        (("halt", "--scope", "account:018d5c7e-5640-76d9-8067-eed5ff4f163b"), 3, "nothing was changed"),
        (("resume", "--scope", "instrument:999999"), 3, "there is no instrument '999999'"),
        (("serve", "oracle"), 2, "there is no service 'oracle'; the services are market_data_service"),
        (("sql", "SELEC 1"), 1, 'syntax error at or near "SELEC"'),
        (("sql", "SELECT 1; SELECT 2"), 1, "multiple commands"),
        (("sql", "SELECT * FROM nowhere"), 1, 'relation "nowhere" does not exist'),
        (("sql", "DELETE FROM orders"), 4, "read-only transaction: `mastertrade sql` only reads"),
        (("sql", "SELECT halt_trading('global', 'x', 'y', now())"), 4, "read-only transaction"),
        (("sql", "--json"), 2, "--json needs a statement"),
        (("fly",), 2, "No such command 'fly'; see `mastertrade --help`"),
        (("demo", "--fast"), 2, "see `mastertrade demo --help`"),
        (("demo", "--hours", "0"), 2, "--hours"),
        (("up", "--speed", "-1"), 2, "--speed"),
        (("up", "--speed", "fast"), 2, "'--speed'"),
        (("db", "drop"), 2, "No such command 'drop'; see `mastertrade db --help`"),
        (("why", "a", "b"), 2, "see `mastertrade why --help`"),
    ],
)
def test_a_question_that_cannot_be_answered_is_one_line(
    mastertrade: CommandLine, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert_told(mastertrade(*arguments), code, said)


def test_with_json_an_error_is_one_object_on_standard_output_too(mastertrade: CommandLine) -> None:
    for arguments, code, kind in ((("why", "nobody"), 3, "NotFound"), (("fly",), 2, "UsageError")):
        answer = mastertrade(*arguments, "--json")
        assert_told(answer, code)
        error = answer.json()["error"]
        assert (error["kind"], error["exit_code"]) == (kind, code)
        assert answer.err == f"error: {error['message']}\n"


def test_text_that_is_no_text_and_signs_of_a_terminal_do_no_harm(mastertrade: CommandLine) -> None:
    answer = mastertrade("why", "\x1b[31m\udcff")
    assert answer.code in (2, 3)
    assert "\x1b" not in answer.err
    assert "Traceback" not in answer.err


# --- two at once, and being interrupted ---


def test_a_second_one_is_turned_away_and_the_first_goes_on_after_ctrl_c(mastertrade: CommandLine) -> None:
    with mastertrade.running("up", "--speed", "600", "--json") as first:
        assert json.loads(first.line())["trading"] == "running"
        for command in (("demo",), ("serve", "order_executor")):
            assert_told(mastertrade(*command), 4, "order_executor already runs on this database", "stop that one first")
        ended = first.end(signal.SIGINT)

    assert (ended.code, ended.err) == (0, "")
    stopped = ended.objects()[-1]
    assert stopped["stopped"]
    with mastertrade.running("up", "--speed", "0", "--json") as again:
        assert json.loads(again.line())["market_time"] >= stopped["market_time"]
        assert again.end(signal.SIGTERM).code == 0


def test_ctrl_c_in_a_demo_keeps_what_was_committed_and_says_so(mastertrade: CommandLine) -> None:
    with mastertrade.running("demo") as running:
        while not running.line().startswith("backtest rsi"):
            pass
        ended = running.end(signal.SIGINT)

    assert (ended.code, ended.err) == (130, "interrupted; what was committed is kept\n")
    assert mastertrade("doctor", "--json").json()["healthy"]


def test_ctrl_c_in_the_first_moment_leaves_no_traceback(tmp_path: Path) -> None:
    with CommandLine(tmp_path / "home").running("demo") as running:
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(timeout=0.25)
        ended = running.end(signal.SIGINT)

    assert ended.code == 130
    assert "Traceback" not in ended.err


def test_a_reader_that_leaves_early_is_no_error(mastertrade: CommandLine) -> None:
    text, one = (" ".join(mastertrade.command(*command)) for command in (("status",), ("db", "status", "--json")))
    done = subprocess.run(
        ["sh", "-c", f"{text} | head -n 1; {one} | true"],
        check=False,
        capture_output=True,
        text=True,
        env=mastertrade.environment(),
        timeout=60,
    )
    assert done.stdout.startswith("running")
    assert done.stderr == ""
