"""The life of a door to the database that stands by itself: opened and closed by its caller, under the names that
callers of the older system use."""

from mastertrade.shared.clock import Clock, SystemClock
from mastertrade.shared.config import PostgresSettings, load_settings
from mastertrade.shared.postgres_manager import PostgresManager


class OwnedDatabase:
    """``connect()`` opens a connection by the ``POSTGRES_*`` variables; a manager handed in is used, and left open.
    Making one opens nothing, and each call of its life may be repeated."""

    application_name = "mastertrade"

    def __init__(self, manager: PostgresManager | None = None, *, clock: Clock | None = None) -> None:
        self._manager = manager
        self._is_own = manager is None
        self._clock = clock or SystemClock()

    async def connect(self) -> None:
        if self._manager is None:
            (settings,) = load_settings(PostgresSettings)
            self._manager = PostgresManager(
                settings.dsn,
                min_size=settings.pool_min_size,
                max_size=settings.pool_max_size,
                statement_cache_size=settings.statement_cache_size,
                application_name=self.application_name,
            )
        await self._manager.connect()

    async def disconnect(self) -> None:
        if self._manager is not None and self._is_own:
            await self._manager.close()

    async def initialize(self) -> None:
        await self.connect()

    async def close(self) -> None:
        await self.disconnect()

    @property
    def _db(self) -> PostgresManager:
        if self._manager is None:
            raise RuntimeError("this database has no connection: call connect() first")
        return self._manager
