"""A process of the tests that plays the short plan, for killing it."""

import os
import selectors
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mastertrade
from tests.platform.walk_seed import RISK

PLAYING = b"playing\n"
START_TIMEOUT_S, FINISH_TIMEOUT_S = 30.0, 60.0


class Replaying:
    """``python -m tests.faults.replay_driver`` on the server of ``home``, or on that of ``environment``."""

    def __init__(self, home: Path, *arguments: str, **environment: str) -> None:
        self._errors = home.parent / "replaying.errors"
        self._is_playing = False
        paths = os.pathsep.join((str(Path(mastertrade.__file__).parents[1]), str(Path(__file__).parents[2])))
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.replay_driver", *arguments],
                env=os.environ | RISK | {"PYTHONPATH": paths, "MASTERTRADE_HOME": str(home)} | environment,
                stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def said(self) -> str:
        return f"exit code {self.exit_code}: {self._errors.read_text(errors='replace')[-4000:]}"

    def begins_to_play(self) -> bool:
        """Waits until it has reconciled and the market moves; false when it has ended instead."""
        if not self._is_playing:
            assert self._process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(self._process.stdout, selectors.EVENT_READ)
                assert selector.select(START_TIMEOUT_S), "neither plays nor ends"
            self._is_playing = self._process.stdout.readline() == PLAYING
        return self._is_playing

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Its exit code once it ends; None when it has not within ``timeout_s``. Without one it has to end."""
        try:
            return self._process.wait(FINISH_TIMEOUT_S if timeout_s is None else timeout_s)
        except subprocess.TimeoutExpired:
            assert timeout_s is not None, "does not end"
            return None

    def kill(self) -> None:
        """Harmless when it has ended."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


Start = Callable[..., Replaying]
