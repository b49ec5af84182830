"""Protections: what has just happened says that entries should wait. Pure: facts in, locks out, each with an end and a
reason. A protection whose count or length is 0 is off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from mastertrade.domain.risk import account_scope, instrument_scope
from mastertrade.risk_manager.portfolio import Book

COOLDOWN, STOP_GUARD, LOW_PROFIT = "cooldown", "stop_loss_guard", "low_profit"
CONSECUTIVE_LOSSES, DRAWDOWN = "consecutive_losses", "drawdown"
VOLATILITY, SPREAD, STALE_DATA = "volatility_spike", "spread", "stale_data"
REJECT_STORM, CLOCK_SKEW = "reject_storm", "clock_skew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protections:
    """When protections lock, and how long. Percentages are in percent."""

    cooldown: timedelta
    stop_count: int
    stop_window: timedelta
    stop_lock: timedelta
    low_profit_trades: int
    low_profit_percent: Decimal
    low_profit_lock: timedelta
    losses_in_a_row: int
    losses_lock: timedelta
    drawdown_percent: Decimal
    drawdown_lock: timedelta
    volatility_factor: Decimal
    volatility_lock: timedelta
    spread_percent: Decimal
    spread_lock: timedelta
    stale_after: timedelta
    rejects: int
    rejects_lock: timedelta
    skew: timedelta
    skew_lock: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    scope: str
    kind: str
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """A position that was opened and closed again: its result in quote and in percent of what it cost."""

    closed_at: datetime
    instrument_id: int
    symbol: str
    result: Decimal
    percent: Decimal
    is_stop: bool


def after_round_trip(trips: Sequence[RoundTrip], rules: Protections, *, scope: str, at: datetime) -> Iterator[Lock]:
    """Locks that the last of ``trips`` brings. They are those of one strategy, whose scope is ``scope``, newest first;
    rules about a market look at the trips in the last one's."""
    last = trips[0]
    market, same = instrument_scope(last.instrument_id), [one for one in trips if one.symbol == last.symbol]
    if rules.cooldown:
        yield Lock(scope=market, kind=COOLDOWN, reason=f"{last.symbol} was just sold", until=at + rules.cooldown)
    stops = [one for one in trips if one.is_stop and one.result < 0 and one.closed_at > at - rules.stop_window]
    if rules.stop_count and last.is_stop and len(stops) >= rules.stop_count:
        reason = f"{len(stops)} positions were stopped out since {_time(at - rules.stop_window)}"
        yield Lock(scope=scope, kind=STOP_GUARD, reason=reason, until=at + rules.stop_lock)
    if rules.low_profit_trades and len(same) >= rules.low_profit_trades:
        latest = same[: rules.low_profit_trades]
        mean = sum((one.percent for one in latest), start=Decimal(0)) / len(latest)
        if mean < rules.low_profit_percent:
            reason = f"the last {len(latest)} trades of {last.symbol} made {mean:.2f} % each"
            yield Lock(scope=market, kind=LOW_PROFIT, reason=reason, until=at + rules.low_profit_lock)
    row = next((number for number, one in enumerate(trips) if one.result >= 0), len(trips))
    if rules.losses_in_a_row and row >= rules.losses_in_a_row:
        reason = f"{row} losing trades in a row"
        yield Lock(scope=scope, kind=CONSECUTIVE_LOSSES, reason=reason, until=at + rules.losses_lock)


def after_look(book: Book, rules: Protections, *, drawdown_percent: float, at: datetime) -> Iterator[Lock]:
    """A drawdown, open positions included, keeps entries back for a while even where the account soon recovers."""
    if rules.drawdown_percent and drawdown_percent >= rules.drawdown_percent:
        yield Lock(
            scope=account_scope(book.account_id),
            kind=DRAWDOWN,
            reason=f"{drawdown_percent:.2f} % below the highest equity of {book.high_water_mark:.2f}",
            until=at + rules.drawdown_lock,
        )


def by_volatility(
    instrument_id: int, symbol: str, *, today: float, usual: float, rules: Protections, wild: float, at: datetime
) -> Iterator[Lock]:
    if rules.volatility_factor and today > max(float(rules.volatility_factor) * usual, wild):
        yield Lock(
            scope=instrument_scope(instrument_id),
            kind=VOLATILITY,
            reason=f"{symbol} swings {today:.2%} in a day, usual are {usual:.2%}",
            until=at + rules.volatility_lock,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketNow:
    """``last_close`` is the close of the last candle of ``interval`` length; ``spread_percent`` that of a quote of the
    last minutes, None without one."""

    instrument_id: int
    symbol: str
    last_close: datetime
    interval: timedelta
    spread_percent: Decimal | None


def by_market(market: MarketNow, rules: Protections, *, at: datetime) -> Iterator[Lock]:
    scope = instrument_scope(market.instrument_id)
    if rules.spread_percent and market.spread_percent is not None and market.spread_percent > rules.spread_percent:
        reason = f"{market.symbol} is quoted {market.spread_percent:.2f} % apart"
        yield Lock(scope=scope, kind=SPREAD, reason=reason, until=at + rules.spread_lock)
    if market.spread_percent is not None and market.spread_percent < 0:
        reason = f"{market.symbol} is quoted with its bid {-market.spread_percent:.2f} % above its ask"
        yield Lock(scope=scope, kind=SPREAD, reason=reason, until=at + rules.spread_lock)
    age = at - market.last_close
    if rules.stale_after and age > rules.stale_after + market.interval:
        reason = f"{market.symbol} has no candle since {_time(market.last_close)}"
        yield Lock(scope=scope, kind=STALE_DATA, reason=reason, until=at + rules.stale_after)


def by_rejects(scope: str, count: int, rules: Protections, *, at: datetime) -> Iterator[Lock]:
    """``count`` of orders that the venue turned down in the last minute."""
    if rules.rejects and count >= rules.rejects:
        reason = f"{count} orders were rejected within a minute"
        yield Lock(scope=scope, kind=REJECT_STORM, reason=reason, until=at + rules.rejects_lock)


def by_clock(ahead: timedelta, rules: Protections, *, at: datetime) -> Iterator[Lock]:
    """``ahead`` is how far a candle's close is after our own clock: one of both is wrong."""
    if rules.skew and ahead > rules.skew:
        reason = f"the market's clock is {ahead.total_seconds():.1f} s ahead of ours"
        yield Lock(scope="global", kind=CLOCK_SKEW, reason=reason, until=at + rules.skew_lock)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
