"""The embedded server on one data folder: made once, found again, and clear about every folder it cannot use."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mastertrade
from mastertrade.postgres.embedded import DataFolderUnusable, embedded_server
from mastertrade.postgres.folder import FileLock, ServerFolder
from mastertrade.shared.errors import DatabaseDown
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.embedded_home import (
    connected,
    dead_but_uncollected,
    end_supervisor,
    is_dead,
    postmaster_pid,
    supervisor_pid,
    wait_until,
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home with a space"
    yield folder
    end_supervisor(folder)


async def settings(manager: PostgresManager) -> dict[str, Any]:
    rows = await manager.fetch(
        """SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit',
           'data_checksums', 'listen_addresses', 'password_encryption', 'shared_preload_libraries',
           'unix_socket_directories')"""
    )
    return {row["name"]: row["setting"] for row in rows}


async def test_a_first_start_makes_a_safe_server_and_a_second_finds_its_rows(home: Path) -> None:
    async with embedded_server(home) as address, connected(address) as manager:
        await manager.execute("CREATE TABLE kept (id int)")
        found = await settings(manager)
        assert await manager.fetchval("SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'trust'") == 0
    end_supervisor(home)
    async with embedded_server(home) as again, connected(again) as manager:
        assert await manager.fetchval("SELECT count(*) FROM kept") == 0

    assert again == address
    assert found == {
        "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "data_checksums": "on",
        "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "password_encryption": "scram-sha-256",
        "shared_preload_libraries": "pg_stat_statements",
    }  # fmt: skip
    folder = ServerFolder(home)
    for path, mode in {home: 0o700, folder.data: 0o700, folder.address: 0o600, folder.log: 0o600}.items():
        assert stat.S_IMODE(path.stat().st_mode) == mode, path


def test_the_password_is_long_and_is_not_shown(home: Path) -> None:
    with embedded_server(home) as address:
        assert len(address.password) >= 24
        assert address.password not in repr(address)
        assert address.password not in ServerFolder(home).log.read_text()
        for process in (supervisor_pid(home), postmaster_pid(home)):
            assert address.password.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()


async def test_a_later_user_of_a_running_server_gets_it_at_once(home: Path) -> None:
    with embedded_server(home) as first:
        started = time.monotonic()
        with embedded_server(home) as second:
            assert time.monotonic() - started < 0.5
            assert second == first


async def test_another_program_on_the_port_makes_the_server_move(home: Path) -> None:
    with embedded_server(home) as first:
        pass
    end_supervisor(home)

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first.port))
        other.listen()
        async with embedded_server(home) as second, connected(second) as manager:
            assert await manager.fetchval("SELECT 1") == 1
            assert second.port != first.port
    assert f"port {first.port} is in use by another program" in ServerFolder(home).log.read_text()


async def test_a_lost_address_file_costs_a_new_password_and_nothing_else(home: Path) -> None:
    async with embedded_server(home) as first, connected(first) as manager:
        await manager.execute("CREATE TABLE kept (id int)")
    end_supervisor(home)
    ServerFolder(home).address.write_text("{")

    async with embedded_server(home) as second, connected(second) as manager:
        assert await manager.fetchval("SELECT count(*) FROM kept") == 0
    assert second.password != first.password


async def test_an_interrupted_first_start_is_cleared_away(home: Path) -> None:
    folder = ServerFolder(home)
    (home / "postgres.new.0123" / "base").mkdir(parents=True)
    folder.data.mkdir()
    (folder.data / "PG_VERSION").write_text("18\n")

    async with embedded_server(home) as address, connected(address) as manager:
        assert await manager.fetchval("SELECT 1") == 1

    assert not (home / "postgres.new.0123").exists()
    assert any(name.startswith("postgres.incomplete-") for name in os.listdir(home))
    assert "making the cluster was interrupted" in folder.log.read_text()
    assert "was never finished and holds no database of ours" in folder.log.read_text()


def test_a_damaged_cluster_is_refused_and_left_alone(home: Path) -> None:
    folder = ServerFolder(home)
    (folder.data / "base" / "16384").mkdir(parents=True)

    with pytest.raises(DataFolderUnusable, match=r"damaged: nothing was changed; restore") as raised:
        embedded_server(home).__enter__()

    assert raised.value.exit_code == 5
    assert [path.name for path in folder.data.rglob("*")] == ["base", "16384"]


def test_a_cluster_of_another_major_version_is_refused_with_the_next_step(home: Path) -> None:
    with embedded_server(home):
        pass
    end_supervisor(home)
    (ServerFolder(home).data / "PG_VERSION").write_text("12\n")

    with pytest.raises(
        DataFolderUnusable, match=r"made by PostgreSQL 12, which the PostgreSQL \d+ at hand.*pg_dumpall"
    ):
        embedded_server(home).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused_by_name(home: Path) -> None:
    home.mkdir()
    os.chown(home, 65534, 65534)

    with pytest.raises(DataFolderUnusable, match=r"belongs to user .*65534.*MASTERTRADE_HOME") as raised:
        embedded_server(home).__enter__()

    assert raised.value.exit_code == 5
    assert list(home.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DataFolderUnusable, match=r"cannot be written \(Not a directory\).*set MASTERTRADE_HOME"):
        embedded_server(tmp_path / "file" / "home").__enter__()


@pytest.mark.parametrize(
    ("size_mb", "options", "said"),
    [(64, "", r"has \d+ MB free and PostgreSQL needs 200 MB"), (400, "ro", "Read-only file system.*mount it writable")],
)
def test_a_full_and_a_read_only_disk_are_told_apart(tmp_path: Path, size_mb: int, options: str, said: str) -> None:
    script = """
import sys
from pathlib import Path
from mastertrade.postgres.embedded import DataFolderUnusable, embedded_server
try:
    embedded_server(Path(sys.argv[1])).__enter__()
except DataFolderUnusable as error:
    print(error)
"""
    done = run_on_small_disk(tmp_path, size_mb, options, script)

    assert len(done.splitlines()) == 1
    assert re.search(said, done), done


def run_on_small_disk(folder: Path, size_mb: int, options: str, script: str) -> str:
    """The script with a disk of its own at ``folder``, seen by nobody else. Skips where that is not allowed."""
    mount = f"mount -t tmpfs -o size={size_mb}m,mode=0700 none '{folder}'"
    remount = f"mount -o remount,{options} '{folder}'" if options else "true"
    probe = subprocess.run(["unshare", "-Urm", "sh", "-c", mount], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"mounting a disk is not allowed here: {probe.stderr.strip()}")
    command = ["unshare", "-Urm", "sh", "-c", f'{mount} && {remount} && exec "$@"', "sh"]
    environment = os.environ | {"PYTHONPATH": str(Path(mastertrade.__file__).parent.parent)}
    done = subprocess.run(
        [*command, sys.executable, "-c", script, str(folder)],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
from mastertrade.postgres.embedded import embedded_server
from mastertrade.shared.errors import MasterTradeError
from mastertrade.shared.postgres_manager import PostgresManager

async def main(home):
    acknowledged = 0
    ballast = home / "ballast"
    async with embedded_server(home) as address:
        manager = PostgresManager(address.dsn(), retry_for_s=0.1)
        await manager.connect()
        await manager.execute("CREATE TABLE kept (id int, filling text)")
        ballast.write_bytes(bytes(200 * 1024**2))
        try:
            while True:
                rows = [(acknowledged + i, str(i) * 1000) for i in range(1000)]
                await manager.executemany("INSERT INTO kept VALUES ($1, $2)", rows)
                acknowledged += 1000
        except MasterTradeError as error:
            full = error
        ballast.unlink()
        for _ in range(100):
            try:
                await manager.executemany("INSERT INTO kept VALUES ($1, '')", [(acknowledged,)])
                break
            except MasterTradeError:
                await asyncio.sleep(0.1)
        found = await manager.fetchval("SELECT count(*) FROM kept WHERE id <= $1", acknowledged)
        await manager.close()
        print(acknowledged + 1, found, "No space left" in str(full) or "cannot be used" in str(full))

asyncio.run(main(Path(sys.argv[1])))
"""
    acknowledged, found, was_full = run_on_small_disk(tmp_path, 330, "", script).split()

    assert int(found) >= int(acknowledged) > 1000
    assert was_full == "True"


async def test_the_users_own_postgresql_variables_do_not_steer_the_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "PGOPTIONS": "-c fsync=off", "PGUSER": "nobody"}.items():
        monkeypatch.setenv(name, value)
    with embedded_server(home) as address:
        monkeypatch.delenv("PGOPTIONS")
        async with connected(address) as manager:
            assert (await settings(manager))["fsync"] == "on"


@pytest.mark.parametrize("whose", ["a dead process that nobody collects", "a stranger"])
async def test_a_number_left_in_the_folder_by_a_killed_server_does_not_stop_the_next(home: Path, whose: str) -> None:
    async with embedded_server(home) as address, connected(address) as manager:
        await manager.execute("CREATE TABLE kept (id int)")
    postmaster = postmaster_pid(home)
    os.kill(supervisor_pid(home), signal.SIGKILL)
    os.kill(postmaster, signal.SIGKILL)
    wait_until(lambda: is_dead(postmaster))
    uncollected = dead_but_uncollected()
    file = ServerFolder(home).data / "postmaster.pid"
    number = os.getpid() if whose == "a stranger" else uncollected.pid
    file.write_text(file.read_text().replace(f"{postmaster}\n", f"{number}\n", 1))

    async with embedded_server(home) as address, connected(address) as manager:
        assert await manager.fetchval("SELECT count(*) FROM kept") == 0

    uncollected.wait()
    assert f"(pid {number}) is dead, only its number is still taken" in ServerFolder(home).log.read_text()


async def test_giving_up_while_the_server_starts_leaves_no_lock_behind(home: Path) -> None:
    entering = asyncio.create_task(embedded_server(home).__aenter__())
    await asyncio.sleep(0.1)
    entering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await entering

    lock = FileLock(ServerFolder(home).users_lock)
    await asyncio.to_thread(wait_until, lock.try_exclusive, 5.0)
    lock.close()


def test_a_server_that_does_not_come_in_time_is_one_clear_line(home: Path) -> None:
    with pytest.raises(DatabaseDown, match=r"is not ready yet.*0\.01 s are over: see .*postgres\.log"):
        embedded_server(home, start_timeout_s=0.01).__enter__()
