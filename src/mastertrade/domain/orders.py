"""Orders: the states and their legal moves, approvals, fills, and rounding to a venue's rules."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from mastertrade.domain.market import InstrumentKind, parse_symbol


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP_LOSS = "STOP_LOSS"
    TAKE_PROFIT = "TAKE_PROFIT"


class TimeInForce(StrEnum):
    """Good till cancelled; immediate or cancel: what does not trade at once ends; fill or kill: all at once or
    nothing; good till its time."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long an order stands, and what it must not do: take what rests, or turn a position over. ValueError for what
    does not go together."""

    time_in_force: TimeInForce = TimeInForce.GTC
    expires_at: datetime | None = None
    post_only: bool = False
    reduce_only: bool = False

    def __post_init__(self) -> None:
        life = self.time_in_force
        if life is TimeInForce.GTD and self.expires_at is None:
            raise ValueError("time in force GTD: there is no time at which it ends; give one (--until), or use GTC")
        if life is not TimeInForce.GTD and self.expires_at is not None:
            raise ValueError(
                f"time in force {life}: it does not end at a time, and {self.expires_at:%Y-%m-%d %H:%M:%S} UTC was "
                "given; use GTD, or leave the time out"
            )
        if self.post_only and self.trades_at_once:
            raise ValueError(
                f"time in force {life}: it trades at once or ends, and a post-only order never trades at once; "
                "post-only goes with GTC and GTD"
            )

    @property
    def trades_at_once(self) -> bool:
        return self.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)

    def is_over(self, at: datetime) -> bool:
        return self.expires_at is not None and at >= self.expires_at

    def require_fit(self, side: Side, *, has_limit: bool, is_swap: bool = False) -> None:
        """ValueError where an order of this side, price and kind of market cannot have these terms."""
        if not has_limit and (self.time_in_force is not TimeInForce.GTC or self.post_only):
            what = "post-only" if self.post_only else f"time in force {self.time_in_force}"
            raise ValueError(f"{what}: a market order cannot have it; give a limit price (--limit), or leave it out")
        if self.reduce_only and side is Side.BUY and not is_swap:
            raise ValueError(
                "reduce-only BUY: a spot position is reduced by selling; use SELL, or leave reduce-only out"
            )

    def require_time_left(self, now: datetime) -> None:
        """ValueError where it would have ended before it began."""
        if self.is_over(now):
            raise ValueError(
                f"until {self.expires_at:%Y-%m-%d %H:%M:%S} UTC: that is not after the market's present, "
                f"{now:%Y-%m-%d %H:%M:%S} UTC; give a later time"
            )

    def __str__(self) -> str:
        """In words, nothing for an ordinary order."""
        until = f" until {self.expires_at:%Y-%m-%d %H:%M:%S} UTC" if self.expires_at else ""
        life = "" if self.time_in_force is TimeInForce.GTC else f"{self.time_in_force}{until}"
        flags = ("post-only" if self.post_only else "", "reduce-only" if self.reduce_only else "")
        return ", ".join(one for one in (life, *flags) if one)


ORDINARY: Final = Terms()


class Environment(StrEnum):
    PAPER = "paper"
    TESTNET = "testnet"
    PRODUCTION = "production"


class OrderStatus(StrEnum):
    NEW = "NEW"
    SUBMITTING = "SUBMITTING"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    NOT_FOUND = "NOT_FOUND"

    @property
    def is_final(self) -> bool:
        """No further move is expected; only a late fill may still arrive."""
        return self in FINAL


_S = OrderStatus
FINAL = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED, _S.NOT_FOUND})
ACTIVE = frozenset(OrderStatus) - FINAL
LATE_FILL_FROM = frozenset({_S.CANCELED, _S.EXPIRED, _S.NOT_FOUND, _S.REJECTED})
"""Final states a late fill may still leave; each such move is alerted."""

_LATE = frozenset({_S.PARTIALLY_FILLED, _S.FILLED})
_ANSWERED = frozenset({_S.OPEN, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED})
_PENDING = frozenset({_S.PENDING_CANCEL, _S.PENDING_REPLACE})
LEGAL_MOVES: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.NEW: frozenset({_S.SUBMITTING, _S.CANCELED, _S.EXPIRED}),
    _S.SUBMITTING: _ANSWERED | {_S.UNKNOWN},
    _S.UNKNOWN: _ANSWERED | {_S.NOT_FOUND},
    _S.OPEN: _PENDING | {_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED, _S.UNKNOWN},
    _S.PARTIALLY_FILLED: _PENDING | {_S.FILLED, _S.CANCELED, _S.EXPIRED, _S.UNKNOWN},
    _S.PENDING_CANCEL: frozenset({_S.OPEN, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.UNKNOWN}),
    _S.PENDING_REPLACE: frozenset({_S.OPEN, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.UNKNOWN}),
    _S.FILLED: frozenset(),
    _S.CANCELED: _LATE,
    _S.EXPIRED: _LATE,
    _S.REJECTED: _LATE,
    _S.NOT_FOUND: _LATE,
}
"""The same table stands in the database, which refuses every other move; a test holds the two together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedOrder:
    """The pass to a venue: only the risk manager (or a stop's trigger) makes one, and nothing else can be sent.

    ``reduces`` marks an exit: it is allowed while halted. After ``valid_until`` it is never sent.
    """

    approval_id: UUID
    verdict_id: UUID
    signal_id: UUID
    strategy_id: UUID
    account_id: UUID
    reservation_id: UUID
    instrument_id: int
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    reduces: bool
    approved_at: datetime
    valid_until: datetime
    terms: Terms = ORDINARY

    def __post_init__(self) -> None:
        is_swap = parse_symbol(self.symbol).kind is InstrumentKind.SWAP
        self.terms.require_fit(self.side, has_limit=self.limit_price is not None, is_swap=is_swap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    id: UUID
    approval_id: UUID | None
    attempt: int
    client_order_id: str
    exchange_order_id: str | None
    signal_id: UUID | None
    strategy_id: UUID | None
    account_id: UUID
    instrument_id: int
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    status: OrderStatus
    filled_quantity: Decimal
    reduces: bool
    order_time: datetime
    valid_until: datetime | None
    signed_at: datetime | None
    send_by: datetime | None
    unknown_since: datetime | None
    terms: Terms = ORDINARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution as the venue reports it. Its identity is (account, instrument, trade id, venue order id).

    ``realized_pnl``: of a swap, what the venue booked for the part that closed, in the settle asset and without the
    commission; None where it does not say, and our own books reckon it."""

    client_order_id: str
    exchange_order_id: str
    exchange_trade_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str
    is_maker: bool
    trade_time: datetime
    realized_pnl: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingPayment:
    """What a position of a swap paid (below 0) or received at a settlement. Its identity is (account, payment id)."""

    payment_id: str
    symbol: str
    asset: str
    amount: Decimal
    paid_at: datetime


_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CLIENT_ORDER_PREFIX = "mt"
"""Marks an order as ours on any venue, so that strays can be recognised and adopted."""
_DIGITS = 22


def client_order_id(approval_id: UUID, attempt: int, install: str = "") -> str:
    """Prefix + base62 of a 128-bit BLAKE2b hash of (install, approval, attempt): at most 24 of [A-Za-z0-9].

    The same approval and attempt always give the same id, so a repeated send is recognisable as such.
    """
    digest = hashlib.blake2b(f"{install}:{approval_id}:{attempt}".encode(), digest_size=16).digest()
    return id_of_number(int.from_bytes(digest))


def id_of_number(number: int) -> str:
    """The id of ours that stands for this number of 128 bits."""
    text = ""
    while number:
        number, digit = divmod(number, 62)
        text = _ALPHABET[digit] + text
    return CLIENT_ORDER_PREFIX + text.rjust(_DIGITS, "0")


def number_of_id(client_order_id: str) -> int | None:
    """What ``id_of_number`` was given, or None for an id that it did not make."""
    digits = client_order_id.removeprefix(CLIENT_ORDER_PREFIX)
    if len(digits) != _DIGITS or CLIENT_ORDER_PREFIX + digits != client_order_id or not set(digits) <= set(_ALPHABET):
        return None
    number = 0
    for digit in digits:
        number = number * 62 + _ALPHABET.index(digit)
    return number if number < 1 << 128 else None


def round_down(value: Decimal, step: Decimal) -> Decimal:
    """``value`` floored to a multiple of ``step``: quantities to the lot, buy limits to the tick."""
    return _round(value, step, ROUND_FLOOR)


def round_up(value: Decimal, step: Decimal) -> Decimal:
    """``value`` raised to a multiple of ``step``: sell limits to the tick, fees and reservations to their unit."""
    return _round(value, step, ROUND_CEILING)


def _round(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    if not (value.is_finite() and step.is_finite() and step > 0):
        raise ValueError(f"cannot round {value} to a step of {step}: both must be finite and the step above 0")
    return (value / step).to_integral_value(rounding=rounding) * step
