"""Funding rates and margin tiers of swaps as they are stored: what a paper venue for swaps needs beside prices."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from mastertrade.exchanges.paper_margin import Tier
from mastertrade.exchanges.paper_swaps import FundingRate
from mastertrade.market_data_service.postgres_instruments import InstrumentsPostgresDatabase
from mastertrade.market_data_service.postgres_kinds import KindsPostgresDatabase
from mastertrade.shared.postgres_manager import Database

TICK: Final = timedelta(microseconds=1)
"""The stored span holds its beginning and not its end, the asked one its end and not its beginning."""


class DatabaseSwapRules:
    """``SwapRules`` over PostgreSQL. Keeps nothing: each call sees what is stored then."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._kinds = KindsPostgresDatabase()
        self._instruments = InstrumentsPostgresDatabase()

    async def funding_rates(self, instrument_id: int, *, after: datetime, until: datetime) -> Sequence[FundingRate]:
        rows = await self._kinds.funding_rates(self._db, instrument_id, after + TICK, until + TICK)
        return [FundingRate(row["time"], Decimal(str(row["rate"]))) for row in rows]

    async def tiers(self, instrument_id: int, *, at: datetime) -> Sequence[Tier]:
        found = await self._instruments.leverage_tiers(self._db, instrument_id, as_of=at)
        return [
            Tier(
                notional_from=one.notional_from,
                notional_to=one.notional_to,
                maintenance_rate=one.maintenance_rate,
                max_leverage=one.max_leverage,
            )
            for one in found
        ]
