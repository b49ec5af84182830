"""What would become of an order: judged like any signal, on the same facts and limits, and nothing is kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from mastertrade.domain.risk import TradingMode
from mastertrade.domain.strategy import Signal, SignalType
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.gathering import Gatherer
from mastertrade.risk_manager.judge import Judgement, judge
from mastertrade.risk_manager.market_risk import BarsOf, MarketRisk
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager, Row, Transaction
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import new_id

QUERIES = load_queries(Path(__file__).with_name("what_if.sql"))
VALID = timedelta(seconds=30)
ORDINARY = 75.0
"""The confidence of an ordinary signal, which decides on a size that nobody named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """``account`` and ``strategy`` by name or id, None for those that traded last. ``quantity`` None asks for what the
    risk manager would size; ``price`` None for the market's."""

    type: SignalType
    symbol: str
    quantity: Decimal | None = None
    price: float | None = None
    account: str | None = None
    strategy: str | None = None
    confidence: float = ORDINARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    account: str
    strategy: str
    as_of: datetime
    price: Decimal
    quote: str
    judgement: Judgement
    limits_version: int


class WhatIf:
    def __init__(self, *, settings: RiskSettings, manager: PostgresManager, bars_of: BarsOf) -> None:
        self._manager = manager
        self._gatherer = Gatherer(
            defaults=settings.limits(),
            class_defaults=settings.class_limits(),
            markets=MarketRisk(bars_of=bars_of, window_days=settings.var_lookback_days),
            sizing=settings.sizing(),
            is_adaptive=settings.adaptive_limits,
        )

    async def ask(self, question: Question) -> Answer:
        """At the account's last mark. NotFound for an account, strategy or market that there is not."""
        async with self._manager.transaction(isolation="repeatable_read", readonly=True) as tx:
            account = await QUERIES.fetchrow(tx, "what_if_account", account=question.account)
            if account is None:
                which = "no account was ever marked" if question.account is None else f"no account {question.account!r}"
                raise NotFound(f"{which}; mastertrade demo makes one that trades")
            instrument = await self._market(tx, account, question.symbol)
            strategy = await self._strategy(tx, account, instrument, question.strategy)
            signal = _signal(question, account, instrument, strategy["id"])
            mode = await QUERIES.fetchval(
                tx,
                "trading_mode",
                account_id=signal.account_id,
                strategy_id=signal.strategy_id,
                instrument_id=signal.instrument_id,
            )
            now = account["marked_at"]
            inputs = await self._gatherer.gather(tx, signal, mode=TradingMode(mode), now=now)
        return Answer(
            account=account["name"],
            strategy=strategy["name"],
            as_of=now,
            price=inputs.case.price,
            quote=inputs.case.account_quote,
            judgement=judge(inputs.case, inputs.limits, verdict_id=new_id(now)),
            limits_version=inputs.limits_version,
        )

    async def _market(self, tx: Transaction, account: Row, symbol: str) -> Row:
        row = await QUERIES.fetchrow(tx, "what_if_market", account_id=account["id"], symbol=symbol.upper(),
                                     at=account["marked_at"])  # fmt: skip
        if row is None:
            raise NotFound(f"{symbol.upper()} is no market of the venue of account {account['name']}")
        if row["close"] is None:
            raise NotFound(
                f"{symbol.upper()} has no price at {account['marked_at']:%Y-%m-%d %H:%M} UTC; nothing is known of it"
            )
        return row

    async def _strategy(self, tx: Transaction, account: Row, instrument: Row, name: str | None) -> Row:
        row = await QUERIES.fetchrow(
            tx, "what_if_strategy", account_id=account["id"], instrument_id=instrument["id"], strategy=name
        )
        if row is None:
            raise NotFound(f"there is no strategy {name!r}" if name else "there is no strategy an order could be of")
        return row


def _signal(question: Question, account: Row, instrument: Row, strategy_id: UUID) -> Signal:
    now = account["marked_at"]
    return Signal(
        id=new_id(now),
        strategy_id=strategy_id,
        account_id=account["id"],
        instrument_id=instrument["id"],
        symbol=instrument["symbol"],
        type=question.type,
        timeframe_s=60,
        bar_close=instrument["close_time"] if question.price is None else now,
        price=instrument["close"] if question.price is None else question.price,
        confidence=question.confidence,
        raised_at=now,
        valid_until=now + VALID,
        quantity=question.quantity,
    )
