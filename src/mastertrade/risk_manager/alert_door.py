"""The door for people who look at alerts and say that they have seen one."""

from datetime import timedelta
from typing import Any

from mastertrade.risk_manager.watch import QUERIES
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import Database


class AlertDoor:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def alerts(self, *, account: str | None, resolved_days: int = 0) -> list[dict[str, Any]]:
        """The open ones, the severe first; then those of the last ``resolved_days`` that have cleared."""
        rows = await QUERIES.fetch(
            self._db,
            "alerts_of_accounts",
            account=account,
            with_resolved=resolved_days > 0,
            since=self._clock.now() - timedelta(days=resolved_days),
        )
        return [dict(row) for row in rows]

    async def acknowledge(self, id: str, *, actor: str, note: str) -> None:
        """NotFound names the alerts that are open."""
        at = self._clock.now()
        if not await QUERIES.fetchval(self._db, "acknowledge_alert", id=id, actor=actor, note=note, at=at):
            there = [row["id"] for row in await QUERIES.fetch(self._db, "open_alert_ids")]
            words = f"open are {', '.join(there)}" if there else "none is open"
            raise NotFound(f"there is no open alert {id!r}; {words}")
