"""One PostgreSQL server in the hands of its supervisor: made, taken over, started, watched, stopped."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mastertrade.postgres import cluster
from mastertrade.postgres.folder import DATABASE, DataFolderUnusable, ServerAddress, ServerFolder, sync_folder
from mastertrade.shared.errors import DatabaseDown

POLL_S: Final = 0.01
RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 1.0, 2.0, 2.0)
"""Between tries to start: after a kill the old server's children need a moment to leave the shared memory."""
UNFINISHED: Final = "postgres.new."
STOP_TIMEOUT_S: Final = 60.0
FREE_AT_FIRST_BYTES: Final = 200 * 1024**2  # a fresh cluster takes 40 MB, its first write-ahead log as much again
FREE_TO_START_BYTES: Final = (
    32 * 1024**2
)  # two segments of the write-ahead log: less, and it stops in the middle of work
MOST_LOG_BYTES: Final = 10 * 1024**2


class Server:
    """``pause`` sleeps, and raises when the supervisor was asked to end."""

    def __init__(self, folder: ServerFolder, pause: Callable[[float], None]) -> None:
        self._folder = folder
        self._pause = pause
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._log_start = 0

    def is_alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return self._pid is not None and cluster.is_postmaster_of(self._pid, self._folder.data)

    def start(self) -> ServerAddress:
        """Take over the server that runs here, else start one; make the cluster if there is none.

        DatabaseDown or DataFolderUnusable say why there is no server.
        """
        for pause_s in (*RETRY_S, None):
            address = self._adopt()
            if address is not None:
                return address
            binaries, address = self._prepare()
            address = self._with_free_port(address)
            self._retire_dead_postmaster()
            if self._try_start(binaries, address.port):
                self._folder.write_address(address)
                say(f"PostgreSQL {binaries.major} is ready, pid {self._pid}, port {address.port}")
                return address
            say(f"PostgreSQL did not start: {self.last_words()}")
            if pause_s is not None:
                self._pause(pause_s)
        raise DatabaseDown(f"PostgreSQL does not start: {self.last_words()}; see {self._folder.log}")

    def stop(self, how: signal.Signals) -> None:
        """SIGINT ends connections and writes everything down; SIGQUIT leaves that to the next start's recovery."""
        if self._pid is None or not self.is_alive():
            return
        for request in (how, signal.SIGQUIT):
            deadline = time.monotonic() + STOP_TIMEOUT_S
            if self.is_alive():
                os.kill(self._pid, request)
            while self.is_alive() and time.monotonic() < deadline:
                time.sleep(POLL_S)
        say(f"the server is {'still there' if self.is_alive() else 'stopped'}, pid {self._pid}")

    def last_words(self) -> str:
        """Why the server is not there, as far as its end and its log tell."""
        exit_code = self._process.poll() if self._process is not None else None
        if exit_code is not None and exit_code < 0:
            return f"it was ended by signal {-exit_code}"
        with open(self._folder.log, "rb") as file:
            file.seek(max(self._log_start, os.fstat(file.fileno()).st_size - 65536, 0))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if " supervisor: " not in line]
        told = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "user namespace" in line]
        words = told[-1] if told else ("its process is gone" if exit_code is None else f"exit code {exit_code}")
        return words + (" (the disk is full: free some space)" if "No space left" in words else "")

    def limit_log(self) -> None:
        """Keep the last log beside the present one, so that both together stay bounded."""
        if self._folder.log.stat().st_size > MOST_LOG_BYTES:
            shutil.copyfile(self._folder.log, self._folder.log.with_suffix(".log.1"))
            os.truncate(
                self._folder.log, 0
            )  # the server goes on writing at the new end: the file is open for appending

    def _adopt(self) -> ServerAddress | None:
        """The server that a killed supervisor left behind: taken over, its users notice nothing."""
        while (postmaster := self._living_postmaster()) is not None:
            address = self._folder.read_address()
            if postmaster.is_alone or postmaster.status == "stopping":
                self._pause(POLL_S)  # about to end by itself
            elif address is None or address.port != postmaster.port:
                say(f"a server (pid {postmaster.pid}) runs here at an address nobody was told: it is stopped")
                self._process, self._pid = None, postmaster.pid
                self.stop(signal.SIGINT)
            elif postmaster.is_ready:
                say(f"took over the running server, pid {postmaster.pid}, port {address.port}")
                self._process, self._pid = None, postmaster.pid
                return address
            else:
                self._pause(POLL_S)
        return None

    # --- preparing ---

    def _prepare(self) -> tuple[cluster.Binaries, ServerAddress]:
        self._clear_unfinished()
        if not self._folder.data.exists():
            return self._initialise()
        self._require_free_space(FREE_TO_START_BYTES)
        binaries = self._binaries_for(self._folder.data)
        address = self._folder.read_address()
        return binaries, address or self._set_new_password(binaries)

    def _clear_unfinished(self) -> None:
        for unfinished in self._folder.home.glob(f"{UNFINISHED}*"):
            say(f"making the cluster was interrupted: {unfinished} is removed and made again")
            shutil.rmtree(unfinished, ignore_errors=True)  # a killed supervisor's initdb may still be at it
        data = self._folder.data
        if not data.is_dir() or ((data / "PG_VERSION").exists() and (data / "global" / "pg_control").exists()):
            return
        first_user_oid = 16384
        if any(path.name.isdigit() and int(path.name) >= first_user_oid for path in data.glob("base/*")):
            raise DataFolderUnusable(
                f"{data} holds databases but no PG_VERSION or global/pg_control, so it is damaged: "
                "nothing was changed; restore these files from a backup, or move the folder away to begin anew"
            )
        aside = data.with_name(f"postgres.incomplete-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
        data.rename(aside)
        say(f"{data} is a cluster that was never finished and holds no database of ours: moved to {aside.name}")

    def _initialise(self) -> tuple[cluster.Binaries, ServerAddress]:
        """Beside its place, then renamed: what stands at its place is always complete.

        Under a name of its own each time, because the initdb of a killed supervisor goes on for a moment.
        """
        self._require_free_space(FREE_AT_FIRST_BYTES)
        binaries = cluster.find_binaries()
        password = secrets.token_urlsafe(24)
        say(f"making a PostgreSQL {binaries.major} cluster in {self._folder.data}")
        unfinished = self._folder.home / f"{UNFINISHED}{secrets.token_hex(4)}"
        cluster.initialise(binaries, unfinished, password)
        cluster.run_alone(binaries, unfinished, f"CREATE DATABASE {DATABASE}")
        unfinished.rename(self._folder.data)
        sync_folder(self._folder.home)
        return binaries, _address(password)

    def _binaries_for(self, data: Path) -> cluster.Binaries:
        made_by = (data / "PG_VERSION").read_text(encoding="ascii").strip()
        binaries = cluster.find_binaries(made_by)
        if str(binaries.major) != made_by:
            raise DataFolderUnusable(
                f"{data} was made by PostgreSQL {made_by}, which the PostgreSQL {binaries.major} at hand cannot read: "
                f"nothing was changed; install PostgreSQL {made_by}, dump the databases with pg_dumpall, "
                "move the folder away, start again and restore the dump"
            )
        return binaries

    def _set_new_password(self, binaries: cluster.Binaries) -> ServerAddress:
        password = secrets.token_urlsafe(24)
        say(f"{self._folder.address.name} is missing or damaged: the server gets a new password")
        self._retire_dead_postmaster()
        cluster.run_alone(binaries, self._folder.data, f"ALTER ROLE {cluster.SUPERUSER} PASSWORD '{password}'")
        return _address(password)

    def _require_free_space(self, needed_bytes: int) -> None:
        free_bytes = shutil.disk_usage(self._folder.home).free
        if free_bytes < needed_bytes:
            raise DataFolderUnusable(
                f"the disk of {self._folder.home} has {free_bytes / 1024**2:.0f} MB free and PostgreSQL needs "
                f"{needed_bytes / 1024**2:.0f} MB: free some space, or set MASTERTRADE_HOME to a folder on another disk"
            )

    # --- starting ---

    def _with_free_port(self, address: ServerAddress) -> ServerAddress:
        port = cluster.free_port(address.port or None)
        if port != address.port and address.port:
            say(f"port {address.port} is in use by another program: port {port} is taken instead")
        return _address(address.password, port)

    def _try_start(self, binaries: cluster.Binaries, port: int) -> bool:
        with open(self._folder.log, "ab") as output:
            self._log_start = os.fstat(output.fileno()).st_size
            self._process = subprocess.Popen(
                cluster.server_command(binaries, self._folder.data, port),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env=cluster.environment(),
            )  # fmt: skip
        self._pid = self._process.pid
        while self._process.poll() is None:  # however long recovery takes: its users decide when they stop waiting
            postmaster = cluster.read_postmaster(self._folder.data)
            if postmaster is not None and postmaster.pid == self._pid and postmaster.is_ready:
                return True
            self._pause(POLL_S)
        return False

    def _living_postmaster(self) -> cluster.Postmaster | None:
        postmaster = cluster.read_postmaster(self._folder.data)
        if postmaster is None or not cluster.is_postmaster_of(postmaster.pid, self._folder.data):
            return None
        return postmaster

    def _retire_dead_postmaster(self) -> None:
        """PostgreSQL refuses to start while a process with the number in postmaster.pid exists.

        That is wrong for a dead server which nobody has collected (in a container that may be for ever) and for a
        stranger who inherited the number. The file must stay, because the server also learns from it which shared
        memory its predecessor's children may still hold; so only the number is replaced, by that of the server's
        parent to be, which it knows cannot be a server.
        """
        path = self._folder.data / "postmaster.pid"
        postmaster = cluster.read_postmaster(self._folder.data)
        if postmaster is None or cluster.process_state(postmaster.pid) == "" or self._living_postmaster():
            return
        lines = path.read_text(encoding="utf-8").splitlines()
        replaced = path.with_name("postmaster.pid.mastertrade")
        replaced.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n", encoding="utf-8")
        replaced.replace(path)
        say(f"the former server (pid {postmaster.pid}) is dead, only its number is still taken")


def _address(password: str, port: int = 0) -> ServerAddress:
    return ServerAddress(host="127.0.0.1", port=port, user=cluster.SUPERUSER, password=password)


def say(text: str) -> None:
    """A line in the server's log, among the server's own."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    with contextlib.suppress(OSError):  # on a full disk the server still has to be stopped
        sys.stderr.write(f"{now} [{os.getpid()}] supervisor: {text}\n")
        sys.stderr.flush()
