"""The floors of the house: who may import whom, held by import-linter, and a proof that its contracts bite."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "mastertrade"
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True, no_cache=True))"


def contracts() -> dict[str, dict[str, object]]:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    return {contract["id"]: contract for contract in tools["importlinter"]["contracts"]}


def rooms_on_floors() -> list[str]:
    layers = contracts()["floors"]["layers"]
    assert isinstance(layers, list)
    return [room.strip(" ()") for layer in layers for room in layer.split("|")]


def test_every_room_stands_on_exactly_one_floor() -> None:
    rooms = {
        path.stem if path.suffix == ".py" else path.name
        for path in PACKAGE.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path.is_dir() and any(path.rglob("*.py")))
    }
    floors = rooms_on_floors()
    assert len(floors) == len(set(floors))
    homeless = sorted(rooms - set(floors))
    assert not homeless, (
        f"{homeless}: give each a floor in pyproject.toml, [[tool.importlinter.contracts]] id = 'floors'"
    )


def test_the_floors_are_those_of_the_design() -> None:
    floors = rooms_on_floors()
    assert floors.index("cli") < floors.index("api") < floors.index("platform") < floors.index("risk_manager")
    assert floors.index("risk_manager") < floors.index("exchanges") < floors.index("domain")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        pytest.param("order_executor/x.py", "import mastertrade.risk_manager", id="a service imports its neighbour"),
        pytest.param("messaging/x.py", "import mastertrade.platform", id="a room imports a higher floor"),
        pytest.param("quant/x.py", "import mastertrade.domain", id="one ground imports another"),
        pytest.param("attic/__init__.py", "", id="a room without a floor"),
        pytest.param("platform.py", "import asyncpg", id="a second importer of asyncpg"),
    ],
)
def test_a_breach_is_refused(tmp_path: Path, file: str, line: str) -> None:
    for room in rooms_on_floors():
        module = tmp_path / "mastertrade" / room / "__init__.py"
        if room in ("platform", "__main__"):
            module = module.parent.with_suffix(".py")
        module.parent.mkdir(parents=True, exist_ok=True)
        module.touch()
    (tmp_path / "mastertrade" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    assert lint(tmp_path).returncode == 0, lint(tmp_path).stdout

    breach = tmp_path / "mastertrade" / file
    breach.parent.mkdir(exist_ok=True)
    breach.write_text(line + "\n")

    assert lint(tmp_path).returncode == 1


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT],
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
