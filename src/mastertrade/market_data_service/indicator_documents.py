"""The older system's API of indicators: what strategies ask for, and the values that were calculated."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from mastertrade.domain.market import legacy_symbol
from mastertrade.market_data_service.models import IndicatorCalculationResult, IndicatorConfigurationDB
from mastertrade.market_data_service.sentiment_documents import MOST_DOCUMENTS, SentimentDocuments
from mastertrade.shared.errors import BadData
from mastertrade.shared.serialization import to_serializable

ROWS_A_CLEANUP = 10_000
IMMUTABLE = ("id", "strategy_id")
"""What an update of a configuration cannot change: they are its key."""

AnyModel = TypeVar("AnyModel", bound=BaseModel)
StrategyId = str | int | UUID


class IndicatorDocuments(SentimentDocuments):
    """A part of ``Database``. The key of a configuration is its id and its strategy's."""

    async def create_indicator_configuration(self, config: IndicatorConfigurationDB | Mapping[str, Any]) -> bool:
        """False when the strategy has one of that id already."""
        wanted = _model(IndicatorConfigurationDB, config)
        data = to_serializable(wanted) | {"symbol": legacy_symbol(wanted.symbol)}
        return await self._indicators.add_indicator(self._db, wanted.id, wanted.strategy_id, data, at=self._clock.now())

    async def get_indicator_configuration(self, config_id: str, strategy_id: StrategyId) -> dict[str, Any] | None:
        found = await self._indicators.indicators(self._db, id=str(config_id), strategy_id=str(strategy_id))
        return found[0] if found else None

    async def get_active_indicator_configurations(self, strategy_id: StrategyId | None = None) -> list[dict[str, Any]]:
        """By priority, then strategy and id."""
        of = None if strategy_id is None else str(strategy_id)
        return await self._indicators.indicators(self._db, strategy_id=of, only_active=True)

    async def get_configurations_by_symbol_interval(self, symbol: str, interval: str) -> list[dict[str, Any]]:
        """Those that are switched off as well."""
        return await self._indicators.indicators(self._db, symbol=legacy_symbol(symbol), interval=interval)

    async def update_indicator_configuration(
        self, config_id: str, strategy_id: StrategyId, updates: Mapping[str, Any]
    ) -> bool:
        now = self._clock.now()
        changes = {key: value for key, value in updates.items() if key not in IMMUTABLE}
        if "symbol" in changes:
            changes["symbol"] = legacy_symbol(str(changes["symbol"]))
        known = await self.get_indicator_configuration(config_id, strategy_id)
        if known is None:
            return False
        _model(IndicatorConfigurationDB, {**known, **changes})
        data = to_serializable({**changes, "updated_at": now})
        return await self._indicators.update_indicator(self._db, str(config_id), str(strategy_id), data, at=now)

    async def delete_indicator_configuration(self, config_id: str, strategy_id: StrategyId) -> bool:
        return await self._indicators.remove_indicator(self._db, str(config_id), str(strategy_id))

    async def update_calculation_statistics(
        self,
        config_id: str,
        strategy_id: StrategyId,
        calculation_time_ms: float,
        success: bool = True,
        error_message: str = "",
    ) -> bool:
        """A success moves the mean and the time of the last calculation and forgets the last error; a failure is
        counted by itself, and the configuration stays due."""
        return await self._indicators.count_calculation(
            self._db,
            str(config_id),
            str(strategy_id),
            took_ms=float(calculation_time_ms),
            success=success,
            error=error_message,
            at=self._clock.now(),
        )

    async def get_configurations_due_for_calculation(self, max_age_seconds: int = 300) -> list[dict[str, Any]]:
        """Active, continuous, and not calculated since; what never was comes first."""
        before = self._clock.now() - timedelta(seconds=max_age_seconds)
        return await self._indicators.indicators_due(self._db, before=before)

    async def store_indicator_result(self, result: IndicatorCalculationResult | Mapping[str, Any]) -> bool:
        """True; the values of an id that is there are replaced."""
        given = _model(IndicatorCalculationResult, result)
        symbol, now = legacy_symbol(given.symbol), self._clock.now()
        await self._indicators.store_indicator_result(
            self._db,
            id=given.id,
            configuration_id=given.configuration_id,
            symbol=symbol,
            ts=given.timestamp,
            data=to_serializable(given) | {"symbol": symbol},
            expires_at=now + timedelta(seconds=self._settings.indicator_ttl_s),
            at=now,
        )
        return True

    async def get_latest_indicator_result(self, configuration_id: str, symbol: str) -> dict[str, Any] | None:
        found = await self._indicators.indicator_results(
            self._db,
            str(configuration_id),
            legacy_symbol(symbol),
            first=self._clock.now() - timedelta(seconds=self._settings.indicator_ttl_s),
            limit=1,
        )
        return found[0] if found else None

    async def get_indicator_results_history(
        self, configuration_id: str, symbol: str, hours_back: int = 24, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Newest first."""
        return await self._indicators.indicator_results(
            self._db,
            str(configuration_id),
            legacy_symbol(symbol),
            first=self._clock.now() - timedelta(hours=hours_back),
            limit=min(limit, MOST_DOCUMENTS),
        )

    async def cleanup_old_indicator_results(self, days_old: int = 7) -> int:
        """Delete values that are older; the number of them."""
        before, removed = self._clock.now() - timedelta(days=days_old), 0
        while True:
            batch = await self._indicators.remove_indicator_results(self._db, before=before, limit=ROWS_A_CLEANUP)
            removed += batch
            if batch < ROWS_A_CLEANUP:
                return removed


def _model(kind: type[AnyModel], document: BaseModel | Mapping[str, Any]) -> AnyModel:
    """The model of a document; BadData names the first field that does not fit."""
    if isinstance(document, kind):
        return document
    values = document.model_dump() if isinstance(document, BaseModel) else dict(document)
    if isinstance(values.get("strategy_id"), int | UUID):
        values["strategy_id"] = str(values["strategy_id"])
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "document"
        raise BadData(
            f"{kind.__name__} {values.get('id', 'without id')}: {field} {first['input']!r}: {first['msg']}"
        ) from error
