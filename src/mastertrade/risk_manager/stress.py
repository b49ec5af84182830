"""What a crash would cost: holdings under moves that happened, and under moves somebody thinks of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mastertrade.risk_manager.portfolio import Book
from mastertrade.shared.errors import UsageError

EVERYTHING: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """From the closes before ``starts`` to the lowest closes up to ``ends``, as stored candles have them."""

    name: str
    what: str
    starts: datetime
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    symbol: str
    move_percent: float
    loss: float
    is_assumed: bool
    """No candles of then: the worst move among those that have some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """``loss`` in money, above 0 for a loss; None where no holding has a move."""

    name: str
    what: str
    loss: float | None
    percent: float | None
    equity_after: float | None
    hits: tuple[Hit, ...]


CRASHES: Final = (
    Crash(
        name="2020-03", what="the crash of March 2020",
        starts=datetime(2020, 3, 12, tzinfo=UTC), ends=datetime(2020, 3, 14, tzinfo=UTC),
    ),
    Crash(
        name="2021-05", what="the deleveraging of May 2021",
        starts=datetime(2021, 5, 18, tzinfo=UTC), ends=datetime(2021, 5, 24, tzinfo=UTC),
    ),
    Crash(
        name="2021-09", what="the fall of 7 September 2021",
        starts=datetime(2021, 9, 7, tzinfo=UTC), ends=datetime(2021, 9, 9, tzinfo=UTC),
    ),
    Crash(
        name="2022-05", what="the end of Terra",
        starts=datetime(2022, 5, 8, tzinfo=UTC), ends=datetime(2022, 5, 13, tzinfo=UTC),
    ),
    Crash(
        name="2022-11", what="the end of FTX",
        starts=datetime(2022, 11, 7, tzinfo=UTC), ends=datetime(2022, 11, 11, tzinfo=UTC),
    ),
    Crash(
        name="2023-03", what="the loss of USDC's peg",
        starts=datetime(2023, 3, 9, tzinfo=UTC), ends=datetime(2023, 3, 13, tzinfo=UTC),
    ),
)  # fmt: skip


def under_moves(book: Book, name: str, what: str, moves: Mapping[str, float]) -> Stress:
    """``moves`` are fractions by symbol. A holding without one takes the worst of the others."""
    held = [one for one in book.holdings if one.value]
    known = [moves[one.symbol] for one in held if one.symbol in moves]
    if not known:
        return Stress(name=name, what=what, loss=None, percent=None, equity_after=None, hits=())
    hits = []
    for one in held:
        value = float(one.value or 0)
        move = moves.get(one.symbol, min(known) if value > 0 else max(known))
        hits.append(
            Hit(symbol=one.symbol, move_percent=move * 100.0, loss=-value * move, is_assumed=one.symbol not in moves)
        )
    loss, equity = sum(hit.loss for hit in hits), float(book.equity)
    return Stress(
        name=name,
        what=what,
        loss=loss,
        percent=loss / equity * 100.0 if equity > 0 else None,
        equity_after=equity - loss,
        hits=tuple(sorted(hits, key=lambda hit: -hit.loss)),
    )


def under_shocks(book: Book, shocks: Mapping[str, float]) -> Stress:
    """Moves as people write them: by asset or symbol, and ``*`` for everything else that is held. Percent."""
    moves = {}
    for one in book.holdings:
        percent = shocks.get(one.symbol, shocks.get(one.asset, shocks.get(EVERYTHING, 0.0)))
        moves[one.symbol] = percent / 100.0
    said = ", ".join(f"{name} {percent:+g} %" for name, percent in shocks.items())
    return under_moves(book, "shock", said, moves)


def read_shocks(words: Sequence[str]) -> dict[str, float]:
    """``BTC=-30`` and the like. UsageError names what is none."""
    shocks = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            percent = float(text)
        except ValueError:
            percent = float("nan")
        if not name or not -100.0 <= percent <= 1_000.0:
            raise UsageError(f"shock {word!r} is none; write an asset and percent from -100 to 1000, such as BTC=-30")
        shocks[name.upper()] = percent
    return shocks
