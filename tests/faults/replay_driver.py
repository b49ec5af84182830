"""A process that plays the tests' short plan: ``python -m tests.faults.replay_driver [END]``, END an ISO time.

Without END the market goes on until somebody kills the process. It ends as a command of ours would: with exit code 0, or
with one clear line and the code of its error."""

import sys
from dataclasses import replace
from datetime import datetime

from mastertrade.cli.application import open_everything, run
from mastertrade.platform import open_platform
from tests.platform.walk_seed import short_plan


async def main(end: datetime | None) -> None:
    async with open_everything() as (settings, database):
        async with open_platform(database, settings, replace(short_plan(minutes=None), end=end)) as platform:
            sys.stdout.write("playing\n")
            sys.stdout.flush()
            await platform.play()


if __name__ == "__main__":
    run(main(datetime.fromisoformat(sys.argv[1]) if sys.argv[1:] else None))
