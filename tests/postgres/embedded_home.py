"""For tests of the embedded server: a home of their own that leaves no process behind, and what runs in it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from mastertrade.postgres import cluster
from mastertrade.postgres.embedded import ServerAddress
from mastertrade.postgres.folder import FileLock, ServerFolder
from mastertrade.shared.postgres_manager import PostgresManager


def wait_until(condition: Callable[[], object], timeout_s: float = 20.0) -> float:
    """Seconds until the condition held; blocks, because what is waited for happens in other processes."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - started


def supervisor_pid(home: Path) -> int:
    return int(ServerFolder(home).supervisor_lock.read_text())


def postmaster_pid(home: Path) -> int:
    postmaster = cluster.read_postmaster(ServerFolder(home).data)
    assert postmaster is not None
    return postmaster.pid


def is_dead(pid: int) -> bool:
    return cluster.process_state(pid) in ("", "Z")


def dead_but_uncollected() -> "subprocess.Popen[bytes]":
    """A child that has ended and keeps its number until ``wait()``."""
    process = subprocess.Popen(["true"])
    wait_until(lambda: cluster.process_state(process.pid) == "Z")
    return process


def supervisor_is_gone(home: Path) -> bool:
    lock = FileLock(ServerFolder(home).supervisor_lock)
    try:
        return lock.try_exclusive()
    finally:
        lock.close()


def end_supervisor(home: Path) -> None:
    """Ask it to end and wait until it has, so that no server outlives its test."""
    if ServerFolder(home).supervisor_lock.exists() and not supervisor_is_gone(home):
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(supervisor_pid(home), signal.SIGTERM)
        wait_until(lambda: supervisor_is_gone(home))


@contextlib.asynccontextmanager
async def connected(address: ServerAddress, database: str = "mastertrade") -> AsyncIterator[PostgresManager]:
    manager = PostgresManager(address.dsn(database))
    await manager.connect()
    try:
        yield manager
    finally:
        await manager.close()
