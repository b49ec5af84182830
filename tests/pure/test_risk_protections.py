"""Protections: each locks on its fact, not before, for its time, and is off at 0."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.risk_manager import protections as p
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.protections import Lock, MarketNow, RoundTrip
from tests.pure.test_risk_condition import a_book

NOW = datetime(2023, 3, 10, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = RiskSettings().protections()
BOT = "strategy:bot"


def trip(
    result: str, *, minutes_ago: int = 0, percent: str = "0", is_stop: bool = False, symbol: str = "BTC/USDT"
) -> Any:
    return RoundTrip(
        closed_at=NOW - minutes_ago * MINUTE,
        instrument_id=7,
        symbol=symbol,
        result=Decimal(result),
        percent=Decimal(percent),
        is_stop=is_stop,
    )


def after(*trips: RoundTrip, **changes: Any) -> dict[str, Lock]:
    found = p.after_round_trip(trips, replace(RULES, **changes), scope=BOT, at=NOW)
    return {one.kind: one for one in found}


def test_a_market_that_was_just_sold_cools_down() -> None:
    assert after(trip("1")) == {}, "off by default"
    [lock] = after(trip("1"), cooldown=5 * MINUTE).values()
    assert (lock.scope, lock.kind, lock.until) == ("instrument:7", "cooldown", NOW + 5 * MINUTE)


def test_losses_in_a_row_lock_the_strategy() -> None:
    losses = [trip("-1", minutes_ago=n) for n in range(5)]
    lock = after(*losses)["consecutive_losses"]
    assert (lock.scope, lock.until, lock.reason) == (BOT, NOW + timedelta(days=1), "5 losing trades in a row")
    assert after(*losses[:4]) == {}
    assert after(*losses[:2], trip("0"), *losses[2:]) == {}, "a trade without a loss ends the row"
    assert after(*losses, losses_in_a_row=0) == {}


def test_positions_stopped_out_lock_the_strategy() -> None:
    stops = [trip("-1", minutes_ago=400 * n, is_stop=True) for n in range(4)]
    lock = after(*stops, trip("2"))["stop_loss_guard"]
    assert (lock.scope, lock.until) == (BOT, NOW + timedelta(hours=4))
    assert "4 positions were stopped out since 2023-03-09 12:00 UTC" in lock.reason
    assert after(*[replace(one, closed_at=one.closed_at - timedelta(hours=20)) for one in stops]) == {}
    assert after(trip("2"), *stops) == {}, "the last one was no stop"
    assert after(trip("1", is_stop=True), *stops[:3]) == {}, "a stop in profit is no loss"
    assert after(*stops, trip("2"), stop_count=0) == {}


def test_a_market_in_which_a_strategy_makes_nothing_is_locked() -> None:
    poor = [trip("1", percent="-0.6") for _ in range(20)]
    lock = after(*poor)["low_profit"]
    assert (lock.scope, lock.reason) == ("instrument:7", "the last 20 trades of BTC/USDT made -0.60 % each")
    assert after(*poor[:19]) == {}
    assert after(*poor[:19], trip("1", percent="1.5")) == {}, "-0.495 % on average is just enough"
    assert after(trip("1", symbol="ETH/USDT"), *poor) == {}, "the last trade was in another market"


def test_a_deep_drawdown_locks_the_account_for_a_while() -> None:
    book = a_book(equity=8_500.0, peak=10_000.0)
    [lock] = p.after_look(book, RULES, drawdown_percent=15.0, at=NOW)
    assert (lock.scope, lock.until) == (f"account:{book.account_id}", NOW + timedelta(days=1))
    assert list(p.after_look(book, RULES, drawdown_percent=14.99, at=NOW)) == []
    assert list(p.after_look(book, replace(RULES, drawdown_percent=Decimal(0)), drawdown_percent=99.0, at=NOW)) == []


@pytest.mark.parametrize(
    ("today", "usual", "locks"), [(0.13, 0.04, True), (0.12, 0.04, False), (0.049, 0.01, False), (0.051, 0.01, True)]
)
def test_a_market_that_swings_far_more_than_usual_is_locked(today: float, usual: float, locks: bool) -> None:
    found = list(p.by_volatility(7, "BTC/USDT", today=today, usual=usual, rules=RULES, wild=0.05, at=NOW))
    assert [one.until for one in found] == ([NOW + timedelta(hours=1)] if locks else [])


def market(**changes: Any) -> MarketNow:
    fields: dict[str, Any] = {
        "instrument_id": 7,
        "symbol": "BTC/USDT",
        "last_close": NOW,
        "interval": MINUTE,
        "spread_percent": None,
    }
    return MarketNow(**(fields | changes))


def test_wide_and_silent_markets_are_locked() -> None:
    assert list(p.by_market(market(), RULES, at=NOW)) == []
    assert list(p.by_market(market(spread_percent=Decimal(1)), RULES, at=NOW)) == []
    [crossed] = p.by_market(market(spread_percent=Decimal("-0.1")), RULES, at=NOW)
    assert (crossed.kind, "its bid 0.10 % above its ask" in crossed.reason) == (p.SPREAD, True)
    [wide] = p.by_market(market(spread_percent=Decimal("1.01")), RULES, at=NOW)
    assert (wide.kind, wide.until, wide.reason) == ("spread", NOW + 5 * MINUTE, "BTC/USDT is quoted 1.01 % apart")
    assert list(p.by_market(market(last_close=NOW - 11 * MINUTE), RULES, at=NOW)) == []
    [silent] = p.by_market(market(last_close=NOW - 12 * MINUTE), RULES, at=NOW)
    assert (silent.kind, silent.until) == ("stale_data", NOW + 10 * MINUTE)
    assert list(p.by_market(market(last_close=NOW - 12 * MINUTE, interval=timedelta(hours=1)), RULES, at=NOW)) == []


def test_rejected_orders_and_a_wrong_clock_lock() -> None:
    assert list(p.by_rejects("account:a", 4, RULES, at=NOW)) == []
    [storm] = p.by_rejects("account:a", 5, RULES, at=NOW)
    assert (storm.scope, storm.kind, storm.until) == ("account:a", "reject_storm", NOW + 15 * MINUTE)
    assert list(p.by_clock(timedelta(seconds=5), RULES, at=NOW)) == []
    [skew] = p.by_clock(timedelta(seconds=5.5), RULES, at=NOW)
    assert (skew.scope, skew.until, skew.reason) == (
        "global", NOW + 10 * MINUTE, "the market's clock is 5.5 s ahead of ours",
    )  # fmt: skip
