"""What an account's own stream has told, held against what was booked: whether it can be believed to tell. Pure."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from mastertrade.domain.orders import Fill
from mastertrade.exchanges.exchange import AccountNews

SILENT_AFTER: Final = timedelta(seconds=10)
"""So long after a fill was booked its order must have been mentioned."""
SETTLED_AFTER: Final = timedelta(seconds=5)
"""What was traded sooner after the stream began may have been before it: the venue's clock is not ours."""
REMEMBERED: Final = 5_000
K = TypeVar("K")
V = TypeVar("V")


class StreamState(StrEnum):
    """SILENT stands, and has left out what happened, since when it has told nothing."""

    DOWN = "down"
    SILENT = "silent"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """All the news of one order that nobody has asked about yet."""

    symbol: str
    exchange_order_id: str
    client_order_id: str = ""
    trades: frozenset[str] = frozenset()
    has_traded: bool = False
    is_over: bool = False
    times_asked: int = 0

    def and_then(self, news: AccountNews) -> "Mention":
        return Mention(
            symbol=news.symbol,
            exchange_order_id=news.exchange_order_id,
            client_order_id=news.client_order_id or self.client_order_id,
            trades=self.trades | ({news.exchange_trade_id} if news.exchange_trade_id else set()),
            has_traded=self.has_traded or news.has_traded,
            is_over=self.is_over or news.is_over,
        )


def mention(news: AccountNews) -> Mention:
    return Mention(symbol=news.symbol, exchange_order_id=news.exchange_order_id).and_then(news)


class Hearing:
    """Of one account. Times are our clock's."""

    def __init__(self) -> None:
        self.state = StreamState.DOWN
        self.since: datetime | None = None
        """It has been open without a break."""
        self._mentioned: OrderedDict[str, datetime] = OrderedDict()
        self._booked: OrderedDict[str, set[str]] = OrderedDict()
        self._waiting: dict[str, datetime] = {}

    def begins(self, at: datetime) -> None:
        """One that was silent has to tell something first."""
        if self.state is StreamState.DOWN:
            self.state = StreamState.OPEN
        self.since = at
        self._waiting.clear()

    def ends(self, *, is_silent: bool = False) -> None:
        self.state = StreamState.SILENT if is_silent else StreamState.DOWN
        self.since = None
        self._waiting.clear()

    def hears(self, news: AccountNews, at: datetime) -> None:
        if self.since is not None:
            self.state = StreamState.OPEN
        _keep(self._mentioned, news.exchange_order_id, at)
        self._waiting.pop(news.exchange_order_id, None)

    def books(self, fills: Iterable[Fill], at: datetime) -> None:
        """Whether they were new or not; those that are new and were not mentioned are waited for."""
        for fill in fills:
            order = fill.exchange_order_id
            _keep(self._booked, order, self._booked.get(order, set()) | {fill.exchange_trade_id})
            told = self._mentioned.get(order)
            is_its_time = self.since is not None and fill.trade_time > self.since + SETTLED_AFTER
            if is_its_time and (told is None or told < at - SILENT_AFTER):
                self._waiting.setdefault(order, at)

    def has_booked(self, told: Mention) -> bool:
        """All the trades it names; where it names none, any of the order's."""
        booked = self._booked.get(told.exchange_order_id, set())
        return bool(booked) and told.trades <= booked

    def doubt(self) -> str | None:
        """Why its silence about an order proves nothing; None: it tells. What happened while it was down has been
        asked for by the look that wants to know."""
        return None if self.state is StreamState.OPEN else f"the account's own stream is {self.state}"

    def left_out(self, at: datetime) -> str | None:
        """The venue's number of an order that has traded, and that it should have mentioned by now."""
        return next((order for order, since in self._waiting.items() if at - since > SILENT_AFTER), None)


def _keep(known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > REMEMBERED:
        known.popitem(last=False)
