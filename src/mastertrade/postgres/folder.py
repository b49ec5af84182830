"""What stands in MASTERTRADE_HOME around the embedded server: its data, its address, its locks and its log."""

import errno
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from mastertrade.shared.errors import ConfigurationError, DependencyDown

DATABASE: Final = "mastertrade"


class DataFolderUnusable(DependencyDown):
    """The data folder cannot be used."""

    retryable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """How to reach the embedded server. The password appears in ``dsn()`` only."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)

    def dsn(self, database: str = DATABASE) -> str:
        return f"postgresql://{self.user}:{quote(self.password, safe='')}@{self.host}:{self.port}/{database}"


class ServerFolder:
    """The names of the files, and the few acts on them that more than one process performs."""

    def __init__(self, home: Path) -> None:
        self.home = home.expanduser().resolve()
        self.data = self.home / "postgres"
        self.address = self.home / "postgres.json"
        self.log = self.home / "postgres.log"
        self.users_lock = self.home / "postgres.users.lock"
        self.supervisor_lock = self.home / "postgres.supervisor.lock"

    def make_usable(self) -> None:
        """Create the folder. DataFolderUnusable when it is not ours or cannot be written."""
        if os.name != "posix":
            raise ConfigurationError(
                "the PostgreSQL that MasterTrade brings along needs Linux or macOS: set POSTGRES_HOST to another server"
            )
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (self.home, self.data):
                if path.exists():
                    self._require_ours(path)
            for path in (self.users_lock, self.supervisor_lock):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise self.unusable(error) from error

    def _require_ours(self, path: Path) -> None:
        owner, we = path.stat().st_uid, os.geteuid()
        if owner != we:
            raise DataFolderUnusable(
                f"{path} belongs to user {_user_name(owner)}, and MasterTrade runs as {_user_name(we)}: "
                "run it as the owner of its data, or set MASTERTRADE_HOME to a folder of your own"
            )

    def unusable(self, error: OSError) -> DataFolderUnusable:
        """The line for an operating system's refusal to write here."""
        steps = {
            errno.ENOSPC: "free some space there",
            errno.EDQUOT: "free some of your quota there",
            errno.EROFS: "mount it writable",
        }
        step = steps.get(error.errno or 0, "correct its permissions")
        return DataFolderUnusable(
            f"the data folder {self.home} cannot be written ({error.strerror or error}): "
            f"{step}, or set MASTERTRADE_HOME to another folder; nothing was changed"
        )

    def read_address(self) -> ServerAddress | None:
        """None when the file is missing or damaged: the supervisor then writes a new one with a new password."""
        try:
            stored = json.loads(self.address.read_text(encoding="utf-8"))
            return ServerAddress(
                host=str(stored["host"]), port=int(stored["port"]), user=str(stored["user"]),
                password=str(stored["password"]),
            )  # fmt: skip
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write_address(self, address: ServerAddress) -> None:
        """Readable by us alone, and complete or not there at all."""
        unfinished = self.address.with_name(f".{self.address.name}.{secrets.token_hex(4)}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(address), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.address)
        sync_folder(self.home)


class FileLock:
    """An advisory lock of the operating system on a file: it ends with the process that holds it, however that dies."""

    def __init__(self, path: Path) -> None:
        import fcntl  # here, because Windows has none and make_usable() says so

        self._path = path
        self._fcntl = fcntl
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def try_shared(self) -> bool:
        return self._try(self._fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        return self._try(self._fcntl.LOCK_EX)

    def _try(self, kind: int) -> bool:
        try:
            self._fcntl.flock(self._file, kind | self._fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def write_holder(self) -> None:
        """Our process id, for people and tests; the lock itself does not depend on it."""
        os.pwrite(self._file, f"{os.getpid():<10}\n".encode(), 0)  # always as long, so never seen half written

    def is_in_place(self) -> bool:
        """False when the file was deleted, or another one stands at its name: newcomers would not see our lock."""
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        self._fcntl.flock(self._file, self._fcntl.LOCK_UN)

    def close(self) -> None:
        """Gives the lock back as well. Harmless when repeated."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def sync_folder(path: Path) -> None:
    """Make a rename inside the folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _user_name(user_id: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(user_id).pw_name} ({user_id})"
    except KeyError:
        return str(user_id)
