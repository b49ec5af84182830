"""A real PostgreSQL for every test that asks for one: a server for each test process, a fresh database for each test.

``database`` is a connected PostgresManager on a database with the whole schema, cloned from a template in about 0.05 s;
``dsn`` is the address of that same database for a test that opens connections of its own; ``empty_database`` has no
schema; ``real_data`` is the folder of recorded market data.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_asyncio

from mastertrade.postgres import cluster
from mastertrade.postgres.apply import apply_schema, read_schema, schema_hash
from mastertrade.shared.postgres_manager import PostgresManager

hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("same")  # --hypothesis-profile default draws new cases

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "tests"
MEMORY = Path("/dev/shm")
MEMORY_NEEDED_B = 4 << 30


def _work_in_memory() -> None:
    """Temporary files live in memory where there is enough of it and nobody named a folder. A database is cloned in
    a tenth of the time then, and what is tested here is the death of processes, not of machines."""
    with contextlib.suppress(OSError):
        if "TMPDIR" not in os.environ and shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED_B:
            os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


_work_in_memory()  # before anything asks for the folder, and for the processes we start
START_TIMEOUT_S = 60.0
FAST_AND_FORGETFUL = {
    **cluster.SETTINGS,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "1h",
    "autovacuum_naptime": "1h",
}
"""Nothing here outlives the test run, so nothing waits for the disk. The embedded server never runs like this."""


MoreDatabases = Callable[[], Awaitable[tuple[PostgresManager, str]]]


@dataclass
class Server:
    port: int
    process: "subprocess.Popen[bytes]"
    templates: set[str] = field(default_factory=set)

    def dsn(self, database: str) -> str:
        return f"postgresql://{cluster.SUPERUSER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    binaries = cluster.find_binaries()
    with tempfile.TemporaryDirectory(prefix="mastertrade-tests-", ignore_cleanup_errors=True) as scratch:
        data, log = Path(scratch) / "data", Path(scratch) / "log"
        # The password crosses the loopback in the clear: SCRAM would cost every connection of every test 20 ms.
        cluster.initialise(binaries, data, PASSWORD, sync=False, authentication="password")
        port = cluster.free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                _tied_to_us(cluster.server_command(binaries, data, port, FAST_AND_FORGETFUL)),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env=cluster.environment(),
            )  # fmt: skip
        try:
            _wait_until_ready(process, data, log)
            yield Server(port=port, process=process)
        finally:
            _stop(process)


def _wait_until_ready(process: "subprocess.Popen[bytes]", data: Path, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        postmaster = cluster.read_postmaster(data)
        if postmaster is not None and postmaster.is_ready:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the test server does not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.01)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, and then no longer asking
        if process.poll() is None:
            process.send_signal(request)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)


_TIE = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG: a fast shutdown when the parent dies
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def _tied_to_us(command: list[str]) -> list[str]:
    """On Linux the server stops by itself when this process is killed, so that no run leaves one behind."""
    if not sys.platform.startswith("linux"):
        return command
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *command]


@contextlib.asynccontextmanager
async def _connected(dsn: str, **options: Any) -> AsyncIterator[PostgresManager]:
    manager = PostgresManager(dsn, application_name="tests", **options)
    await manager.connect()
    try:
        yield manager
    finally:
        await manager.close()


@contextlib.asynccontextmanager
async def _new_database(server: Server, template: str) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex[:16]}"
    async with _connected(server.dsn("postgres"), max_size=1) as manager:
        await manager.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy", timeout_s=60.0)
    try:
        yield server.dsn(name)
    finally:
        async with _connected(server.dsn("postgres"), max_size=1) as manager:
            await manager.execute(f"DROP DATABASE {name} WITH (FORCE)", timeout_s=60.0)


async def _template(server: Server) -> str:
    """A database with the schema as it is written now; its name tells which text that was."""
    name = f"template_{schema_hash(read_schema())[:16]}"
    if name not in server.templates:
        async with _connected(server.dsn("postgres"), max_size=1) as manager:
            await manager.execute(f"DROP DATABASE IF EXISTS {name}")
            await manager.execute(f"CREATE DATABASE {name} STRATEGY wal_log")
        async with _connected(server.dsn(name), max_size=1) as manager:
            await apply_schema(manager)
        server.templates.add(name)
    return name


@pytest_asyncio.fixture
async def dsn(postgres_server: Server) -> AsyncIterator[str]:
    """The address of a fresh database with the schema."""
    async with _new_database(postgres_server, await _template(postgres_server)) as address:
        yield address


@pytest_asyncio.fixture
async def database(dsn: str) -> AsyncIterator[PostgresManager]:
    """A manager connected to a fresh database with the schema, the one ``dsn`` names."""
    async with _connected(dsn, max_size=10, statement_cache_size=100) as manager:
        yield manager


@pytest_asyncio.fixture
async def other_database(postgres_server: Server) -> AsyncIterator[PostgresManager]:
    """A second fresh database with the schema, for what goes from one machine to another."""
    async with (
        _new_database(postgres_server, await _template(postgres_server)) as address,
        _connected(address, max_size=10, statement_cache_size=100) as manager,
    ):
        yield manager


@pytest_asyncio.fixture
async def more_databases(postgres_server: Server) -> AsyncIterator[MoreDatabases]:
    """Makes fresh databases with the schema, for stories that are told side by side: a manager and its address each."""
    async with contextlib.AsyncExitStack() as stack:
        one_by_one = asyncio.Lock()

        async def make() -> tuple[PostgresManager, str]:
            async with one_by_one:
                new = _new_database(postgres_server, await _template(postgres_server))
                address = await stack.enter_async_context(new)
                connected = _connected(address, max_size=4, statement_cache_size=100)
                return await stack.enter_async_context(connected), address

        yield make


@pytest_asyncio.fixture
async def empty_dsn(postgres_server: Server) -> AsyncIterator[str]:
    """The address of a fresh database without anything in it."""
    async with _new_database(postgres_server, "template0") as address:
        yield address


@pytest_asyncio.fixture
async def empty_database(empty_dsn: str) -> AsyncIterator[PostgresManager]:
    """A manager connected to a fresh database without anything in it, the one ``empty_dsn`` names."""
    async with _connected(empty_dsn, max_size=10) as manager:
        yield manager


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of recorded market data: MASTERTRADE_TEST_DATA, else ``shared/data`` beside the checkout."""
    named = os.environ.get("MASTERTRADE_TEST_DATA")
    candidates = [Path(named)] if named else [parent / "shared" / "data" for parent in ROOT.parents]
    for folder in candidates:
        if folder.is_dir():
            return folder
    reason = f"no recorded market data in {', '.join(map(str, candidates))}: set MASTERTRADE_TEST_DATA to its folder"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def real_candles(real_data: Path) -> Path:
    """The folder of one-minute candles of fifteen Binance pairs, September and October 2021."""
    name = "binance_spot_1m_2021-09"
    for folder in (real_data / "ohlcv" / name, real_data / name, real_data):
        if (folder / "BTC_USDT-1m.csv.gz").is_file():
            return folder
    pytest.fail(f"{real_data} holds no ohlcv/{name}/BTC_USDT-1m.csv.gz: MASTERTRADE_TEST_DATA names another folder")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Figures that tests have recorded by ``record_property("figures", (title, figures))``, summed up by title."""
    found: dict[str, Counter[str]] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "figures":
                title, figures = value
                found.setdefault(title, Counter()).update(figures)
    for title, figures in found.items():
        terminalreporter.section(title)
        for name, count in sorted(figures.items(), key=lambda one: (one[1] == 0, one[0])):
            terminalreporter.line(f"{name:<45}{count:>10,}")
