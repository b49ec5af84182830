"""Hundreds of lives of orders, each from a seed: whatever dies, stands still or lies, nothing is lost and nothing is
there twice.

``MASTERTRADE_SEEDS=2000`` runs more of them, ``MASTERTRADE_SEEDS=417:418`` one again."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from mastertrade.order_executor import watching
from tests.simulation.planted import PLANTED
from tests.simulation.planted_swaps import PLANTED_ON_SWAPS
from tests.simulation.virtual import RealDatabase
from tests.simulation.world import FAULTS, HOUR, SWAP, SYMBOL, Broken, World, prepare

GROUPS, SWAP_GROUPS = 10, 4
CAUGHT_WITHIN = 80
SOAK_SEED = 4
SEEDS = os.environ.get("MASTERTRADE_SEEDS", "500")


def seeds() -> range:
    first, _, end = SEEDS.rpartition(":")
    return range(int(first or 0), int(end))


@pytest.fixture(autouse=True)
def inferring_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes live for seconds here."""
    monkeypatch.setattr(watching, "INFERRED_AFTER", timedelta(seconds=8))


def live(real: RealDatabase, lives: range, symbol: str = SYMBOL) -> Counter[str]:
    """What was lived through and what was suffered; ``Broken`` where a promise did not hold."""
    figures: Counter[str] = Counter()
    for seed in lives:
        world = World(seed, real, symbol=symbol)
        world.run()
        figures += world.figures
    return figures


def tell(record: Callable[[str, object], None], lives: str, figures: Counter[str]) -> None:
    """Printed at the end of the test run. The zeros are what the worlds have checked."""
    faults = sum(count for name, count in figures.items() if name in FAULTS.values())
    checked = {"faults injected": faults, "lost": 0, "doubled": 0, "ledger differences": 0}
    record("figures", (lives, {**dict(sorted(figures.items())), **checked}))


@pytest.fixture
def real(dsn: str) -> Iterator[RealDatabase]:
    database = RealDatabase(dsn)
    prepare(database)
    yield database
    database.close()


@pytest.mark.parametrize("group", range(GROUPS))
def test_nothing_is_lost_and_nothing_is_there_twice(
    real: RealDatabase, group: int, record_property: Callable[[str, object], None]
) -> None:
    tell(record_property, "simulated lives", live(real, seeds()[group::GROUPS]))


@pytest.mark.parametrize("group", range(SWAP_GROUPS))
def test_nothing_of_swaps_is_lost_and_nothing_is_there_twice(
    real: RealDatabase, group: int, record_property: Callable[[str, object], None]
) -> None:
    of_swaps = range(seeds().start, seeds().start + max(len(seeds()) // 4, 1))
    tell(record_property, "simulated lives on swaps", live(real, of_swaps[group::SWAP_GROUPS], SWAP))


def test_an_hour_of_trading_with_a_fault_every_few_seconds(
    real: RealDatabase, record_property: Callable[[str, object], None]
) -> None:
    world = World(SOAK_SEED, real, HOUR)
    world.run()
    suffered = {fault for fault in FAULTS.values() if world.figures[fault]}
    assert suffered == set(FAULTS.values()), "every kind of fault has happened"
    assert world.figures["orders at the venue"] > HOUR.orders[0] / 4, "and there was trading all the same"
    tell(record_property, "simulated hour", world.figures)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_caught(
    real: RealDatabase, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch, RealDatabase], None]
) -> None:
    plant(monkeypatch, real)
    with pytest.raises(Broken):
        live(real, range(CAUGHT_WITHIN))


@pytest.mark.parametrize("plant", PLANTED_ON_SWAPS, ids=lambda plant: plant.__name__)
def test_a_bug_of_swaps_is_caught(
    real: RealDatabase, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch, RealDatabase], None]
) -> None:
    plant(monkeypatch, real)
    with pytest.raises(Broken):
        live(real, range(CAUGHT_WITHIN), SWAP)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_is_the_same_life(real: RealDatabase, seed: int) -> None:
    first, second = World(seed, real), World(seed, real)
    first.run()
    second.run()
    assert first.journal == second.journal
    assert first.digest() == second.digest()
