"""How the compiled loop keeps what it moves about: one record a market, one of the account, one of the terms, and the
columns it reads."""

from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mastertrade.backtest.options import SizingMethod, Terms


def _code() -> str:
    """A name that changes with the code of the loop. Numba keeps machine code by the file of the function and by the
    types it is handed; through this it also sees a change of the files that the function's file imports."""
    parts = sorted(Path(__file__).parent.glob("kernel*.py"))
    return "code_" + sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:16]


PLACE = np.dtype(
    [
        *((name, np.int64) for name in (
            "bar", "last", "rule", "last_rule", "is_trading", "is_awake", "wakes_at", "has_order", "order_reason",
            "order_has_entered", "side", "stop_reason", "entry_bar", "is_ambiguous",
        )),
        *((name, np.float64) for name in (
            "open", "high", "low", "close", "volume", "wanted", "wanted_before", "unit", "atr_now", "funding_rate",
            "known_impact", "lot", "tick", "min_notional", "mark", "room", "stop", "target", "order_quantity",
            "order_lot", "order_atr", "atr", "best", "quantity", "entered", "entry_price", "entry_reference", "left",
            "exit_price", "exit_reference", "fees", "spread", "slippage", "impact", "funding",
        )),
    ],
    align=True,
)  # fmt: skip
"""One market as the run goes, with what its columns say of the bar it woke at. ``side`` is 0 where nothing is held;
``last`` and ``last_rule`` are the places behind its columns; ``known_impact`` is that of the last closed bar."""
ACCOUNT = np.dtype(
    [
        ("cash", np.float64),
        *((name, np.int64) for name in (
            "unfilled", "carried", "ambiguous", "drilled", "liquidations", "trades", "ended", "steps", "positions",
            "is_ruined",
        )),
    ],
    align=True,
)  # fmt: skip
"""``ended`` trades had ended before everything was closed."""
TERMS = np.dtype(
    [
        *((name, np.float64) for name in (
            "taker_fee", "maker_fee", "half_spread", "slippage", "price_impact", "most_impact", "participation",
            "size", "limit", "leverage", "maintenance", "stop_loss", "take_profit", "trailing", "break_even",
            "stop_atr", "target_atr", "trailing_atr",
        )),
        *((name, np.int64) for name in ("is_quantity", "time_bars", "max_positions", "has_moving_stop", _code())),
    ],
    align=True,
)  # fmt: skip
EXIT_NAMES = (
    "stop_loss", "take_profit", "trailing", "break_even", "stop_atr", "target_atr", "trailing_atr", "time_bars",
)  # fmt: skip


class Columns(NamedTuple):
    """Those of several markets stand one behind the other, market ``k`` from ``first[k]`` on; what there is nothing of
    has no length. ``rule_from`` counts bars of its market."""

    first: Any
    time: Any
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any
    targets: Any
    long_unit: Any
    short_unit: Any
    atr: Any
    impact: Any
    funding: Any
    rule_from: Any
    lot: Any
    tick: Any
    min_notional: Any
    detail_start: Any
    detail_end: Any
    detail_open: Any
    detail_high: Any
    detail_low: Any


def terms_record(terms: Terms) -> Any:
    costs, record = terms.costs, np.zeros(1, TERMS)
    for name in ("taker_fee", "maker_fee", "half_spread", "slippage", "price_impact", "most_impact"):
        record[name] = getattr(costs, name)
    for name in EXIT_NAMES:
        record[name] = getattr(terms.exits, name)
    record["participation"] = costs.participation_cap
    record["size"], record["limit"] = terms.sizing.value, terms.sizing.limit
    record["is_quantity"] = terms.sizing.method is SizingMethod.QUANTITY
    record["leverage"], record["maintenance"] = terms.margin.leverage, terms.margin.maintenance
    record["max_positions"] = terms.max_positions
    record["has_moving_stop"] = terms.exits.has_moving_stop
    return record
