"""Where people place algo orders, and say which they want ended."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid4

from mastertrade.domain.events import AlgoOrderChanged
from mastertrade.domain.market import InstrumentKind, parse_symbol
from mastertrade.domain.orders import OrderStatus, Side, Terms
from mastertrade.domain.strategy import SignalType
from mastertrade.messaging.bus import Bus
from mastertrade.shared.errors import NotFound, Refused, UsageError
from mastertrade.shared.postgres_manager import PostgresManager, Row, Transaction
from mastertrade.shared.serialization import new_id, to_json_object
from mastertrade.strategy_service.algos.keeper import QUERIES, read_terms
from mastertrade.strategy_service.algos.models import AlgoKind, Leg, Progress, Rules
from mastertrade.strategy_service.manual import Place, Wish, find_place, require_steps

LONGEST: Final = timedelta(days=7)
SHORTEST_SLICE: Final = timedelta(minutes=1)
"""Bars of a minute are what moves them."""
MOST_PERCENT: Final = Decimal(50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    id: UUID
    kind: AlgoKind
    place: Place


class AlgoOrders:
    """Works with the database alone; whoever keeps them hears of it over the bus, now or when he is back."""

    def __init__(self, *, manager: PostgresManager, bus: Bus) -> None:
        self._manager = manager
        self._bus = bus

    async def place(self, kind: AlgoKind, wish: Wish, rules: Rules, *, ends_at: datetime | None = None) -> Placed:
        """Kept until its time has come. NotFound and Refused as for any order by hand, Refused also for prices that
        have been passed, slices that the market does not take, and times that are over."""
        async with self._manager.transaction() as tx:
            place = await find_place(tx, wish)
            if kind is AlgoKind.BRACKET:
                wish = wish.standing(place.at)
            elif wish.lasts is not None:
                ends_at = place.at + wish.lasts
            side = Side(wish.type.value)
            _require_sense(kind, wish, rules, place, side, ends_at)
            price = Decimal(repr(place.price))
            trails = kind is AlgoKind.TRIGGER and rules.watch.trail is not None
            id = await self._keep(
                tx,
                kind,
                place,
                side=side,
                quantity=wish.quantity,
                limit_price=wish.limit_price,
                terms=wish.terms,
                rules=rules,
                progress=Progress(best=price) if trails else Progress(),
                actor=wish.actor,
                reason=wish.reason,
                ends_at=ends_at,
            )
        return Placed(id=id, kind=kind, place=place)

    async def replace(
        self, order_id: UUID, *, quantity: Decimal | None, limit_price: Decimal | None, actor: str, reason: str
    ) -> Placed:
        """Another order in an order's place, once that one can trade no more: the two never stand together.
        ``quantity`` counts with what the old one has filled; what is None stays as it was. Refused for an order that is
        over."""
        async with self._manager.transaction() as tx:
            old = await QUERIES.fetchrow(tx, "algo_replaced_order", order_id=order_id)
            if old is None:
                raise NotFound(f"there is no order {order_id}")
            if OrderStatus(old["status"]).is_final:
                raise Refused(f"order {order_id} is {old['status']}: nothing of it is left to replace")
            if old["strategy_id"] is None:
                raise Refused(f"order {order_id} was placed by others on this account; cancel it instead")
            wish = _as_wish(old, quantity, limit_price, actor, reason)
            place = await find_place(tx, wish)
            if wish.quantity is not None and wish.quantity <= old["filled_quantity"]:
                filled = f"{old['filled_quantity'].normalize():f}"
                raise Refused(f"quantity {wish.quantity.normalize():f}: {filled} of it are filled; cancel it instead")
            id = await self._keep(
                tx,
                AlgoKind.REPLACE,
                place,
                side=Side(old["side"]),
                quantity=wish.quantity,
                limit_price=wish.limit_price,
                terms=wish.terms,
                rules=Rules(),
                progress=Progress(),
                actor=actor,
                reason=reason,
                ends_at=None,
            )
            await QUERIES.execute(
                tx,
                "algo_step",
                algo_order_id=id,
                leg=Leg.REPLACED.value,
                signal_id=None,
                order_id=order_id,
                quantity=old["quantity"],
                at=place.at,
            )
        return Placed(id=id, kind=AlgoKind.REPLACE, place=place)

    async def find(self, name: str) -> UUID | None:
        """By its id or six letters of it or more."""
        rows = await QUERIES.fetch(self._manager, "algo_named", name=name.lower().replace("%", "").replace("_", ""))
        if len(rows) > 1:
            raise UsageError(f"{name!r} is the beginning of several; give more of it")
        return rows[0]["id"] if rows else None

    async def want_ended(
        self, *, id: UUID | None = None, symbol: str | None = None, account_id: UUID | None = None, actor: str
    ) -> list[UUID]:
        """One of them, or all that still work, of a market or account where one is named. Nothing new is raised from
        now on; what may still trade is called back."""
        ended = []
        async with self._manager.transaction() as tx:
            ids = [id]
            if id is None:
                rows = await QUERIES.fetch(tx, "algo_working", symbol=symbol, account_id=account_id)
                ids = [row["id"] for row in rows]
            for one in ids:
                row = await QUERIES.fetchrow(tx, "algo_end", id=one, outcome=f"{actor} cancelled it")
                if row is not None:
                    ended.append(row["id"])
                    await self._tell(tx, row["id"], row["account_id"], row["instrument_id"], row["at"])
        return ended

    async def _keep(
        self,
        tx: Transaction,
        kind: AlgoKind,
        place: Place,
        *,
        side: Side,
        quantity: Decimal | None,
        limit_price: Decimal | None,
        terms: Terms,
        rules: Rules,
        progress: Progress,
        actor: str,
        reason: str,
        ends_at: datetime | None,
    ) -> UUID:
        id = uuid4()
        await QUERIES.execute(
            tx,
            "algo_insert",
            id=id,
            kind=kind.value,
            account_id=place.account_id,
            strategy_id=place.strategy_id,
            instrument_id=place.instrument_id,
            side=side.value,
            quantity=quantity,
            limit_price=limit_price,
            terms=to_json_object(terms),
            rules=rules.to_json(),
            progress=progress.to_json(),
            actor=actor,
            reason=reason,
            at=place.at,
            ends_at=ends_at,
        )
        await self._tell(tx, id, place.account_id, place.instrument_id, place.at)
        return id

    async def _tell(self, tx: Transaction, id: UUID, account_id: UUID, instrument_id: int, at: datetime) -> None:
        event = AlgoOrderChanged(
            id=new_id(at),
            occurred_at=at,
            causation_id=id,
            algo_order_id=id,
            account_id=account_id,
            instrument_id=instrument_id,
        )
        await self._bus.publish(event, within=tx)


def _as_wish(old: Row, quantity: Decimal | None, limit_price: Decimal | None, actor: str, reason: str) -> Wish:
    return Wish(
        type=SignalType(old["side"]),
        symbol=old["symbol"],
        quantity=quantity or old["quantity"],
        limit_price=limit_price or old["price"],
        terms=read_terms(old),
        account=str(old["account_id"]),
        strategy=str(old["strategy_id"]),
        actor=actor,
        reason=reason,
    )


def _require_sense(
    kind: AlgoKind, wish: Wish, rules: Rules, place: Place, side: Side, ends_at: datetime | None
) -> None:
    if ends_at is not None and ends_at <= place.at:
        raise Refused(
            f"until {ends_at:%Y-%m-%d %H:%M} UTC: that is not after the market's present, {place.at:%Y-%m-%d %H:%M} UTC"
        )
    if kind is not AlgoKind.TRIGGER and kind is not AlgoKind.BRACKET and wish.quantity is None:
        raise UsageError(f"{kind} orders need a quantity; write one before the market")
    is_swap = parse_symbol(place.symbol).kind is InstrumentKind.SWAP
    if kind is AlgoKind.BRACKET and side is Side.SELL and not is_swap:
        raise UsageError("a bracket of a spot market buys first and sells at its stop or target; use BUY")
    try:
        wish.terms.require_fit(side, has_limit=wish.limit_price is not None, is_swap=is_swap)
        wish.terms.require_time_left(place.at)
    except ValueError as error:
        raise Refused(f"{place.symbol}: {error}") from None
    for told in _passed(kind, wish, rules, place, side):
        raise Refused(f"{place.symbol}: {told}")
    _require_slices(kind, wish, rules, place)


def _passed(kind: AlgoKind, wish: Wish, rules: Rules, place: Place, side: Side) -> Iterator[str]:
    """Prices that would be touched at once, or that stand on the wrong side of each other."""
    watch = rules.watch
    require_steps(place.symbol, "stop", watch.stop, "tick", place.tick)
    require_steps(place.symbol, "target", watch.target, "tick", place.tick)
    present = Decimal(repr(place.price)) if kind is AlgoKind.TRIGGER or wish.limit_price is None else wish.limit_price
    is_sale = (side is Side.BUY) if kind is AlgoKind.BRACKET else side is Side.SELL
    what = "the entry" if kind is AlgoKind.BRACKET and wish.limit_price is not None else "the market"
    below, above = (watch.stop, watch.target) if is_sale else (watch.target, watch.stop)
    names = ("stop", "target") if is_sale else ("target", "stop")
    if below is not None and below >= present:
        yield f"a {names[0]} at {below.normalize():f} is not below {what} at {present.normalize():f}; give a lower one"
    if above is not None and above <= present:
        yield f"a {names[1]} at {above.normalize():f} is not above {what} at {present.normalize():f}; give a higher one"
    if watch.trail is not None and not 0 < watch.trail < 100:
        yield f"a trail of {watch.trail.normalize():f} % is not between 0 and 100"


def _require_slices(kind: AlgoKind, wish: Wish, rules: Rules, place: Place) -> None:
    smallest = max(place.lot, place.min_notional / (wish.limit_price or Decimal(repr(place.price))))
    least = f"{smallest.quantize(Decimal('1e-8')).normalize():f}"
    if kind is AlgoKind.TWAP:
        assert rules.over_s and rules.slices and wish.quantity, "twap has its schedule"
        every = timedelta(seconds=rules.over_s) / rules.slices
        if timedelta(seconds=rules.over_s) > LONGEST:
            raise Refused(f"twap over {timedelta(seconds=rules.over_s)}: at most {LONGEST.days} days")
        if every < SHORTEST_SLICE:
            most = rules.over_s // int(SHORTEST_SLICE.total_seconds())
            raise Refused(f"{rules.slices} slices are one every {every.total_seconds():g} s, and a minute is the "
                          f"shortest; {'give it longer' if most < 1 else f'at most {most} fit'}")  # fmt: skip
        if wish.quantity / rules.slices < smallest:
            most = int(wish.quantity / smallest)
            raise Refused(f"{rules.slices} slices of {wish.quantity.normalize():f} are smaller than the {least} that "
                          f"{place.symbol} takes; {f'at most {most} fit' if most else 'give more'}")  # fmt: skip
    if kind is AlgoKind.PARTICIPATION and rules.percent is not None and not 0 < rules.percent <= MOST_PERCENT:
        raise Refused(
            f"{rules.percent.normalize():f} % of the market's volume is not above 0 and at most {MOST_PERCENT}"
        )
    if kind is AlgoKind.ICEBERG:
        if wish.limit_price is None:
            raise UsageError("an iceberg rests at a price; give one with --limit")
        require_steps(place.symbol, "what is shown", rules.display, "lot", place.lot)
        if rules.display is not None and rules.display < smallest:
            raise Refused(f"{rules.display.normalize():f} shown is smaller than the {least} that {place.symbol} takes")
