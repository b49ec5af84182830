"""A strategy of somebody's file: read, checked, and made into a template like those of the house."""

import inspect
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.strategies.on_bar import OnBarTemplate
from mastertrade.strategies.rule import RuleFile
from mastertrade.strategies.rule_reading import load as load_rule
from mastertrade.strategies.template import Parameters, ranges
from mastertrade.strategies.user_template import FileTemplate, Inner

MOST_BYTES: Final = 1 << 20
"""Of a file; more than that is not a strategy but something else under its name."""
SUFFIXES: Final = (".py", ".json")
PARAMETERS: Final = "@dataclass(frozen=True, kw_only=True)"


class BrokenStrategy(UsageError):
    """A strategy file cannot be used."""


@dataclass(frozen=True, kw_only=True)
class NoParameters(Parameters):
    """Of a strategy that has none."""


class StoredRule(RuleFile):
    """A rule in a file of its own."""

    def __init__(self, path: str, text: str) -> None:
        self.path = Path(path)
        self.text = text
        super().__init__(self.path.stem, load_rule(text))
        self.legacy_type = self.name

    def __reduce__(self) -> Any:
        return of_text, (str(self.path), self.text)


UserTemplate = FileTemplate | StoredRule


def load(path: Path) -> UserTemplate:
    """The template a file holds now; BrokenStrategy names the line and the reason when it holds none."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"strategy file {path}: there is no such file") from None
    except OSError as error:
        raise BrokenStrategy(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(raw) > MOST_BYTES:
        raise BrokenStrategy(f"{path}: is larger than {MOST_BYTES >> 20} MiB, which no strategy is")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrokenStrategy(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    return of_text(str(path.absolute()), text)


@lru_cache(maxsize=64)
def of_text(path: str, text: str) -> UserTemplate:
    """The same text at the same place is the same template; also how one travels to another process, which needs the
    file no more."""
    where = Path(path)
    if where.suffix == ".json":
        try:
            return StoredRule(path, text)
        except UsageError as error:
            raise BrokenStrategy(f"{where}: {error}") from None
    if where.suffix != ".py":
        raise BrokenStrategy(f"{where}: a strategy file ends in {' or '.join(SUFFIXES)}")
    return _template(_module(where, text), where, text)


def _module(path: Path, text: str) -> ModuleType:
    name = f"mastertrade_user_{path.stem}_{sha256((str(path) + text).encode()).hexdigest()[:12]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # where dataclasses and type hints look up what a class refers to
    try:
        exec(compile(text, str(path), "exec"), vars(module))  # noqa: S102 - the user's own file, named by the user
    except (KeyboardInterrupt, MemoryError):
        del sys.modules[name]
        raise
    except BaseException as error:
        del sys.modules[name]
        raise BrokenStrategy(f"{path}{_line(error, path)}: {_reason(error)}") from error
    return module


def _template(module: ModuleType, path: Path, text: str) -> FileTemplate:
    kinds = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    found: list[tuple[str, Any]] = [("positions(bars, params)", module)] if hasattr(module, "positions") else []
    for kind in kinds:
        if not issubclass(kind, Parameters):
            found += [(f"class {kind.__name__}", kind) for name in ("on_bar", "positions") if hasattr(kind, name)]
    if len(found) != 1:
        has = " and ".join(name for name, _ in found) or "neither positions(bars, params) nor a class with on_bar"
        raise BrokenStrategy(
            f"{path}: has {has}; a file is one strategy, and `mastertrade strategy new` writes one to begin with"
        )
    decides = found[0][1]
    parameter_type = getattr(decides, "parameter_type", None) or _only_parameters(kinds, path)
    _check_parameters(parameter_type, path)
    inner = _inner(decides, parameter_type, path)
    form = "on_bar" if isinstance(inner, OnBarTemplate) else "positions"
    return FileTemplate(path=path, text=text, form=form, parameter_type=parameter_type, inner=inner, rebuild=of_text)


def _inner(decides: Any, parameter_type: type[Parameters], path: Path) -> Inner:
    """What decides: the module itself, a class whose object is like a template of the house, or one with on_bar."""
    if not isinstance(decides, type):
        _check_call(decides.positions, 2, "positions(bars, params)", path)
        return decides  # type: ignore[no-any-return] # a module with that function
    if hasattr(decides, "on_bar"):
        _check_call(decides.on_bar, 2, "on_bar(self, bar)", path)
        return OnBarTemplate(decides, parameter_type)
    try:
        made = decides()
    except Exception as error:
        raise BrokenStrategy(f"{path}{_line(error, path)}: {decides.__name__}() fails: {_reason(error)}") from error
    _check_call(made.positions, 2, "positions(self, bars, params)", path)
    return made  # type: ignore[no-any-return] # an object with that method


def _check_call(function: Callable[..., Any], arguments: int, form: str, path: Path) -> None:
    try:
        inspect.signature(function).bind(*range(arguments))
    except (TypeError, ValueError) as error:
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", None)
        at = f" line {line}" if line else ""
        raise BrokenStrategy(f"{path}{at}: {form} cannot be called so: {error}") from None


def _only_parameters(kinds: list[type], path: Path) -> type[Parameters]:
    """The parameter class of a file; of several that build on one another the last."""
    own = [kind for kind in kinds if issubclass(kind, Parameters)]
    last = [kind for kind in own if not any(kind in other.__mro__[1:] for other in own)]
    if len(last) > 1:
        names = ", ".join(kind.__name__ for kind in last)
        raise BrokenStrategy(f"{path}: has {len(last)} parameter classes ({names}); a strategy has one")
    return last[0] if last else NoParameters


def _check_parameters(kind: type[Parameters], path: Path) -> None:
    """All its fields are numbers with a range and a default that can be used."""
    line = _line_of_class(kind)
    where = f"{path}{line}: {kind.__name__}"
    if "__dataclass_fields__" not in vars(kind) and inspect.get_annotations(kind):
        raise BrokenStrategy(f"{where}: write {PARAMETERS} above the class")
    try:
        known = ranges(kind)
    except Exception as error:  # type hints are code too
        raise BrokenStrategy(f"{where}: {_reason(error)}") from error
    for name, (number, allowed) in known.items():
        if number not in (int, float) or not hasattr(allowed, "low"):
            raise BrokenStrategy(f"{where}.{name}: write Annotated[int, Range(low=…, high=…)], or float")
        if not allowed.low <= allowed.high:
            raise BrokenStrategy(f"{where}.{name}: its range begins at {allowed.low:g} and ends at {allowed.high:g}")
    try:
        kind()
    except Exception as error:
        raise BrokenStrategy(f"{where}: its defaults cannot be used: {_reason(error)}") from error


def _line_of_class(kind: type) -> str:
    place = getattr(kind, "__firstlineno__", None)  # from Python 3.13 on
    return f" line {place}" if place else ""


def _line(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f" line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" line {lines[-1]}" if lines else ""


def _reason(error: BaseException) -> str:
    """As one line."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    said = (text.splitlines() or [""])[0]
    if isinstance(error, UsageError | SyntaxError) and said:
        return said if isinstance(error, UsageError) else f"{type(error).__name__}: {said}"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
