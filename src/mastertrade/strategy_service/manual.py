"""Orders that somebody wants by hand: raised as signals, each the way of every order."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final
from uuid import UUID

from mastertrade.domain.events import SignalRaised
from mastertrade.domain.market import InstrumentKind, parse_symbol
from mastertrade.domain.orders import ORDINARY, Side, Terms, TimeInForce, round_down
from mastertrade.domain.strategy import Signal, SignalType
from mastertrade.messaging.bus import Bus
from mastertrade.shared.errors import NotFound, Refused
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import new_id, to_json_object

QUERIES = load_queries(Path(__file__).with_name("manual.sql"))
VALID: Final = timedelta(minutes=5)
"""Of the market's time; then the wish is old, whatever kept it waiting."""
MANUAL: Final = "manual"
CERTAIN: Final = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """At the market's price, or at ``limit_price`` and better. ``account`` None is the newest; ``strategy`` None is
    that of orders by hand, whose positions are its own. Without a ``quantity`` the risk manager sizes it. ``lasts`` is
    an end that counts from the market's present."""

    type: SignalType
    symbol: str
    quantity: Decimal | None
    limit_price: Decimal | None = None
    terms: Terms = ORDINARY
    lasts: timedelta | None = None
    account: str | None = None
    strategy: str | None = None
    actor: str = ""
    reason: str = ""

    def standing(self, at: datetime) -> "Wish":
        """With its end as a time of the market's."""
        if self.lasts is None:
            return self
        terms = replace(self.terms, time_in_force=TimeInForce.GTD, expires_at=at + self.lasts)
        return replace(self, terms=terms, lasts=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wished:
    signal: Signal
    account: str
    strategy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a wish belongs, at the market's time and last price then; steps are those of the market."""

    at: datetime
    account_id: UUID
    account: str
    strategy_id: UUID
    strategy: str
    instrument_id: int
    symbol: str
    lot: Decimal
    tick: Decimal
    min_notional: Decimal
    price: float


class ManualOrders:
    """Works with the database alone: whoever judges and sends hears of it over the bus, now or when he is back."""

    def __init__(self, *, manager: PostgresManager, bus: Bus) -> None:
        self._manager = manager
        self._bus = bus

    async def place(self, wish: Wish) -> Wished:
        """NotFound for an account, strategy or market that there is not; Refused for a quantity, price or terms that no
        order could have."""
        async with self._manager.transaction() as tx:
            place = await find_place(tx, wish)
            wish = wish.standing(place.at)
            _require_terms(place.symbol, wish, place.at)
            evidence: dict[str, float | str] = {"by_hand": wish.actor, "because": wish.reason or "an order by hand"}
            signal = await raise_by_hand(
                tx,
                self._bus,
                place,
                type=wish.type,
                quantity=wish.quantity,
                limit_price=wish.limit_price,
                terms=wish.terms,
                evidence=evidence,
            )
        return Wished(signal=signal, account=place.account, strategy=place.strategy)


async def find_place(tx: Transaction, wish: Wish) -> Place:
    """NotFound for an account, strategy or market that there is not; Refused for what is between two steps of the
    market's."""
    account = await QUERIES.fetchrow(tx, "hand_account", account=wish.account)
    if account is None:
        which = "no account has traded yet" if wish.account is None else f"there is no account {wish.account!r}"
        raise NotFound(f"{which}; mastertrade demo makes one that trades on paper")
    at, name = account["marked_at"], wish.symbol.upper()
    market = await QUERIES.fetchrow(tx, "hand_market", venue=account["venue"], symbol=name, at=at)
    if market is None or market["close"] is None:
        known = "is no market" if market is None else f"has no price at {at:%Y-%m-%d %H:%M} UTC"
        raise NotFound(f"{name} {known} of {account['venue']}, where account {account['name']} is")
    require_steps(name, "quantity", wish.quantity, "lot", market["lot_size"])
    require_steps(name, "limit price", wish.limit_price, "tick", market["tick_size"])
    strategy_id, strategy = await _strategy(tx, wish.strategy, at)
    return Place(
        at=at,
        account_id=account["id"],
        account=account["name"],
        strategy_id=strategy_id,
        strategy=strategy,
        instrument_id=market["id"],
        symbol=market["symbol"],
        lot=market["lot_size"],
        tick=market["tick_size"],
        min_notional=market["min_notional"],
        price=market["close"],
    )


async def raise_by_hand(
    tx: Transaction,
    bus: Bus,
    place: Place,
    *,
    type: SignalType,
    quantity: Decimal | None,
    limit_price: Decimal | None,
    terms: Terms,
    evidence: dict[str, float | str],
    cause: UUID | None = None,
) -> Signal:
    """A signal, stored and published, as anybody's but a strategy's own."""
    id, at = new_id(place.at), place.at
    until = min(at + VALID, terms.expires_at or at + VALID)
    bar_close = await QUERIES.fetchval(
        tx,
        "raise_signal_by_hand",
        id=id,
        strategy_id=place.strategy_id,
        account_id=place.account_id,
        instrument_id=place.instrument_id,
        type=type.value,
        quantity=quantity,
        price=Decimal(repr(place.price)),
        limit_price=limit_price,
        terms=to_json_object(terms),
        evidence=evidence,
        at=at,
        valid_until=until,
    )
    signal = Signal(
        id=id,
        strategy_id=place.strategy_id,
        account_id=place.account_id,
        instrument_id=place.instrument_id,
        symbol=place.symbol,
        type=type,
        timeframe_s=60,
        bar_close=bar_close,
        price=place.price,
        confidence=CERTAIN,
        raised_at=at,
        valid_until=until,
        evidence=evidence,
        quantity=quantity,
        limit_price=limit_price,
        terms=terms,
    )
    raised = SignalRaised(id=new_id(at), occurred_at=at, correlation_id=id, causation_id=cause, signal=signal)
    await bus.publish(raised, within=tx)
    return signal


async def _strategy(tx: Transaction, name: str | None, at: datetime) -> tuple[UUID, str]:
    if name is None:
        return await QUERIES.fetchval(tx, "manual_strategy", at=at), MANUAL
    row = await QUERIES.fetchrow(tx, "hand_strategy", strategy=name)
    if row is None:
        raise NotFound(f"there is no strategy {name!r}; mastertrade strategy list shows them")
    return row["id"], row["name"]


def _require_terms(symbol: str, wish: Wish, now: datetime) -> None:
    try:
        is_swap = parse_symbol(symbol).kind is InstrumentKind.SWAP
        wish.terms.require_fit(Side(wish.type.value), has_limit=wish.limit_price is not None, is_swap=is_swap)
        wish.terms.require_time_left(now)
    except ValueError as error:
        raise Refused(f"{symbol}: {error}") from None


def require_steps(symbol: str, what: str, value: Decimal | None, unit: str, step: Decimal) -> None:
    """Whole steps of the market's, or Refused with the nearest values that are."""
    if value is None or step <= 0:
        return
    below = round_down(value, step)
    if below == value:
        return
    near = [f"{one.normalize():f}" for one in (below, below + step) if one > 0]
    raise Refused(
        f"{symbol}: {what} {value.normalize():f} is no multiple of the {unit} {step.normalize():f}; the nearest "
        f"{'is' if len(near) == 1 else 'are'} {' and '.join(near)}"
    )
