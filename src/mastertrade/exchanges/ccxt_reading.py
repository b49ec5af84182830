"""Names, numbers and moments out of what ccxt has parsed, or DependencyDown: it hands on a venue's nonsense as it came.

What is read here is booked. So a number is finite and one that the ledger holds, a name is there, and nothing happened
after now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from mastertrade.domain.orders import Side
from mastertrade.exchanges.ccxt_rules import Told
from mastertrade.shared.errors import DependencyDown

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST: Final = datetime(2009, 1, 1, tzinfo=UTC)
"""Nothing was traded before."""
LARGEST: Final = Decimal("1e18")
NO_NAMES: Final = frozenset({"", "nan", "inf", "-inf", "None"})
"""What is written of a number that is none, and of nothing: two orders without a number would be one."""
SHOWN: Final = 40
"""Letters of what a venue told that go into an error."""


@dataclass(frozen=True, slots=True)
class Reading:
    """``what``: "order", "fill" or "balance", for the error."""

    venue: str
    what: str
    told: Told

    def text(self, name: str) -> str:
        found = self.told.get(name)
        if isinstance(found, bool) or not isinstance(found, str | int) or found in NO_NAMES:
            self.refuse(name)
        return str(found)

    def number(self, name: str, default: int | None = None, *, may_be_negative: bool = False) -> Decimal:
        """``default``: where it is not told."""
        found = self.told.get(name)
        if found in (None, "") and default is not None:
            return Decimal(default)
        try:
            number = Decimal(str(found))
        except InvalidOperation:
            self.refuse(name)
        if not number.is_finite() or abs(number) >= LARGEST or (number < 0 and not may_be_negative):
            self.refuse(name)
        return number

    def above_zero(self, name: str) -> Decimal:
        number = self.number(name)
        if number == 0:
            self.refuse(name)
        return number

    def side(self) -> Side:
        try:
            return Side(self.text("side").upper())
        except ValueError:
            self.refuse("side")

    def moment(self, name: str, until: datetime) -> datetime:
        """Of milliseconds."""
        try:
            found = EPOCH + timedelta(milliseconds=int(self.told[name]))
        except (KeyError, TypeError, ValueError, OverflowError):
            self.refuse(name)
        if not EARLIEST < found <= until:
            self.refuse(name)
        return found

    def refuse(self, name: str) -> NoReturn:
        shown = repr(self.told.get(name))[:SHOWN]
        raise DependencyDown(
            f"{self.venue} does not answer as it should: the {name} of its {self.what} is {shown}; nothing of that "
            "answer is taken over"
        )


def rows(venue: str, told: Any, *path: str) -> Sequence[Mapping[str, Any]]:
    """A list that has to be there, though it may be empty: an answer without it does not say that there are none."""
    found = _within(told, path)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DependencyDown(f"{venue} does not answer as it should: no list of {' '.join(path) or 'them'}")
    return found


def named_rows(venue: str, told: Any, *path: str) -> Mapping[str, Mapping[str, Any]]:
    """The same where a venue writes them by their names."""
    found = _within(told, path)
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise DependencyDown(f"{venue} does not answer as it should: no list of {' '.join(path)}")
    return found


def _within(told: Any, path: Sequence[str]) -> Any:
    for name in path:
        told = told.get(name) if isinstance(told, dict) else None
    return told
