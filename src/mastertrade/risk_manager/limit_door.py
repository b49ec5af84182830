"""The door for people who look at limits and change them: explained, confirmed where they loosen, all versions kept."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from mastertrade.risk_manager.asset_classes import AssetClass
from mastertrade.risk_manager.gathering import instrument_of
from mastertrade.risk_manager.limits import (
    GLOBAL,
    Effective,
    LimitKind,
    Limits,
    ScopedLimit,
    effective,
    kind_of,
    loosens,
    parse_limit_scope,
    preset,
    scopes_of,
)
from mastertrade.risk_manager.postgres_database import RiskPostgresDatabase
from mastertrade.risk_manager.regimes import Regime
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import DatabaseBusy, NeedsConfirmation, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("limits.sql"))
ATTEMPTS: Final = 5


class LimitDoor:
    def __init__(
        self,
        *,
        manager: PostgresManager,
        clock: Clock,
        defaults: Limits,
        class_defaults: Mapping[AssetClass, Mapping[str, Decimal]],
        is_adaptive: bool = False,
    ) -> None:
        self._is_adaptive = is_adaptive
        self._manager = manager
        self._clock = clock
        self._defaults = defaults
        self._class_defaults = class_defaults
        self._database = RiskPostgresDatabase()

    async def scope(self, text: str) -> str:
        """As it is stored, with names and symbols for ids. A venue or asset may have limits before anything trades."""
        kind, id = parse_limit_scope(text)
        if kind in ("venue", "asset"):
            return f"{kind}:{id}"
        return await self._database.find_scope(self._manager, text)

    async def explain(self, account: str, strategy: str | None, symbol: str) -> Effective:
        """What an entry of this strategy in this market would be held against, with everywhere each number could come
        from."""
        account_id = UUID((await self.scope(f"account:{account}")).partition(":")[2])
        strategy_id = UUID((await self.scope(f"strategy:{strategy}")).partition(":")[2]) if strategy else None
        row = await QUERIES.fetchrow(self._manager, "market_of_account", account_id=account_id, symbol=symbol.upper())
        if row is None:
            raise NotFound(f"{symbol.upper()} is no market of the venue of account {account!r}")
        regime = await QUERIES.fetchval(self._manager, "regime_of_account", account_id=account_id)
        adapts = Regime(regime) if self._is_adaptive and regime else Regime.UNKNOWN
        return await self._effective(scopes_of(account_id, strategy_id, instrument_of(row)), adapts)

    async def of_scope(self, scope: str) -> Effective:
        """What this scope and the settings say, whatever others do."""
        return await self._effective((GLOBAL,) if scope == GLOBAL else (GLOBAL, scope))

    async def own(self) -> list[ScopedLimit]:
        """Limits that scopes have of their own."""
        return await self._database.limits(self._manager)

    async def history(self, *, limit: int) -> list[dict[str, Any]]:
        """Every change, the newest first; a value of None took the scope's own number back."""
        return [dict(row) for row in await QUERIES.fetch(self._manager, "limit_history", count=limit)]

    async def change(
        self, scope: str, name: str, value: Decimal | None, *, reason: str, actor: str, is_confirmed: bool
    ) -> int:
        """The version of the change; ``None`` takes the scope's own number back. Judgements from now on are held
        against it. NeedsConfirmation when it would allow more than before and nobody confirmed that."""
        kind, stored = kind_of(name), await self.scope(scope)
        if value is not None:
            kind.check(value)
        for _ in range(ATTEMPTS):
            version = await self._database.limits_version(self._manager)
            before = {(one.scope, one.name): one.value for one in await self.own()}.get((stored, kind.name))
            if value is None and before is None:
                raise NotFound(f"{stored} has no limit {kind.name} of its own; nothing was changed")
            self._check_loosening(kind, stored, before, value, reason, is_confirmed)
            changed: int | None = await QUERIES.fetchval(
                self._manager,
                "change_limit",
                scope=stored,
                name=kind.name,
                value=value,
                seen=version,
                before=before,
                reason=reason or "tightened",
                actor=actor,
                at=self._clock.now(),
            )
            if changed is not None:
                return changed
        raise DatabaseBusy(f"others changed limits {ATTEMPTS} times meanwhile; nothing was changed, try again")

    def _check_loosening(
        self,
        kind: LimitKind,
        scope: str,
        before: Decimal | None,
        after: Decimal | None,
        reason: str,
        is_confirmed: bool,
    ) -> None:
        own = preset(self._defaults, self._class_defaults, scope, kind.name)
        if not loosens(kind, before, after, preset=own):
            return
        old = before if before is not None else own
        new = after if after is not None else own
        what = f"{kind.name} of {scope} from {old:f} to {'none' if new is None else f'{new:f}'} {kind.unit}".rstrip()
        if not reason:
            raise UsageError(f"changing {what} allows more risk; give a --reason, it is kept")
        if not is_confirmed:
            raise NeedsConfirmation(f"changing {what} allows more risk; confirm it with --confirm")

    async def _effective(self, scopes: tuple[str, ...], regime: Regime = Regime.UNKNOWN) -> Effective:
        version = await self._database.limits_version(self._manager)
        own = await self.own()
        return effective(
            self._defaults, own, scopes, class_defaults=self._class_defaults, version=version, regime=regime
        )
