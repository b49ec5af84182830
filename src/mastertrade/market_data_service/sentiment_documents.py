"""The older system's API of sentiment: documents of any source, kept for a month."""

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from mastertrade.market_data_service.config import MarketDataSettings
from mastertrade.market_data_service.postgres_indicators import IndicatorsPostgresDatabase
from mastertrade.market_data_service.source import EPOCH
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData
from mastertrade.shared.owned_database import OwnedDatabase
from mastertrade.shared.plain_data import parse_datetime
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import to_serializable

log = logging.getLogger(__name__)

MOST_DOCUMENTS = 10_000
"""Of one answer."""
NO_SOURCE = "global"
MILLISECOND = timedelta(milliseconds=1)


class SentimentDocuments(OwnedDatabase):
    """A part of ``Database``. ``symbol`` is a base asset here (``BTC``), not a pair."""

    def __init__(
        self,
        manager: PostgresManager | None = None,
        *,
        clock: Clock | None = None,
        settings: MarketDataSettings | None = None,
    ) -> None:
        super().__init__(manager, clock=clock)
        self._settings = settings or MarketDataSettings()
        self._indicators = IndicatorsPostgresDatabase()

    async def upsert_sentiment_data(self, sentiment_data: Mapping[str, Any]) -> dict[str, Any]:
        """Store a document under its id, or one made of the time; the document as it is stored."""
        return await self._store_sentiment(sentiment_data, 0)

    async def upsert_sentiment_data_batch(self, sentiment_data_list: Iterable[Mapping[str, Any]]) -> int:
        """The number stored; a document that cannot be is logged and left out."""
        stored = 0
        for place, document in enumerate(sentiment_data_list):
            try:
                await self._store_sentiment(document, place)
            except BadData as error:
                log.warning("a sentiment document was left out: %s", error)
            else:
                stored += 1
        return stored

    async def get_sentiment_data(
        self,
        source: str | None = None,
        sentiment_type: str | None = None,
        symbol: str | None = None,
        hours_back: int = 24,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Newest first."""
        return await self._indicators.sentiment(
            self._db,
            first=self._clock.now() - timedelta(hours=hours_back),
            limit=min(limit, MOST_DOCUMENTS),
            source=source,
            type=sentiment_type,
            symbol=symbol,
        )

    async def get_latest_sentiment_by_type(self, sentiment_type: str) -> dict[str, Any] | None:
        """Of the last 24 hours."""
        found = await self.get_sentiment_data(sentiment_type=sentiment_type, limit=1)
        return found[0] if found else None

    async def get_sentiment_summary(self, hours_back: int = 24) -> dict[str, dict[str, Any]]:
        """By ``source_type``. The mean is over documents that have a polarity; 0.0 where none has."""
        first = self._clock.now() - timedelta(hours=hours_back)
        return {
            f"{row['source']}_{row['type']}": {
                "source": row["source"],
                "type": row["type"],
                "count": row["count"],
                "avg_polarity": row["avg_polarity"] or 0.0,
                "latest_timestamp": row["latest_timestamp"].isoformat(),
            }
            for row in await self._indicators.sentiment_summary(self._db, first=first)
        }

    async def _store_sentiment(self, document: Mapping[str, Any], place: int) -> dict[str, Any]:
        """``place`` keeps the documents of one batch apart that bring no id."""
        if not isinstance(document, Mapping):
            raise BadData(f"sentiment document {document!r}: must be a mapping of names to values")
        now = self._clock.now()
        try:
            at = parse_datetime(now if document.get("timestamp") is None else document["timestamp"])
        except (ValueError, TypeError) as error:
            raise BadData(f"sentiment document {document.get('id', 'without id')}: timestamp: {error}") from error
        id = str(document.get("id") or f"sentiment_{(now - EPOCH) // MILLISECOND + place}")
        source = str(document.get("source") or NO_SOURCE)
        data = to_serializable({**document, "id": id, "source": source, "timestamp": at, "updated_at": now})
        data.setdefault("created_at", now.isoformat())
        await self._indicators.store_sentiment(
            self._db,
            id=id,
            source=source,
            ts=at,
            data=data,
            expires_at=now + timedelta(seconds=self._settings.document_ttl_s),
            at=now,
        )
        return dict(data)
