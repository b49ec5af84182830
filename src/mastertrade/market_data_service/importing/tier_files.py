"""Leverage tiers as ccxt gives them: for each swap, up to which notional which leverage and maintenance margin hold."""

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from mastertrade.domain.market import parse_symbol
from mastertrade.market_data_service.importing import json_values
from mastertrade.market_data_service.importing.candle_files import Reading
from mastertrade.market_data_service.importing.findings import Severity
from mastertrade.market_data_service.importing.instrument_rows import decimal_of
from mastertrade.market_data_service.importing.opening import open_parts
from mastertrade.market_data_service.importing.tables import Reject
from mastertrade.market_data_service.postgres_instruments import LeverageTier
from mastertrade.shared.errors import BadData

SHOWN_CHARACTERS = 200
_EXPIRES = re.compile(r"-[0-9]{6}$")


def read_tiers(path: Path, *, reject: Reject, reading: Reading) -> Iterator[tuple[str, list[LeverageTier]]]:
    """Each market with its tiers, the smallest notional first. A row that is counted is a market."""
    skipped = 0
    with open_parts(path, reading.damage) as parts:
        for name, stream in parts:
            for body in json_values.values(stream, where=name):
                if not isinstance(body, dict):
                    raise BadData(f"{path}: leverage tiers are an object of markets, each with a list of its tiers")
                for symbol, tiers in body.items():
                    reading.read += 1
                    if _EXPIRES.search(symbol):
                        skipped += 1
                        continue
                    try:
                        yield _symbol(symbol), _tiers(tiers)
                    except (ValueError, TypeError, AttributeError) as error:
                        reject(reading.read, str(error), f"{symbol}: {tiers}"[:SHOWN_CHARACTERS])
    reading.findings.add("markets", Severity.INFO, "markets that expire are not kept", count=skipped)
    if reading.damage.what or reading.read == 0:
        what = reading.damage.what or "it holds no market"
        raise BadData(f"{path}: {what}; what stood before it was used, fetch the file again")


def _symbol(text: str) -> str:
    parts = parse_symbol(text)
    if parts.settle is None or not str(parts.settle).isalnum():
        raise ValueError(f"{text} is not the name of a perpetual swap, BASE/QUOTE:SETTLE")
    return str(parts)


def _tiers(values: Any) -> list[LeverageTier]:
    tiers = sorted((_tier(value) for value in values), key=lambda one: one.notional_from)
    if not tiers or tiers[0].notional_from != 0:
        raise ValueError("the first tier must begin at a notional of 0")
    for one, following in pairwise(tiers):
        if one.notional_to != following.notional_from or one.maintenance_rate > following.maintenance_rate:
            raise ValueError(
                f"the tier from {one.notional_from:f} ends at {one.notional_to}, the next begins at "
                f"{following.notional_from:f}: tiers must follow each other with rising maintenance margins"
            )
    return tiers


def _tier(value: Any) -> LeverageTier:
    def number(name: str) -> Decimal:
        found = decimal_of(value.get(name))
        if found is None or found < 0:
            raise ValueError(f"{name} must be a finite number and not below zero, not {value.get(name)!r}")
        return found

    rate = number("maintenanceMarginRate")
    if rate >= 1:
        raise ValueError(f"a maintenance margin rate of {rate} is not below 1")
    return LeverageTier(
        notional_from=number("minNotional"),
        notional_to=None if value.get("maxNotional") is None else number("maxNotional"),
        maintenance_rate=rate,
        max_leverage=number("maxLeverage"),
    )
