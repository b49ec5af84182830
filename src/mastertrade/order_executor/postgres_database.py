"""Typed persistence of the order executor: one method per named query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from mastertrade.domain.market import InstrumentKind
from mastertrade.domain.orders import (
    ApprovedOrder,
    Environment,
    FundingPayment,
    Order,
    OrderStatus,
    OrderType,
    Side,
    Terms,
    TimeInForce,
    client_order_id,
)
from mastertrade.exchanges.exchange import VenueOrder
from mastertrade.order_executor.hearing import StreamState
from mastertrade.order_executor.reconciliation import AccountState, Break
from mastertrade.order_executor.steps import Begin, Begun, Book, FillOutcome, Move
from mastertrade.shared.errors import BadData
from mastertrade.shared.postgres_manager import Database, Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import decode, new_id, to_json_object

QUERIES = load_queries(Path(__file__).with_name("queries.sql"))
FIRST_ATTEMPT = 1
PAGE = 1_000
APPROVAL_COLUMNS = (
    "approval_id",
    "verdict_id",
    "signal_id",
    "strategy_id",
    "account_id",
    "reservation_id",
    "instrument_id",
    "symbol",
    "quantity",
    "limit_price",
    "reduces",
    "approved_at",
    "valid_until",
)
"""Of an approval as they are stored; the others need a conversion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    id: UUID
    name: str
    venue: str
    environment: Environment
    quote_asset: str
    kind: InstrumentKind = InstrumentKind.SPOT
    leverage: Decimal = Decimal(1)
    """Notional that a unit of margin may carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerProblem:
    problem: str
    subject: str
    difference: str


class Lease(Protocol):
    """Proof that this process is the one that trades: the database refuses writes of an older epoch."""

    @property
    def role(self) -> str: ...

    @property
    def epoch(self) -> int: ...


class ExecutorPostgresDatabase:
    """Every method takes the database or transaction it works in. With a ``lease`` every write of orders and fills
    raises LeaseLost once another process has taken it."""

    def __init__(self, lease: Lease | None = None) -> None:
        self._fence: dict[str, Any] = {"role": lease and lease.role, "epoch": lease and lease.epoch}

    @property
    def fence(self) -> Mapping[str, Any]:
        """For queries that need the lease."""
        return self._fence

    async def create_order(self, tx: Transaction, approval: ApprovedOrder, *, at: datetime) -> UUID | None:
        """The new order's id; None when this approval already has its order. BadData when it is not the approval that
        is stored."""
        created: UUID | None = await QUERIES.fetchval(
            tx,
            "create_order",
            id=new_id(at),
            approval_id=approval.approval_id,
            attempt=FIRST_ATTEMPT,
            client_order_id=client_order_id(approval.approval_id, FIRST_ATTEMPT),
            account_id=approval.account_id,
            instrument_id=approval.instrument_id,
            strategy_id=approval.strategy_id,
            signal_id=approval.signal_id,
            verdict_id=approval.verdict_id,
            approved_at=approval.approved_at,
            reservation_id=approval.reservation_id,
            symbol=approval.symbol,
            order_type=approval.type.value,
            side=approval.side.value,
            quantity=approval.quantity,
            price=approval.limit_price,
            reduces=approval.reduces,
            order_time=at,
            valid_until=approval.valid_until,
            time_in_force=approval.terms.time_in_force.value,
            expires_at=approval.terms.expires_at,
            post_only=approval.terms.post_only,
            reduce_only=approval.terms.reduce_only,
            **self._fence,
        )
        if created is None:
            await self.require_stored(tx, approval)
        return created

    async def require_stored(self, tx: Transaction, approval: ApprovedOrder) -> bool:
        """Whether the approval has its order already. BadData names each field in which it is not what is stored."""
        row = await QUERIES.fetchrow(tx, "approval_as_stored", approval_id=approval.approval_id)
        if row is None:
            raise BadData(
                f"approval {approval.approval_id} is not stored: no order is made of it; only the risk manager approves"
            )
        stored = ApprovedOrder(
            **{name: row[name] for name in APPROVAL_COLUMNS},
            side=Side(row["side"]),
            type=OrderType(row["order_type"]),
            terms=decode(Terms, row["terms"]),
        )
        names = [field.name for field in fields(ApprovedOrder)]
        other = [f"{name} {getattr(approval, name)!s:.80}, stored is {getattr(stored, name)!s:.80}"
                 for name in names if getattr(approval, name) != getattr(stored, name)]  # fmt: skip
        if other:
            raise BadData(f"approval {approval.approval_id} is stored otherwise: {'; '.join(other)}; no order is made")
        has_order: bool = row["has_order"]
        return has_order

    async def order_by_id(self, db: Database, order_id: UUID) -> Order | None:
        row = await QUERIES.fetchrow(db, "orders_by_id", ids=[order_id])
        return None if row is None else _order(row)

    async def active_orders(self, db: Database, account_id: UUID) -> list[Order]:
        """All of them, the oldest first."""
        orders: list[Order] = []
        while True:
            last = orders[-1] if orders else None
            rows = await QUERIES.fetch(
                db,
                "active_orders",
                account_id=account_id,
                after_time=last and last.order_time,
                after_id=last and last.id,
                page=PAGE,
            )
            orders += [_order(row) for row in rows]
            if len(rows) < PAGE:
                return orders

    async def wanted_cancelled(self, db: Database, order_ids: Sequence[UUID]) -> dict[UUID, str]:
        """Of these orders, those that somebody wants cancelled, with who and why."""
        if not order_ids:
            return {}
        rows = await QUERIES.fetch(db, "wanted_cancelled", order_ids=list(order_ids), page=len(order_ids))
        return {row["order_id"]: f"{row['actor']}: {row['reason']}" for row in rows}

    async def traded_symbols(self, db: Database, account_id: UUID, *, since: datetime) -> list[str]:
        """Markets with orders that may still trade, or that moved since then."""
        rows = await QUERIES.fetch(db, "traded_symbols", account_id=account_id, since=since)
        return [row["symbol"] for row in rows]

    async def begin_sends(self, tx: Transaction, steps: Sequence[Begin]) -> list[Begun]:
        rows = await QUERIES.fetch(
            tx,
            "begin_sends",
            order_ids=[one.order_id for one in steps],
            ats=[one.at for one in steps],
            send_bys=[one.send_by for one in steps],
            **self._fence,
        )
        found = await QUERIES.fetch(tx, "orders_by_id", ids=[one.order_id for one in steps])
        orders = {row["id"]: _order(row) for row in found}
        return [Begun(row["outcome"], orders.get(one.order_id)) for row, one in zip(rows, steps, strict=True)]

    async def move_orders(self, tx: Transaction, steps: Sequence[Move]) -> list[bool]:
        """True for each whose order still stood where the step says, and moved."""
        rows = await QUERIES.fetch(
            tx,
            "move_orders",
            order_ids=[one.order.id for one in steps],
            from_statuses=[one.order.status.value for one in steps],
            to_statuses=[one.to.value for one in steps],
            ats=[one.at for one in steps],
            sources=[one.source for one in steps],
            payloads=[dict(one.payload) for one in steps],
            exchange_order_ids=[one.exchange_order_id for one in steps],
            **self._fence,
        )
        return [row["moved"] for row in rows]

    async def apply_fills(self, tx: Transaction, steps: Sequence[Book]) -> list[FillOutcome]:
        """One after another, in this order."""
        fills = [one.fill for one in steps]
        rows = await QUERIES.fetch(
            tx,
            "apply_fills",
            fill_ids=[one.fill_id for one in steps],
            account_ids=[one.account_id for one in steps],
            client_order_ids=[one.client_order_id for one in fills],
            exchange_order_ids=[one.exchange_order_id for one in fills],
            exchange_trade_ids=[one.exchange_trade_id for one in fills],
            quantities=[one.quantity for one in fills],
            prices=[one.price for one in fills],
            commissions=[one.commission for one in fills],
            commission_assets=[one.commission_asset for one in fills],
            are_makers=[one.is_maker for one in fills],
            trade_times=[one.trade_time for one in fills],
            ats=[one.at for one in steps],
            sources=[one.source for one in steps],
            venue_pnls=[one.realized_pnl for one in fills],
            sides=[one.side for one in fills],
            **self._fence,
        )
        return [_outcome(row) for row in rows]

    async def apply_funding(
        self,
        tx: Transaction,
        account_id: UUID,
        payments: Sequence[FundingPayment],
        ids: Sequence[UUID],
        *,
        at: datetime,
    ) -> list[str]:
        """Of each: applied, duplicate, conflict or unknown_market."""
        rows = await QUERIES.fetch(
            tx,
            "apply_funding",
            account_id=account_id,
            ids=list(ids),
            symbols=[one.symbol for one in payments],
            payment_ids=[one.payment_id for one in payments],
            assets=[one.asset for one in payments],
            amounts=[one.amount for one in payments],
            paid_ats=[one.paid_at for one in payments],
            at=at,
            **self._fence,
        )
        return [row["outcome"] for row in rows]

    async def contracts(self, db: Database, account_id: UUID, *, since: datetime) -> dict[str, Decimal]:
        """Swaps by symbol, shorts below 0; also those of which nothing is held and that moved since then."""
        rows = await QUERIES.fetch(db, "contracts", account_id=account_id, since=since)
        return {row["symbol"]: row["quantity"] for row in rows}

    async def claimed_contracts(self, db: Database, account_id: UUID, *, since: datetime) -> dict[str, Decimal]:
        """Of the same swaps what strategies take for theirs."""
        rows = await QUERIES.fetch(db, "contracts", account_id=account_id, since=since)
        return {row["symbol"]: row["claimed"] for row in rows}

    async def funding_cursor(self, db: Database, account_id: UUID) -> str:
        return await QUERIES.fetchval(db, "funding_cursor", account_id=account_id) or ""

    async def save_funding_cursor(self, db: Database, account_id: UUID, cursor: str, *, at: datetime) -> None:
        await QUERIES.execute(db, "save_funding_cursor", account_id=account_id, funding=cursor, at=at, **self._fence)

    async def adopt_order(
        self, tx: Transaction, account_id: UUID, theirs: VenueOrder, *, origin: str, at: datetime
    ) -> int | None:
        """The instrument of the order, which is in our books now; None when its id or its market is not free here."""
        instrument_id: int | None = await QUERIES.fetchval(
            tx,
            "adopt_order",
            account_id=account_id,
            symbol=theirs.symbol,
            client_order_id=theirs.client_order_id,
            exchange_order_id=theirs.exchange_order_id,
            side=theirs.side.value,
            quantity=theirs.quantity,
            price=theirs.limit_price,
            origin=origin,
            at=at,
            **self._fence,
        )
        return instrument_id

    async def statuses(self, db: Database, client_order_ids: Sequence[str]) -> dict[str, OrderStatus]:
        """Of those of these orders that are in our books."""
        if not client_order_ids:
            return {}
        ids = list(client_order_ids)
        rows = await QUERIES.fetch(db, "statuses", client_order_ids=ids, page=len(ids))
        return {row["client_order_id"]: OrderStatus(row["status"]) for row in rows}

    async def begin_recovery(self, db: Database, account_id: UUID, *, reason: str, at: datetime) -> bool:
        """Nothing is sent for this account until it was compared. True when it could trade before."""
        could_trade: bool = await QUERIES.fetchval(
            db, "begin_recovery", account_id=account_id, reason=reason, at=at, **self._fence
        )
        return could_trade

    async def note_stream(
        self, db: Database, account_id: UUID, *, state: StreamState, reason: str, at: datetime
    ) -> None:
        await QUERIES.execute(
            db, "note_stream", account_id=account_id, state=state.value, reason=reason, at=at, **self._fence
        )

    async def record_comparison(
        self, db: Database, account_id: UUID, breaks: Sequence[Break], *, at: datetime
    ) -> AccountState:
        state = await QUERIES.fetchval(
            db,
            "record_comparison",
            account_id=account_id,
            breaks=[to_json_object(one) for one in breaks],
            at=at,
            **self._fence,
        )
        return AccountState(state)

    async def settle_alerts(
        self, tx: Transaction, account_id: UUID, *, at: datetime
    ) -> list[tuple[str, dict[str, Any]]]:
        """What is wrong with orders and books becomes alerts, and alerts of what is right again are resolved. Which
        changed, and how."""
        rows = await QUERIES.fetch(tx, "settle_order_alerts", account_id=account_id, at=at, **self._fence)
        return [(row["change"], row["alert"]) for row in rows]

    async def account_totals(self, db: Database, account_id: UUID) -> dict[str, Decimal]:
        """Free and reserved together, by asset."""
        rows = await QUERIES.fetch(db, "account_totals", account_id=account_id)
        return {row["asset"]: row["total"] for row in rows}

    async def quarantine_fill(
        self, tx: Transaction, account_id: UUID, *, reason: str, payload: Mapping[str, Any], at: datetime
    ) -> None:
        """The same fill for the same reason is kept once."""
        await QUERIES.execute(
            tx, "quarantine_fill", account_id=account_id, reason=reason, payload=dict(payload), at=at, **self._fence
        )

    async def instrument_of(self, db: Database, client_order_id: str) -> int | None:
        instrument_id: int | None = await QUERIES.fetchval(db, "instrument_of", client_order_id=client_order_id)
        return instrument_id

    async def halt_instrument(self, tx: Transaction, instrument_id: int, *, reason: str, at: datetime) -> None:
        await QUERIES.fetchval(tx, "halt_instrument", instrument_id=instrument_id, reason=reason, at=at)

    async def note_absent(self, db: Database, order_id: UUID, *, at: datetime) -> None:
        await QUERIES.execute(db, "note_absent", order_id=order_id, at=at, **self._fence)

    async def absent_answers(self, db: Database, order_id: UUID) -> list[datetime]:
        return [row["occurred_at"] for row in await QUERIES.fetch(db, "absent_answers", order_id=order_id)]

    async def absence_doubts(self, db: Database, order_id: UUID) -> list[str]:
        return list(await QUERIES.fetchval(db, "absence_doubts", order_id=order_id))

    async def note_doubt(self, db: Database, order_id: UUID, *, doubts: Sequence[str], at: datetime) -> None:
        payload = {"reason": f"the venue knows of no such order, and it is not taken for absent: {'; '.join(doubts)}"}
        await QUERIES.execute(db, "note_doubt", order_id=order_id, payload=payload, at=at, **self._fence)

    async def cursor(self, db: Database, account_id: UUID) -> str:
        return await QUERIES.fetchval(db, "cursor", account_id=account_id) or ""

    async def save_cursor(self, db: Database, account_id: UUID, cursor: str, *, at: datetime) -> None:
        await QUERIES.execute(db, "save_cursor", account_id=account_id, cursor=cursor, at=at, **self._fence)

    async def give_up(self, tx: Transaction, approval: ApprovedOrder, *, at: datetime) -> None:
        """Free what was reserved for an approval of which no order will be made. BadData when it is not the stored
        one: then whose capital that is remains to be seen."""
        if not await self.require_stored(tx, approval):
            reservation = approval.reservation_id
            await QUERIES.fetchval(tx, "release_reservation", reservation_id=reservation, at=at, **self._fence)

    async def create_account(
        self,
        db: Database,
        *,
        name: str,
        venue: str,
        environment: Environment,
        quote_asset: str,
        kind: InstrumentKind = InstrumentKind.SPOT,
        leverage: Decimal = Decimal(1),
    ) -> Account:
        """The account of this name, made when it does not exist yet."""
        await QUERIES.execute(
            db,
            "create_account",
            id=new_id(),
            name=name,
            venue=venue,
            environment=environment.value,
            quote_asset=quote_asset,
            kind=kind.value,
            leverage=leverage,
        )
        account = await self.account_by_name(db, name)
        assert account is not None, "the account was written just now"
        return account

    async def account_by_name(self, db: Database, name: str) -> Account | None:
        row = await QUERIES.fetchrow(db, "account_by_name", name=name)
        if row is None:
            return None
        return Account(
            id=row["id"],
            name=row["name"],
            venue=row["venue"],
            environment=Environment(row["environment"]),
            quote_asset=row["quote_asset"],
            kind=InstrumentKind(row["kind"]),
            leverage=row["leverage"],
        )

    async def deposit(
        self, db: Database, account_id: UUID, *, asset: str, amount: Decimal, source_key: str, at: datetime
    ) -> bool:
        return bool(
            await QUERIES.fetchval(
                db, "deposit", account_id=account_id, asset=asset, amount=amount, source_key=source_key, at=at
            )
        )

    async def balances(self, db: Database, account_id: UUID) -> list[Mapping[str, Any]]:
        return list(await QUERIES.fetch(db, "balances", account_id=account_id))

    async def open_positions(self, db: Database, account_id: UUID) -> list[Mapping[str, Any]]:
        return list(await QUERIES.fetch(db, "open_positions", account_id=account_id))

    async def ledger_problems(self, db: Database) -> list[LedgerProblem]:
        """Empty when every asset sums to zero and balances, reservations and positions equal the ledger."""
        return [LedgerProblem(**row) for row in await QUERIES.fetch(db, "ledger_problems")]


def _outcome(row: Mapping[str, Any]) -> FillOutcome:
    return FillOutcome(
        outcome=row["outcome"],
        order_id=row["order_id"],
        strategy_id=row["strategy_id"],
        signal_id=row["signal_id"],
        instrument_id=row["instrument_id"],
        symbol=row["symbol"],
        side=None if row["side"] is None else Side(row["side"]),
        status=None if row["status"] is None else OrderStatus(row["status"]),
        realized_pnl=row["realized_pnl"] or Decimal(0),
        position_quantity=row["position_quantity"] or Decimal(0),
        position_entry_price=row["position_entry_price"] or Decimal(0),
    )


def _order(row: Mapping[str, Any]) -> Order:
    return Order(
        id=row["id"],
        approval_id=row["approval_id"],
        attempt=row["attempt"],
        client_order_id=row["client_order_id"],
        exchange_order_id=row["exchange_order_id"],
        signal_id=row["signal_id"],
        strategy_id=row["strategy_id"],
        account_id=row["account_id"],
        instrument_id=row["instrument_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        type=OrderType(row["order_type"]),
        quantity=row["quantity"],
        price=row["price"],
        status=OrderStatus(row["status"]),
        filled_quantity=row["filled_quantity"],
        reduces=row["reduces"],
        order_time=row["order_time"],
        valid_until=row["valid_until"],
        signed_at=row["signed_at"],
        send_by=row["send_by"],
        unknown_since=row["unknown_since"],
        terms=Terms(
            time_in_force=TimeInForce(row["time_in_force"]),
            expires_at=row["expires_at"],
            post_only=row["post_only"],
            reduce_only=row["reduce_only"],
        ),
    )
