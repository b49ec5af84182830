"""A replay, killed with its database again and again: at its end it has done what an undisturbed one does."""

import os
import random
import signal
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from mastertrade.postgres import cluster
from mastertrade.postgres.embedded import embedded_server
from mastertrade.postgres.folder import ServerFolder
from mastertrade.shared.errors import DependencyDown
from mastertrade.shared.postgres_manager import PostgresManager
from tests.faults.lost_orders import orders_in_flight, unexplained
from tests.faults.replaying import Replaying, Start
from tests.platform.walk_laws import broken_laws, broken_market
from tests.platform.walk_seed import ACCOUNT, START, played, short_plan, simulated, story
from tests.postgres.embedded_home import connected

SEED = int(os.environ.get("KILL_REPLAY_SEED", "20"))
KILLS = {"process": 24, "server": 5, "both": 3}
"""A supervisor gives up after six deaths of its server within a minute, so the server has to die less often than we."""
LONGEST_PLAY_S = 1.2
"""From the first batch to the kill. The market moves about 30 minutes in that time."""
EARLY_SHARE, LONGEST_START_S = 0.25, 1.5
"""Of the kills this many hit a process at any moment of its start instead."""
LAST_MINUTES = 15
"""Played in peace in the end."""


class Storm:
    """Kills at random moments. What ends is started again."""

    def __init__(self, home: Path, start: Start, seed: int) -> None:
        self._home = home
        self._start = start
        self._chance = random.Random(seed)
        self._replaying: Replaying | None = None
        self.kills: Counter[str] = Counter()
        self.ended_by_themselves = 0

    def rage(self) -> None:
        kinds = [kind for kind, times in KILLS.items() for _ in range(times)]
        self._chance.shuffle(kinds)
        for kind in [*kinds, "process"]:
            replaying = self._living()
            if self._chance.random() > EARLY_SHARE and replaying.begins_to_play():
                replaying.wait(self._chance.uniform(0.0, LONGEST_PLAY_S))
            else:
                replaying.wait(self._chance.uniform(0.0, LONGEST_START_S))
            if kind != "process":
                self._kill_server()
            if kind != "server":
                replaying.kill()
            self.kills[kind] += 1

    def _living(self) -> Replaying:
        """A process that lost its server goes on with the next one, or ends as a command does that finds none."""
        if self._replaying is not None and self._replaying.exit_code not in (None, -signal.SIGKILL):
            assert self._replaying.exit_code == DependencyDown.exit_code, self._replaying.said
            self.ended_by_themselves += 1
        if self._replaying is None or self._replaying.exit_code is not None:
            self._replaying = self._start()
        return self._replaying

    def _kill_server(self) -> None:
        data = ServerFolder(self._home).data
        postmaster = cluster.read_postmaster(data)
        if postmaster is not None and cluster.is_postmaster_of(postmaster.pid, data):
            os.kill(postmaster.pid, signal.SIGKILL)


async def test_a_replay_killed_at_random_moments_ends_where_an_undisturbed_one_does(
    home: Path, start: Start, database: PostgresManager, dsn: str
) -> None:
    storm = Storm(home, start, SEED)
    with embedded_server(home):
        storm.rage()
        async with embedded_server(home) as server, connected(server) as manager:
            position = await manager.fetchval("SELECT position FROM feeds WHERE name = $1", ACCOUNT)
        end: datetime = position + timedelta(minutes=LAST_MINUTES)
        last = start(end.isoformat())
        assert last.wait() == 0, last.said
        async with embedded_server(home) as server, connected(server) as manager:
            broken = await broken_laws(manager)
            broken += await broken_market(manager, simulated(), feed=ACCOUNT, begin=START, end=end)
            ours = await story(manager)
            lost = await orders_in_flight(manager)
    await played(database, dsn, short_plan(minutes=(end - START) // timedelta(minutes=1)))
    undisturbed = await story(database)

    told = (
        f"seed {SEED}: killed {dict(storm.kills)}, ended without a server {storm.ended_by_themselves}; {end - START}, "
        f"{len(ours.signals)} signals, {len(ours.fills)} fills, in flight {[(one['symbol'], one['steps']) for one in lost]}"
    )
    print(told)
    assert sum(storm.kills.values()) > 30, told
    assert not broken, "\n".join([told, *broken])
    assert ours.signals == undisturbed.signals, told
    assert not unexplained(ours.fills, undisturbed.fills, lost), told
