"""A process that archives or restores on request, each time in a child of its own that may die:
``python -m tests.faults.archive_driver DSN FOLDER``.

It reads lines ``archive|restore FAILPOINTS`` and answers each with the exit code of the child. One start-up for all."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from mastertrade.market_data_service.catalogue import EVERYTHING
from mastertrade.market_data_service.importing import importer  # noqa: F401 - here, so that no child has to load it
from mastertrade.market_data_service.retention.due import Rule
from mastertrade.market_data_service.retention.policies import Action
from mastertrade.market_data_service.retention.restoring import Restoring
from mastertrade.market_data_service.retention.retirement import Retirement
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager

BEFORE = datetime(2024, 6, 1, tzinfo=UTC)


async def work(dsn: str, folder: Path, what: str, failpoints: Failpoints) -> None:
    manager = PostgresManager(dsn, application_name="archive")
    await manager.connect()
    try:
        if what == "archive":
            rule = Rule(cutoff=BEFORE, action=Action.ARCHIVE, reason="test")
            engine = Retirement(manager=manager, clock=SystemClock(), folder=folder, failpoints=failpoints)
            async for _ in engine.run(EVERYTHING, lambda *_: rule, latest=BEFORE):
                pass
        else:
            back = Restoring(manager=manager, clock=SystemClock(), home=folder, failpoints=failpoints)
            for one in await back.plan(EVERYTHING):
                await back.restore(one)
    finally:
        await manager.close()


def main(dsn: str, folder: Path) -> None:
    for line in sys.stdin:
        what, _, failpoints = line.strip().partition(" ")
        child = os.fork()
        if child == 0:
            asyncio.run(work(dsn, folder, what, Failpoints(failpoints)))
            os._exit(0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
