"""What was noticed about data that was stored all the same."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(slots=True, kw_only=True)
class Noticed:
    """One rule's finding over a whole file; ``first`` says where it was seen first."""

    rule: str
    severity: Severity
    detail: str
    count: int = 0
    first: str | None = None


class Findings:
    def __init__(self) -> None:
        self._by_rule: dict[str, Noticed] = {}

    def add(self, rule: str, severity: Severity, detail: str, *, count: int = 1, first: str | None = None) -> None:
        if count:
            found = self._by_rule.setdefault(rule, Noticed(rule=rule, severity=severity, detail=detail, first=first))
            found.count += count

    def all(self) -> list[Noticed]:
        return list(self._by_rule.values())
