"""Lines with the seconds they took, and progress bars; silent when a machine reads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mastertrade.cli.output import dim, errors, grid, show

NAME_WIDTH: Final = 22

Show = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


class Screen:
    """Lines on standard output. Bars on standard error, and only where that is a terminal."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet

    def line(self, name: str, text: str | Text, seconds: float | None = None) -> None:
        if not self._is_quiet:
            took = "" if seconds is None else f"  {seconds:.1f} s"
            show(grid([(dim(f"{name:<{NAME_WIDTH}}"), Text.assemble(text, (took, "dim")))]))

    @contextmanager
    def progress(self, name: str, *, total: int | None) -> Iterator[Show]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        is_off = self._is_quiet or not errors.is_terminal
        with Progress(*columns, console=errors, transient=True, disable=is_off) as bar:
            task = bar.add_task(name, total=total)
            yield lambda done, expected: bar.update(task, completed=done, total=max(done, expected))


@contextmanager
def transfer(name: str, *, is_quiet: bool) -> Iterator[Show]:
    """A bar over rows, with how many there are in a second and how long it will take."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=is_quiet or not errors.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, expected: bar.update(task, completed=done, total=max(done, expected))


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return dim("" if task.speed is None else f"{task.speed:,.0f} rows/s")
