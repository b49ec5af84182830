"""What is known of one question to a venue while ccxt asks it, and every trouble of asking as one of ours."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from mastertrade.exchanges.ccxt_library import short
from mastertrade.exchanges.ccxt_rules import Heard
from mastertrade.shared.errors import DependencyDown, MasterTradeError


@dataclass(slots=True)
class Question:
    """The venue's last answer, after one that says nothing: ccxt drops codes from some of its errors.
    ``is_order_written``: an order went to the wire, or may have."""

    heard: Heard = field(default_factory=Heard)
    is_order_written: bool = False


question_of: Final[ContextVar[Question | None]] = ContextVar("question", default=None)


@contextmanager
def asking() -> Iterator[Question]:
    """The question that is asked within."""
    question = Question()
    token = question_of.set(question)
    try:
        yield question
    finally:
        question_of.reset(token)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


V = TypeVar("V", bound=_Named)
P = ParamSpec("P")
T = TypeVar("T")


def answered(
    ask: Callable[Concatenate[V, P], Awaitable[T]],
) -> Callable[Concatenate[V, P], Coroutine[Any, Any, T]]:
    """DependencyDown, or another error of ours, whatever breaks on the wire, in ccxt or in what the venue told."""

    @wraps(ask)
    async def asked(venue: V, /, *given: P.args, **named: P.kwargs) -> T:
        try:
            return await ask(venue, *given, **named)
        except MasterTradeError:
            raise
        except Exception as error:
            raise DependencyDown(f"{venue.name} does not answer as it should: {short(error)}") from error

    return asked


class Straight:
    """A session that follows no redirect: an order that is sent elsewhere with its body would be written twice."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._session, name)
        return partial(found, allow_redirects=False) if name in ("get", "post", "put", "delete", "patch") else found
