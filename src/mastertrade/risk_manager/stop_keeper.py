"""Stops at work: attached with the fill that opens a position, moved and triggered by closed candles, kept as rows."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from mastertrade.domain.events import OrderFilled, StopTriggered
from mastertrade.domain.market import Candle
from mastertrade.domain.orders import round_down, round_up
from mastertrade.messaging.bus import Bus
from mastertrade.risk_manager.asset_classes import MULTIPLIERS, asset_class
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.market_risk import BarsOf, MarketRisk
from mastertrade.risk_manager.models import STOP_TYPE_ALIASES, StopLossConfig, StopLossType
from mastertrade.risk_manager.stops import Stop, StopMarket, check_config, check_price, first_price, follow, is_hit
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import coerce_enum, new_id

log = logging.getLogger(__name__)

QUERIES = load_queries(Path(__file__).with_name("stops.sql"))
HOUR_S: Final = 3_600
HOURS: Final = 25
RANGE_BARS, SUPPORT_BARS = 14, 20
PLAIN: Final = (StopLossType.FIXED, StopLossType.TRAILING)
"""Types that look at nothing but prices."""


@dataclass(frozen=True, slots=True)
class Hours:
    """What the last hourly bars say; None where there are too few."""

    true_range: float | None
    support: Decimal | None
    resistance: Decimal | None
    swing: float | None


class StopKeeper:
    def __init__(self, *, settings: RiskSettings, bus: Bus, bars_of: BarsOf, markets: MarketRisk) -> None:
        self._settings = settings
        self._wild = float(settings.high_volatility_threshold)
        self._bus = bus
        self._bars_of = bars_of
        self._markets = markets
        self._hour: datetime | None = None
        self._hours: dict[int, Hours] = {}

    async def attach(self, tx: Transaction, fill: OrderFilled) -> None:
        """A fill that opened or enlarged a position: it has a stop from now on, never further away than the risk
        decision took it to be. One that has a stop keeps it, for the new size."""
        if not fill.opens_position or fill.strategy_id is None:
            return
        is_long = fill.position_quantity > 0
        names: dict[str, Any] = {"strategy_id": fill.strategy_id, "instrument_id": fill.instrument_id}
        row = await QUERIES.fetchrow(tx, "stop_of_fill", order_id=fill.order_id, **names)
        if row is None:
            return
        at = fill.occurred_at
        config = self._config(row["config"])
        market = await self._market(tx, fill.instrument_id, fill.price, fill.price, fill.price, config.stop_type, at)
        price = first_price(
            config,
            fill.position_entry_price,
            market,
            is_long=is_long,
            class_factor=MULTIPLIERS[asset_class(row["base"])],
        )
        if row["stop_price"] is not None:
            tighter = max if is_long else min
            price = tighter(price, row["stop_price"]) if row["config"] else row["stop_price"]
        await QUERIES.fetchval(
            tx,
            "attach_stop",
            account_id=fill.account_id,
            type=config.stop_type.value,
            stop_price=(round_up if is_long else round_down)(price, row["tick_size"]),
            config=_plain(config),
            metadata={"entry_volatility": market.volatility},
            at=at,
            **names,
        )

    async def symbols(self, db: Database, venue: str) -> list[str]:
        """Of the live stops at this venue."""
        return [row["symbol"] for row in await QUERIES.fetch(db, "stopped_symbols", venue=venue)]

    async def look(self, tx: Transaction, candles: Sequence[Candle], *, at: datetime, moves: bool = True) -> int:
        """Move the stops of these markets, and want the exit of each that was hit. Returns how many were. Prices of a
        moment only hit: a stop that moved within a bar would then be held against what the bar met before."""
        closed = {one.instrument_id: one for one in candles}
        rows = await QUERIES.fetch(tx, "live_stops", instruments=list(closed), at=at)
        found, hits = [], 0
        for row in rows:
            move = await self._look_at(tx, row, closed[row["instrument_id"]], at, moves=moves)
            found += [move] if move is not None else []
            hits += move is not None and move["is_triggered"]
        if found:
            await QUERIES.execute(tx, "move_stops", moves=found, at=at)
        return hits

    async def _look_at(
        self, tx: Transaction, row: Row, candle: Candle, at: datetime, *, moves: bool
    ) -> dict[str, Any] | None:
        """What changed about a stop; None for nothing. Of the bar a position was opened in only the close counts: what
        came before it was not its own."""
        stop = _stop(row)
        close, is_own = Decimal(repr(candle.close)), candle.open_time >= stop.opened_at
        high, low = (Decimal(repr(one)) if is_own else close for one in (candle.high, candle.low))
        market = await self._market(tx, row["instrument_id"], close, high, low, stop.config.stop_type, at)
        if is_hit(stop, market, wild=self._wild):
            await self._trigger(tx, row, stop, market, at)
            return _move(row, stop, market, is_triggered=True)
        if not moves:
            return None
        moved = follow(stop, market, at=at)
        if moved.price == stop.price and (moved.best == stop.best or stop.config.stop_type is StopLossType.FIXED):
            return None
        rounded = (round_up if stop.is_long else round_down)(moved.price, row["tick_size"])
        return _move(row, replace(moved, price=rounded), market, is_triggered=False)

    async def _trigger(self, tx: Transaction, row: Row, stop: Stop, market: StopMarket, at: datetime) -> None:
        touched = market.low if stop.is_long else market.high
        reason = f"{row['stop_type']} stop at {stop.price.normalize():f} was hit: the market was at {touched:f}"
        await QUERIES.fetchval(
            tx,
            "want_exit",
            account_id=row["account_id"],
            strategy_id=row["strategy_id"],
            instrument_id=row["instrument_id"],
            reason=reason,
            actor=row["id"],
            at=at,
        )
        event = StopTriggered(
            id=new_id(at),
            occurred_at=at,
            stop_id=row["id"],
            account_id=row["account_id"],
            instrument_id=row["instrument_id"],
            symbol=row["symbol"],
            stop_price=stop.price,
            market_price=market.price,
        )
        await self._bus.publish(event, within=tx)
        log.warning("%s of %s", reason, row["symbol"], extra={"stop_id": row["id"]})

    async def _market(
        self,
        tx: Database,
        instrument_id: int,
        price: Decimal,
        high: Decimal,
        low: Decimal,
        kind: StopLossType,
        at: datetime,
    ) -> StopMarket:
        market = StopMarket(price=price, high=high, low=low)
        if kind in PLAIN:
            return market
        daily = await self._markets.market(tx, instrument_id, at)
        hours = await self._of_hours(tx, instrument_id, at)
        return replace(
            market,
            volatility=daily.volatility,
            swing=hours.swing,
            true_range=hours.true_range,
            support=hours.support,
            resistance=hours.resistance,
        )

    async def _of_hours(self, tx: Database, instrument_id: int, at: datetime) -> Hours:
        hour = at.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour, self._hours = hour, {}
        if instrument_id not in self._hours:
            start = hour - timedelta(hours=HOURS)
            bars = await self._bars_of(tx).read(instrument_id, HOUR_S, start, hour, as_of=hour)
            self._hours[instrument_id] = _hours(bars.high, bars.low, bars.close)
        return self._hours[instrument_id]

    def _config(self, own: Mapping[str, Any] | None) -> StopLossConfig:
        """The strategy's own, else a fixed stop. One that cannot be read protects as if there were none of its own."""
        usual = StopLossConfig(
            stop_type=StopLossType.FIXED, initial_stop_percent=float(self._settings.default_stop_loss_percent)
        )
        if not own:
            return usual
        try:
            return check_config(read_config(own, usual=usual))
        except UsageError as error:
            log.error("a strategy's stop_loss is not used: %s", error)
            return usual

    # --- for people ---

    async def shown(self, db: Database, account: str | None, *, with_past: bool) -> list[dict[str, Any]]:
        return [dict(row) for row in await QUERIES.fetch(db, "stops_shown", account=account, with_past=with_past)]

    async def change(
        self,
        tx: Transaction,
        which: str,
        *,
        price: Decimal | None,
        config: Mapping[str, Any],
        is_loosened: bool,
        reason: str,
        actor: str,
        at: datetime,
    ) -> dict[str, Any]:
        """A stop by its id or market, moved to a price or put under other rules. UsageError for a price on the wrong
        side, a number out of bounds, or a loosening nobody confirmed; NotFound for no such stop."""
        row = await self._one(tx, which, at)
        before, rules = Decimal(row["price"]), None
        if config:
            usual = read_config(row["config"], usual=StopLossConfig(StopLossType(row["stop_type"]), 2.0))
            rules = check_config(read_config(config, usual=usual))
            if price is None:
                market = await self._market(
                    tx, row["instrument_id"], row["market"], row["market"], row["market"], rules.stop_type, at
                )
                factor = MULTIPLIERS[asset_class(row["base"])]
                fresh = first_price(rules, row["market"], market, is_long=row["is_long"], class_factor=factor)
                price = max(fresh, before) if row["is_long"] else min(fresh, before)
        assert price is not None, "a change names a price or rules"
        price = (round_up if row["is_long"] else round_down)(price, row["tick_size"])
        check_price(price, market=row["market"], is_long=row["is_long"])
        changed = await QUERIES.fetchval(
            tx,
            "change_stop",
            id=row["id"],
            type=None if rules is None else rules.stop_type.value,
            stop_price=price,
            config=None if rules is None else _plain(rules),
            is_loosened=is_loosened,
            reason=reason,
            actor=actor,
            at=at,
        )
        if not changed:
            raise UsageError(
                f"moving the stop of {row['symbol']} from {before.normalize():f} to {price.normalize():f} loosens it;"
                " confirm that with --confirm"
            )
        return {"id": row["id"], "symbol": row["symbol"], "before": before, "stop_price": price}

    async def cancel(self, tx: Transaction, which: str, *, reason: str, actor: str, at: datetime) -> str:
        row = await self._one(tx, which, at)
        await QUERIES.fetchval(tx, "cancel_stop", id=row["id"], reason=reason, actor=actor, at=at)
        id: str = row["id"]
        return id

    async def _one(self, tx: Transaction, which: str, at: datetime) -> Row:
        symbol = which.upper() if "/" in which else which
        rows = await QUERIES.fetch(tx, "stop_to_change", which=symbol, at=at)
        if not rows:
            raise NotFound(f"there is no live stop {which!r}; mastertrade risk stops lists them")
        if len(rows) > 1:
            raise UsageError(f"{which} has {len(rows)} stops: {', '.join(row['id'] for row in rows)}; write the id")
        return rows[0]


def read_config(data: Mapping[str, Any], *, usual: StopLossConfig) -> StopLossConfig:
    """Rules as they are written down, over ``usual``. UsageError names what is unknown or no number."""
    unknown = sorted(set(data) - set(StopLossConfig.__dataclass_fields__))
    if unknown:
        raise UsageError(
            f"stop rules have no {', '.join(unknown)}; they have {', '.join(StopLossConfig.__dataclass_fields__)}"
        )
    found = dict(data)
    kind = coerce_enum(StopLossType, found.pop("stop_type", None) or usual.stop_type, STOP_TYPE_ALIASES)
    if not isinstance(kind, StopLossType):
        raise UsageError(f"stop type {kind!r} is unknown; known: {', '.join(StopLossType)}")
    for name, value in found.items():
        if isinstance(value, bool) != (name in ("time_decay_enabled", "breakeven_protection")):
            raise UsageError(f"{name} {value!r} of a stop does not fit")
        if not isinstance(value, int | float) and value is not None:
            raise UsageError(f"{name} {value!r} of a stop is no number")
    return replace(usual, stop_type=kind, **{name: value for name, value in found.items() if value is not None})


def _stop(row: Row) -> Stop:
    usual = StopLossConfig(stop_type=StopLossType(row["stop_type"]), initial_stop_percent=2.0)
    known = {name: value for name, value in row["config"].items() if name in StopLossConfig.__dataclass_fields__}
    return Stop(
        is_long=row["is_long"],
        entry=row["entry"],
        price=row["price"],
        best=row["best"],
        opened_at=row["opened_at"],
        config=replace(read_config(known, usual=usual), stop_type=StopLossType(row["stop_type"])),
        entry_volatility=row["metadata"].get("entry_volatility"),
    )


def _move(row: Row, stop: Stop, market: StopMarket, *, is_triggered: bool) -> dict[str, Any]:
    return {
        "id": row["id"],
        "stop_price": str(stop.price),
        "current_price": str(market.price),
        "best": str(stop.best),
        "profit_loss": str(round(stop.profit(market.price, row["quantity"]), 18)),
        "is_triggered": is_triggered,
    }


def _plain(config: StopLossConfig) -> dict[str, Any]:
    return {**asdict(config), "stop_type": config.stop_type.value}


def _hours(high: Any, low: Any, close: Any) -> Hours:
    """Of hourly bars, the newest last."""
    moves = np.diff(np.log(close)) if len(close) > 1 else np.zeros(0)
    before = close[:-1]
    ranges = np.maximum(high[1:] - low[1:], np.maximum(np.abs(high[1:] - before), np.abs(low[1:] - before)))
    has_support = len(close) >= SUPPORT_BARS
    return Hours(
        true_range=float(np.mean(ranges[-RANGE_BARS:])) if len(ranges) >= RANGE_BARS else None,
        support=Decimal(repr(float(np.min(low[-SUPPORT_BARS:])))) if has_support else None,
        resistance=Decimal(repr(float(np.max(high[-SUPPORT_BARS:])))) if has_support else None,
        swing=float(np.sqrt(np.mean(moves**2) * 24)) if len(moves) >= SUPPORT_BARS else None,
    )
