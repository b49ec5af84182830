"""What an algo order is, what has come of it, and what it sees of its market."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from mastertrade.domain.orders import ORDINARY, Side, Terms
from mastertrade.shared.serialization import parse_datetime


class AlgoKind(StrEnum):
    """Waits for a price; buys and then gives up at a stop or a target; slices over time; slices as others trade; shows
    a part of itself; takes an order's place."""

    TRIGGER = "trigger"
    BRACKET = "bracket"
    TWAP = "twap"
    PARTICIPATION = "participation"
    ICEBERG = "iceberg"
    REPLACE = "replace"


class AlgoStatus(StrEnum):
    """ENDING: nothing new is raised, and what may still trade is called back."""

    WORKING = "working"
    ENDING = "ending"
    DONE = "done"
    CANCELED = "canceled"
    EXPIRED = "expired"
    FAILED = "failed"


class Leg(StrEnum):
    ENTRY = "entry"
    EXIT = "exit"
    SLICE = "slice"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Prices that are waited for. ``stop`` is worse than the market for who waits, ``target`` better; ``trail`` is a
    stop that follows the best price seen, so many percent behind it. With several the first one touched counts, and of
    those that one bar touches the stop."""

    stop: Decimal | None = None
    target: Decimal | None = None
    trail: Decimal | None = None

    def __bool__(self) -> bool:
        return any(one is not None for one in (self.stop, self.target, self.trail))

    def stop_at(self, side: Side, best: Decimal | None) -> Decimal | None:
        """Where an order of this side is triggered against its will; the nearer of stop and trail."""
        found = [] if self.stop is None else [self.stop]
        if self.trail is not None and best is not None:
            found.append(best * (1 - self.trail / 100 if side is Side.SELL else 1 + self.trail / 100))
        return (max if side is Side.SELL else min)(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``over_s`` seconds in ``slices``; ``percent`` of the market's volume; ``display`` is what is shown at once."""

    watch: Watch = Watch()
    over_s: int | None = None
    slices: int | None = None
    percent: Decimal | None = None
    display: Decimal | None = None

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> "Rules":
        watch = {name: _decimal(value) for name, value in (given.get("watch") or {}).items()}
        return Rules(
            watch=Watch(**watch),
            over_s=given.get("over_s"),
            slices=given.get("slices"),
            percent=_decimal(given.get("percent")),
            display=_decimal(given.get("display")),
        )

    def to_json(self) -> dict[str, Any]:
        """Only what is said."""
        return _plain({**asdict(self), "watch": _plain(asdict(self.watch))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What an algo order remembers between two looks. ``volume`` is what the market traded since it began, ``hit`` what
    it was triggered by, ``refused`` how often in a row it was refused, ``due`` the last slice that was refused."""

    best: Decimal | None = None
    volume: Decimal = Decimal(0)
    hit: str = ""
    refused: int = 0
    due: int = 0
    seen_until: datetime | None = None
    end_as: AlgoStatus = AlgoStatus.CANCELED

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> "Progress":
        known = {one.name: given[one.name] for one in fields(Progress) if one.name in given}
        if "best" in known:
            known["best"] = _decimal(known["best"])
        if "volume" in known:
            known["volume"] = Decimal(known["volume"])
        if "seen_until" in known:
            known["seen_until"] = parse_datetime(known["seen_until"])
        if "end_as" in known:
            known["end_as"] = AlgoStatus(known["end_as"])
        return Progress(**known)

    def to_json(self) -> dict[str, Any]:
        return _plain(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgoOrder:
    """``quantity`` None is sized by the risk manager. ``smallest`` is what the market takes at least, in base units,
    at its last price."""

    id: UUID
    kind: AlgoKind
    side: Side
    quantity: Decimal | None
    lot: Decimal
    smallest: Decimal
    rules: Rules
    began_at: datetime
    limit_price: Decimal | None = None
    terms: Terms = ORDINARY
    ends_at: datetime | None = None
    status: AlgoStatus = AlgoStatus.WORKING
    progress: Progress = Progress()


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One order that came of it, or is on its way. ``is_over`` when nothing more can trade, ``is_filled`` when all
    of it has, ``is_lost`` when its venue never knew it, by everything the venue says; ``refusal`` when the risk
    manager or the venue let nothing of it through; ``cancelled_by`` a person who wanted it cancelled; ``filled_at`` is
    of its first fill, ``price`` the average of all."""

    leg: Leg
    filled: Decimal = Decimal(0)
    is_over: bool = False
    is_filled: bool = False
    is_lost: bool = False
    refusal: str = ""
    cancelled_by: str = ""
    filled_at: datetime | None = None
    price: Decimal | None = None
    order_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the market did from ``begins`` on and where it is; of a bar that began before something happened only the
    close counts for that."""

    begins: datetime
    ends: datetime
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    def since(self, moment: datetime | None) -> "Seen":
        if moment is None or self.begins >= moment:
            return self
        return Seen(
            begins=self.begins, ends=self.ends, high=self.close, low=self.close, close=self.close, volume=Decimal(0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An order to be raised now."""

    leg: Leg
    side: Side
    quantity: Decimal | None
    because: str
    limit_price: Decimal | None = None
    terms: Terms = ORDINARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """At most one order is raised, and only while none of the algo order's may still trade."""

    progress: Progress
    status: AlgoStatus = AlgoStatus.WORKING
    outcome: str = ""
    raises: Wanted | None = None
    cancels: tuple[UUID, ...] = ()


ENDED: Final = frozenset(AlgoStatus) - {AlgoStatus.WORKING, AlgoStatus.ENDING}


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, Decimal):
            found[name] = f"{value:f}"
        elif isinstance(value, datetime):
            found[name] = value.isoformat()
        elif value is not None and value != "" and value != {}:
            found[name] = value
    return found
