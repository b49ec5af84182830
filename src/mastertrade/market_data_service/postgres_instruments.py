"""Typed persistence of instruments and their history: one method per named query of instruments.sql."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from mastertrade.domain.market import Instrument, InstrumentKind, InstrumentStatus, ListedInstrument
from mastertrade.shared.postgres_manager import Database, Row
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(__file__, "instruments.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentVersion:
    """Rules valid from a moment up to another; ``valid_to`` is None for the present ones."""

    instrument_id: int
    valid_from: datetime
    valid_to: datetime | None
    contract_size: Decimal
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    status: InstrumentStatus
    rules_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownInstrument:
    """The present rules of a market, and since when they are so; ``is_assumed``: no venue and no file has told them."""

    instrument: Instrument
    valid_from: datetime
    is_assumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverageTier:
    """Between two notionals of a position: the margin it must keep, as a fraction, and its highest leverage.
    ``notional_to`` is None where there is no limit."""

    notional_from: Decimal
    notional_to: Decimal | None
    maintenance_rate: Decimal
    max_leverage: Decimal


class InstrumentsPostgresDatabase:
    """Stateless: every method takes the database or transaction it works in."""

    async def sync_instruments(
        self, db: Database, venue: str, listed: Sequence[ListedInstrument], *, at: datetime
    ) -> tuple[int, int]:
        """How many are new, and how many have changed."""
        row = await QUERIES.fetchrow(
            db,
            "sync_instruments",
            venue=venue,
            **_columns(listed),
            at=at,
        )
        assert row is not None, "an aggregate returns one row"
        return row["added"], row["changed"]

    async def learn_instruments(
        self,
        db: Database,
        venue: str,
        listed: Sequence[ListedInstrument],
        *,
        assumed: Sequence[Collection[str]],
        known_at: datetime,
        at: datetime,
    ) -> tuple[int, int]:
        """As ``sync_instruments``, of a list that was true at ``known_at`` and does not tell what is ``assumed``."""
        row = await QUERIES.fetchrow(
            db,
            "learn_instruments",
            venue=venue,
            **_columns(listed),
            sources=["assumed" if {"tick", "lot"} <= set(names) else "venue" for names in assumed],
            tell_notional=["minimum notional" not in names for names in assumed],
            tell_fees=[not {"maker fee", "taker fee"} & set(names) for names in assumed],
            known_at=known_at,
            at=at,
        )
        assert row is not None, "a function with results returns one row"
        return row["added"], row["changed"]

    async def delist_missing_instruments(
        self,
        db: Database,
        venue: str,
        *,
        symbols: Sequence[str],
        kinds: Sequence[InstrumentKind],
        at: datetime,
    ) -> list[str]:
        """The symbols of those kinds that the venue had listed before and does no longer."""
        rows = await QUERIES.fetch(
            db,
            "delist_missing_instruments",
            venue=venue,
            symbols=list(symbols),
            kinds=[kind.value for kind in kinds],
            at=at,
        )
        return sorted(row["symbol"] for row in rows)

    async def learn_leverage_tiers(
        self, db: Database, instrument_id: int, tiers: Sequence[LeverageTier], *, known_at: datetime
    ) -> bool:
        """False when they are known to be so already."""
        fields = ("notional_from", "notional_to", "maintenance_rate", "max_leverage")
        columns: dict[str, Any] = {name: [getattr(one, name) for one in tiers] for name in fields}
        changed: bool = await QUERIES.fetchval(
            db, "learn_leverage_tiers", instrument_id=instrument_id, **columns, known_at=known_at
        )
        return changed

    async def leverage_tiers(self, db: Database, instrument_id: int, *, as_of: datetime) -> list[LeverageTier]:
        """The tiers of that time, or the first known ones for a time before them; none when none are known."""
        rows = await QUERIES.fetch(db, "leverage_tiers", instrument_id=instrument_id, as_of=as_of)
        return [LeverageTier(**row) for row in rows]

    async def instrument_at(self, db: Database, instrument_id: int, *, as_of: datetime) -> Instrument | None:
        """The instrument with the rules of that time, or with the first known ones for a time before them."""
        row = await QUERIES.fetchrow(db, "instrument_at", instrument_id=instrument_id, as_of=as_of)
        return None if row is None else instrument_of(row)

    async def known_instruments(
        self, db: Database, *, venue: str | None = None, limit: int = 100_000
    ) -> list[KnownInstrument]:
        """Of one venue or of all, with the rules of the present, by venue and symbol."""
        found = []
        for row in await QUERIES.fetch(db, "known_instruments", venue=venue, limit=limit):
            columns = dict(row)
            valid_from, source = columns.pop("valid_from"), columns.pop("rules_source")
            instrument = Instrument(
                **{**columns, "status": InstrumentStatus(row["status"]), "kind": InstrumentKind(row["kind"])}
            )
            found.append(KnownInstrument(instrument=instrument, valid_from=valid_from, is_assumed=source == "assumed"))
        return found

    async def instrument_versions(self, db: Database, instrument_id: int) -> list[InstrumentVersion]:
        rows = await QUERIES.fetch(db, "instrument_versions", instrument_id=instrument_id)
        return [InstrumentVersion(**{**row, "status": InstrumentStatus(row["status"])}) for row in rows]


def _columns(listed: Sequence[ListedInstrument]) -> dict[str, Any]:
    return {
        "symbols": [one.symbol for one in listed],
        "bases": [one.base for one in listed],
        "quotes": [one.quote for one in listed],
        "kinds": [one.kind.value for one in listed],
        "settles": [one.settle for one in listed],
        "contract_sizes": [one.contract_size for one in listed],
        "tick_sizes": [one.tick_size for one in listed],
        "lot_sizes": [one.lot_size for one in listed],
        "min_notionals": [one.min_notional for one in listed],
        "maker_fees": [one.maker_fee for one in listed],
        "taker_fees": [one.taker_fee for one in listed],
        "statuses": [one.status.value for one in listed],
    }


def instrument_of(row: Row) -> Instrument:
    """An instrument from a row with all its columns."""
    return Instrument(**{**row, "status": InstrumentStatus(row["status"]), "kind": InstrumentKind(row["kind"])})
