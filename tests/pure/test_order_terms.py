"""Terms of orders: what goes together, and what the paper venue makes of them at each bar."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.cli.order_terms import read_lasts, read_terms
from mastertrade.domain.market import Candle
from mastertrade.domain.orders import ORDINARY, OrderStatus, Side, Terms, TimeInForce
from mastertrade.exchanges.paper_matching import End, Rest, Trade, meet
from mastertrade.shared.errors import UsageError
from mastertrade.shared.serialization import from_json_object, to_json_object

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
GTD = TimeInForce.GTD


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"time_in_force": GTD}, "GTD: there is no time at which it ends; give one"),
        ({"expires_at": NOON}, "GTC: it does not end at a time, and 2026-01-05 12:00:00 UTC was given; use GTD"),
        ({"time_in_force": TimeInForce.FOK, "post_only": True}, "FOK: it trades at once or ends, and a post-only"),
        ({"time_in_force": TimeInForce.IOC, "post_only": True}, "post-only goes with GTC and GTD"),
    ],
)
def test_terms_that_do_not_go_together_are_no_terms(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Terms(**given)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"tif": "day"}, "--tif 'day': must be one of gtc, ioc, fok, gtd"),
        ({"tif": "gtd"}, "give one"),
        ({"until": "soon"}, "--until 'soon' is no time; write it like 2026-01-05T13:00"),
        ({"tif": "fok", "until": "2026-01-05T13:00"}, "use GTD, or leave the time out"),
        ({"tif": "fok", "until": "8h"}, "--tif fok does not end at a time; leave --until 8h out"),
        ({"until": "8h", "has_limit": False}, "a market order cannot have it"),
        ({"tif": "ioc", "has_limit": False}, "IOC: a market order cannot have it; give a limit price"),
        ({"post_only": True, "has_limit": False}, "post-only: a market order cannot have it"),
        ({"until": "2026-01-05T13:00", "has_limit": False}, "GTD: a market order cannot have it"),
        ({"reduce_only": True}, "reduce-only BUY: a spot position is reduced by selling; use SELL"),
    ],
)
def test_what_people_write_is_refused_with_the_value_and_the_next_step(words: dict[str, Any], told: str) -> None:
    usual = {"tif": "", "until": "", "post_only": False, "reduce_only": False, "has_limit": True}
    with pytest.raises(UsageError, match=told):
        read_terms(Side.BUY, **(usual | words))


def test_a_time_alone_makes_an_order_gtd_and_it_is_utc() -> None:
    usual = {"tif": "", "post_only": True, "reduce_only": False, "has_limit": True}
    terms = read_terms(Side.BUY, until="2026-01-05T13:00+01:00", **usual)  # type: ignore[arg-type]
    assert terms == Terms(time_in_force=GTD, expires_at=NOON, post_only=True)
    assert str(terms) == "GTD until 2026-01-05 12:00:00 UTC, post-only"
    assert str(ORDINARY) == ""
    assert from_json_object(Terms, to_json_object(terms)) == terms
    with pytest.raises(ValueError, match="not after the market's present, 2026-01-05 12:00:00 UTC; give a later time"):
        terms.require_time_left(NOON)


BAR = Candle(
    instrument_id=1,
    venue="paper",
    symbol="BTC/USDT",
    interval_s=60,
    open_time=NOON,
    open=100,
    high=102,
    low=98,
    close=100,
    volume=1,
)
MAKER, TAKER, FIRST = "maker", "taker", "first"
EXPIRED, REJECTED = OrderStatus.EXPIRED, OrderStatus.REJECTED
IOC, FOK = Terms(time_in_force=TimeInForce.IOC), Terms(time_in_force=TimeInForce.FOK)
POST = Terms(post_only=True)


def until(seconds: float) -> Terms:
    return Terms(time_in_force=GTD, expires_at=NOON + timedelta(seconds=seconds))


def fate(side: str, limit: str | None, terms: Terms, *, has_rested: bool = False, bar: Candle = BAR) -> Any:
    """A market order pays 100.05 or gets 99.95 at the open."""
    row = {
        "side": side,
        "limit_price": None if limit is None else Decimal(limit),
        "time_in_force": terms.time_in_force.value,
        "expires_at": terms.expires_at,
        "post_only": terms.post_only,
        "has_rested": has_rested,
    }
    market = Decimal("100.05") if side == "BUY" else Decimal("99.95")
    match meet(row, bar, market):
        case Trade(price=price, is_maker=is_maker):
            assert price == (row["limit_price"] if is_maker else market)
            return MAKER if is_maker else TAKER
        case End(status=status, reason=reason):
            assert reason
            return status
        case Rest(is_first=is_first):
            return FIRST if is_first else None


@pytest.mark.parametrize(
    ("terms", "beyond", "touched", "far"),
    [
        (ORDINARY, TAKER, MAKER, FIRST),
        (IOC, TAKER, EXPIRED, EXPIRED),
        (FOK, TAKER, EXPIRED, EXPIRED),
        (POST, REJECTED, MAKER, FIRST),
        (until(120), TAKER, MAKER, FIRST),
        (until(60), TAKER, FIRST, FIRST),  # over when the bar ends: not touched in time for all anybody knows
        (until(1), TAKER, FIRST, FIRST),
        (until(0), EXPIRED, EXPIRED, EXPIRED),
        (replace(until(120), post_only=True), REJECTED, MAKER, FIRST),
        (replace(until(0), post_only=True), EXPIRED, EXPIRED, EXPIRED),
    ],
)
def test_each_of_the_terms_at_the_first_bar(terms: Terms, beyond: Any, touched: Any, far: Any) -> None:
    assert [fate("BUY", limit, terms) for limit in ("100.05", "98", "97.99")] == [beyond, touched, far]
    assert [fate("SELL", limit, terms) for limit in ("99.95", "102", "102.01")] == [beyond, touched, far]


def test_an_order_that_has_rested_is_a_maker_when_a_bar_opens_beyond_it() -> None:
    assert fate("BUY", "101", POST, has_rested=True) == MAKER
    assert fate("SELL", "99", POST, has_rested=True) == MAKER
    assert fate("BUY", "97", POST, has_rested=True) is None
    assert fate("BUY", None, ORDINARY) == TAKER


@pytest.mark.parametrize(
    ("text", "lasts"),
    [
        ("8h", timedelta(hours=8)), ("90m", timedelta(minutes=90)), (" 1D12H ", timedelta(hours=36)),
        ("45s", timedelta(seconds=45)), ("8", None), ("h", None), ("2026-01-05", None), ("8h soon", None), ("", None),
    ],
)  # fmt: skip
def test_a_time_from_now_is_read_as_people_write_it(text: str, lasts: timedelta | None) -> None:
    assert read_lasts(text) == lasts
    if lasts is not None:
        terms = read_terms(Side.BUY, tif="", until=text, post_only=True, reduce_only=False, has_limit=True)
        assert terms == Terms(post_only=True), "its end is known when the market's present is"
