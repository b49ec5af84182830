"""kill −9 of anything around the embedded server: what was acknowledged is there, and the next user works."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mastertrade
from mastertrade.postgres import cluster
from mastertrade.postgres.embedded import embedded_server, spawn_supervisor
from mastertrade.postgres.folder import FileLock, ServerAddress, ServerFolder
from tests.postgres.embedded_home import (
    connected,
    end_supervisor,
    is_dead,
    postmaster_pid,
    supervisor_is_gone,
    supervisor_pid,
    wait_until,
)

WRITE_WITHOUT_END = """
import asyncio, sys
from pathlib import Path
from mastertrade.postgres.embedded import embedded_server
from mastertrade.shared.postgres_manager import PostgresManager

async def main(home, process):
    async with embedded_server(home) as server:
        manager = PostgresManager(server.dsn(), retry_for_s=15.0, max_size=2)
        await manager.connect()
        async with manager.transaction() as transaction:
            await transaction.execute("SELECT pg_advisory_xact_lock(1)")
            table = "kept (process int, number int, PRIMARY KEY (process, number))"
            await transaction.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        print(await manager.fetchval("SELECT pg_backend_pid()"), flush=True)
        number = 0
        while True:
            number += 1
            insert = "INSERT INTO kept VALUES ($1, $2) ON CONFLICT DO NOTHING"
            await manager.execute(insert, process, number, idempotent=True)
            print(number, flush=True)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


class Writer:
    """A process of its own that stores number after number, and prints each once the server has acknowledged it."""

    def __init__(self, home: Path, number: int = 1) -> None:
        self.number = number
        self._said = home.parent / f"writer-{number}"
        environment = os.environ | {"PYTHONPATH": str(Path(mastertrade.__file__).parent.parent)}
        with self._said.open("wb") as said, (home.parent / f"writer-{number}.errors").open("wb") as errors:
            command = [sys.executable, "-c", WRITE_WITHOUT_END, str(home), str(number)]
            self.process = subprocess.Popen(command, stdout=said, stderr=errors, env=environment)

    @property
    def lines(self) -> list[int]:
        return [int(line) for line in self._said.read_text().split("\n")[:-1]]

    @property
    def acknowledged(self) -> int:
        return len(self.lines) - 1

    @property
    def backend_pid(self) -> int:
        return self.lines[0]

    def writes_on(self, rows: int = 20) -> None:
        """Waits until it has stored that many more."""
        goal = max(self.acknowledged, 0) + rows

        def there() -> bool:
            assert self.process.poll() is None, self._said.with_suffix(".errors").read_text()
            return self.acknowledged >= goal

        wait_until(there)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    yield folder
    end_supervisor(folder)


@pytest.fixture
def writer(home: Path) -> Iterator[Writer]:
    process = Writer(home)
    try:
        process.writes_on()
        yield process
    finally:
        process.kill()


async def kept(address: ServerAddress, process: int = 1) -> int:
    async with connected(address) as manager:
        return int(await manager.fetchval("SELECT count(*) FROM kept WHERE process = $1", process))


async def nothing_is_lost(home: Path, writer: Writer) -> None:
    """The next user finds or starts a server, and in it every row that was acknowledged; at most one more."""
    writer.kill()
    async with embedded_server(home) as server:
        assert 0 <= await kept(server, writer.number) - writer.acknowledged <= 1


async def test_killing_a_user_loses_nothing_and_the_server_stops_by_itself(home: Path, writer: Writer) -> None:
    postmaster, supervisor = postmaster_pid(home), supervisor_pid(home)

    writer.kill()
    seconds = wait_until(lambda: supervisor_is_gone(home))

    assert 1.5 < seconds < 6
    assert is_dead(postmaster)
    assert is_dead(supervisor)
    assert not (ServerFolder(home).data / "postmaster.pid").exists()
    await nothing_is_lost(home, writer)


async def test_killing_the_supervisor_is_not_even_noticed_by_its_users(home: Path, writer: Writer) -> None:
    postmaster, supervisor = postmaster_pid(home), supervisor_pid(home)

    os.kill(supervisor, signal.SIGKILL)
    writer.writes_on()
    wait_until(lambda: supervisor_pid(home) != supervisor and not supervisor_is_gone(home), timeout_s=5)
    writer.writes_on()

    assert postmaster_pid(home) == postmaster
    assert not is_dead(writer.backend_pid)
    assert "took over the running server" in ServerFolder(home).log.read_text()
    writer.kill()
    wait_until(lambda: supervisor_is_gone(home) and is_dead(postmaster))
    await nothing_is_lost(home, writer)


async def test_killing_the_supervisor_without_other_users_leaves_a_server_the_next_user_finds(
    home: Path, writer: Writer
) -> None:
    postmaster, supervisor = postmaster_pid(home), supervisor_pid(home)
    writer.kill()
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: is_dead(supervisor))

    with embedded_server(home):
        assert postmaster_pid(home) == postmaster

    wait_until(lambda: supervisor_is_gone(home) and is_dead(postmaster))
    await nothing_is_lost(home, writer)


async def test_killing_the_server_brings_it_back_for_its_users(home: Path, writer: Writer) -> None:
    postmaster = postmaster_pid(home)

    os.kill(postmaster, signal.SIGKILL)
    writer.writes_on()

    assert postmaster_pid(home) != postmaster
    assert "the server died and is started again: it was ended by signal 9" in ServerFolder(home).log.read_text()
    await nothing_is_lost(home, writer)


async def test_killing_one_connections_process_brings_all_back(home: Path, writer: Writer) -> None:
    postmaster = postmaster_pid(home)

    os.kill(writer.backend_pid, signal.SIGKILL)
    writer.writes_on()

    assert postmaster_pid(home) == postmaster
    await nothing_is_lost(home, writer)


async def test_killing_supervisor_and_server_together_brings_both_back(home: Path, writer: Writer) -> None:
    os.kill(supervisor_pid(home), signal.SIGKILL)
    os.kill(postmaster_pid(home), signal.SIGKILL)

    writer.writes_on()

    await nothing_is_lost(home, writer)


async def test_killing_everything_at_once_loses_nothing(home: Path, writer: Writer) -> None:
    other = Writer(home, 2)
    other.writes_on()

    for pid in (supervisor_pid(home), writer.process.pid, other.process.pid, postmaster_pid(home)):
        os.kill(pid, signal.SIGKILL)

    await nothing_is_lost(home, other)
    await nothing_is_lost(home, writer)


async def test_five_processes_at_once_on_an_empty_home_share_one_server(home: Path) -> None:
    writers = [Writer(home, number) for number in range(5)]
    try:
        for writer in writers:
            writer.writes_on(5)
        said = ServerFolder(home).log.read_text()
        assert said.count("making a PostgreSQL") == 1
        assert said.count("starting PostgreSQL") == 1
    finally:
        for writer in writers:
            writer.kill()
    for writer in writers:
        await nothing_is_lost(home, writer)


async def test_a_user_whose_supervisor_was_killed_leaves_no_server_unattended(home: Path) -> None:
    with embedded_server(home):
        postmaster = postmaster_pid(home)
        os.kill(supervisor_pid(home), signal.SIGKILL)
        wait_until(lambda: supervisor_is_gone(home))

    wait_until(lambda: supervisor_is_gone(home) and is_dead(postmaster))


@pytest.mark.parametrize("seed", range(4))
async def test_killing_the_supervisor_anywhere_in_its_first_start_does_not_hinder_the_next(
    home: Path, seed: int
) -> None:
    folder = ServerFolder(home)
    folder.make_usable()
    process = spawn_supervisor(folder)
    assert process.stdout is not None
    await asyncio.sleep(random.Random(seed).uniform(0.05, 0.9))
    process.kill()
    process.wait()
    process.stdout.close()

    async with embedded_server(home) as server, connected(server) as manager:
        assert await manager.fetchval("SELECT 1") == 1
    assert not any(name.startswith("postgres.new.") for name in os.listdir(home))


async def test_a_user_who_comes_while_the_server_stops_gets_one(home: Path) -> None:
    moments = random.Random(2)
    for _ in range(2):
        with embedded_server(home) as server:
            pass
        await asyncio.sleep(2.0 + moments.uniform(0.0, 0.4))
        async with embedded_server(home) as server, connected(server) as manager:
            assert await manager.fetchval("SELECT 1") == 1


async def test_a_server_that_keeps_dying_is_given_up_with_the_reason_and_can_be_tried_again(home: Path) -> None:
    folder = ServerFolder(home)
    folder.make_usable()
    using = FileLock(folder.users_lock)
    assert using.try_shared()
    process = spawn_supervisor(folder)
    assert process.stdout is not None
    assert b"ready" in process.stdout.readline()
    process.stdout.close()

    killed: set[int] = set()
    while process.poll() is None:
        postmaster = cluster.read_postmaster(folder.data)
        if postmaster is not None and postmaster.is_ready and postmaster.pid not in killed:
            killed.add(postmaster.pid)
            os.kill(postmaster.pid, signal.SIGKILL)
        await asyncio.sleep(0.01)
    using.close()

    assert process.returncode == 5
    assert len(killed) >= 6  # more: one killed before the supervisor saw that it was ready is a start that failed
    told = folder.log.read_text()
    assert told.count("the server died and is started again: it was ended by signal 9") == 5
    assert "died 6 times within 60 s and is not started again: it was ended by signal 9" in told
    async with embedded_server(home) as server, connected(server) as manager:
        assert await manager.fetchval("SELECT 1") == 1
