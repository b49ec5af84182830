"""The strategy service's data as the older system's callers pass and get it. Mutable, with floats and text ids."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from mastertrade.shared.serialization import utc_now


class Strategy(BaseModel):
    """Read both as an object and as a dict: ``s.id``, ``s["id"]``, ``s.get("name")``."""

    id: str
    name: str
    type: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    is_active: bool = True
    symbols: list[dict[str, Any]] = Field(default_factory=list)
    status: str | None = None
    enabled: bool | None = None
    allocation: float | None = None
    configuration: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        if name not in type(self).model_fields:
            raise KeyError(name)
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in type(self).model_fields

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name) if name in self else default

    def keys(self) -> Iterator[str]:
        return iter(type(self).model_fields)


class StrategyConfig(BaseModel):
    name: str
    type: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    symbols: list[str] = Field(default_factory=list)
    is_active: bool = True


class Signal(BaseModel):
    strategy_id: str
    symbol: str
    signal_type: Literal["BUY", "SELL", "HOLD"]
    confidence: float = Field(ge=0, le=100)
    price: float = Field(ge=0, allow_inf_nan=False)
    quantity: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    metadata: dict[str, Any] = Field(default_factory=dict)
    timestamp: datetime = Field(default_factory=utc_now)


class StrategyResult(BaseModel):
    """``execution_time`` is in seconds."""

    strategy_id: str
    symbol: str
    signals: list[Signal] = Field(default_factory=list)
    execution_time: float
    error: str | None = None
