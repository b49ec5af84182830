"""What every result for Python programs can do: print as a page, show itself in a notebook, be saved for a browser."""

from abc import abstractmethod
from os import PathLike
from pathlib import Path

from mastertrade.backtest.report import Report, to_html, to_snippet


class Reported:
    """A result that has a report."""

    @abstractmethod
    def report(self) -> Report:
        """The result as ``mastertrade.backtest.report`` writes it: text, HTML, JSON, CSV."""

    def save_html(self, path: str | PathLike[str]) -> Path:
        """Write one file for a browser, which needs nothing else; an existing file is replaced. Returns its path."""
        target = Path(path)
        target.write_text(to_html(self.report()), encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        """A notebook's cell."""
        return to_snippet(self.report())
