"""Settings: read once from the environment, checked together, and every fault reported at once."""

import difflib
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, overload
from urllib.parse import quote

from pydantic import AliasChoices, AliasPath, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mastertrade.shared.errors import ConfigurationError
from mastertrade.shared.logging import hide

log = logging.getLogger(__name__)

OUR_PREFIX = "MASTERTRADE_"
OTHER_KNOWN_VARIABLES = frozenset({"MASTERTRADE_TEST_DATA", "MASTERTRADE_FAILPOINTS"})
"""Variables of ours that are read elsewhere: by the tests, and by the failpoints of fault tests."""
LEFTOVER_PREFIXES = ("COSMOS_", "AZURE_")

_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE|CREDENTIAL|WEBHOOK", re.IGNORECASE)
_LOGIN_IN_URL = re.compile(r"//[^/@\s]*@")
_COLLECTIONS = (list, tuple, set, frozenset, dict)


class Settings(BaseSettings):
    """Base of every settings class. A field's variable is its ``validation_alias``, else its name in upper case.

    Making an instance reads no environment: ``load_settings`` does, once. Lists are written ``a,b`` or as JSON."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def default_home() -> Path:
    """Where the platform keeps user data."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "mastertrade"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "mastertrade"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "mastertrade"


class CoreSettings(Settings):
    home: Path = Field(default_factory=default_home, validation_alias="MASTERTRADE_HOME")
    """The folder that holds everything of ours: the embedded database, logs, caches."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias=AliasChoices("MASTERTRADE_LOG_LEVEL", "LOG_LEVEL")
    )
    enable_live_trading: bool = Field(False, validation_alias="ENABLE_LIVE_TRADING")
    """Without it no key of a real account is used."""
    venue_limit_share: float = Field(0.95, gt=0, le=1, validation_alias="VENUE_LIMIT_SHARE")
    """Of the requests a venue allows, so much is ours; less where other programs ask from the same address."""
    rabbitmq_url: SecretStr | None = Field(None, validation_alias="RABBITMQ_URL")
    """Unset: the database is the bus."""

    @field_validator("home")
    @classmethod
    def _home_is_absolute(cls, home: Path) -> Path:
        home = home.expanduser()
        if not home.is_absolute():
            raise ValueError("must be an absolute path")
        return home

    @field_validator("log_level", mode="before")
    @classmethod
    def _level_in_any_case(cls, level: Any) -> Any:
        return level.upper() if isinstance(level, str) else level


class PostgresSettings(Settings):
    """Names and defaults of the founding document. Without ``POSTGRES_HOST`` the embedded server is used."""

    host: str | None = Field(None, min_length=1, validation_alias="POSTGRES_HOST")
    port: int = Field(5432, ge=1, le=65_535, validation_alias="POSTGRES_PORT")
    user: str = Field("mastertrade", min_length=1, validation_alias="POSTGRES_USER")
    password: SecretStr = Field(SecretStr("mastertrade"), validation_alias="POSTGRES_PASSWORD")
    database: str = Field("mastertrade", min_length=1, max_length=63, validation_alias="POSTGRES_DB")
    pool_min_size: int = Field(1, ge=0, le=100, validation_alias="POSTGRES_POOL_MIN_SIZE")
    pool_max_size: int = Field(10, ge=1, le=100, validation_alias="POSTGRES_POOL_MAX_SIZE")
    statement_cache_size: int = Field(100, ge=0, le=10_000, validation_alias="POSTGRES_STATEMENT_CACHE_SIZE")
    """0 behind a transaction pooler that knows no prepared statements (PgBouncer before 1.21)."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "prefer", validation_alias="POSTGRES_SSLMODE"
    )

    @field_validator("pool_max_size")
    @classmethod
    def _pool_sizes_fit(cls, pool_max_size: int, info: ValidationInfo) -> int:
        smallest = info.data.get("pool_min_size", 0)
        if pool_max_size < smallest:
            raise ValueError(f"must not be below POSTGRES_POOL_MIN_SIZE {smallest}")
        return pool_max_size

    @property
    def dsn(self) -> str:
        """The address with the password in it: for the driver, never for a log."""
        if self.host is None:
            raise ConfigurationError("POSTGRES_HOST is not set: the address is the embedded server's to tell")
        login = f"{quote(self.user, safe='')}:{quote(self.password.get_secret_value(), safe='')}"
        database = quote(self.database, safe="")
        if self.host.startswith("/"):  # the folder of a Unix socket
            return f"postgresql://{login}@/{database}?host={quote(self.host, safe='')}&port={self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{login}@{host}:{self.port}/{database}?sslmode={self.sslmode}"


A = TypeVar("A", bound=Settings)
B = TypeVar("B", bound=Settings)
C = TypeVar("C", bound=Settings)


@overload
def load_settings(first: type[A], /, *, environ: Mapping[str, str] | None = None) -> tuple[A]: ...
@overload
def load_settings(first: type[A], second: type[B], /, *, environ: Mapping[str, str] | None = None) -> tuple[A, B]: ...
@overload
def load_settings(
    first: type[A], second: type[B], third: type[C], /, *, environ: Mapping[str, str] | None = None
) -> tuple[A, B, C]: ...
@overload
def load_settings(*classes: type[Settings], environ: Mapping[str, str] | None = None) -> tuple[Any, ...]: ...


def load_settings(*classes: type[Settings], environ: Mapping[str, str] | None = None) -> tuple[Any, ...]:
    """One instance of each class from ``environ`` (the process's own when None). An empty variable counts as unset.

    ConfigurationError lists every wrong value of every class and every ``MASTERTRADE_*`` variable nobody knows."""
    found = {name: value for name, value in (os.environ if environ is None else environ).items() if value != ""}
    loaded: list[Settings] = []
    faults: list[str] = []
    for kind in classes:
        try:
            loaded.append(kind(**_values_for(kind, found)))
        except ValidationError as error:
            faults += [_fault(kind, dict(detail)) for detail in error.errors(include_url=False)]
    faults += _unknown(found, _all_variables())
    if faults:
        count = "one setting" if len(faults) == 1 else f"{len(faults)} settings"
        raise ConfigurationError(f"{count} cannot be used:\n" + "\n".join(f"  {fault}" for fault in faults))
    leftovers = sorted(name for name in found if name.startswith(LEFTOVER_PREFIXES))
    if leftovers:
        log.warning("no longer read, may be removed from the environment: %s", ", ".join(leftovers))
    for settings in loaded:
        _hide_secrets(settings)
    return tuple(loaded)


def variables(kind: type[Settings]) -> dict[str, tuple[str, ...]]:
    """The names each field may have in the environment, the preferred one first."""
    return {name: _names(name, field) for name, field in kind.model_fields.items()}


def _hide_secrets(settings: Settings) -> None:
    """Keep what was set as a secret out of the logs; a default everybody can read is none."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr) and value != field.get_default(call_default_factory=True):
            hide(value.get_secret_value())


def _names(name: str, field: FieldInfo) -> tuple[str, ...]:
    alias = field.validation_alias
    if isinstance(alias, str):
        return (alias,)
    if isinstance(alias, AliasChoices):
        return tuple(choice for choice in alias.choices if isinstance(choice, str))
    if isinstance(alias, AliasPath):
        raise TypeError(f"setting {name}: a path is no variable name; use a text or AliasChoices of texts")
    return (name.upper(),)


def _values_for(kind: type[Settings], found: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, names in variables(kind).items():
        set_name = next((candidate for candidate in names if candidate in found), None)
        if set_name is not None:
            values[name] = _split(kind.model_fields[name].annotation, found[set_name])
    return values


def _split(annotation: Any, text: str) -> Any:
    """Lists and the like out of their text; what does not parse is left for the type check to name."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    kinds = [get_origin(option) or option for option in options if option is not NoneType]
    if not any(kind in _COLLECTIONS for kind in kinds):
        return text
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text if dict in kinds else [part.strip() for part in text.split(",") if part.strip()]


def _fault(kind: type[Settings], detail: Mapping[str, Any]) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    location = detail["loc"]
    if not location:
        return f"{message}; correct it or unset it"
    fields = {alias: name for name, names in variables(kind).items() for alias in (name, *names)}
    name = fields.get(str(location[0]), str(location[0]))
    field = kind.model_fields.get(name)
    if field is None:
        return f"{name}: {message}"
    variable = _names(name, field)[0]
    secret = "Secret" in str(field.annotation) or bool(_SECRET_NAME.search(variable))
    value = "(hidden)" if secret else _LOGIN_IN_URL.sub("//(hidden)@", repr(detail["input"]))[:100]
    default = "" if field.is_required() or secret else f"; unset it for {field.get_default(call_default_factory=True)}"
    shown = "" if detail["type"] == "missing" else f" {value}"
    return f"{variable}{shown}: {message[:1].lower()}{message[1:]}{default}"


def _unknown(found: Iterable[str], known: Iterable[str]) -> list[str]:
    names = sorted(name for name in {*known, *OTHER_KNOWN_VARIABLES} if name.startswith(OUR_PREFIX))
    faults = []
    for name in sorted(found):
        if name.startswith(OUR_PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            faults.append(f"{name}: there is no such setting; did you mean {near[0]}? Correct or unset it")
    return faults


def _all_variables() -> set[str]:
    """Of every settings class in the program, so that loading some of them does not refuse the others' variables."""
    names: set[str] = set()
    kinds: list[type[Settings]] = [Settings]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        names.update(*variables(kind).values())
    return names
