"""The PostgreSQL server of a data folder: found when it runs, started when it does not, shared by all who ask.

Whoever uses the server holds a shared lock on a file of the folder. A small supervisor process is the server's parent;
it restarts the server when that dies, and stops it two seconds after the last user has let go, whether that user ended,
crashed or was killed. Nothing here needs to be shut down for the data to be safe.
"""

import asyncio
import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from mastertrade.postgres import cluster
from mastertrade.postgres.folder import DataFolderUnusable, FileLock, ServerAddress, ServerFolder
from mastertrade.shared.errors import ConfigurationError, DatabaseDown, MasterTradeError

__all__ = ["DataFolderUnusable", "EmbeddedServer", "ServerAddress", "embedded_server"]

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 120.0  # a first start takes 1 s; after a crash, replaying a long write-ahead log takes minutes
POLL_S: Final = 0.02
WATCH_S: Final = 1.0
LONGEST_WATCH_S: Final = 30.0

_KINDS: Final = {kind.__name__: kind for kind in (ConfigurationError, DataFolderUnusable, DatabaseDown)}
_spawned: list["subprocess.Popen[bytes]"] = []  # kept until they end, so that dead supervisors are collected


def embedded_server(home: Path, *, start_timeout_s: float = START_TIMEOUT_S) -> "EmbeddedServer":
    """``with`` or ``async with``: the address of the server of ``home``, which stays up while the block runs.

    DataFolderUnusable, ConfigurationError or DatabaseDown say why there is no server.
    """
    return EmbeddedServer(home, start_timeout_s=start_timeout_s)


class EmbeddedServer:
    """One use of the server, good for one block.

    While it lasts a thread looks after the supervisor: should that be killed together with the server, both come back.
    """

    def __init__(self, home: Path, *, start_timeout_s: float) -> None:
        self._folder = ServerFolder(home)
        self._timeout_s = start_timeout_s
        self._lock: FileLock | None = None
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> ServerAddress:
        self._folder.make_usable()
        deadline = time.monotonic() + self._timeout_s
        self._lock = FileLock(self._folder.users_lock)
        try:
            while not self._lock.try_shared():  # refused only while a supervisor stops the server
                self._wait(deadline, "is still stopping")
            address = self._ensure(deadline)
            self._watcher = threading.Thread(target=self._watch, args=[address], name="embedded-postgres", daemon=True)
            self._watcher.start()
        except BaseException:
            self._lock.close()
            raise
        return address

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        if self._watcher is not None:
            self._watcher.join(timeout=5.0)
        self._leave_nothing_unattended()
        if self._lock is not None:
            self._lock.close()

    async def __aenter__(self) -> ServerAddress:
        entering = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            self._ending.set()
            entering.add_done_callback(self._leave_after)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _leave_after(self, entering: "asyncio.Future[ServerAddress]") -> None:
        if not entering.cancelled() and entering.exception() is None:
            self.__exit__(None, None, None)

    def _leave_nothing_unattended(self) -> None:
        """A server whose supervisor was killed would run on without an end: give it a new one, and do not wait."""
        with contextlib.suppress(OSError):
            if self._running_server() is not None and not self._supervisor_is_alive():
                process = spawn_supervisor(self._folder)
                _spawned.append(process)
                assert process.stdout is not None
                process.stdout.close()

    def _ensure(self, deadline: float) -> ServerAddress:
        """Called with the users' lock in hand, so nobody stops the server while this looks for it."""
        while True:
            if not self._supervisor_is_alive():
                self._start_supervisor(deadline)
            elif (address := self._running_server()) is not None:
                return address
            else:
                self._wait(deadline, "is not ready yet; after a crash it may be recovering")

    def _wait(self, deadline: float, state: str) -> None:
        if time.monotonic() > deadline or self._ending.wait(POLL_S):
            raise DatabaseDown(
                f"the PostgreSQL server of {self._folder.home} {state}, and {self._timeout_s:g} s are over: "
                f"see {self._folder.log}, then try again"
            )

    def _supervisor_is_alive(self) -> bool:
        """Its lock tells: a supervisor holds it exclusively from its first moment to its last, even when killed."""
        lock = FileLock(self._folder.supervisor_lock)
        try:
            return not lock.try_shared()
        finally:
            lock.close()

    def _running_server(self) -> ServerAddress | None:
        postmaster = cluster.read_postmaster(self._folder.data)
        address = self._folder.read_address()
        if postmaster is None or address is None or not postmaster.is_ready or postmaster.port != address.port:
            return None
        return address if cluster.is_postmaster_of(postmaster.pid, self._folder.data) else None

    def _start_supervisor(self, deadline: float) -> None:
        """Returns when a supervisor has its server ready, or another was faster; raises what it says went wrong."""
        _spawned[:] = [process for process in _spawned if process.poll() is None]
        process = spawn_supervisor(self._folder)
        _spawned.append(process)
        assert process.stdout is not None
        read = b""
        with process.stdout as pipe:
            while not read.endswith(b"\n"):
                if not select.select([pipe], [], [], POLL_S)[0]:
                    self._wait(deadline, "is not ready yet; after a crash it may be recovering")
                    continue
                chunk = os.read(pipe.fileno(), 65536)
                if not chunk:
                    if process.wait(timeout=5.0) < 0:
                        return  # killed: the next try finds what it left behind
                    raise DatabaseDown(f"the supervisor of PostgreSQL failed: see the end of {self._folder.log}")
                read += chunk
        report = json.loads(read)
        if "error" in report:
            raise _KINDS.get(report["kind"], DatabaseDown)(report["error"])

    def _watch(self, address: ServerAddress) -> None:
        delay_s = WATCH_S
        while not self._ending.wait(delay_s):
            try:
                if not self._supervisor_is_alive() and self._ensure(time.monotonic() + self._timeout_s) != address:
                    log.warning("the PostgreSQL server came back at another port: start this process again")
                delay_s = WATCH_S
            except (MasterTradeError, OSError) as error:
                delay_s = min(2 * delay_s, LONGEST_WATCH_S)
                if not self._ending.is_set():
                    log.warning("the PostgreSQL server is gone, next try to start it in %g s: %s", delay_s, error)


def spawn_supervisor(folder: ServerFolder) -> "subprocess.Popen[bytes]":
    """In a session of its own, so that Ctrl-C in our terminal does not reach it; its first line on stdout reports."""
    import mastertrade

    packages = str(Path(mastertrade.__file__).resolve().parent.parent)
    environment = cluster.environment()
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [packages, environment.get("PYTHONPATH")]))
    with open(folder.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "mastertrade.postgres.supervisor", str(folder.home)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output, cwd="/", env=environment,
            start_new_session=True,
        )  # fmt: skip
