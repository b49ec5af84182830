"""The rows of a file that were not stored, each with its number and the reason, in a csv that can be mended."""

import csv
from collections import Counter
from pathlib import Path
from typing import TextIO

FOLDER = "rejects"
"""Below MASTERTRADE_HOME."""
SHOWN_CHARACTERS = 500


class Rejects:
    """Writes nothing before the first row; an import without rejects removes the file of an earlier one."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / FOLDER / f"{name}.rejects.csv"
        self.counts: Counter[str] = Counter()
        self.first: str | None = None
        self._file: TextIO | None = None

    @property
    def total(self) -> int:
        return self.counts.total()

    def add(self, row: int, reason: str, text: str) -> None:
        if self._file is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(["row", "reason", "text"])
        if self.first is None:
            self.first = f"row {row}: {reason}: {text[:60]}"
        self.counts[reason] += 1
        csv.writer(self._file).writerow([row, reason, text[:SHOWN_CHARACTERS]])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        else:
            self.path.unlink(missing_ok=True)
