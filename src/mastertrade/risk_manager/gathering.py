"""Gathering a case: the row of facts, the limits that count for it, and how its market moves with what is held."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from mastertrade.domain.market import Instrument, InstrumentKind, InstrumentStatus
from mastertrade.domain.risk import TradingMode
from mastertrade.domain.strategy import Signal
from mastertrade.risk_manager.asset_classes import AssetClass
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.exposure import Exposure, Held, exposure_of
from mastertrade.risk_manager.limits import Effective, Limits, ScopedLimit, effective, scopes_of
from mastertrade.risk_manager.market_risk import MarketRisk
from mastertrade.risk_manager.postgres_database import RiskPostgresDatabase
from mastertrade.risk_manager.regimes import Regime
from mastertrade.risk_manager.sizing_methods import Sizing, SizingMethod
from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.serialization import from_json_object, to_json_object

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that a judgement looks at, as it is kept with the verdict."""

    case: Case
    limits: Limits
    limits_version: int

    def to_json(self) -> dict[str, Any]:
        return to_json_object(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Inputs":
        """BadData when the data are not inputs."""
        return from_json_object(cls, data)


class Gatherer:
    """Keeps the limits until their version changes, and the day's market numbers."""

    def __init__(
        self,
        *,
        defaults: Limits,
        class_defaults: Mapping[AssetClass, Mapping[str, Decimal]],
        markets: MarketRisk,
        sizing: Sizing,
        is_adaptive: bool,
    ) -> None:
        self._is_adaptive = is_adaptive
        self._sizing = sizing
        self._defaults = defaults
        self._class_defaults = class_defaults
        self._markets = markets
        self._database = RiskPostgresDatabase()
        self._version = -1
        self._rows: list[ScopedLimit] = []
        self._effective: dict[tuple[str, ...], Effective] = {}

    async def gather(self, tx: Transaction, signal: Signal, *, mode: TradingMode, now: datetime) -> Inputs:
        """NotFound when the signal names an account, strategy or instrument that does not exist."""
        row = await self._database.load_facts(tx, signal, now=now)
        instrument = instrument_of(row)
        scopes = scopes_of(signal.account_id, signal.strategy_id, instrument)
        regime = Regime(row["regime"]) if self._is_adaptive and row["regime"] else Regime.UNKNOWN
        found = await self.limits(tx, scopes, version=row["limits_version"], regime=regime)
        exposure = await self._exposure(tx, row, instrument, found.limits, now)
        return Inputs(
            case=_case(signal, instrument, row, exposure, mode, now, self._sizing),
            limits=found.limits,
            limits_version=found.version,
        )

    async def limits(
        self, db: Database, scopes: tuple[str, ...], *, version: int, regime: Regime = Regime.UNKNOWN
    ) -> Effective:
        """What counts where all these scopes meet."""
        if version != self._version:
            self._rows, self._version, self._effective = await self._database.limits(db), version, {}
        if (known := self._effective.get((regime, *scopes))) is None:
            known = self._effective[regime, *scopes] = effective(
                self._defaults,
                self._rows,
                scopes,
                class_defaults=self._class_defaults,
                version=version,
                regime=regime,
            )
        return known

    async def _exposure(
        self, tx: Transaction, row: Row, instrument: Instrument, limits: Limits, now: datetime
    ) -> Exposure:
        facts = zip(row["assets"], row["instruments"], row["values"], strict=True)
        held = [Held(*one) for one in facts]
        judged = await self._markets.market(tx, instrument.id, now)
        moving = await self._markets.together(tx, [*(one.instrument_id for one in held), instrument.id], now)
        names = [one.asset for one in held] + [instrument.base]
        guessed = [names[at] for at in moving.assumed]
        return exposure_of(
            held,
            base=instrument.base,
            pending=max(row["quote_reserved"] - row["pending_buys"], Decimal(0)),
            venue_equity=row["venue_equity"],
            total_equity=row["total_equity"],
            correlation=moving.correlation,
            volatilities=moving.volatilities,
            threshold=float(limits.correlation_threshold),
            true_range=judged.true_range,
            volume=judged.volume,
            assumed=f"too short a history of {', '.join(guessed)}: assumed wild" if guessed else "",
        )


def _case(
    signal: Signal,
    instrument: Instrument,
    row: Row,
    exposure: Exposure,
    mode: TradingMode,
    now: datetime,
    sizing: Sizing,
) -> Case:
    price, price_as_of = _newest_price(signal, row)
    close, counted_at, day = row["last_close"], row["counted_at"], row["marked_day"]
    second = now.replace(microsecond=0)
    same = {
        "this_second": counted_at is not None and counted_at.replace(microsecond=0) == second,
        "this_minute": counted_at is not None
        and counted_at.replace(second=0, microsecond=0) == second.replace(second=0),
        "this_day": counted_at is not None and counted_at.date() == now.date(),
    }
    counts = {name: row[name] if is_same else 0 for name, is_same in same.items()}
    return Case(
        signal=signal,
        instrument=instrument,
        now=now,
        mode=mode,
        halts=row["halts"] or "",
        locks=row["locks"] or "",
        strategy_is_enabled=row["strategy_is_enabled"],
        risk_multiplier=row["risk_multiplier"],
        max_order_quantity=row["max_position_size"],
        account_venue=row["account_venue"],
        account_quote=row["quote_asset"],
        price=price,
        price_as_of=price_as_of,
        market_price=None if close is None else Decimal(repr(close)),
        usual_price=None if row["usual_close"] is None else Decimal(repr(row["usual_close"])),
        orders_this_second=counts["this_second"],
        orders_this_minute=counts["this_minute"],
        orders_this_day=counts["this_day"],
        equity=row["equity"],
        high_water_mark=max(row["high_water_mark"] or Decimal(0), row["equity"]),
        day_start_equity=_start_equity(row, "day_start_equity", day == now.date()),
        week_start_equity=_start_equity(row, "week_start_equity", day is not None and _week(day) == _week(now.date())),
        quote_free=row["quote_free"],
        base_free=row["base_free"],
        base_held=row["base_held"],
        pending_buys=row["pending_buys"],
        position_quantity=row["position_quantity"],
        in_flight=row["in_flight"],
        breaker_override=row["breaker_override"] or "",
        account_kind=InstrumentKind(row["account_kind"]),
        leverage=row["leverage"],
        others_quantity=row["others_quantity"],
        maintenance_rate=row["maintenance_rate"],
        exposure=exposure,
    )


def _sizing(row: Row, usual: Sizing) -> Sizing:
    """The strategy's own method, with what its trades say. A method nobody knows sizes as usual, and is logged."""
    method, own = usual.method, row["sizing_method"]
    if own is not None:
        try:
            method = SizingMethod(own)
        except ValueError:
            log.error("a strategy's sizing %r is not used; known are %s", own, ", ".join(SizingMethod))
    return replace(
        usual,
        method=method,
        trades=row["trades"],
        win_rate=row["win_rate"] or 0.0,
        payoff=row["payoff"] or 0.0,
        holding=row["holding"],
    )


def _newest_price(signal: Signal, row: Row) -> tuple[Decimal, datetime]:
    """The last close, or the signal's own price while that is the newer one; it is as old as the market's last bar, for
    an order by hand names a price that was known at its time, however long before that was made."""
    close, close_time = row["last_close"], row["last_close_time"]
    if close is None:
        return Decimal(repr(signal.price)), signal.bar_close
    return Decimal(repr(close if close_time > signal.bar_close else signal.price)), close_time


def _start_equity(row: Row, name: str, is_same: bool) -> Decimal:
    """Of the present span's marks if there are any, else the last value of an earlier one; an account never marked
    starts now."""
    marked: Decimal | None = row[name] if is_same else row["marked_equity"]
    equity: Decimal = row["equity"]
    return marked or equity


def _week(day: date) -> date:
    return day - timedelta(days=day.weekday())


def instrument_of(row: Row) -> Instrument:
    return Instrument(
        id=row["id"],
        venue=row["venue"],
        symbol=row["symbol"],
        base=row["base"],
        quote=row["quote"],
        tick_size=row["tick_size"],
        lot_size=row["lot_size"],
        min_notional=row["min_notional"],
        maker_fee=row["maker_fee"],
        taker_fee=row["taker_fee"],
        status=InstrumentStatus(row["status"]),
        kind=InstrumentKind(row["kind"]),
        settle=row["settle"],
        contract_size=row["contract_size"],
    )
