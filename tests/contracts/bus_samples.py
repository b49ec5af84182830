"""Events for the bus suites: simple ones with a key and a text, and one filled-in sample of every type."""

import dataclasses
import types
import typing
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from mastertrade.domain.events import OpportunityFound, TradingStateChanged
from mastertrade.domain.risk import TradingMode
from mastertrade.messaging.bus import Bus
from mastertrade.shared.serialization import new_id
from tests.contracts.conftest import BusHouse

NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)
Fact = TradingStateChanged
"""The event the suites talk about; its scope is the key, its reason the text."""
OtherFact = OpportunityFound


def fact(text: str, key: str = "global") -> TradingStateChanged:
    return TradingStateChanged(
        id=new_id(), occurred_at=NOON, scope=key, mode=TradingMode.RUNNING, reason=text, actor="suite"
    )


def sample(kind: Any) -> Any:
    """A value of the type with every field filled in."""
    simple = {UUID: new_id(), datetime: NOON, Decimal: Decimal("1.10"), str: "ABC/DEF", int: 60, float: 1.5, bool: True}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in simple:
        return simple[kind]
    if origin is tuple:
        return (sample(arguments[0]),) * 2
    if origin is dict:
        return {"rsi": 28.25, "template": "rsi_reversion"}
    if origin in (types.UnionType, typing.Union):
        return sample(arguments[0])
    if issubclass(kind, Enum):
        return list(kind)[-1]
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: sample(hints[field.name]) for field in dataclasses.fields(kind)})


async def publish(house: BusHouse, bus: Bus, events: Iterable[Any]) -> None:
    """Each in a transaction of its own."""
    for event in events:
        async with house.transaction() as tx:
            await bus.publish(event, within=tx)
