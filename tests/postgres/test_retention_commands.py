"""What `data retention`, `data archive` and `data restore` print and how they end."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer

from mastertrade.cli.data import data
from mastertrade.market_data_service.catalogue import EVERYTHING
from mastertrade.market_data_service.snapshots import Snapshots
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import MINUTE
from tests.postgres.test_candle_store import opened
from tests.postgres.test_retention import APRIL, JULY, JUNE, MAY, uneven

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """The commands in this process, each in a loop and thread of its own, on the database of the test."""
    address = urlsplit(dsn)
    monkeypatch.setenv("MASTERTRADE_HOME", str(tmp_path))
    for name, value in (
        ("HOST", address.hostname), ("PORT", address.port), ("USER", address.username), ("PASSWORD", address.password),
        ("DB", address.path[1:]),
    ):  # fmt: skip
        monkeypatch.setenv(f"POSTGRES_{name}", str(value))
    root, raises = logging.getLogger(), logging.raiseExceptions
    handlers, level = list(root.handlers), root.level
    program = typer.main.get_command(data)

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        try:
            program(list(words), standalone_mode=False)
        except SystemExit as end:
            return int(str(end.code)), "".join(capsys.readouterr())
        return 0, "".join(capsys.readouterr())

    yield run
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers, logging.raiseExceptions = handlers, raises
    root.setLevel(level)


async def test_policies_are_set_shown_and_carried_out_and_everything_comes_back(
    database: PostgresManager, command: Command, tmp_path: Path
) -> None:
    async def run(*words: str) -> tuple[int, str]:
        return await asyncio.to_thread(command, *words)

    async def said(*words: str) -> Any:
        code, text = await run(*words, "--json")
        return code, json.loads(text)

    store, (btc, _) = await opened(database, "BTC/USDT", "ETH/USDT")
    await store.load(btc, uneven(APRIL, JULY))
    assert await run("retention", "show") == (
        0, "no policies: nothing ever leaves; `mastertrade data retention set` makes one\n"
    )  # fmt: skip
    code, text = await run("retention", "apply")
    assert (code, text) == (3, "error: no policy lets anything leave: `mastertrade data retention set` makes one\n")
    code, text = await run("retention", "set", "candles", "--keep", "1y")
    assert (code, text) == (2, "error: --reason: say why, for whoever looks for the data later\n")
    code, text = await run("retention", "set", "candels", "--keep", "1y", "--reason", "x")
    assert (code, text) == (2, "error: kind candels: must be one of candles, trades, funding, book, tickers\n")
    code, answer = await said("retention", "set", "candles", "--tf", "15m", "--keep", "1y", "--reason", "a small disk")
    assert (code, [one["keep_days"] for one in answer["policies"]]) == (0, [365])

    snapshot = await Snapshots(manager=database, clock=SystemClock()).create(
        EVERYTHING, start=MAY, end=MAY + 60 * MINUTE
    )
    code, text = await run("retention", "apply", "--dry-run")
    lines = [line.split() for line in text.splitlines()]
    assert code == 0
    assert [line[4:8] for line in lines[1:4]] == [
        ["2024-04-01", "2024-05-01", "2,880", "archive"],
        ["2024-05-01", "2024-06-01", "2,976", "stays"],
        ["2024-06-01", "2024-07-01", "2,880", "archive"],
    ]
    assert text.splitlines()[2].endswith(
        f"snapshot {str(snapshot.id)[:13]} pins it; `mastertrade data snapshot remove` would free it"
    )
    code, answer = await said("retention", "apply")
    assert (code, [(one["state"], one["rows"]) for one in answer["units"]]) == (
        1, [("archived", 2_880), ("kept", 2_976), ("archived", 2_880)]
    )  # fmt: skip
    assert all(Path(one["file"]).is_file() for one in answer["units"] if one["file"])  # noqa: ASYNC240
    code, text = await run("gaps")
    assert [line.split()[-1] for line in text.splitlines()[1:-1]] == ["archived", "archived"]
    code, answer = await said("retention", "show")
    assert [(one["state"], one["rows"], one["units"]) for one in answer["retired"]] == [("archived", 5_760, 2)]

    code, text = await run("archive")
    assert (code, text) == (2, "error: --before: say what is old, such as --before 2023-01-01\n")
    code, text = await run("restore", "ETH/USDT")
    assert (code, text.split(";")[0]) == (3, "error: nothing of ETH/USDT is archived there")
    code, text = await run("restore", "BTC/USDT", "--since", f"{JUNE:%Y-%m-%d}")
    assert (code, text.splitlines()[1].split()) == (
        0, ["candles", "binance", "BTC/USDT", "15m", "2024-06-01", "2024-07-01", "2,880", "0", "restored"]
    )  # fmt: skip
    code, answer = await said("restore")
    assert [(one["state"], one["stored"], one["kept"]) for one in answer["units"]] == [("restored", 2_880, 0)]
    assert await run("gaps") == (0, "nothing is missing in any series\n")
    code, answer = await said("archive", "--before", f"{MAY + timedelta(days=3):%Y-%m-%d}", "--dry-run")
    assert [(one["action"], one["from"][:10]) for one in answer["units"]] == [("archive", "2024-04-01")]
    elsewhere = str(tmp_path / "elsewhere")
    code, answer = await said("archive", "--before", f"{MAY:%Y-%m-%d}", "--to", elsewhere)
    (unit,) = answer["units"]
    assert unit["file"].startswith(elsewhere)
    code, answer = await said("import", unit["file"])  # as any other file
    assert (code, answer["rows_stored"], answer["symbol"], answer["timeframe"]) == (0, 2_880, "BTC/USDT", "15m")
