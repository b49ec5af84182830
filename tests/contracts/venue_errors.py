"""How each venue writes an error: the same code in every shape that its documents show, and what it says when it does
not know how far an order came."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tests.contracts.venue_answers import (
    binance_error,
    bybit_error,
    coinbase_failure,
    kraken_error,
    okx_error,
    okx_refusal,
)

Spoken = tuple[int, Any]
"""The status of HTTP, and the body."""

BINANCE_KEYS: Final = frozenset({"-1002", "-1022", "-1099", "-2008", "-2014", "-2015"})
BYBIT_KEYS: Final = frozenset({"10003", "10004", "10005", "10007", "10008", "10009", "10010", "33004"})


def binance(code: str) -> list[Spoken]:
    statuses = (400, 401) if code in BINANCE_KEYS else (400,)
    return [binance_error(int(code), "Filter failure: LOT_SIZE", status) for status in statuses]


def bybit(code: str) -> list[Spoken]:
    """Orders are refused with 200, keys also with an error of HTTP."""
    body = bybit_error(int(code), "The request is not valid.")[1]
    return [(status, body) for status in ((200, 401, 403) if code in BYBIT_KEYS else (200,))]


def coinbase(code: str) -> list[Spoken]:
    """In the field of its check before an order or in the one of the order, alone or beside fields that say nothing;
    older answers repeat it as ``error``."""
    nothing, no_preview = "UNKNOWN_FAILURE_REASON", "UNKNOWN_PREVIEW_FAILURE_REASON"
    if code.startswith("PREVIEW_"):
        spoken = [coinbase_failure(preview=code), coinbase_failure(preview=code, new=nothing, error=code)]
    else:
        spoken = [
            coinbase_failure(new=code),
            coinbase_failure(new=code, preview=no_preview, error=code),
            coinbase_failure(preview=no_preview, error=code),
        ]
    return [*spoken, *((400, body) for _, body in spoken)]


def kraken(code: str) -> list[Spoken]:
    """With what it is about behind it, or without; some answers hold an empty result besides."""
    return [kraken_error(code), kraken_error(f"{code}:volume"), (200, {"error": [code], "result": {}})]


def okx(code: str) -> list[Spoken]:
    """Of the order itself within its part, of the request around it; parameters are checked in both places."""
    text = "The order was not placed."
    if code.startswith("50"):
        return [okx_error(code, text, 401 if code > "50100" else 400), okx_error(code, text)]
    return [okx_refusal(code, text), okx_error(code, text, 400), okx_error(code, text)]


SHAPES: Final[Mapping[str, Callable[[str], list[Spoken]]]] = {
    "binance": binance,
    "bybit": bybit,
    "coinbase": coinbase,
    "kraken": kraken,
    "okx": okx,
}
OPEN: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "binance": {
        "busy": ("-1001", "-1008", "-1016"),
        "time-out": ("-1006", "-1007"),
        "unknown": ("-1000", "-1010", "-9999"),
        "too many": ("-1003", "-1015", "-1034"),
        "of another question": ("-2011", "-2013", "-2021", "-2022", "-2026"),
    },
    "bybit": {
        "busy": ("10000", "170032", "170234"),
        "time-out": ("170007", "170146", "170147"),
        "unknown": ("10016", "170001", "170149", "170150", "179999"),
        "too many": ("10006", "10018", "10429", "170005", "170222"),
        "the same again": ("10014", "170141", "110072"),
        "taken, with a warning": ("170035", "170195", "170196"),
        "of another question": ("170139", "170142", "170143", "170190", "170191", "170213"),
    },
    "coinbase": {
        "behind it": ("COMMANDER_REJECTED_NEW_ORDER", "PREVIEW_RISK_PROXY_FAILURE", "PREVIEW_MISSING_COMMISSION_RATE"),
        "unknown": ("UNKNOWN_FAILURE_REASON", "UNKNOWN_PREVIEW_FAILURE_REASON", "REASON_OF_TOMORROW", "INTERNAL"),
        "too many": ("RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"),
        "the same again": ("DUPLICATE_CLIENT_ORDER_ID",),
        "of another question": ("UNKNOWN_CANCEL_ORDER", "ORDER_IS_FULLY_FILLED", "DUPLICATE_CANCEL_REQUEST"),
    },
    "kraken": {
        "busy": ("EService:Busy", "EService:Unavailable", "EService:Throttled"),
        "time-out": ("EService:Timeout", "EService:Deadline elapsed"),
        "unknown": ("EGeneral:Internal error", "EDatabase:Internal error", "EGeneral:Unknown error", "EOrder:Later"),
        "too many": (
            "EAPI:Rate limit exceeded", "EOrder:Rate limit exceeded", "EOrder:Domain rate limit exceeded",
            "EGeneral:Temporary lockout", "EGeneral:Too many requests",
        ),
        "of another question": ("EOrder:Unknown order",),
    },
    "okx": {
        "busy": ("50001", "50005", "50013", "50026"),
        "time-out": ("50004", "51149"),
        "unknown": ("50000", "50028", "50063", "59999", "1", "2"),
        "too many": ("50011", "50040", "50061", "51113"),
        "the same again": ("51011", "51016"),
        "of another question": ("51400", "51401", "51402", "51410", "51603"),
    },
}  # fmt: skip
"""Documented codes that say nothing certain of an order: none of them may ever stand among those that refuse it."""
AGAIN: Final[Mapping[str, Sequence[Spoken]]] = {
    "binance": (binance_error(-2010, "Duplicate order sent."), binance_error(-2010, "Duplicate clientOrderId.")),
    "bybit": (bybit_error(10001, "OrderLinkedID Duplicate"), bybit_error(170210, "Duplicate clientOrderId.")),
    "coinbase": ((400, {"error": "INVALID_REQUEST", "message": "client_order_id has already been used"}),),
    "kraken": (
        kraken_error("EGeneral:Invalid arguments:cl_ord_id already exists"),
        kraken_error("EOrder:Invalid order:Duplicate cl_ord_id"),
        kraken_error("EGeneral:Invalid arguments:cl_ord_id must be unique"),
    ),
    "okx": (okx_refusal("51000", "Duplicated client order ID"), okx_error("51000", "clOrdId already exists", 400)),
}
"""The order may be there already: a code that refuses, with words that say so."""


def mixed(name: str, code: str, other: str) -> Spoken | None:
    """One answer with both codes, where the venue can say more than one."""
    if name == "coinbase":
        return (
            coinbase_failure(preview=code, new=other)
            if code.startswith("PREVIEW_")
            else coinbase_failure(new=code, preview=other)
        )
    if name == "kraken":
        return 200, {"error": [code, other]}
    if name == "okx":
        status, body = okx_refusal(code)
        return status, {**body, "data": [*body["data"], {**body["data"][0], "sCode": other}]}
    return None
