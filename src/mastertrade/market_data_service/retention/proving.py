"""Files that are proven to hold what a unit is, and known to the database before anything is deleted."""

import asyncio
import logging
from pathlib import Path
from uuid import UUID

from mastertrade.market_data_service.retention.archive_files import file_content, stored_content, write_file
from mastertrade.market_data_service.retention.due import Due
from mastertrade.market_data_service.retention.policies import QUERIES, DataKind
from mastertrade.market_data_service.retention.units import Retired, Unit, retired
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id

log = logging.getLogger(__name__)


class ProvenFiles:
    """The files of one folder."""

    def __init__(self, *, manager: PostgresManager, clock: Clock, folder: Path, failpoints: Failpoints) -> None:
        self._manager = manager
        self._clock = clock
        self._folder = folder
        self._failpoints = failpoints

    async def of(self, one: Due) -> Retired | None:
        """A proven file of what the unit is now: one that is there already, or a new one. None: nothing is stored."""
        unit = one.unit
        version = await self._version(unit)
        if version is None:
            return None
        known = [retired(row) for row in await QUERIES.fetch(self._manager, "retirements_of", **unit.key)]
        usable = [file for file in reversed(known) if file.state in ("written", "restored") and self._is_here(file)]
        for file in usable:
            # The version of candles is a transaction; of other kinds it is a number of rows, which proves nothing here.
            is_same = unit.kind is DataKind.CANDLES and file.state == "written" and file.version == version
            if is_same and await _is_intact(file):
                return file
        content = await stored_content(self._manager, unit) if usable else None
        for file in usable:
            if content is not None and file.content_hash == content.content_hash and await _is_intact(file):
                await QUERIES.execute(self._manager, "renew_file", id=file.id, version=version, reason=one.rule.reason)
                return await self._one(unit, file.id)
        number = 1 + sum(1 for file in known if file.state in ("archived", "restored"))
        stale = [file.id for file in known if file.state == "written"]
        return await self._write(one, version, unit.path(self._folder, number), stale)

    async def _write(self, one: Due, version: str, path: Path, stale: list[UUID]) -> Retired | None:
        unit, at = one.unit, self._clock.now()
        written, size = await write_file(self._manager, unit, path)
        if written.rows == 0:
            await asyncio.to_thread(path.unlink)
            return None
        self._failpoints.reach("archive.written")
        proven = await asyncio.to_thread(file_content, path, unit)
        if proven != written:
            raise BadData(
                f"{path}: {proven.rows} rows of hash {proven.content_hash[:12]} came back of {written.rows} of hash "
                f"{written.content_hash[:12]} that were written: nothing was deleted; look at the disk"
            )
        id = new_id(at)
        async with self._manager.transaction() as tx:
            for other in stale:
                await QUERIES.execute(tx, "forget_file", id=other)
            await QUERIES.execute(
                tx,
                "record_file",
                id=id,
                **unit.key,
                ends=unit.ends,
                rows=written.rows,
                content_hash=written.content_hash,
                file=str(path),
                bytes=size,
                version=version,
                reason=one.rule.reason,
                at=at,
            )
        self._failpoints.reach("archive.recorded")
        return await self._one(unit, id)

    async def _one(self, unit: Unit, id: UUID) -> Retired:
        rows = await QUERIES.fetch(self._manager, "retirements_of", **unit.key)
        return next(retired(row) for row in rows if row["id"] == id)

    async def _version(self, unit: Unit) -> str | None:
        if unit.kind is not DataKind.CANDLES:
            return str(unit.rows)
        key = {"instrument_id": unit.instrument_id, "interval_s": unit.interval_s}
        version: str | None = await QUERIES.fetchval(self._manager, "candle_version", **key, month=unit.starts.date())
        return version

    def _is_here(self, file: Retired) -> bool:
        return file.file is not None and Path(file.file).is_relative_to(self._folder)


async def _is_intact(file: Retired) -> bool:
    assert file.file is not None
    try:
        content = await asyncio.to_thread(file_content, Path(file.file), file.unit(None))
    except BadData as error:
        log.warning("a file of the archive is not what it was: %s", error)
        return False
    return content.content_hash == file.content_hash
