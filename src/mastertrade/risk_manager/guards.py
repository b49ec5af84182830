"""Protections and the circuit breaker at work: facts out of the database, locks and levels into it."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from mastertrade.domain.events import OrderFilled
from mastertrade.domain.risk import account_scope, strategy_scope
from mastertrade.risk_manager.breaker import BreakerLevel, breaker_level, loss_percent
from mastertrade.risk_manager.limits import Limits
from mastertrade.risk_manager.market_risk import MarketRisk
from mastertrade.risk_manager.protections import (
    Lock,
    MarketNow,
    Protections,
    RoundTrip,
    after_round_trip,
    by_clock,
    by_market,
    by_rejects,
)
from mastertrade.risk_manager.regimes import weather_of
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import Database, Transaction
from mastertrade.shared.queries import load_queries

log = logging.getLogger(__name__)

QUERIES = load_queries(Path(__file__).with_name("guards.sql"))
LOOKED_AT: Final = 100
"""Round trips of a strategy; more than any rule asks for."""


class Guards:
    def __init__(self, *, rules: Protections) -> None:
        self._rules = rules

    async def lock(self, tx: Transaction, locks: Iterable[Lock], *, at: datetime) -> None:
        for one in locks:
            new = await QUERIES.fetchval(
                tx, "lock_scope", scope=one.scope, kind=one.kind, reason=one.reason, at=at, until=one.until
            )
            if new is not None:
                log.warning("%s locked: %s", one.scope, one.reason, extra={"kind": one.kind, "until": one.until})

    async def after_fill(self, tx: Transaction, fill: OrderFilled) -> None:
        """A fill that closed a position may have been one loss too many."""
        if fill.strategy_id is None or not fill.closes_position:
            return
        at = fill.occurred_at
        rows = await QUERIES.fetch(
            tx, "round_trips", strategy_id=fill.strategy_id, account_id=fill.account_id, at=at, count=LOOKED_AT
        )
        if trips := [RoundTrip(**dict(row)) for row in rows]:
            scope = strategy_scope(fill.strategy_id)
            await self.lock(tx, after_round_trip(trips, self._rules, scope=scope, at=at), at=at)

    async def after_close(self, tx: Transaction, venues: Sequence[str], *, at: datetime, now: datetime) -> None:
        """What each close of the market may show: rejected orders, and a clock that is wrong."""
        await self.lock(tx, by_clock(at - now, self._rules, at=at), at=at)
        for row in await QUERIES.fetch(tx, "rejects", venues=list(venues), at=at):
            scope = account_scope(row["account_id"])
            await self.lock(tx, by_rejects(scope, row["count"], self._rules, at=at), at=at)

    async def after_look(self, tx: Transaction, venues: Sequence[str], *, at: datetime) -> list[MarketNow]:
        """Of every market that is traded there: silent ones and wide ones are locked. Returns them all."""
        markets = [
            MarketNow(
                instrument_id=row["instrument_id"],
                symbol=row["symbol"],
                last_close=row["last_close"],
                interval=timedelta(seconds=row["interval_s"]),
                spread_percent=row["spread_percent"],
            )
            for row in await QUERIES.fetch(tx, "markets_now", venues=list(venues), at=at)
        ]
        for market in markets:
            await self.lock(tx, by_market(market, self._rules, at=at), at=at)
        return markets

    async def weather(self, tx: Transaction, venue: str, markets: MarketRisk, *, at: datetime) -> None:
        """The regime of a venue's market, kept where it changed. Whether limits follow it is a setting."""
        reference: int | None = await QUERIES.fetchval(tx, "reference_market", venue=venue)
        if reference is None:
            return
        index: float | None = await QUERIES.fetchval(tx, "fear_and_greed", at=at)
        found = weather_of((await markets.market(tx, reference, at)).daily.returns, index)
        before = await QUERIES.fetchval(
            tx,
            "set_regime",
            venue=venue,
            regime=found.regime.value,
            factor=float(found.regime.factor),
            volatility=found.volatility,
            mean=found.mean,
            fear_greed=found.fear_greed,
            at=at,
        )
        if before is not None:
            log.warning("%s: the market is %s, was %s", venue, found.regime, before)

    async def regimes(self, db: Database, *, count: int) -> list[dict[str, Any]]:
        return [dict(row) for row in await QUERIES.fetch(db, "regimes", count=count)]

    async def breaker(
        self, tx: Transaction, account_id: UUID, limits: Limits, *, at: datetime
    ) -> tuple[BreakerLevel | None, BreakerLevel, str]:
        """The level before where it changed, the level now, and why. A breaker that is held open is at none."""
        row = await QUERIES.fetchrow(tx, "account_loss", account_id=account_id, at=at)
        if row is None or not row["high_water_mark"] > 0 or not row["day_start_equity"] > 0:
            return None, BreakerLevel.NONE, ""
        down = loss_percent(row["high_water_mark"], row["equity"])
        day = loss_percent(row["day_start_equity"], row["equity"])
        level = BreakerLevel.NONE if row["is_held_open"] else breaker_level(down, day, limits)
        before = await QUERIES.fetchval(
            tx,
            "set_breaker",
            account_id=account_id,
            level=level.value,
            drawdown=float(down),
            day_loss=float(day),
            at=at,
        )
        reason = f"circuit breaker at {level}: {down:.2f} % below the highest equity, {day:.2f} % in the day"
        return None if before is None else BreakerLevel(before), level, reason

    # --- for people ---

    async def locks(self, db: Database, *, at: datetime, with_past: bool) -> list[dict[str, Any]]:
        return [dict(row) for row in await QUERIES.fetch(db, "locks", at=at, with_past=with_past)]

    async def lift(self, db: Database, id: UUID, *, reason: str, actor: str, at: datetime) -> None:
        if await QUERIES.fetchval(db, "lift_lock", id=id, reason=reason, actor=actor, at=at) is None:
            raise NotFound(f"there is no lock {id} that could be lifted; mastertrade risk locks lists them")

    async def breakers(self, db: Database, account: str | None) -> list[dict[str, Any]]:
        return [dict(row) for row in await QUERIES.fetch(db, "breakers", account=account)]

    async def hold_open(self, db: Database, account: str | None, *, reason: str, actor: str) -> dict[str, Any]:
        """The breaker of the account of this name or id, else of the one marked last, until its next UTC day."""
        found = await self.breakers(db, account)
        if not found:
            raise NotFound(f"no account {account or 'that was ever marked'} has a circuit breaker")
        one = found[0]
        until = await QUERIES.fetchval(
            db, "override_breaker", account_id=one["account_id"], reason=reason, actor=actor, at=one["marked_at"]
        )
        return {"account": one["account"], "until": until}
