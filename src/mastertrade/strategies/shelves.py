"""Where strategies are found: the templates of the house, the files in the user's folder, and any path."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias

from mastertrade.shared.errors import UsageError
from mastertrade.strategies.template import Built, Template, make, nearest_name
from mastertrade.strategies.user_file import SUFFIXES, BrokenStrategy, UserTemplate, load

FOLDER: Final = "strategies"
"""Of the home, with a file a strategy."""

Strategy: TypeAlias = str | os.PathLike[str] | Template[Any]
"""A template, the name of one, the name of a file in the user's folder, or the path of a file."""

log = logging.getLogger(__name__)


def user_folder() -> Path:
    home = os.environ.get("MASTERTRADE_HOME")
    if home:
        return Path(home).expanduser() / FOLDER
    from mastertrade.shared.config import default_home

    return default_home() / FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What the user's folder holds: templates by name, and why files are none."""

    templates: Mapping[str, UserTemplate]
    broken: Mapping[str, BrokenStrategy]


class Library:
    """``house`` are the templates that come with the program; no file can take the name of one."""

    def __init__(self, house: Mapping[str, Template[Any]]) -> None:
        self.house = house

    def find(self, strategy: Strategy) -> Template[Any]:
        """The template that is meant. A file is read now, and what is found stays as it is when the file changes."""
        if not isinstance(strategy, str | os.PathLike):
            return strategy
        name = os.fspath(strategy)
        if name in self.house:
            return self.house[name]
        if name.endswith(SUFFIXES) or os.sep in name or not isinstance(strategy, str):
            return load(Path(name).expanduser())
        files = user_files()
        if name in files:
            return self._named(files[name])
        raise UsageError(f"strategy template {nearest_name(name, {**self.house, **files})}")

    def is_of_the_house(self, strategy: Strategy) -> bool:
        """Whether it is code of ours alone that decides."""
        return any(strategy is one for one in self.house.values())

    def build(self, strategy: Strategy, parameters: Mapping[str, Any] | None = None) -> Built[Any]:
        """A template with checked parameters; what is not given keeps its default."""
        return make(self.find(strategy), parameters or {})

    def shelf(self) -> Shelf:
        """The user's folder as it is now; a file that is broken keeps no other from being used."""
        templates: dict[str, UserTemplate] = {}
        broken: dict[str, BrokenStrategy] = {}
        for name, path in user_files().items():
            try:
                templates[name] = self._named(path)
            except BrokenStrategy as error:
                broken[name] = error
        return Shelf(templates=templates, broken=broken)

    def all_templates(self) -> dict[str, Template[Any]]:
        """Everything that can be run by name, as the files are now; broken files are told to the log."""
        shelf = self.shelf()
        for error in shelf.broken.values():
            log.warning("a strategy cannot be used: %s", error)
        return {**shelf.templates, **self.house}

    def reference(self, template: Template[Any]) -> str:
        """What finds the template again: its name, or the path of a file outside the user's folder."""
        path = getattr(template, "path", None)
        if path is None or (path.parent == user_folder().absolute() and template.name not in self.house):
            return template.name
        return str(path)

    def _named(self, path: Path) -> UserTemplate:
        if path.stem in self.house:
            raise BrokenStrategy(f"{path}: {path.stem} is the name of a template of the house; rename the file")
        return load(path)


def user_files() -> dict[str, Path]:
    """The files of the user's folder, by the names of their strategies."""
    folder = user_folder()
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.name[0] not in "._")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror or error})") from None
    return {path.stem: path for path in found}


def short_name(reference: str) -> str:
    """For people: of a path its last part."""
    return Path(reference).stem if reference.endswith(SUFFIXES) else reference


def file_hash(template: Template[Any]) -> str | None:
    """Of the text a user's strategy was made of; None of a template of the house."""
    text = getattr(template, "text", None)
    return None if text is None else sha256(text.encode()).hexdigest()
