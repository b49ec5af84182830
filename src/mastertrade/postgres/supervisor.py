"""The parent of one data folder's PostgreSQL server: ``python -m mastertrade.postgres.supervisor HOME``

Started by whoever first needs the server (embedded.py), alone by its own lock. It makes the cluster when there is none,
takes over a server whose supervisor was killed, starts it again when it dies, and stops it when nobody has used it for
two seconds. Everything it does can be cut off at any instruction: its locks end with it, and its successor goes on.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

from mastertrade.postgres.folder import FileLock, ServerFolder
from mastertrade.postgres.server import Server, say
from mastertrade.shared.errors import DatabaseDown, MasterTradeError

IDLE_S: Final = 2.0
POLL_S: Final = 0.2
TOUCHED_BY_USERS_S: Final = 1.0
MOST_RESTARTS: Final = 5
RESTARTS_WITHIN_S: Final = 60.0
LOG_CHECK_S: Final = 10.0


class Stop(Exception):
    """The system asks us to end."""


class Supervisor:
    def __init__(self, folder: ServerFolder) -> None:
        self._folder = folder
        self._users = FileLock(folder.users_lock)
        self._server = Server(folder, self._pause)
        self._restarts: deque[float] = deque(maxlen=MOST_RESTARTS)
        self._stop_requested = False
        self._wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # wakes us at once when the server dies
        for request in (signal.SIGTERM, signal.SIGINT):
            signal.signal(request, self._request_stop)

    def start(self) -> None:
        self._server.start()

    def watch(self) -> None:
        """Returns when the server has been stopped because nobody needs it."""
        unused_since: float | None = None
        log_checked_at = 0.0
        while True:
            self._pause(POLL_S)
            now = time.monotonic()
            if not self._users.is_in_place():
                say("the data folder is gone")
                return self._server.stop(signal.SIGQUIT)
            if not self._server.is_alive():
                self._restart(now)
            if now - log_checked_at > LOG_CHECK_S:
                log_checked_at = now
                self._server.limit_log()
            if not self._users.try_exclusive():
                unused_since = None
            elif unused_since is None or now - unused_since < IDLE_S:
                # Given back at once, so that whoever comes now need not wait; held only while the server stops.
                self._users.release()
                unused_since = unused_since or now
            else:
                return self._server.stop(signal.SIGINT)

    def stop(self) -> None:
        self._server.stop(signal.SIGINT)

    def _restart(self, now: float) -> None:
        """A server that dies again and again has a reason that starting it once more does not cure."""
        reason = self._server.last_words()
        if len(self._restarts) == MOST_RESTARTS and now - self._restarts[0] < RESTARTS_WITHIN_S:
            raise DatabaseDown(
                f"PostgreSQL died {MOST_RESTARTS + 1} times within {RESTARTS_WITHIN_S:g} s and is not started again: "
                f"{reason}; see {self._folder.log}"
            )
        self._restarts.append(now)
        say(f"the server died and is started again: {reason}")
        self._server.start()

    def _pause(self, seconds: float) -> None:
        """Sleep, but not through a signal. Raises Stop when one asked for the end."""
        if not self._stop_requested and select.select([self._wake_reader], [], [], seconds)[0]:
            os.read(self._wake_reader, 512)
        if self._stop_requested:
            raise Stop

    def _request_stop(self, number: int, frame: object) -> None:
        self._stop_requested = True


def main(home: str) -> int:
    os.umask(0o077)
    folder = ServerFolder(Path(home))
    own_lock = FileLock(folder.supervisor_lock)
    if not _become_the_only_one(own_lock):
        _report({"other": True})
        return 0
    supervisor = Supervisor(folder)
    try:
        own_lock.write_holder()
        supervisor.start()
        _report({"ready": True})
        supervisor.watch()
    except Stop:
        say("asked to end")
        supervisor.stop()
    except (MasterTradeError, OSError) as error:
        told = folder.unusable(error) if isinstance(error, OSError) else error
        say(str(told))
        supervisor.stop()
        _report({"error": str(told), "kind": type(told).__name__})
        return told.exit_code
    return 0


def _become_the_only_one(lock: FileLock) -> bool:
    """Users share the lock for a moment to see whether we live; only another supervisor holds it for itself."""
    deadline = time.monotonic() + TOUCHED_BY_USERS_S
    while not lock.try_exclusive():
        if not lock.try_shared() or time.monotonic() > deadline:
            return False
        lock.release()
        time.sleep(0.002)
    return True


def _report(message: dict[str, object]) -> None:
    """One line for the process that started us, once; it may have been killed meanwhile."""
    with contextlib.suppress(BrokenPipeError, ValueError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()
    # From now on nobody reads: the pipe's other end goes away, and ours must not keep it.
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
