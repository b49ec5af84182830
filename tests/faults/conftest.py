"""What the fault tests start, and what they leave running: nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.replaying import Replaying, Start
from tests.postgres.embedded_home import end_supervisor


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    yield folder
    end_supervisor(folder)


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts a replay in a process of its own, on the server of ``home``; none outlives the test."""
    started: list[Replaying] = []

    def start_one(*arguments: str, **environment: str) -> Replaying:
        started.append(Replaying(home, *arguments, **environment))
        return started[-1]

    yield start_one
    for replaying in started:
        replaying.kill()
