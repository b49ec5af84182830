"""The ccxt library: one venue of it at a time, its errors as ours, its numbers as the venue wrote them.

Importing ccxt whole loads more than a hundred venues and costs seconds and 100 MB. So its packages are put in place
without running their ``__init__``, and each name is loaded when somebody asks for it.
"""

import asyncio
import difflib
import importlib
import importlib.machinery
import importlib.util
import json
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from mastertrade.exchanges.ccxt_pacing import Paced
from mastertrade.exchanges.market_feed import (
    FeedDown,
    FeedRefused,
    NotOffered,
    RateLimited,
    UnknownSymbol,
    UnknownVenue,
)
from mastertrade.exchanges.request_budget import (
    LONGEST_PAUSE_S,
    TOO_MANY,
    Purpose,
    RequestBudget,
    pause_asked_for,
    seconds_of,
)
from mastertrade.shared.errors import ConfigurationError, MasterTradeError
from mastertrade.shared.logging import redact

REST: Final = "ccxt.async_support"
STREAMS: Final = "ccxt.pro"
_PACKAGES: Final = ("ccxt", REST, STREAMS)
_NAMES: Final = ("ccxt.base.errors", "ccxt.base.exchange", "ccxt.base.precise", "ccxt.base.decimal_to_precision")
REQUEST_TIMEOUT_S: Final = 20.0
"""For one answer; the slowest page of a venue that is well takes some seconds."""
_REFUSALS: Final = frozenset({400, 401, 403, 404, 405, 407, 410, 422, 451, 511})
"""HTTP answers that will be the same next time; ccxt takes some of them for a venue that is down."""
_TEXT: Final = ("text/plain", "text/csv")
NEAREST: Final = 5


class MissingExtra(ConfigurationError):
    """ccxt is not installed."""


class _Light(ModuleType):
    """A package whose names are loaded when they are asked for; a venue's name is its class, as in the real one."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, getattr(value, name, value) if isinstance(value, ModuleType) else value)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            if self.__name__ == "ccxt":
                for place in _NAMES:
                    found = getattr(importlib.import_module(place), name, None)
                    if found is not None:
                        return found
            if importlib.util.find_spec(f"{self.__name__}.{name}") is not None:
                importlib.import_module(f"{self.__name__}.{name}")
                return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def _packages() -> None:
    """Put the packages in place, unless somebody has loaded ccxt already."""
    if "ccxt" in sys.modules:
        return
    found = importlib.util.find_spec("ccxt")
    if found is None or not found.submodule_search_locations:
        raise MissingExtra(
            "ccxt, which speaks with exchanges, is not installed: install mastertrade with its extra 'live' "
            "(mastertrade[live]); in a checkout ./mt does it"
        )
    for name in _PACKAGES:
        place = str(Path(found.submodule_search_locations[0], *name.split(".")[1:]))
        package = _Light(name)
        package.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        package.__spec__.submodule_search_locations = package.__path__ = [place]
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)


def venue_names(package: str = REST) -> list[str]:
    """Every venue ccxt knows, or of those with streams."""
    _packages()
    places: Sequence[str] = sys.modules["ccxt"].__path__
    folder = Path(places[0], package.removeprefix("ccxt."))
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def errors() -> ModuleType:
    """``ccxt.base.errors``."""
    _packages()
    return importlib.import_module("ccxt.base.errors")


def nearest(name: str, names: Sequence[str]) -> str:
    """A hint for somebody who mistyped a name, or nothing."""
    found = difflib.get_close_matches(name, names, n=NEAREST, cutoff=0.6)
    return f"; near it: {', '.join(found)}" if found else ""


def venue_class(venue: str, package: str = REST) -> Any:
    """UnknownVenue names the nearest ones."""
    names = venue_names(package)
    if venue not in names:
        what = "exchange" if package == REST else "exchange with streams"
        hint = nearest(venue, names) or f"; some of {len(names)}: binance, bybit, coinbase, kraken, okx"
        raise UnknownVenue(f"venue {venue!r}: ccxt knows no {what} of that name{hint}")
    return getattr(importlib.import_module(f"{package}.{venue}"), venue)


def open_client(
    venue: str,
    *,
    package: str = REST,
    url: str | None = None,
    options: Mapping[str, Any],
    budget: RequestBudget | None = None,
    purpose: Purpose = Purpose.DATA,
    environment: str = "production",
) -> Any:
    """A client of public data. With ``url`` every address of the venue is replaced by that one, its paths kept, and the
    pace is the venue's to say: ccxt's own pace is made for the real one. ``budget`` counts its requests with those of
    every other process; without it the client keeps ccxt's pace by itself."""
    logging.getLogger("ccxt").setLevel(logging.INFO)  # below that it writes each request with its key and signature
    client = venue_class(venue, package)(
        {
            "enableRateLimit": url is None or (budget is not None and budget.counts_local),
            "timeout": int(REQUEST_TIMEOUT_S * 1000),
            "options": {"fetchCurrencies": False, **options},
        }
    )
    client.has = {**client.has, "fetchCurrencies": False}  # asks for keys or costs a request, and says nothing we keep
    client.number = str
    client.on_json_response = partial(json.loads, parse_float=str)
    client.aiohttp_trust_env = url is None
    if url is not None:
        client.urls = {**client.urls, "api": redirected(client.urls["api"], url)}
    if budget is not None and client.enableRateLimit:
        real = venue if environment == "production" else f"{venue} {environment}"
        Paced(client, url or real, budget, purpose)
    return client


def redirected(addresses: Any, url: str) -> Any:
    """A venue's addresses, nested as they are, at another host; websockets keep their scheme."""
    http = url.rstrip("/")
    if isinstance(addresses, Mapping):
        return {name: redirected(one, url) for name, one in addresses.items()}
    if not isinstance(addresses, str):
        return addresses
    secure_or_not = re.sub(r"^http", "ws", http)
    return re.sub(r"^wss?://[^/]+", secure_or_not, re.sub(r"^https?://[^/]+", http, addresses))


@dataclass(slots=True)
class _Answer:
    """What the venue answered last to one question."""

    status: int = 0
    kind: str = ""
    retry_after_s: float | None = None


_answer: ContextVar[_Answer | None] = ContextVar("answer", default=None)


class Gate:
    """Asks one client, and turns what goes wrong into errors of ours. When the venue wants a pause, everybody waits."""

    def __init__(
        self, client: Any, *, monotonic: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._monotonic = monotonic
        self._now = now
        self._closed_until = 0.0
        self._on_rest_response, client.on_rest_response = client.on_rest_response, self._on_response
        self._parse_json = client.parse_json
        client.parse_json = self._on_body

    @asynccontextmanager
    async def asking(self, what: str) -> AsyncIterator[None]:
        """``what`` names the question in an error: ``BTC/USDT 1m from 2024-01-01``."""
        while (pause_s := self._closed_until - self._monotonic()) > 0:
            if pause_s > LONGEST_PAUSE_S:
                raise FeedRefused(
                    f"{self._client.id}: {what}: the venue wants a pause of {pause_s:.0f} s, longer than "
                    f"{LONGEST_PAUSE_S:.0f} s: it has banned this address; go on later with the same command"
                )
            await asyncio.sleep(pause_s)
        answer = _Answer()
        token = _answer.set(answer)
        try:
            yield
        except MasterTradeError:
            raise
        except Exception as error:
            raise self._ours(error, answer, what) from error
        finally:
            _answer.reset(token)

    def _on_response(
        self, code: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str, *more: object
    ) -> str:
        answer = _answer.get()
        if answer is not None:
            lower = {name.lower(): value for name, value in headers.items()}
            answer.status, answer.kind = code, lower.get("content-type", "").partition(";")[0].strip()
            answer.retry_after_s = seconds_of(lower.get("retry-after"), self._now())
            if (pause_s := pause_asked_for(code, headers, body, self._now())) is not None:
                self._closed_until = max(self._closed_until, self._monotonic() + pause_s)
        passed_on: str = self._on_rest_response(code, reason, url, method, headers, body, *more)
        return passed_on

    def _on_body(self, body: str) -> Any:
        """ccxt hands on what it cannot parse as text, which its callers may take for an empty list."""
        parsed = self._parse_json(body)
        answer = _answer.get()
        if answer is not None and parsed is None and 200 <= answer.status < 300 and answer.kind not in _TEXT:
            raise FeedDown(f"the answer is cut or no JSON: {len(body):,} characters that begin with {body[:40]!r}")
        return parsed

    def _ours(self, error: Exception, answer: _Answer, what: str) -> MasterTradeError:
        known, name = errors(), self._client.id
        said = f"{name}: {what}: {short(error)}"
        if isinstance(error, known.RateLimitExceeded | known.DDoSProtection) or answer.status in TOO_MANY:
            return RateLimited(said, retry_after_s=answer.retry_after_s)
        if isinstance(error, known.BadSymbol):
            return UnknownSymbol(said)
        if isinstance(error, known.NotSupported):
            return NotOffered(said)
        if isinstance(error, known.AuthenticationError | known.BadRequest | known.OperationRejected):
            return FeedRefused(said)
        if answer.status in _REFUSALS:
            return FeedRefused(f"{said} (HTTP {answer.status})")
        is_wire = isinstance(error, known.OperationFailed | OSError | TimeoutError)
        is_wire = is_wire or (isinstance(error, known.BaseError) and error.__cause__ is not None)
        if is_wire or not isinstance(error, known.BaseError):  # what breaks ccxt's parser is a broken answer
            return FeedDown(said)
        return FeedRefused(said)


def short(error: Exception) -> str:
    """The first line, without the page of HTML that may follow, without what was asked, since it may be signed, and
    without keys: a venue may say them back. Hidden before it is cut, which would leave a part of one."""
    text = redact(re.sub(r"(https?://[^\s?]*)\?\S*", r"\1", str(error).strip()))
    lines = text.splitlines() or [""]
    first = re.split(r"<(?:!doctype|html|head|body)", lines[0], maxsplit=1, flags=re.IGNORECASE)[0].strip()
    shown = first if len(first) <= 300 else f"{first[:300]}…"
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
