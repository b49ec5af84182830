"""The watch over accounts: on a schedule of the market's own time each is measured, its figures are kept and its alerts
are brought to what is wrong now. All within the caller's transaction; the same moment again changes nothing."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np

from mastertrade.domain.events import CircuitBreakerChanged, RiskAlertChanged
from mastertrade.domain.market import legacy_symbol
from mastertrade.domain.risk import RiskLevel, account_scope
from mastertrade.messaging.bus import Bus
from mastertrade.quant.risk.tails import TailMethod
from mastertrade.risk_manager.asset_classes import asset_class
from mastertrade.risk_manager.breaches import ALERT_PREFIXES, Breach, Volatility, breaches_of
from mastertrade.risk_manager.condition import Condition, priced_holdings
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.exits import CIRCUIT_BREAKER, Exits
from mastertrade.risk_manager.gathering import Gatherer
from mastertrade.risk_manager.guards import Guards
from mastertrade.risk_manager.limits import GLOBAL, Effective, Limits
from mastertrade.risk_manager.market_risk import BarsOf, MarketRisk
from mastertrade.risk_manager.measuring import PortfolioMeter
from mastertrade.risk_manager.models import AlertType
from mastertrade.risk_manager.portfolio import EVERY_METHOD, Book, Holding
from mastertrade.risk_manager.postgres_database import RiskPostgresDatabase
from mastertrade.risk_manager.protections import after_look, by_volatility
from mastertrade.shared.postgres_manager import Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import new_id

log = logging.getLogger(__name__)

QUERIES = load_queries(Path(__file__).with_name("watch.sql"))
StopTrading = Callable[[Transaction, str, str], Awaitable[None]]
HOUR_S: Final = 3_600
HOURS: Final = 24
TESTED: Final = (0.95, 0.99)
"""Confidences whose forecasts are tested each day."""
URGENT: Final = (RiskLevel.HIGH, RiskLevel.CRITICAL)
BRIEF: Final = (TailMethod.HISTORICAL,)
"""What every look needs; the other methods speak once a day."""


class RiskWatch:
    """``stop_trading`` halts a scope within the transaction, with a reason."""

    def __init__(
        self,
        *,
        settings: RiskSettings,
        bus: Bus,
        bars_of: BarsOf,
        markets: MarketRisk,
        gatherer: Gatherer,
        guards: Guards,
        exits: Exits,
        stop_trading: StopTrading,
    ) -> None:
        self._settings = settings
        self._rules = settings.protections()
        self._wild = float(settings.high_volatility_threshold)
        self._bus = bus
        self._bars_of = bars_of
        self._markets = markets
        self._gatherer = gatherer
        self._guards = guards
        self._exits = exits
        self._stop_trading = stop_trading
        self._database = RiskPostgresDatabase()
        self._measured_on: dict[UUID, date] = {}
        self._hour: datetime | None = None
        self._volatilities: dict[int, Volatility | None] = {}

    def is_due(self, at: datetime) -> bool:
        """At each multiple of the interval of the market's time."""
        return int(at.timestamp()) % self._settings.portfolio_check_interval_s == 0

    async def look(self, tx: Transaction, venues: Sequence[str], *, at: datetime) -> None:
        """At every market that is traded there, and every account that is marked at this moment."""
        for venue in venues:
            await self._guards.weather(tx, venue, self._markets, at=at)
        for market in await self._guards.after_look(tx, venues, at=at):
            seen = await self._volatility(tx, market.instrument_id, at)
            if seen is not None:
                locks = by_volatility(
                    market.instrument_id,
                    market.symbol,
                    today=seen.today,
                    usual=seen.usual,
                    rules=self._rules,
                    wild=self._wild,
                    at=at,
                )
                await self._guards.lock(tx, locks, at=at)
        for row in await QUERIES.fetch(tx, "watched_accounts", venues=list(venues), at=at):
            await self._look_at(tx, row["id"], at)

    async def _look_at(self, tx: Transaction, account_id: UUID, at: datetime) -> None:
        meter = PortfolioMeter(
            database=tx,
            bars_of=self._bars_of,
            window_days=self._settings.var_lookback_days,
            markets=self._markets,
        )
        book = await meter.book(str(account_id))
        is_first = self._measured_on.get(account_id) != at.date()
        found = await meter.condition(
            book,
            confidences=(float(self._settings.var_confidence_level),),
            methods=EVERY_METHOD if is_first else BRIEF,
        )
        await meter.store(found)
        if is_first:
            await meter.store_backtest(book, await meter.backtest(book, confidences=TESTED))
        limits = await self._limits(tx, book)
        breaches = await self._breaches(tx, found, limits, at)
        await self._settle(tx, account_id, breaches, at)
        locks = after_look(book, self._rules, drawdown_percent=found.risk.drawdown_percent, at=at)
        await self._guards.lock(tx, locks, at=at)
        await self._break(tx, account_id, limits, at)
        self._measured_on[account_id] = at.date()

    async def _break(self, tx: Transaction, account_id: UUID, limits: Limits, at: datetime) -> None:
        """A change of the circuit breaker's level is told; at the last one everything is given up."""
        before, level, reason = await self._guards.breaker(tx, account_id, limits, at=at)
        if before is None:
            return
        log.warning("%s, was %s", reason, before, extra={"account_id": str(account_id)})
        event = CircuitBreakerChanged(
            id=new_id(at), occurred_at=at, account_id=account_id, before=before, level=level, reason=reason
        )
        await self._bus.publish(event, within=tx)
        if level.gives_up:
            scope = account_scope(account_id)
            await self._stop_trading(tx, scope, reason)
            await self._exits.want(tx, scope, kind=CIRCUIT_BREAKER, reason=reason, actor=CIRCUIT_BREAKER, at=at)

    async def _limits(self, tx: Transaction, book: Book) -> Limits:
        version = await self._database.limits_version(tx)
        return (await self._gatherer.limits(tx, _account_scopes(book), version=version)).limits

    async def _breaches(self, tx: Transaction, found: Condition, limits: Limits, at: datetime) -> list[Breach]:
        book, version = found.book, await self._database.limits_version(tx)
        of_position: dict[str, Effective] = {}
        volatilities: dict[str, Volatility] = {}
        for one in priced_holdings(book):
            scopes = (*_account_scopes(book), *_own_scopes(one))
            of_position[one.symbol] = await self._gatherer.limits(tx, scopes, version=version)
            seen = None if one.instrument_id is None else await self._volatility(tx, one.instrument_id, at)
            if seen is not None:
                volatilities[one.symbol] = seen
        return breaches_of(
            found,
            limits,
            position_limit=lambda symbol: of_position[symbol].limits.max_position_percent,
            volatilities=volatilities,
            wild=self._wild,
        )

    async def _volatility(self, tx: Transaction, instrument_id: int, at: datetime) -> Volatility | None:
        """Of a market with a day of hourly bars and some weeks of daily ones; a new number each hour."""
        hour = at.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour, self._volatilities = hour, {}
        if instrument_id not in self._volatilities:
            self._volatilities[instrument_id] = await self._measure(tx, instrument_id, hour)
        return self._volatilities[instrument_id]

    async def _measure(self, tx: Transaction, instrument_id: int, hour: datetime) -> Volatility | None:
        days = self._settings.volatility_lookback_days
        daily = (await self._markets.market(tx, instrument_id, hour)).daily.returns
        if len(daily) < days:
            return None
        start = hour - timedelta(hours=HOURS + 1)
        bars = await self._bars_of(tx).read(instrument_id, HOUR_S, start, hour, as_of=hour)
        moves = np.diff(np.log(bars.close))
        if len(moves) < HOURS // 2:
            return None
        return Volatility(float(np.sqrt(np.mean(moves**2) * HOURS)), float(np.std(daily[-days:], ddof=1)))

    async def _settle(self, tx: Transaction, account_id: UUID, breaches: Sequence[Breach], at: datetime) -> None:
        found = [_alert(one, account_id, at) for one in breaches]
        types = [one.value for one in AlertType]
        for row in await QUERIES.fetch(tx, "settle_alerts", account_id=account_id, at=at, found=found, types=types):
            event = RiskAlertChanged.of_row(row["change"], row["alert"], account_id, id=new_id(at), at=at)
            await self._bus.publish(event, within=tx)
            if event.severity in URGENT and event.change != "resolved":
                log.warning("risk alert %s: %s", event.change, event.message, extra={"alert_id": event.alert_id})


def _account_scopes(book: Book) -> tuple[str, ...]:
    return GLOBAL, f"venue:{book.venue}", f"account:{book.account_id}"


def _own_scopes(one: Holding) -> tuple[str, ...]:
    scopes = (f"class:{asset_class(one.asset)}", f"asset:{one.asset}")
    return scopes if one.instrument_id is None else (*scopes, f"instrument:{one.instrument_id}")


def _alert(one: Breach, account_id: UUID, at: datetime) -> dict[str, Any]:
    """Its id has the older system's form with the account's last digits behind it."""
    symbol = [legacy_symbol(one.symbol)] if one.symbol else []
    parts = [ALERT_PREFIXES[one.type], *symbol, str(int(at.timestamp())), str(account_id)[-6:]]
    return {
        "id": "_".join(parts),
        "alert_type": one.type.value,
        "severity": one.severity.value,
        "title": one.title,
        "message": one.message,
        "symbol": one.symbol,
        "is_beyond": one.is_beyond,
        "current_value": one.value,
        "threshold_value": one.limit,
        "recommendation": one.recommendation,
    }
