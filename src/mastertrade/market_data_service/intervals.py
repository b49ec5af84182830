"""Names of intervals, as the older system and candle files write them: 1m, 4h, 1d."""

import re

DAY_S = 86_400
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": DAY_S}


def interval_seconds(name: str) -> int:
    """The length of an interval; ValueError unless it divides a day."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", name)
    seconds = int(found[1]) * _UNIT_S[found[2]] if found else 0
    if not found or seconds > DAY_S or DAY_S % seconds:
        raise ValueError(f"interval {name!r} must be a number of s, m, h or d that divides a day, such as 1m, 4h or 1d")
    return seconds


def interval_name(seconds: int) -> str:
    """60 is 1m, 3600 is 1h, 86400 is 1d."""
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _UNIT_S[unit] == 0)
    return f"{seconds // _UNIT_S[unit]}{unit}"
