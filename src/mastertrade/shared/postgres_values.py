"""Values on their way to PostgreSQL and back: numeric as Decimal, json and jsonb as Python objects.

The driver's own numeric codec stores huge decimals as 0 and a float with its whole binary tail; this one refuses what
the amount domains of the schema would refuse, before anything is sent."""

import struct
from decimal import Decimal
from typing import Any

from mastertrade.shared.errors import BadData
from mastertrade.shared.exact_numbers import exact_decimal
from mastertrade.shared.json_data import dump_json, load_json

_HEADER = struct.Struct(">HhHH")
_POSITIVE, _NEGATIVE, _NAN, _INFINITY, _MINUS_INFINITY = 0x0000, 0x4000, 0xC000, 0xD000, 0xF000
_SPECIAL = {_NAN: "NaN", _INFINITY: "Infinity", _MINUS_INFINITY: "-Infinity"}


def encode_numeric(value: Any) -> bytes:
    """PostgreSQL's binary numeric: base-10000 digits, the weight of the first, sign and scale."""
    whole, _, decimals = f"{exact_decimal(value):f}".partition(".")
    flag = _NEGATIVE if whole[0] == "-" else _POSITIVE
    whole = whole.lstrip("-0")
    text = "0" * (-len(whole) % 4) + whole + decimals + "0" * (-len(decimals) % 4)
    groups = [int(text[at : at + 4]) for at in range(0, len(text), 4)]
    weight = (len(whole) + 3) // 4 - 1
    while groups and groups[0] == 0:
        del groups[0]
        weight -= 1
    if not groups:
        flag, weight = _POSITIVE, 0
    return struct.pack(f">HhHH{len(groups)}H", len(groups), weight, flag, len(decimals), *groups)


def decode_numeric(data: bytes) -> Decimal:
    count, weight, sign, scale = _HEADER.unpack_from(data)
    if sign in _SPECIAL:
        return Decimal(_SPECIAL[sign])
    groups = struct.unpack_from(f">{count}H", data, _HEADER.size)
    digits = "".join([f"{group:04d}" for group in groups]) or "0"
    have = 4 * (count - 1 - weight) if count else 0
    digits = digits[: len(digits) - (have - scale)] if have > scale else digits + "0" * (scale - have)
    return Decimal(f"{'-' if sign == _NEGATIVE else ''}{digits or '0'}E-{scale}")


def encode_json(value: Any) -> bytes:
    return dump_json(value)


def encode_jsonb(value: Any) -> bytes:
    return b"\x01" + dump_json(value)


def decode_json(data: bytes) -> Any:
    return load_json(data)


def decode_jsonb(data: bytes) -> Any:
    if data[:1] != b"\x01":
        raise BadData(f"jsonb version {data[:1]!r} is unknown: only version 1 is")
    return load_json(data[1:])


CODECS = {
    "numeric": (encode_numeric, decode_numeric),
    "json": (encode_json, decode_json),
    "jsonb": (encode_jsonb, decode_jsonb),
}
