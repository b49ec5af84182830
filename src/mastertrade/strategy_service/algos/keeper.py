"""Algo orders at work: looked at with every bar, with each order of theirs that ends, and when people change them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from mastertrade.domain.events import AlgoOrderChanged, CandlesClosed, OrderFilled, OrderUpdated
from mastertrade.domain.market import Candle
from mastertrade.domain.orders import ORDINARY, OrderStatus, Side, Terms, TimeInForce
from mastertrade.domain.strategy import SignalType
from mastertrade.messaging.bus import Bus
from mastertrade.quant.bars import BarSource
from mastertrade.shared.postgres_manager import Database, Row, Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import parse_datetime
from mastertrade.strategy_service.algos.deciding import Situation, decide
from mastertrade.strategy_service.algos.models import (
    ENDED,
    AlgoKind,
    AlgoOrder,
    AlgoStatus,
    Child,
    Decision,
    Leg,
    Progress,
    Rules,
    Seen,
    Wanted,
)
from mastertrade.strategy_service.manual import Place, raise_by_hand

log = logging.getLogger(__name__)

QUERIES = load_queries(Path(__file__).with_name("algos.sql"))
LET_THROUGH: Final = ("approved", "reduced")


class AlgoKeeper:
    """Every look locks what it looks at: two that come at once, from this process or another, follow one another."""

    def __init__(self, *, bus: Bus, bars: BarSource, account_ids: Sequence[UUID] | None = None) -> None:
        self._bus = bus
        self._bars = bars
        self._account_ids = None if account_ids is None else list(account_ids)

    async def on_candles(self, event: CandlesClosed, tx: Transaction, *, at: datetime) -> None:
        closed = {one.instrument_id: one for one in event.candles}
        for row in await self._at_work(tx, at, instruments=list(closed)):
            await self._look(tx, row, await self._seen(row, closed[row["instrument_id"]]), at)

    async def watched_symbols(self, db: Database, venue: str) -> list[str]:
        """Markets of this venue whose price some algo order waits for."""
        rows = await QUERIES.fetch(db, "algo_watched_symbols", venue=venue, account_ids=self._account_ids)
        return [row["symbol"] for row in rows]

    async def on_prices(self, prices: Sequence[Candle], tx: Transaction, *, at: datetime) -> None:
        """Bars of a moment, for those that wait for a price alone. What goes in parts, or is asked for again, takes its
        time by whole bars."""
        now = {one.instrument_id: one for one in prices}
        for row in await self._at_work(tx, at, instruments=list(now)):
            if _waits_for_a_price(row):
                await self._look(tx, row, _moment(now[row["instrument_id"]]), at, is_moment=True)

    async def on_order(self, event: OrderUpdated | OrderFilled, tx: Transaction, *, at: datetime) -> None:
        if event.status.is_final:
            id = await QUERIES.fetchval(tx, "algo_of_order", order_id=event.order_id)
            if id is not None:
                await self._look_at(tx, id, at)

    async def on_changed(self, event: AlgoOrderChanged, tx: Transaction, *, at: datetime) -> None:
        await self._look_at(tx, event.algo_order_id, max(at, event.occurred_at))

    async def _look_at(self, tx: Transaction, id: UUID, at: datetime) -> None:
        for row in await self._at_work(tx, at, id=id):
            await self._look(tx, row, None, at)

    async def _at_work(
        self, tx: Transaction, at: datetime, *, instruments: list[int] | None = None, id: UUID | None = None
    ) -> list[Row]:
        return await QUERIES.fetch(
            tx, "algo_orders_at_work", instruments=instruments, id=id, account_ids=self._account_ids, at=at
        )

    async def _look(
        self, tx: Transaction, row: Row, seen: Seen | None, at: datetime, *, is_moment: bool = False
    ) -> None:
        """A moment triggers or leaves no trace: a trail that moved within a bar would be held against what the bar met
        before."""
        if row["close"] is None:
            return
        children = [_child(one) for one in await QUERIES.fetch(tx, "algo_children", ids=[row["id"]])]
        held = await QUERIES.fetchval(
            tx,
            "algo_held",
            account_id=row["account_id"],
            strategy_id=row["strategy_id"],
            instrument_id=row["instrument_id"],
        )
        algo = read_algo(row)
        decision = decide(Situation(algo=algo, children=children, seen=seen, held=held, at=at))
        if is_moment and decision.raises is None and not decision.cancels:
            return
        known_until = algo.progress.seen_until if seen is None or is_moment else seen.ends
        progress = replace(decision.progress, seen_until=known_until)
        for order_id in decision.cancels:
            reason = decision.outcome or f"{algo.kind} {str(algo.id)[:8]} has another order in its place"
            await QUERIES.fetchval(
                tx, "algo_cancel", order_id=order_id, reason=reason, actor=f"algo order {algo.id}", at=at
            )
        if decision.raises is not None:
            price = float(seen.close) if is_moment and seen is not None else row["close"]
            await self._raise(tx, row, decision.raises, price, at)
        if (progress, decision.status) != (algo.progress, algo.status):
            await QUERIES.execute(
                tx,
                "algo_moved",
                id=algo.id,
                progress=progress.to_json(),
                status=decision.status.value,
                outcome=decision.outcome,
                at=at,
            )
        self._tell(row, decision)

    async def _raise(self, tx: Transaction, row: Row, wanted: Wanted, price: float, at: datetime) -> None:
        place = Place(
            at=at,
            account_id=row["account_id"],
            account="",
            strategy_id=row["strategy_id"],
            strategy="",
            instrument_id=row["instrument_id"],
            symbol=row["symbol"],
            lot=row["lot_size"],
            tick=row["tick_size"],
            min_notional=row["min_notional"],
            price=price,
        )
        evidence: dict[str, float | str] = {
            "by_hand": row["actor"],
            "because": f"{row['kind']} {str(row['id'])[:8]}: {wanted.because}",
            "algo_order": str(row["id"]),
        }
        signal = await raise_by_hand(
            tx,
            self._bus,
            place,
            type=SignalType(wanted.side.value),
            quantity=wanted.quantity,
            limit_price=wanted.limit_price,
            terms=wanted.terms,
            evidence=evidence,
            cause=row["id"],
        )
        await QUERIES.execute(
            tx,
            "algo_step",
            algo_order_id=row["id"],
            leg=wanted.leg.value,
            signal_id=signal.id,
            order_id=None,
            quantity=wanted.quantity,
            at=at,
        )

    async def _seen(self, row: Row, candle: Candle) -> Seen:
        """The bar, and with it those since the last look that nobody was there for."""
        since = Progress.from_json(row["progress"]).seen_until or row["began_at"]
        high, low, volume, begins = candle.high, candle.low, candle.volume, candle.open_time
        if since < begins:
            missed = await self._bars.read(row["instrument_id"], candle.interval_s, since, begins, as_of=begins)
            if len(missed):
                high, low = max(high, float(missed.high.max())), min(low, float(missed.low.min()))
                volume += float(missed.volume.sum())
                begins = since
        return Seen(
            begins=begins,
            ends=candle.close_time,
            high=Decimal(repr(high)),
            low=Decimal(repr(low)),
            close=Decimal(repr(candle.close)),
            volume=Decimal(repr(volume)),
        )

    def _tell(self, row: Row, decision: Decision) -> None:
        if decision.status in ENDED:
            log.info("%s of %s %s: %s", row["kind"], row["symbol"], decision.status, decision.outcome)


def _waits_for_a_price(row: Row) -> bool:
    kind = AlgoKind(row["kind"])
    return kind in (AlgoKind.TRIGGER, AlgoKind.BRACKET) and not Progress.from_json(row["progress"]).hit


def _moment(price: Candle) -> Seen:
    value, at = Decimal(repr(price.close)), price.open_time
    return Seen(begins=at, ends=at, high=value, low=value, close=value, volume=Decimal(0))


def read_algo(row: Mapping[str, Any]) -> AlgoOrder:
    """A row with its market's steps and last price."""
    close = Decimal(repr(row["close"]))
    limit = row["limit_price"]
    return AlgoOrder(
        id=row["id"],
        kind=AlgoKind(row["kind"]),
        side=Side(row["side"]),
        quantity=row["quantity"],
        lot=row["lot_size"],
        smallest=row["min_notional"] / (close if limit is None else limit),
        rules=Rules.from_json(row["rules"]),
        began_at=row["began_at"],
        limit_price=limit,
        terms=read_terms(row["terms"]),
        ends_at=row["ends_at"],
        status=AlgoStatus(row["status"]),
        progress=Progress.from_json(row["progress"]),
    )


def read_terms(given: Mapping[str, Any]) -> Terms:
    ends = given.get("expires_at")
    return Terms(
        time_in_force=TimeInForce(given.get("time_in_force", ORDINARY.time_in_force)),
        expires_at=None if ends is None else parse_datetime(ends),
        post_only=bool(given.get("post_only")),
        reduce_only=bool(given.get("reduce_only")),
    )


def _child(row: Row) -> Child:
    """A verdict that lets nothing through is the end of it, and so is an approval that was given up before it was an
    order; anything else that is no order yet may become one."""
    status = None if row["status"] is None else OrderStatus(row["status"])
    refusal = ""
    if row["disposition"] is not None and row["disposition"] not in LET_THROUGH:
        refusal = row["reason"] or row["disposition"]
    elif row["is_given_up"]:
        refusal = "its approval was given up"
    elif status is OrderStatus.REJECTED and not row["filled"]:
        refusal = "rejected by the venue"
    return Child(
        leg=Leg(row["leg"]),
        filled=row["filled"],
        is_over=bool(refusal) or (status is not None and status.is_final),
        is_filled=status is OrderStatus.FILLED,
        is_lost=status is OrderStatus.NOT_FOUND,
        refusal=refusal,
        cancelled_by=row["cancelled_by"] or "",
        filled_at=row["filled_at"],
        price=row["price"],
        order_id=row["order_id"],
    )
