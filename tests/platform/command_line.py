"""For tests of the command line: the real program as a process of its own, in a home of the test's."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mastertrade
from mastertrade.postgres.embedded import embedded_server
from tests.postgres.embedded_home import end_supervisor

TIMEOUT_S = 120.0
PACKAGES = str(Path(mastertrade.__file__).parent.parent)
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Exactly one object, on one line, and nothing else."""
        assert self.out.count("\n") == 1, self.out
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    def array(self) -> list[dict[str, Any]]:
        found = json.loads(self.out)
        assert isinstance(found, list)
        return found

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True, slots=True)
class CommandLine:
    """``mastertrade`` with only the variables it is given; calling it runs a command to its end."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | Path, variables: dict[str, str] | None = None, stdin: str = "") -> Answer:
        done = subprocess.run(
            self.command(*arguments),
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            env=self.environment(variables),
            timeout=TIMEOUT_S,
        )
        return Answer(code=done.returncode, out=done.stdout, err=done.stderr)

    @contextmanager
    def running(self, *arguments: str | Path) -> Iterator["Running"]:
        """A command that goes on until it is stopped, at the latest at the end of the block."""
        process = subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
        )
        with process:
            try:
                yield Running(process)
            finally:
                process.kill()

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "mastertrade", *map(str, arguments)]

    def environment(self, variables: dict[str, str] | None = None) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        ours = {"PYTHONPATH": PACKAGES, "MASTERTRADE_HOME": str(self.home)}
        return kept | ours | self.variables | (variables or {})


@dataclass(frozen=True, slots=True)
class Running:
    process: "subprocess.Popen[str]"

    def line(self) -> str:
        """Its next line on standard output. An end before that is a failure with what it said."""
        assert self.process.stdout is not None
        found = self.process.stdout.readline()
        assert found, self.process.communicate(timeout=TIMEOUT_S)
        return found

    def end(self, signal_number: int) -> Answer:
        """Send the signal and wait until the command has ended."""
        self.process.send_signal(signal_number)
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return Answer(code=self.process.returncode, out=out, err=err)


@contextmanager
def command_line(home: Path) -> Iterator[CommandLine]:
    """In a home whose server stays up meanwhile, so that no command waits for it to start. Leaves no process behind."""
    with embedded_server(home):
        yield CommandLine(home)
    end_supervisor(home)
