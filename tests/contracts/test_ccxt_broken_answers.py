"""What a venue answers to questions about orders, fills and balances, broken in every way: it is no answer, or what is
left of it is as true as it was. Never another amount, price, side, state or time, and never another kind of error."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from mastertrade.domain.orders import Fill, FundingPayment
from mastertrade.exchanges.ccxt_reading import LARGEST
from mastertrade.exchanges.ccxt_rules import THEIRS
from mastertrade.exchanges.ccxt_swaps import CcxtSwapVenue
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.exchange import VenueOrder, VenueRefused
from mastertrade.shared.errors import DependencyDown
from tests.contracts.answering_venue import OUR_ID, START, START_MS, Booth, Trouble, booth
from tests.contracts.broken_answers import Broken, as_told, broken, spoken, whole
from tests.contracts.swap_answers import (
    BINANCE_SWAP_TRADE,
    BYBIT_SWAP_TRADE,
    LIVES_AT,
    NAMES,
    OKX_SWAP_TRADE,
    OPEN_AT,
    SHAPES_AT,
)
from tests.contracts.venue_answers import UUID_OF_OURS, okx_answer
from tests.contracts.venue_lives import (
    BINANCE_TRADE,
    BYBIT_PART,
    BYBIT_TRADE,
    COINBASE_TRADE,
    KRAKEN_TRADE,
    OKX_TRADE,
    TRADED_MS,
    kraken_orders,
)

EACH = pytest.mark.parametrize("name", NAMES)
QUESTIONS = [(name, question) for name in NAMES for question in LIVES_AT[name].answers]
EACH_QUESTION = pytest.mark.parametrize(("name", "question"), QUESTIONS, ids=[" ".join(one) for one in QUESTIONS])
FROM: Final = json.dumps({"": START_MS - 3_600_000})


async def find(venue: CcxtVenue, symbol: str) -> Any:
    """As somebody does who has just started: the venue's number of the order is not known."""
    venue._numbers.clear()
    return await venue.find(OUR_ID, symbol)


async def fills(venue: CcxtVenue, symbol: str) -> list[Fill]:
    """All of them: until the cursor stands."""
    found, cursor = [], FROM
    for _ in range(50):
        page = await venue.fills(cursor, [symbol])
        found += page.fills
        if page.cursor == cursor:
            return found
        cursor = page.cursor
    pytest.fail("fills without end")


async def funding(venue: CcxtSwapVenue, symbol: str) -> list[FundingPayment]:
    found, cursor = [], FROM
    for _ in range(50):
        page = await venue.funding(cursor, [symbol])
        found += page.payments
        if page.cursor == cursor:
            return found
        cursor = page.cursor
    pytest.fail("payments without end")


ASK: Final[Mapping[str, Callable[[Any, str], Awaitable[Any]]]] = {
    "find": find,
    "known": lambda venue, symbol: venue.find(OUR_ID, symbol),
    "open": lambda venue, symbol: venue.open_orders([symbol]),
    "fills": fills,
    "balances": lambda venue, symbol: venue.balances(),
    "positions": lambda venue, symbol: venue.positions([symbol]),
    "funding": funding,
    "cancel": lambda venue, symbol: venue.cancel(OUR_ID, symbol),
}
LESS: Final[Mapping[str, Any]] = {
    "limit_price": None, "average_price": None, "realized_pnl": None, "is_maker": False, "commission": Decimal(0),
    "commission_asset": "",
}  # fmt: skip
"""What may be left out of an order or a fill: what is known besides, or shows as a difference of the balances."""
NAMES: Final = frozenset({
    "client_order_id", "exchange_order_id", "exchange_trade_id", "symbol", "commission", "commission_asset",
    "realized_pnl", "payment_id", "asset", "amount",
})  # fmt: skip
"""What is read as it was told."""
CHOOSES: Final = frozenset({
    "descr", "status", "orderStatus", "state", "symbol", "instId", "pair", "product_id", "trade_type", "execType",
    "type", "time", "execTime", "ts", "trade_time",
})  # fmt: skip
"""What decides whether a row is one of those that were asked for."""


def at(name: str, question: str, **answers: Any) -> Any:
    life = LIVES_AT[name]
    path, good = life.answers[question]
    told = {**life.said.base, **life.rest, path: good, **answers}
    return booth(life.said.name, life.said.credentials, told, settle=life.said.settle)


async def ask(on: Booth, name: str, question: str, answer: Any) -> Any:
    """What is told, or the error."""
    on.venue.answers[LIVES_AT[name].answers[question][0]] = answer
    try:
        return await ASK[question](on.client, LIVES_AT[name].said.symbol)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error


def rows(told: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(told, VenueOrder):
        return [asdict(told)]
    if isinstance(told, dict):
        return [{"symbol": asset, "commission": amount} for asset, amount in told.items()]
    return [asdict(one) for one in told or ()]


def is_harmless(question: str, case: Broken, good: Any, found: Any) -> bool:
    if isinstance(found, Exception):
        return isinstance(found, DependencyDown) and not isinstance(found, VenueRefused)
    before, after = rows(good), rows(found)
    numbers = [value for row in after for value in row.values() if isinstance(value, Decimal)]
    if not all(number.is_finite() and abs(number) < LARGEST for number in numbers):
        return False
    if not after:
        is_anothers = case.place[:1] == ("orders",) and case.place[-1] == "client_order_id"  # in a list of all orders
        return case.empties or is_anothers or (question != "find" and case.place[-1] in CHOOSES)
    if len(before) != len(after):
        return False
    if case.place[-1] == "size_in_quote" and case.instead is True:
        return True  # it is right in form, and means another amount
    changed = {name: value for name, value in after[0].items() if value != before[0][name]}
    return all(
        (name in LESS and value == LESS[name])
        or (name in NAMES and as_told(value, case.instead))
        or (name == "client_order_id" and str(value).startswith(THEIRS) and question != "find")
        for name, value in changed.items()
    )


@pytest.mark.filterwarnings("ignore")
@EACH_QUESTION
async def test_whatever_is_broken_in_an_answer_nothing_false_is_taken_from_it(name: str, question: str) -> None:
    _, answer = LIVES_AT[name].answers[question]
    async with at(name, question) as on:
        if question == "known":
            await find(on.client, LIVES_AT[name].said.symbol)
        good = await ask(on, name, question, answer)
        assert rows(good), "what is broken here is an answer"
        wrong: dict[str, str] = {}
        refused = 0
        for case in broken(answer):
            found = await ask(on, name, question, spoken(case.answer))
            refused += isinstance(found, Exception)
            if not is_harmless(question, case, good, found):
                wrong[str(case)] = f"{found!r}"
    assert wrong == {}
    assert refused > 5 or question == "cancel"


@pytest.mark.filterwarnings("ignore")
@EACH_QUESTION
async def test_an_answer_that_is_none_tells_nothing(name: str, question: str) -> None:
    _, answer = LIVES_AT[name].answers[question]
    inside = [SHAPES_AT[name](code)[0] for code in (*OPEN_AT[name]["unknown"], *OPEN_AT[name]["too many"])]
    errors = {f"an error inside: {body}": Trouble(text=json.dumps(body)) for _, body in inside}
    async with at(name, question) as on:
        if question == "known":
            await find(on.client, LIVES_AT[name].said.symbol)
        good = await ask(on, name, question, answer)
        wrong: dict[str, str] = {}
        for what, trouble in {**whole(answer), **errors}.items():
            found = await ask(on, name, question, trouble)
            is_list = isinstance(answer, list) and what == "an empty list"
            is_asked_again = question == "cancel" and found == good
            if not (isinstance(found, DependencyDown) or is_asked_again or (is_list and not rows(found))):
                wrong[what] = repr(found)
        assert await ask(on, name, question, answer) == good, "nothing of it stays"
        assert on.venue.of("/second") == []
    assert wrong == {}


def doubled(answer: Any) -> Any:
    """Every list of rows, with each row twice."""
    if isinstance(answer, list):
        return [doubled(one) for one in answer for _ in range(2)]
    if isinstance(answer, dict):
        return {name: doubled(value) for name, value in answer.items()}
    return answer


@EACH
@pytest.mark.parametrize("question", ["find", "open", "fills", "funding"])
async def test_rows_that_come_twice_count_once(name: str, question: str) -> None:
    if question not in LIVES_AT[name].answers:
        return  # coins are paid no funding
    _, answer = LIVES_AT[name].answers[question]
    async with at(name, question) as on:
        good = await ask(on, name, question, answer)
        assert await ask(on, name, question, doubled(answer)) == good


def renamed(answer: Any, names: Mapping[str, str]) -> Any:
    """The same of another order or market."""
    text = json.dumps(answer)
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    return json.loads(text)


OTHER_ID: Final[Mapping[str, str]] = {
    OUR_ID: "mt7Gbv3dVn3pCSqUQ0zyRpVZ",
    UUID_OF_OURS: "another",
}
OTHER_MARKET: Final[Mapping[str, str]] = {
    "BTCUSDT": "ETHUSDT", "BTC-USDT": "ETH-USDT", "BTC-USDT-SWAP": "ETH-USDT-SWAP", "XBTUSDT": "ETHUSDT",
}  # fmt: skip


@EACH
async def test_an_order_that_was_not_asked_for_is_no_answer(name: str) -> None:
    _, answer = LIVES_AT[name].answers["find"]
    async with at(name, "find") as on:
        found = await ask(on, name, "find", renamed(answer, OTHER_ID))
        if name == "coinbase":  # walks a list of all orders, and only its end says that there is none
            assert found is None
        else:
            assert isinstance(found, DependencyDown)
            assert isinstance(await ask(on, name, "find", renamed(answer, OTHER_MARKET)), DependencyDown)


MOVED: Final[Mapping[str, Callable[[int], Any]]] = {
    "binance": lambda at_ms: [{**BINANCE_TRADE, "time": at_ms}],
    "bybit": lambda at_ms: {"retCode": 0, "result": {"list": [{**BYBIT_TRADE, "execTime": str(at_ms)}]}},
    "coinbase": lambda at_ms: {"fills": [{**COINBASE_TRADE, "trade_time": iso(at_ms)}], "cursor": ""},
    "kraken": lambda at_ms: kraken_orders("trades", **{"7": {**KRAKEN_TRADE, "time": at_ms // 1000}}),
    "swaps at binance": lambda at_ms: [{**BINANCE_SWAP_TRADE, "time": at_ms}],
    "swaps at bybit": lambda at_ms: {"retCode": 0, "result": {"list": [{**BYBIT_SWAP_TRADE, "execTime": str(at_ms)}]}},
    "swaps at okx": lambda at_ms: okx_answer({**OKX_SWAP_TRADE, "ts": str(at_ms)}),
    "okx": lambda at_ms: okx_answer({**OKX_TRADE, "ts": str(at_ms)}),
}
"""The fill, at another time."""


def iso(at_ms: int) -> str:
    return (START + timedelta(milliseconds=at_ms - START_MS)).isoformat().replace("+00:00", "Z")


@EACH
async def test_a_fill_from_after_now_is_no_answer_and_the_cursor_stays(name: str) -> None:
    async with at(name, "fills") as on:
        for late in (timedelta(minutes=2), timedelta(days=1), timedelta(days=36_500)):
            told = MOVED[name](START_MS + late // timedelta(milliseconds=1))
            assert isinstance(await ask(on, name, "fills", told), DependencyDown)
        found = await ask(on, name, "fills", MOVED[name](START_MS + 30_000))
        assert [fill.trade_time for fill in found] == [START + timedelta(seconds=30)], "clocks differ a little"


async def test_a_payment_of_funding_from_after_now_is_no_answer() -> None:
    name = "swaps at binance"
    ((paid,), path) = LIVES_AT[name].answers["funding"][1], LIVES_AT[name].answers["funding"][0]
    async with at(name, "funding") as on:
        assert isinstance(await ask(on, name, "funding", [{**paid, "time": START_MS + 120_000}]), DependencyDown)
        assert len(on.venue.of(path)) == 1
        (found,) = await ask(on, name, "funding", [{**paid, "time": START_MS + 30_000}])
        assert found.paid_at == START + timedelta(seconds=30)


@EACH
async def test_a_fill_from_before_its_order_is_booked_as_it_was_told(name: str) -> None:
    async with at(name, "fills") as on:
        (good,) = await ask(on, name, "fills", LIVES_AT[name].answers["fills"][1])
        found = await ask(on, name, "fills", MOVED[name](TRADED_MS - 600_000))
        assert found == [replace(good, trade_time=START - timedelta(seconds=601))]


NO_ORDER: Final = Trouble(status=400, text='{"code":-2013,"msg":"Order does not exist."}')
UNKNOWN_ORDER: Final[Mapping[str, tuple[str, Any]]] = {
    "binance": ("GET /api/v3/order", Trouble(status=400, text='{"code":-2013,"msg":"Order does not exist."}')),
    "swaps at binance": (
        "GET /fapi/v1/order",
        Trouble(status=400, text='{"code":-2013,"msg":"Order does not exist."}'),
    ),
    "kraken": ("/0/private/QueryOrders", {"error": [], "result": {}}),
}


@pytest.mark.parametrize("name", UNKNOWN_ORDER)
async def test_a_fresh_fill_waits_for_its_order_to_be_shown_and_is_no_strangers(name: str) -> None:
    path, told = UNKNOWN_ORDER[name]
    async with at(name, "fills") as on:
        on.venue.answers[path] = told
        assert isinstance(await ask(on, name, "fills", MOVED[name](TRADED_MS)), DependencyDown)
        (old,) = await ask(on, name, "fills", MOVED[name](START_MS - 3_000_000))
        assert old.client_order_id.startswith(THEIRS), "an old order may be forgotten"
    async with at(name, "fills") as on:
        (fill,) = await ask(on, name, "fills", MOVED[name](TRADED_MS))
        assert fill.client_order_id == OUR_ID


async def test_what_filled_of_a_cancelled_order_is_never_worked_out_from_what_is_left_of_it() -> None:
    """Nothing is left of it then."""
    ended = {**BYBIT_PART, "orderStatus": "PartiallyFilledCanceled", "leavesQty": "0"}
    told = {"retCode": 0, "result": {"list": [ended]}}
    del ended["cumExecQty"]
    async with at("bybit", "find") as on:
        assert isinstance(await ask(on, "bybit", "find", told), DependencyDown)
        ended["cumExecQty"] = "0.2"
        found = await ask(on, "bybit", "find", told)
        assert (found.status, found.filled_quantity) == ("CANCELED", Decimal("0.2"))
