"""The watch over accounts: on a schedule of the market's own time each is measured, its figures are kept and its alerts
are brought to what is wrong now. All within the caller's transaction; the same moment again changes nothing."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np

from mastertrade.domain.events import RiskAlertChanged
from mastertrade.domain.market import legacy_symbol
from mastertrade.domain.risk import RiskLevel
from mastertrade.messaging.bus import Bus
from mastertrade.quant.risk.tails import TailMethod
from mastertrade.risk_manager.asset_classes import asset_class
from mastertrade.risk_manager.breaches import ALERT_PREFIXES, Breach, Volatility, breaches_of
from mastertrade.risk_manager.condition import Condition, priced_holdings
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.gathering import Gatherer
from mastertrade.risk_manager.limits import GLOBAL
from mastertrade.risk_manager.market_risk import BarsOf, MarketRisk
from mastertrade.risk_manager.measuring import PortfolioMeter
from mastertrade.risk_manager.portfolio import EVERY_METHOD, Book, Holding
from mastertrade.risk_manager.postgres_database import RiskPostgresDatabase
from mastertrade.shared.postgres_manager import Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import new_id

log = logging.getLogger(__name__)

QUERIES = load_queries(Path(__file__).with_name("watch.sql"))
HOUR_S: Final = 3_600
HOURS: Final = 24
TESTED: Final = (0.95, 0.99)
"""Confidences whose forecasts are tested each day."""
URGENT: Final = (RiskLevel.HIGH, RiskLevel.CRITICAL)
BRIEF: Final = (TailMethod.HISTORICAL,)
"""What every look needs; the other methods speak once a day."""


class RiskWatch:
    def __init__(
        self, *, settings: RiskSettings, bus: Bus, bars_of: BarsOf, markets: MarketRisk, gatherer: Gatherer
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._bars_of = bars_of
        self._markets = markets
        self._gatherer = gatherer
        self._database = RiskPostgresDatabase()
        self._measured_on: dict[UUID, date] = {}
        self._hour: datetime | None = None
        self._swings: dict[int, float | None] = {}

    def is_due(self, at: datetime) -> bool:
        """At each multiple of the interval of the market's time."""
        return int(at.timestamp()) % self._settings.portfolio_check_interval_s == 0

    async def look(self, tx: Transaction, venues: Sequence[str], *, at: datetime) -> None:
        """At every account of the venues that is marked at this moment."""
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
        breaches = await self._breaches(tx, found, at)
        await self._settle(tx, account_id, breaches, at)
        self._measured_on[account_id] = at.date()

    async def _breaches(self, tx: Transaction, found: Condition, at: datetime) -> list[Breach]:
        book, version = found.book, await self._database.limits_version(tx)
        of_account = (GLOBAL, f"venue:{book.venue}", f"account:{book.account_id}")
        of_position = {
            one.symbol: await self._gatherer.limits(tx, (*of_account, *_own_scopes(one)), version=version)
            for one in priced_holdings(book)
        }
        whole = await self._gatherer.limits(tx, of_account, version=version)
        return breaches_of(
            found,
            whole.limits,
            position_limit=lambda symbol: of_position[symbol].limits.max_position_percent,
            volatilities=await self._volatilities(tx, book, at),
            wild=float(self._settings.high_volatility_threshold),
        )

    async def _volatilities(self, tx: Transaction, book: Book, at: datetime) -> Mapping[str, Volatility]:
        """Of markets with a day of hourly bars and some weeks of daily ones."""
        found, days = {}, self._settings.volatility_lookback_days
        for one in priced_holdings(book):
            if one.instrument_id is None:
                continue
            daily = (await self._markets.market(tx, one.instrument_id, at)).daily.returns
            today = await self._swing(tx, one.instrument_id, at)
            if today is not None and len(daily) >= days:
                found[one.symbol] = Volatility(today, float(np.std(daily[-days:], ddof=1)))
        return found

    async def _swing(self, tx: Transaction, instrument_id: int, at: datetime) -> float | None:
        """A day's volatility by the last 24 hours; a new number each hour."""
        hour = at.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour, self._swings = hour, {}
        if instrument_id not in self._swings:
            start = hour - timedelta(hours=HOURS + 1)
            bars = await self._bars_of(tx).read(instrument_id, HOUR_S, start, hour, as_of=hour)
            moves = np.diff(np.log(bars.close))
            is_whole = len(moves) >= HOURS // 2
            self._swings[instrument_id] = float(np.sqrt(np.mean(moves**2) * HOURS)) if is_whole else None
        return self._swings[instrument_id]

    async def _settle(self, tx: Transaction, account_id: UUID, breaches: Sequence[Breach], at: datetime) -> None:
        found = [_alert(one, account_id, at) for one in breaches]
        for row in await QUERIES.fetch(tx, "settle_alerts", account_id=account_id, at=at, found=found):
            alert = row["alert"]
            event = RiskAlertChanged(
                id=new_id(at),
                occurred_at=at,
                alert_id=alert["id"],
                account_id=account_id,
                alert_type=alert["alert_type"],
                severity=RiskLevel(alert["severity"]),
                change=row["change"],
                symbol=alert["symbol"],
                message=alert["message"],
                current_value=alert["current_value"],
                threshold_value=alert["threshold_value"],
            )
            await self._bus.publish(event, within=tx)
            if event.severity in URGENT and event.change != "resolved":
                log.warning("risk alert %s: %s", event.change, event.message, extra={"alert_id": event.alert_id})


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
