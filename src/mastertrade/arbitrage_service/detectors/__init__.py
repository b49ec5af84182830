"""Detectors: pure functions from quotes to opportunities. A new one is a file here and a line in ``DETECTORS``."""

from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

from mastertrade.arbitrage_service.detectors.cross_venue import ArbitrageLimits, find_cross_venue
from mastertrade.domain.arbitrage import Opportunity, Quote

Detector = Callable[[Iterable[Quote], ArbitrageLimits, datetime, Callable[[datetime], UUID]], list[Opportunity]]

DETECTORS: dict[str, Detector] = {"cross_venue": find_cross_venue}

__all__ = ["DETECTORS", "ArbitrageLimits", "Detector"]
