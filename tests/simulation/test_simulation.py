"""Hundreds of lives of orders, each from a seed: whatever dies, stands still or lies, nothing is lost and nothing is
there twice.

``MASTERTRADE_SEEDS=2000`` runs more of them, ``MASTERTRADE_SEEDS=417:418`` one again."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.virtual import RealDatabase
from tests.simulation.world import Broken, World, prepare

GROUPS = 10
CAUGHT_WITHIN = 80
SEEDS = os.environ.get("MASTERTRADE_SEEDS", "500")


def seeds() -> range:
    first, _, end = SEEDS.rpartition(":")
    return range(int(first or 0), int(end))


def live(real: RealDatabase, lives: range) -> None:
    for seed in lives:
        World(seed, real).run()


@pytest.fixture
def real(dsn: str) -> Iterator[RealDatabase]:
    database = RealDatabase(dsn)
    prepare(database)
    yield database
    database.close()


@pytest.mark.parametrize("group", range(GROUPS))
def test_nothing_is_lost_and_nothing_is_there_twice(real: RealDatabase, group: int) -> None:
    live(real, seeds()[group::GROUPS])


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_caught(
    real: RealDatabase, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch, RealDatabase], None]
) -> None:
    plant(monkeypatch, real)
    with pytest.raises(Broken):
        live(real, range(CAUGHT_WITHIN))


@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_is_the_same_life(real: RealDatabase, seed: int) -> None:
    first, second = World(seed, real), World(seed, real)
    first.run()
    second.run()
    assert first.journal == second.journal
    assert first.digest() == second.digest()
