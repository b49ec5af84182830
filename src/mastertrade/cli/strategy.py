"""``mastertrade strategy``: strategies of the house and of your own."""

import ast
import re
import sys
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, run, settings_of_process
from mastertrade.cli.output import Cell, bold, dim, emit_json, facts, say, show, table, warning
from mastertrade.cli.strategy_validate import validate_one
from mastertrade.cli.wording import NOTHING, counted
from mastertrade.shared.errors import Refused, UsageError
from mastertrade.strategies import TEMPLATES, Template, file_hash, find, shelf, user_folder
from mastertrade.strategies.beginnings import FORMS, beginning
from mastertrade.strategies.rule import RuleFile
from mastertrade.strategies.template import nearest_name, ranges

strategy = typer.Typer(help="Strategies: write them, look at them, prove them.", no_args_is_help=True)

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
OF_THE_HOUSE: Final = "built in"
YOUR_OWN: Final = "your file"
YOUR_RULE: Final = "your rule"
MOST_PARAMETERS_SHOWN: Final = 4


@strategy.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and _.")],
    form: Annotated[
        str,
        typer.Option("--form", metavar="FORM", help=f"{', '.join(FORMS)}: all bars at once, bar by bar, or as JSON."),
    ] = next(iter(FORMS)),
    as_json: Json = False,
) -> None:
    """Write a strategy to begin with into your folder of strategies. It works at once; its comments say the rest."""
    run(_new(name, form, as_json), as_json=as_json)


@strategy.command("list")
def list_all(as_json: Json = False) -> None:
    """List every strategy that can be run by its name, with its parameters, and the files that are broken."""
    run(_list(as_json), as_json=as_json)


@strategy.command("show")
def show_one(
    which: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name of the list, or the path of a file.")],
    as_json: Json = False,
) -> None:
    """Show what a strategy does, its parameters with their ranges, and where it comes from."""
    run(_show(which, as_json), as_json=as_json)


strategy.command("validate")(validate_one)


async def _new(name: str, form: str, as_json: bool) -> None:
    settings_of_process()  # makes the home
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a strategy: small letters, digits and _, a letter first")
    if form not in FORMS:
        raise UsageError(f"form {nearest_name(form, FORMS)}")
    if name in TEMPLATES:
        raise UsageError(f"{name} is built in; give yours another name, such as my_{name}")
    path = user_folder() / f"{name}{FORMS[form].suffix}"
    path.parent.mkdir(exist_ok=True)
    there = next((one for suffix in (".py", ".json") if (one := path.with_suffix(suffix)).exists()), None)
    if there is not None:
        raise Refused(f"{there} is there already, and is left as it is; take another name, or remove the file")
    with path.open("x", encoding="utf-8") as file:
        file.write(beginning(name, form))
    if as_json:
        emit_json({"name": name, "form": form, "path": str(path)})
        return
    show(f"written: {path}")
    show("", "next:")
    for command in (
        f"mastertrade strategy validate {name}",
        f"mastertrade backtest run {name} --file CANDLES",
    ):
        show(f"  {command}")


async def _list(as_json: bool) -> None:
    found = shelf()
    templates = {**TEMPLATES, **found.templates}
    if as_json:
        broken = [{"name": name, "error": str(error)} for name, error in found.broken.items()]
        emit_json({"strategies": [_data(one) for one in templates.values()], "broken": broken})
        return
    rows: list[list[Cell]] = [[bold(name), _kind(one), _parameters(one)] for name, one in templates.items()]
    show(table(("strategy", "from", "parameters"), rows))
    for error in found.broken.values():
        say(warning("broken: "), str(error))
    if not found.templates and not found.broken:
        show("", dim(f"your own stand in {user_folder()}; `mastertrade strategy new NAME` writes one"))


async def _show(which: str, as_json: bool) -> None:
    template = find(which)
    if as_json:
        emit_json(_data(template))
        return
    show(facts([(name, value) for name, value in _facts(template) if value]))
    known = _numbers(template)
    if known:
        rows: list[list[Cell]] = [
            [bold(one["name"]), one["type"], f"{one['default']:g}", f"{one['low']:g}", f"{one['high']:g}"]
            for one in known
        ]
        headers = ("parameter", "type", "default", "from", "to")
        show("", table(headers, rows, right=("default", "from", "to")))


def _facts(template: Template[Any]) -> list[tuple[str, Cell]]:
    path, code = getattr(template, "path", None), file_hash(template)
    return [
        ("strategy", bold(template.name)),
        ("from", _kind(template)),
        ("file", str(path or "")),
        ("code", code[:12] if code else ""),
        ("does", _said_of(template)),
        ("warm-up", _warm_up(template)),
    ]


def _data(template: Template[Any]) -> dict[str, Any]:
    path = getattr(template, "path", None)
    return {
        "name": template.name,
        "from": _kind(template),
        "path": None if path is None else str(path),
        "code_hash": file_hash(template),
        "says": _said_of(template),
        "parameters": _numbers(template),
    }


def _kind(template: Template[Any]) -> str:
    if file_hash(template) is None:
        return OF_THE_HOUSE
    return YOUR_RULE if template.path.suffix == ".json" else YOUR_OWN  # type: ignore[attr-defined] # what has a hash has a path


def _numbers(template: Template[Any]) -> list[dict[str, Any]]:
    """The parameters that are numbers, as everybody but the rule's own text is."""
    defaults = template.parameter_type()
    return [
        {
            "name": name,
            "type": kind.__name__,
            "default": getattr(defaults, name),
            "low": allowed.low,
            "high": allowed.high,
        }
        for name, (kind, allowed) in ranges(template.parameter_type).items()
        if kind in (int, float)
    ]


def _parameters(template: Template[Any]) -> str:
    known = _numbers(template)
    words = [f"{one['name']}={one['default']:g} ({one['low']:g}..{one['high']:g})" for one in known]
    if not words:
        return "rule (JSON)" if file_hash(template) is None else NOTHING
    more = len(words) - MOST_PARAMETERS_SHOWN
    return "  ".join(words[:MOST_PARAMETERS_SHOWN]) + (f"  and {counted(more, 'other')}" if more > 0 else "")


def _warm_up(template: Template[Any]) -> str:
    if not getattr(template, "says_warm_up", True):
        return "not declared"
    return f"{counted(template.warm_up(template.parameter_type()), 'bar')} with the defaults"


def _said_of(template: Template[Any]) -> str:
    """The first sentence of what is written about it."""
    text = getattr(template, "text", None)
    if text is None:
        written = sys.modules[type(template).__module__].__doc__
    elif isinstance(template, RuleFile):
        return str(template.rule(template.parameter_type()))
    else:
        written = ast.get_docstring(ast.parse(text))
    return " ".join((written or "").split("\n\n")[0].split())
