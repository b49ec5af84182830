"""Every code that refuses an order at a venue, in every shape of its answers; and what looks like one and is none.

The codes are taken from the venues' own lists: whoever adds one adds its tests."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from mastertrade.exchanges.exchange import NotSent, VenueRefused
from mastertrade.exchanges.request_budget import Allowance, Purpose, RequestBudget, Wait
from mastertrade.shared.clock import ReplayClock
from tests.contracts.answering_venue import START, Booth, Trouble, answering, booth, client_of, ticket
from tests.contracts.swap_answers import AGAIN_AT, NAMES, OPEN_AT, PLACES, SHAPES_AT
from tests.contracts.venue_errors import Spoken, mixed

EACH = pytest.mark.parametrize("name", NAMES)


@asynccontextmanager
async def asked_at(name: str) -> AsyncIterator[Booth]:
    said = PLACES[name]
    async with booth(said.name, said.credentials, {**said.base, said.place: said.taken}, settle=said.settle) as on:
        yield on


async def outcome(on: Booth, name: str, spoken: Spoken) -> str:
    """What became of an order that was answered so: "refused: " and why, or "unknown: " and what was raised."""
    said = PLACES[name]
    status, body = spoken
    on.venue.answers[said.place] = Trouble(status=status, text=body if isinstance(body, str) else json.dumps(body))
    on.venue.asked.clear()
    try:
        placed = await on.client.place(ticket(said.symbol))
        found = f"taken for placed: {placed}"
    except VenueRefused as refusal:
        found = f"refused: {refusal}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it leaves the outcome open
        found = f"unknown: {type(error).__name__}"
    assert len(on.venue.of(said.place)) == 1, f"one write an attempt: {spoken}"
    return found


def as_refused(name: str, code: str, found: str) -> bool:
    return found.startswith(f"refused: {PLACES[name].name}: ") and found.endswith((f"({code})", f": {code}"))


def refused_codes(name: str) -> list[str]:
    return sorted(NAMES[name].answers.refused)


@EACH
async def test_every_code_on_a_venues_list_refuses_in_each_of_its_shapes_and_is_named(name: str) -> None:
    wrong: dict[str, str] = {}
    async with asked_at(name) as on:
        for code in refused_codes(name):
            for spoken in SHAPES_AT[name](code):
                found = await outcome(on, name, spoken)
                if not as_refused(name, code, found):
                    wrong[f"{code} as {spoken}"] = found
    assert wrong == {}


def doubtful(name: str) -> Iterator[Spoken]:
    """A listed code that a failing server says, or one that sends us elsewhere; that is only the beginning of the code
    that is said; that comes beside one that is not listed; in a list or with nothing around it."""
    for code in refused_codes(name):
        first = SHAPES_AT[name](code)[0]
        for status in (500, 502, 503, 504, 302):
            yield status, first[1]
        yield SHAPES_AT[name](f"{code}9" if code.lstrip("-").isdigit() else f"{code} or not")[0]
        if (both := mixed(name, code, OPEN_AT[name]["unknown"][-1])) is not None:
            yield both
        yield first[0], [first[1]]
        yield first[0], json.dumps(code)


@pytest.mark.filterwarnings("ignore")
@EACH
async def test_a_listed_code_that_is_not_the_whole_certain_answer_refuses_nothing(name: str) -> None:
    async with asked_at(name) as on:
        found = {str(spoken): await outcome(on, name, spoken) for spoken in doubtful(name)}
    assert {spoken: what for spoken, what in found.items() if not what.startswith("unknown: ")} == {}


@EACH
async def test_a_code_that_does_not_say_how_far_the_order_came_refuses_nothing(name: str) -> None:
    wrong: dict[str, str] = {}
    async with asked_at(name) as on:
        for kind, codes in OPEN_AT[name].items():
            for code in codes:
                for spoken in SHAPES_AT[name](code):
                    found = await outcome(on, name, spoken)
                    if not found.startswith("unknown: "):
                        wrong[f"{kind}: {spoken}"] = found
    assert wrong == {}


@EACH
async def test_an_id_that_is_taken_already_refuses_nothing_whatever_the_code(name: str) -> None:
    async with asked_at(name) as on:
        found = {str(spoken): await outcome(on, name, spoken) for spoken in AGAIN_AT[name]}
    assert {spoken: what for spoken, what in found.items() if not what.startswith("unknown: ")} == {}


@EACH
def test_no_code_stands_on_a_list_that_must_not(name: str) -> None:
    answers = NAMES[name].answers
    uncertain = {code for codes in OPEN_AT[name].values() for code in codes}
    assert answers.refused & uncertain == frozenset()
    assert answers.no_order <= uncertain
    assert answers.none_to_cancel <= uncertain
    assert {"unknown", "too many", "of another question"} <= set(OPEN_AT[name])


class Counted(RequestBudget):
    """Counts in memory, and knows what venues asked for."""

    def __init__(self) -> None:
        self.share, self.counts_local = 1.0, True
        self.pauses: list[tuple[float, str]] = []

    async def take(self, venue: str, cost: float, allowance: Allowance, purpose: Purpose) -> Wait:
        return Wait(0.0)

    async def block(self, venue: str, for_s: float, said: str) -> None:
        self.pauses.append((for_s, said))


PAUSES: Mapping[str, tuple[int, Mapping[str, str], str, float]] = {
    "binance": (429, {"Retry-After": "17"}, '{"code":-1003,"msg":"Too much request weight used."}', 17.0),
    "bybit": (403, {}, '{"retCode":403,"retMsg":"access too frequent"}', 600.0),
    "coinbase": (429, {}, "Too many requests", 5.0),
    "kraken": (429, {"Retry-After": "8"}, '{"error":["EAPI:Rate limit exceeded"]}', 8.0),
    "swaps at binance": (418, {"Retry-After": "90"}, '{"code":-1003,"msg":"Way too many requests."}', 90.0),
    "swaps at bybit": (429, {"Retry-After": "11"}, '{"retCode":10429,"retMsg":"too many"}', 11.0),
    "swaps at okx": (429, {"Retry-After": "12"}, '{"code":"50061","msg":"Too many","data":[]}', 12.0),
    "okx": (429, {}, '{"code":"50011","msg":"Too Many Requests","data":[]}', 5.0),
}


@pytest.mark.filterwarnings("ignore")
@EACH
async def test_too_many_requests_leave_the_order_open_and_the_next_one_is_not_sent(name: str) -> None:
    said, budget = PLACES[name], Counted()
    status, headers, text, pause_s = PAUSES[name]
    async with answering({**said.base, said.place: Trouble(status=status, text=text, headers=headers)}) as venue:
        clock = ReplayClock(START)
        client = client_of(said.name, said.credentials, settle=said.settle, clock=clock, url=venue.url, budget=budget)
        try:
            with pytest.raises(Exception) as first:  # noqa: PT011 - ccxt's, of whatever kind
                await client.place(ticket(said.symbol))
            assert not isinstance(first.value, VenueRefused)
            assert budget.pauses == [(pause_s, f"HTTP {status}")]
            with pytest.raises(NotSent, match="wants to be left alone"):
                await client.place(ticket(said.symbol, send_by=START + timedelta(seconds=4)))
            assert len(venue.of(said.place)) == 1
        finally:
            await client.close()
