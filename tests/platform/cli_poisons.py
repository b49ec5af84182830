"""Words of commands and what nobody should write in their place; what is told of it, and how that looks."""

import json
import subprocess
import sys

from tests.platform import many_commands
from tests.platform.command_line import TIMEOUT_S, CommandLine

HERE = "{}"
NUMBERS = ("NaN", "-Infinity", "1E+3000000", "0." + "3" * 30, "1_000", "\u0661\u0662", "", " 1")
MORE = (
    *NUMBERS, "Infinity", "1e400", "1e-400", "-1", "0", "-0", "9" * 40, "1" * 5_000, "0x10", "\uff11", "ten", "1,5", "1e24",
)  # fmt: skip
FLOATS = ("NaN", "Infinity", "1e400", "-1", "\u0661x", "")
COUNTS = ("NaN", "-1", "1" * 5_000, "9" * 30, "")
TIMES = (
    "yesterday", "0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00", "1066-10-14", "2200-01-01", "infinity", "1e18",
    "9" * 30 + "d", "9" * 5_000 + "h", "\u0661\u0662h",
)  # fmt: skip
LASTING = ("0s", "-1h", "soon", "NaN", "9" * 30 + "d", "9" * 5_000 + "h")
NAMES = ("", "x" * 50_000, "a\u202e\nb\ud800\x1b[31m")
MORE_NAMES = (
    *NAMES, " ", "BTC\u200b/USDT", "BTC/USDT\u202e", "\u0412TC/USDT", "'; DROP TABLE orders; --", "../../etc", "{x.__class__}",
    "00000000-0000-0000-0000-000000000000",
)  # fmt: skip
PLACE = ("order", "place", "BUY", "0.01", "BTC/USDT")
ADD = ("account", "add", "mine", "--venue", "binance")
DOORS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("order", "place", "BUY", HERE, "BTC/USDT"): MORE,
    ("order", "place", HERE, "1", "BTC/USDT"): NAMES,
    ("order", "place", "BUY", "1", HERE): MORE_NAMES,
    **{(*PLACE, option, HERE): NUMBERS for option in ("--limit", "--stop", "--target", "--trail", "--participate")},
    (*PLACE, "--iceberg", HERE, "--limit", "1"): NUMBERS,
    (*PLACE, "--then-stop", HERE): NUMBERS,
    (*PLACE, f"--limit={HERE}"): ("", "NaN"),
    (*PLACE, "--limit", "1", "--until", HERE): TIMES,
    (*PLACE, "--limit", "1", "--tif", HERE): NAMES,
    (*PLACE, "--over", HERE): LASTING,
    (*PLACE, "--over", "2h", "--slices", HERE): COUNTS,
    (*PLACE, "--wait", HERE): FLOATS,
    (*PLACE, "--account", HERE): NAMES,
    (*PLACE, "--strategy", HERE): NAMES,
    ("order", "replace", "ORDER", "--quantity", HERE): NUMBERS,
    ("order", "replace", "ORDER", "--limit", HERE): NUMBERS,
    ("order", "replace", HERE, "--limit", "1"): NAMES,
    ("order", "cancel", HERE): MORE_NAMES,
    ("order", "cancel-all", "--symbol", HERE): MORE_NAMES,
    ("order", "cancel-all", "--account", HERE): NAMES,
    ("order", "show", HERE): NAMES,
    ("order", "list", "--number", HERE): COUNTS,
    ("order", "reconcile", "--waive", HERE, "--reason", "r", "--confirm"): NAMES,
    ("risk", "check", "BUY", HERE, "BTC/USDT"): NUMBERS,
    ("risk", "check", "BUY", "1", "BTC/USDT", "--price", HERE): FLOATS,
    ("risk", "check", "BUY", "1", "BTC/USDT", "--confidence", HERE): FLOATS,
    ("risk", "limits", "set", "max_position_percent", HERE, "--reason", "r"): NUMBERS,
    ("risk", "limits", "set", HERE, "1", "--reason", "r"): NAMES,
    ("risk", "limits", "set", "max_position_percent", "1", "--reason", "r", "--scope", HERE): NAMES,
    ("risk", "stops", "move", "BTC/USDT", HERE): NUMBERS,
    ("risk", "stops", "set", "BTC/USDT", "--type", "fixed", "--initial", HERE): FLOATS,
    ("risk", "stops", "set", "BTC/USDT", "--type", HERE): NAMES,
    ("risk", "stops", "cancel", HERE): NAMES,
    ("risk", "locks", "lift", HERE, "--reason", "r"): NAMES,
    ("risk", "alerts", "ack", HERE): NAMES,
    ("risk", "flatten", HERE, "--confirm"): NAMES,
    ("halt", "--scope", HERE): NAMES,
    ("resume", "--scope", HERE): NAMES,
    ("account", "add", "mine", "--venue", HERE): NAMES,
    (*ADD, "--quote", HERE): NAMES,
    (*ADD, "--url", HERE): NAMES,
    (*ADD, "--environment", HERE): NAMES,
    (*ADD, "--swaps", "--leverage", HERE): NUMBERS,
    ("account", "check", HERE): NAMES,
    ("account", "remove", HERE): NAMES,
}
DEFINED = (2, 3, 4, 6)
"""Usage, not found, refused, needs confirmation."""
TELLTALE = ("Traceback", "a mistake in MasterTrade", "asyncpg", "violates", "does the schema fit", "DETAIL", "\x1b")
"""Of an error nobody planned for, and of what a terminal would follow."""


def poisoned(order: str) -> list[list[str]]:
    """Command lines; ``order`` is the id of one that exists."""
    return [
        [word.replace("ORDER", order).replace(HERE, poison) for word in words]
        for words, poisons in DOORS.items()
        for poison in poisons
    ]


def answers(program: CommandLine, lines: list[list[str]]) -> list[dict[str, str]]:
    """Of each its ``code``, ``out`` and ``err``; in one process, since starting one costs more than the command."""
    done = subprocess.run(
        [sys.executable, many_commands.__file__], check=False, capture_output=True, text=True,
        env=program.environment(), input=json.dumps(lines), timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def is_told_well(answer: dict[str, str]) -> bool:
    """One line, not too long, with an exit code that means something."""
    said, everything = answer["err"], answer["err"] + answer["out"]
    is_line = said.startswith("error: ") and said.count("\n") == 1 and len(said) < 500
    return answer["code"] in DEFINED and is_line and not any(one in everything for one in TELLTALE)
