"""The door for people who look at what is or was wrong: alerts that stand, and what was refused."""

from datetime import datetime, timedelta
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

    async def refusals(
        self, *, account: str | None, since: datetime | None, until: datetime | None
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """How many signals were judged and how they ended; and by check what stood against them, the busiest first."""
        chosen: dict[str, Any] = {"account": account, "since": since, "until": until}
        judged = await QUERIES.fetchrow(self._db, "judged", **chosen)
        assert judged is not None, "counts are always one row"
        return dict(judged), [dict(row) for row in await QUERIES.fetch(self._db, "refusals", **chosen)]

    async def acknowledge(self, id: str, *, actor: str, note: str) -> None:
        """NotFound names the alerts that are open."""
        at = self._clock.now()
        if not await QUERIES.fetchval(self._db, "acknowledge_alert", id=id, actor=actor, note=note, at=at):
            there = [row["id"] for row in await QUERIES.fetch(self._db, "open_alert_ids")]
            words = f"open are {', '.join(there)}" if there else "none is open"
            raise NotFound(f"there is no open alert {id!r}; {words}")
