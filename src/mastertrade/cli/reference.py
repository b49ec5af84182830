"""``python -m mastertrade.cli.reference > docs/reference/cli.md`` writes the page of every command anew, from the same
words as ``--help``."""

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from mastertrade.cli.commands import app

HEAD = """# Every command

Written by `python -m mastertrade.cli.reference > docs/reference/cli.md` from the words of `--help`; a test keeps it
current. From a checkout write `./mt` in place of `mastertrade`. [First steps](../how-to/first-steps.md) says in which
order to try them.
"""


def reference() -> str:
    """The page as it should be."""
    program = get_command(app)
    parts = [HEAD, *(_section(path, command) for path, command in _commands(program, ("mastertrade",)))]
    return "\n".join([*parts, "## Exit codes\n", *_exit_codes(program.epilog or "")])


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name, child in children.items():
        if not child.hidden:
            yield from _commands(child, (*path, name))


def _section(path: tuple[str, ...], command: Any) -> str:
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = " ".join(_argument(one) for one in shown if one.param_type_name == "argument")
    rows = [f"| `{_name(one)}` | {_meaning(one)} |" for one in shown]
    name = " ".join(path)
    usage = f"{name} {arguments} [OPTIONS]" if arguments else f"{name} [OPTIONS]"
    lines = [f"## {name}\n", f"```\n{usage}\n```\n", inspect.cleandoc(command.help or ""), ""]
    return "\n".join([*lines, "| option | meaning |", "|---|---|", *rows, ""])


def _argument(parameter: Any) -> str:
    name = str(parameter.name).upper()
    return name if parameter.required else f"[{name}]"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _argument(parameter)
    value = "" if parameter.is_flag else f" {parameter.metavar or str(parameter.name).upper()}"
    return f"{', '.join(parameter.opts)}{value}"


def _meaning(parameter: Any) -> str:
    default = parameter.default
    is_told = default not in (None, "", False) and not callable(default)
    return f"{parameter.help}{f' Default: `{default}`.' if is_told else ''}".replace("|", "\\|")


def _exit_codes(epilog: str) -> list[str]:
    """``0 done, 1 error, …`` as a table."""
    codes = re.findall(r"(\d+) ([^,.]+)", epilog)
    return ["| code | meaning |", "|---|---|", *(f"| {code} | {meaning} |" for code, meaning in codes), ""]


if __name__ == "__main__":
    sys.stdout.write(reference())
