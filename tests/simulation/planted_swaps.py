"""Bugs of swaps, planted like the others."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from tests.simulation.virtual import RealDatabase

Plant = Callable[[pytest.MonkeyPatch, RealDatabase], None]


def payments_are_passed_before_they_are_booked(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def apply_funding(self: Any, tx: Any, account_id: Any, payments: Any, ids: Any, *, at: Any) -> list[str]:
        booked = await _apply(self, tx, account_id, payments[:1], ids[:1], at=at)
        return booked + ["applied" for _ in payments[1:]]

    _apply = ExecutorPostgresDatabase.apply_funding
    patch.setattr(ExecutorPostgresDatabase, "apply_funding", apply_funding)


def a_payment_is_booked_each_time_it_is_told(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    async def apply_funding(self: Any, tx: Any, account_id: Any, payments: Any, ids: Any, *, at: Any) -> list[str]:
        named = [replace(one, payment_id=str(id)) for one, id in zip(payments, ids, strict=True)]
        return await _apply(self, tx, account_id, named, ids, at=at)

    _apply = ExecutorPostgresDatabase.apply_funding
    patch.setattr(ExecutorPostgresDatabase, "apply_funding", apply_funding)


def realised_in_the_order_of_booking(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    """A venue realises in the order things happened."""
    _changed(real, "replay_contracts", "ORDER BY t.trade_time, coalesce", "ORDER BY coalesce")
    _changed(real, "book_contracts", "OR v_before.updated_at > p_trade_time", "")


def margin_stays_locked(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    _changed(
        real,
        "book_contracts",
        "margin := v_margin - v_before.margin",
        "margin := greatest(0, v_margin - v_before.margin)",
    )


def a_turned_position_keeps_its_side(patch: pytest.MonkeyPatch, real: RealDatabase) -> None:
    _changed(real, "apply_fill", "CASE WHEN v_held > 0 THEN 'long' ELSE 'short' END", "'long'")


def _changed(real: RealDatabase, function: str, before: str, after: str) -> None:
    """In this test's database alone, which goes with it."""
    text = real.run(real.manager.fetchval("SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = $1", function))
    assert text.count(before) == 1, f"{function} is written otherwise now"
    real.run(real.manager.execute(text.replace(before, after)))


PLANTED_ON_SWAPS: tuple[Plant, ...] = (
    payments_are_passed_before_they_are_booked,
    a_payment_is_booked_each_time_it_is_told,
    realised_in_the_order_of_booking,
    margin_stays_locked,
    a_turned_position_keeps_its_side,
)
