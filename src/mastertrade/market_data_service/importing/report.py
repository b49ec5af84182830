"""What became of one file."""

from dataclasses import dataclass, field
from typing import Any

from mastertrade.market_data_service.importing.findings import Noticed
from mastertrade.market_data_service.intervals import interval_name

COUNTS = ("rows_read", "rows_stored", "unchanged", "revisions", "rejected", "quarantined")


@dataclass(slots=True, kw_only=True)
class FileReport:
    """``rows_stored`` were not there before; ``unchanged`` were there as they are, ``revisions`` with other numbers.
    ``duplicates`` said again what a row of the same file had said, ``blank`` had no cells for any series.
    ``error`` says why the file, or the rest of it, could not be used."""

    file: str
    kind: str | None = None
    venue: str | None = None
    symbol: str | None = None
    interval_s: int | None = None
    sha256: str | None = None
    rows_read: int = 0
    rows_stored: int = 0
    unchanged: int = 0
    revisions: int = 0
    rejected: int = 0
    quarantined: int = 0
    duplicates: int = 0
    seconds: float = 0.0
    first_reject: str | None = None
    rejects_file: str | None = None
    error: str | None = None
    findings: list[Noticed] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    stored_by_kind: dict[str, int] = field(default_factory=dict)
    """Of files that hold several kinds, as recorded feeds do."""

    @property
    def timeframe(self) -> str | None:
        return None if self.interval_s is None else interval_name(self.interval_s)

    @property
    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in COUNTS}

    @property
    def is_clean(self) -> bool:
        """Everything in the file is stored."""
        return not (self.error or self.rejected or self.quarantined)

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "kind": self.kind,
            "venue": self.venue,
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            **self.counts,
            "duplicates": self.duplicates,
            "seconds": round(self.seconds, 3),
            "stored_by_kind": self.stored_by_kind,
            "rejects_file": self.rejects_file,
            "reasons": self.reasons,
            "findings": [
                {
                    "rule": one.rule,
                    "severity": one.severity.value,
                    "detail": one.detail,
                    "count": one.count,
                    "first": one.first,
                }
                for one in self.findings
            ],
            "sha256": self.sha256,
            "error": self.error,
        }
