"""What may leave the database, by policies or because somebody says so, and what keeps it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from mastertrade.market_data_service.catalogue import Selection
from mastertrade.market_data_service.intervals import interval_name
from mastertrade.market_data_service.retention.policies import ANY, QUERIES, Action, DataKind, Policy, governing
from mastertrade.market_data_service.retention.units import MONTHLY, Unit
from mastertrade.shared.postgres_manager import Database

COUNT_TIMEOUT_S = 120.0
"""Rows of trades and books are counted to know what a day holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What ended before ``cutoff`` leaves."""

    cutoff: datetime
    action: Action
    reason: str


RuleOf = Callable[[DataKind, str, str, str], Rule | None]
"""The rule for a kind, venue, symbol and timeframe; None: it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    unit: Unit
    rule: Rule


def rules_of(policies: Sequence[Policy], now: datetime) -> RuleOf:
    def rule_of(kind: DataKind, venue: str, symbol: str, timeframe: str) -> Rule | None:
        policy = governing(policies, kind, venue, symbol, timeframe)
        cutoff = None if policy is None else policy.cutoff(now)
        if policy is None or cutoff is None:
            return None
        return Rule(cutoff=cutoff, action=policy.action, reason=f"kept for {policy.keep}: {policy.reason}")

    return rule_of


async def due_units(
    db: Database, selection: Selection, rule_of: RuleOf, *, latest: datetime, kinds: Sequence[DataKind]
) -> list[Due]:
    """Whole units alone, the oldest candles first; ``latest`` is the last cutoff of any rule."""
    found: list[Due] = []
    if DataKind.CANDLES in kinds:
        found += await _candles(db, selection, rule_of, latest)
    others = [kind.value for kind in kinds if kind is not DataKind.CANDLES]
    filters = {name: values for name, values in selection.filters().items() if name != "intervals_s"}
    if not others or selection.intervals_s:
        return found
    for row in await QUERIES.fetch(db, "kind_series_of", kinds=others, before=latest, **filters):
        kind = DataKind(row["kind"])
        rule = rule_of(kind, row["venue"], row["symbol"], ANY)
        if rule is not None and not (row["instrument_id"] is None and kind is not DataKind.TICKERS):
            found += await _others(db, kind, row["venue"], row["symbol"], row["instrument_id"], rule)
    return found


async def _candles(db: Database, selection: Selection, rule_of: RuleOf, latest: datetime) -> list[Due]:
    rows = await QUERIES.fetch(db, "candle_units", before=latest, **selection.filters(), timeout_s=COUNT_TIMEOUT_S)
    rules: dict[tuple[str, str, int], Rule | None] = {}
    found = []
    for row in rows:
        series = row["venue"], row["symbol"], row["interval_s"]
        if series not in rules:
            rules[series] = rule_of(DataKind.CANDLES, series[0], series[1], interval_name(series[2]))
        unit = Unit(
            kind=DataKind.CANDLES, venue=row["venue"], symbol=row["symbol"], instrument_id=row["instrument_id"],
            interval_s=row["interval_s"], starts=_midnight(row["month"]), rows=row["rows"], version=row["version"],
            obstacle=row["obstacle"], snapshot=row["snapshot"],
        )  # fmt: skip
        rule = rules[series]
        if rule is not None and unit.ends <= rule.cutoff:
            found.append(Due(unit=unit, rule=rule))
    return found


async def _others(
    db: Database, kind: DataKind, venue: str, symbol: str, instrument_id: int | None, rule: Rule
) -> list[Due]:
    before = rule.cutoff.replace(hour=0, minute=0, second=0, microsecond=0)
    if kind in MONTHLY:
        before = before.replace(day=1)
    query = {
        DataKind.TRADES: "trade_units", DataKind.FUNDING: "funding_units", DataKind.BOOK: "book_units",
        DataKind.TICKERS: "ticker_units",
    }[kind]  # fmt: skip
    key = {"venue": venue, "symbol": symbol} if kind is DataKind.TICKERS else {"instrument_id": instrument_id}
    span = {"first": datetime(1970, 1, 1, tzinfo=UTC), "before": before}
    rows = await QUERIES.fetch(db, query, timeout_s=COUNT_TIMEOUT_S, **key, **span)
    return [
        Due(
            unit=Unit(
                kind=kind, venue=venue, symbol=symbol, instrument_id=instrument_id, interval_s=0, starts=row["starts"],
                rows=row["rows"], version=str(row["rows"]),
            ),
            rule=rule,
        )
        for row in rows
    ]  # fmt: skip


def _midnight(month: date) -> datetime:
    return datetime(month.year, month.month, month.day, tzinfo=UTC)
