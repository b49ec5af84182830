"""Ids, times, enums, AttrDict, and our facts as JSON and back."""

import copy
import json
import pickle
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from mastertrade.domain.events import CandlesClosed, Event, OrderApproved, OrderFilled, SignalRaised
from mastertrade.domain.market import Candle
from mastertrade.domain.orders import ApprovedOrder, OrderStatus, OrderType, Side
from mastertrade.domain.strategy import Signal, SignalType
from mastertrade.shared.errors import BadData
from mastertrade.shared.serialization import (
    AttrDict,
    coerce_enum,
    dump_json,
    encode,
    ensure_text_id,
    ensure_uuid,
    from_json_object,
    get_attr,
    legacy_uuid,
    load_json,
    new_id,
    parse_datetime,
    parse_datetime_leniently,
    row_to_dict,
    to_json_object,
    to_serializable,
)

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_ids_are_version_7_and_rise_within_the_process() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {one.version for one in ids} == {7}
    assert {one.variant for one in ids} == {ids[0].variant}


def test_an_id_carries_the_time_it_was_given() -> None:
    assert new_id(NOON).int >> 80 == int(NOON.timestamp() * 1000)


def test_ids_of_one_given_moment_rise_and_follow_its_order() -> None:
    ids = [new_id(NOON + timedelta(milliseconds=step // 100)) for step in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000


def test_a_legacy_id_is_the_same_uuid_for_ever() -> None:
    # Stored rows depend on this very value.
    assert legacy_uuid("strategies", "momentum_1_0") == UUID("4a45ce95-c929-5e8d-adfc-bb60549a14b8")
    assert ensure_uuid("momentum_1_0") == legacy_uuid("strategies", "momentum_1_0")
    assert ensure_uuid(7) == ensure_uuid("7") == legacy_uuid("strategies", "7")
    assert ensure_uuid("x", kind="signals") != ensure_uuid("x")


def test_a_uuid_stays_itself_in_every_spelling() -> None:
    one = uuid4()
    assert ensure_uuid(one) == ensure_uuid(str(one)) == ensure_uuid(f" {str(one).upper()} ") == one


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "x" * 10_000, "'; DROP TABLE strategies"])
def test_no_text_makes_an_id_lookup_raise(text: str) -> None:
    assert ensure_uuid(text).version == 5


def test_a_missing_text_id_is_made() -> None:
    assert ensure_text_id("sl_1") == "sl_1"
    assert UUID(ensure_text_id("")).version == 4
    assert ensure_text_id(None) != ensure_text_id(None)


@pytest.mark.parametrize(
    "given",
    [
        NOON,
        datetime(2024, 5, 1, 12),  # noqa: DTZ001 - naive counts as UTC here
        datetime(2024, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))),
        "2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00",
        "2024-05-01 14:00:00+02:00",
        1714564800,
        1714564800.0,
    ],
)
def test_a_time_is_read_from_whatever_the_older_api_accepted(given: datetime | str | float) -> None:
    assert parse_datetime(given) == NOON
    assert parse_datetime(given).tzinfo is UTC


def test_a_date_is_its_midnight() -> None:
    assert parse_datetime(date(2024, 5, 1)) == parse_datetime("2024-05-01") == datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "", "2024-13-01", 1e300, float("nan"), True])
def test_what_is_no_time_raises_strictly_and_returns_unchanged_leniently(text: str | float) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the parser's
        parse_datetime(text)
    assert parse_datetime_leniently(text) is text


def test_a_row_shows_ids_as_text_and_decimals_as_floats() -> None:
    one = uuid4()
    row = row_to_dict({"id": one, "price": Decimal("1.5"), "at": NOON, "meta": {"a": 1}})
    assert row == {"id": str(one), "price": 1.5, "at": NOON, "meta": {"a": 1}}


class Level(Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class Note:
    at: datetime
    level: Level


def test_anything_of_the_older_api_becomes_json() -> None:
    one = uuid4()
    value = {
        "note": Note(NOON, Level.HIGH), "ids": {one}, "pair": (1, Decimal("0.5")), "none": None,
        "nan": float("nan"), "infinite": Decimal("Infinity"), Level.LOW: date(2024, 5, 1),
    }  # fmt: skip
    assert json.loads(json.dumps(to_serializable(value))) == {
        "note": {"at": "2024-05-01T12:00:00+00:00", "level": "high"},
        "ids": [str(one)],
        "pair": [1, 0.5],
        "none": None,
        "nan": None,
        "infinite": None,
        "low": "2024-05-01",
    }


def test_a_field_is_read_from_a_dict_or_an_object() -> None:
    assert get_attr({"at": 1}, "at") == get_attr(AttrDict(at=1), "at") == 1
    assert get_attr(Note(NOON, Level.LOW), "level") is Level.LOW
    assert get_attr(object(), "missing", 5) == 5


@pytest.mark.parametrize("given", ["high", "HIGH", " High ", Level.HIGH, "error"])
def test_an_enum_is_found_by_value_name_or_alias(given: object) -> None:
    assert coerce_enum(Level, given, {"error": Level.HIGH}) is Level.HIGH


def test_what_is_no_member_comes_back_unchanged() -> None:
    assert coerce_enum(Level, "unheard of") == "unheard of"
    assert coerce_enum(Level, None) is None


def test_an_attr_dict_is_a_dict_with_attributes() -> None:
    row = AttrDict(a=1, nested={"b": 2}, values="shadowed")
    row.c = 3
    row.nested.b = 4
    assert (row.a, row["c"], row.nested.b, row["values"]) == (1, 3, 4, "shadowed")
    assert callable(row.values)
    assert not hasattr(row, "d")
    assert getattr(row, "d", "default") == "default"
    del row.c
    with pytest.raises(AttributeError):
        del row.c
    assert row == {"a": 1, "nested": {"b": 4}, "values": "shadowed"}
    assert json.loads(json.dumps(row)) == row


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda row: pickle.loads(pickle.dumps(row))])  # noqa: S301
def test_an_attr_dict_can_be_copied_and_pickled(duplicate: object) -> None:
    row = AttrDict(a=1, nested={"b": 2})
    twin = duplicate(row)  # type: ignore[operator]
    assert type(twin) is AttrDict
    assert twin == row
    twin.a = 2
    assert row.a == 1


def candle(**changes: object) -> Candle:
    values = {
        "instrument_id": 1, "venue": "v", "symbol": "BTC/USDT", "interval_s": 60, "open_time": NOON,
        "open": 1.5, "high": 2.0, "low": 1.0, "close": 1.75, "volume": 1e-8,
    }  # fmt: skip
    return Candle(**{**values, **changes})  # type: ignore[arg-type]


def examples() -> list[Event]:
    ids = [uuid4() for _ in range(8)]
    base: dict[str, Any] = {"id": ids[0], "occurred_at": NOON, "correlation_id": ids[1], "causation_id": None}
    signal = Signal(
        id=ids[0], strategy_id=ids[1], account_id=ids[2], instrument_id=1, symbol="BTC/USDT", type=SignalType.BUY,
        timeframe_s=900, bar_close=NOON, price=1.25, confidence=80.0, raised_at=NOON, valid_until=NOON,
        evidence={"rsi": 31.5, "rule": "below"},
    )  # fmt: skip
    approval = ApprovedOrder(
        approval_id=ids[0], verdict_id=ids[1], signal_id=ids[2], strategy_id=ids[3], account_id=ids[4],
        reservation_id=ids[5], instrument_id=1, symbol="BTC/USDT", side=Side.SELL, type=OrderType.MARKET,
        quantity=Decimal("0.10000000"), limit_price=None, reduces=True, approved_at=NOON, valid_until=NOON,
    )  # fmt: skip
    filled = OrderFilled(
        **base, fill_id=ids[2], order_id=ids[3], strategy_id=None, account_id=ids[4], instrument_id=1,
        symbol="BTC/USDT", side=Side.BUY, quantity=Decimal("1.10"), price=Decimal("1E+3"), commission=Decimal(0),
        commission_asset="USDT", realized_pnl=Decimal("-0.5"), position_quantity=Decimal(1),
        position_entry_price=Decimal("0.000000000000000001"), status=OrderStatus.FILLED,
    )  # fmt: skip
    return [
        CandlesClosed(**base, interval_s=60, open_time=NOON, candles=(candle(), candle(instrument_id=2))),
        SignalRaised(**base, signal=signal),
        OrderApproved(**base, approval=approval),
        OrderApproved(**base, approval=replace(approval, limit_price=Decimal("12.50"))),
        filled,
    ]


@pytest.mark.parametrize("event", examples(), ids=lambda event: type(event).__name__)
def test_a_fact_comes_back_equal_from_its_json(event: Event) -> None:
    text = dump_json(to_json_object(event))
    twin = from_json_object(type(event), load_json(text))
    assert twin == event
    assert repr(twin) == repr(event)  # 1.10 stays 1.10


def test_decimals_travel_as_text() -> None:
    assert to_json_object(examples()[-1])["quantity"] == "1.10"


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity", "1E+3000000", "1E-3000000", "abc", None, True, [1]])
def test_a_hostile_decimal_in_json_is_refused_with_its_name(price: object) -> None:
    data = {**to_json_object(examples()[-1]), "price": price}
    with pytest.raises(BadData, match="price"):
        from_json_object(OrderFilled, data)


def test_a_number_that_is_not_finite_does_not_become_a_fact() -> None:
    bad = CandlesClosed(
        id=uuid4(), occurred_at=NOON, interval_s=60, open_time=NOON, candles=(candle(high=float("nan")),)
    )
    with pytest.raises(BadData, match="high is nan"):
        to_json_object(bad)


def test_a_time_without_zone_does_not_become_a_fact() -> None:
    data = {**to_json_object(examples()[-1]), "occurred_at": "2024-05-01T12:00:00"}
    with pytest.raises(BadData, match="time zone"):
        from_json_object(OrderFilled, data)


def test_a_missing_field_is_named_and_an_unknown_one_ignored() -> None:
    data = to_json_object(examples()[-1])
    assert from_json_object(OrderFilled, {**data, "from_the_future": 1}) == from_json_object(OrderFilled, data)
    del data["symbol"]
    with pytest.raises(BadData, match=r"OrderFilled.*symbol"):
        from_json_object(OrderFilled, data)


def test_scalars_of_array_libraries_are_numbers() -> None:
    assert encode({"a": np.float64(1.5), "b": np.int64(2)}) == {"a": 1.5, "b": 2}
    assert load_json(dump_json({"a": np.float64(1.5), "b": np.int64(2)})) == {"a": 1.5, "b": 2}


class Colour(StrEnum):
    RED = "red"


def test_stored_json_holds_what_python_has() -> None:
    one = uuid4()
    value = {
        "id": one,
        "at": NOON,
        "price": Decimal("1.10"),
        "colour": Colour.RED,
        "level": Level.LOW,
        "set": {1},
        "ü": "\x00",
    }
    assert load_json(dump_json(value)) == {
        "id": str(one),
        "at": "2024-05-01T12:00:00Z",
        "price": "1.10",
        "colour": "red",
        "level": "low",
        "set": [1],
        "ü": "\x00",
    }


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("-inf")]}, Decimal("NaN"), object(), {(1, 2): 3}])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(BadData, match=r"JSON|finite"):
        dump_json(value)


@pytest.mark.parametrize("text", [b"NaN", b"{", b"1e999", b"\xff", b"[" * 100_000])
def test_text_that_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(BadData):
        load_json(text)
