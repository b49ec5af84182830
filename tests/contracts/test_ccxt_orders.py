"""Orders over the wire at each venue: what a request holds, which answers refuse, and which leave the outcome open."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.orders import OrderType, id_of_number, number_of_id
from mastertrade.exchanges.ccxt_venue import VENUES, CcxtVenue
from mastertrade.exchanges.exchange import VenueRefused
from mastertrade.exchanges.key_rights import KeysRefused
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import ConfigurationError, DependencyDown
from tests.contracts.answering_venue import OUR_ID, START, Answer, Booth, Trouble, booth, ticket
from tests.contracts.venue_answers import WORDINGS, Wording

EACH = pytest.mark.parametrize("said", WORDINGS.values(), ids=WORDINGS)
CASES = [(said, name) for said in WORDINGS.values() for name in said.refusals]
OPEN_CASES = [(said, name) for said in WORDINGS.values() for name in said.open_ends]


@asynccontextmanager
async def at(said: Wording, **answers: Answer) -> AsyncIterator[Booth]:
    """``placed``: the answer to an order; others by path."""
    placed = answers.pop("placed", said.taken)
    async with booth(said.name, said.credentials, {**said.base, said.place: placed, **answers}) as on:
        yield on


def spoken(answer: tuple[int, Any]) -> Trouble:
    return Trouble(status=answer[0], text=answer[1] if isinstance(answer[1], str) else json.dumps(answer[1]))


async def failure(on: Booth, said: Wording) -> Exception:
    try:
        placed = await on.client.place(ticket(said.symbol))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error
    pytest.fail(f"taken for placed: {placed}")


@EACH
async def test_an_order_carries_its_stored_time_and_its_id_on_the_wire(said: Wording) -> None:
    async with at(said) as on:
        await on.client.now()
        on.clock.advance(START + timedelta(seconds=3))  # it was signed three seconds ago
        placed = await on.client.place(ticket(said.symbol))
        (asked,) = on.venue.of(said.place)
        seen = {**asked.headers, **asked.given}
        assert {name: seen.get(name) for name in said.on_the_wire} == dict(said.on_the_wire)
        assert (placed.client_order_id, placed.exchange_order_id) == (OUR_ID, said.number)
        assert (placed.status, placed.quantity, placed.limit_price) == ("OPEN", Decimal("0.5"), Decimal("29500.0"))


@EACH
async def test_an_order_whose_time_is_over_is_never_written(said: Wording) -> None:
    async with at(said) as on:
        await on.client.now()
        on.clock.advance(START + timedelta(seconds=5, milliseconds=1))
        with pytest.raises(VenueRefused, match="before it was written to the wire"):
            await on.client.place(ticket(said.symbol))
        assert on.venue.of(said.place) == []


@pytest.mark.parametrize(("said", "name"), CASES, ids=[f"{said.name}, {name}" for said, name in CASES])
async def test_a_documented_refusal_is_one(said: Wording, name: str) -> None:
    async with at(said, placed=spoken(said.refusals[name])) as on:
        with pytest.raises(VenueRefused, match=f"^{said.name}: "):
            await on.client.place(ticket(said.symbol))
        assert len(on.venue.of(said.place)) == 1, "one write an attempt"


@pytest.mark.parametrize(("said", "name"), OPEN_CASES, ids=[f"{said.name}, {name}" for said, name in OPEN_CASES])
async def test_an_answer_that_is_not_known_to_refuse_leaves_the_outcome_open(said: Wording, name: str) -> None:
    async with at(said, placed=spoken(said.open_ends[name])) as on:
        assert not isinstance(await failure(on, said), VenueRefused)
        assert len(on.venue.of(said.place)) == 1, "one write an attempt"


TROUBLES = {
    "taken, then silence": lambda said: Trouble(breaks=True),
    "a failing gateway": lambda said: Trouble(status=502, text="<html>Bad Gateway</html>"),
    "a page that says it went well": lambda said: Trouble(text="<html>welcome</html>"),
    "a page of the guard before the venue": lambda said: Trouble(status=403, text="<html>denied</html>"),
    "half an answer": lambda said: Trouble(text=json.dumps(said.taken), half=True),
    "half a refusal": lambda said: replace(spoken(next(iter(said.refusals.values()))), half=True),
    "nothing": lambda said: Trouble(),
    "sent elsewhere": lambda said: Trouble(status=307, elsewhere="/second"),
    "a refusal that sends elsewhere": lambda said: replace(
        spoken((308, next(iter(said.refusals.values()))[1])), elsewhere="/second"
    ),
    "a refusal of a failing server": lambda said: spoken((503, next(iter(said.refusals.values()))[1])),
}


@pytest.mark.filterwarnings("ignore")
@EACH
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_a_broken_answer_leaves_the_outcome_open(said: Wording, trouble: Any) -> None:
    async with at(said, placed=trouble(said)) as on:
        assert not isinstance(await failure(on, said), VenueRefused)
        assert len(on.venue.of(said.place)) == 1, "one write an attempt"
        assert on.venue.of("/second") == []


@EACH
async def test_a_market_order_asks_for_a_quantity_of_the_base_asset(said: Wording) -> None:
    async with at(said) as on:
        placed = await on.client.place(ticket(said.symbol, type=OrderType.MARKET, limit_price=None))
        assert (placed.quantity, placed.limit_price) == (Decimal("0.5"), None)
        (asked,) = on.venue.of(said.place)
        assert "29500" not in json.dumps(asked.given)
        assert "0.5" in json.dumps(asked.given)


@EACH
async def test_an_order_that_no_list_shows_is_absent_and_nothing_to_cancel(said: Wording) -> None:
    async with at(said) as on:
        assert await on.client.find(OUR_ID, said.symbol) is None


@EACH
async def test_wrong_keys_are_refused_in_the_venues_words(said: Wording) -> None:
    async with at(said, **{said.balance_path: spoken(said.wrong_keys)}) as on:
        with pytest.raises(KeysRefused, match=f"^{said.name} does not accept the keys: "):
            await on.client.check_keys()


@pytest.mark.filterwarnings("ignore")
@EACH
async def test_a_page_of_html_is_no_list_of_balances(said: Wording) -> None:
    async with at(said, **{said.balance_path: Trouble(text="<html>welcome</html>")}) as on:
        with pytest.raises(DependencyDown, match="no JSON"):
            await on.client.balances()


@pytest.mark.parametrize("venue", VENUES)
def test_real_money_needs_to_be_allowed_at_each_venue(venue: str) -> None:
    with pytest.raises(ConfigurationError, match="ENABLE_LIVE_TRADING=true"):
        CcxtVenue(venue, WORDINGS[venue].credentials, clock=ReplayClock(START), environment="production")


@pytest.mark.parametrize("venue", [name for name, rules in VENUES.items() if not rules.has_testnet])
def test_a_venue_without_a_testnet_says_so(venue: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{venue} has no testnet"):
        CcxtVenue(venue, WORDINGS[venue].credentials, clock=ReplayClock(START))


@EACH
def test_ids_of_ours_fit_every_venue_and_come_back(said: Wording) -> None:
    rules = VENUES[said.name]()
    for number in (0, 1, (1 << 128) - 1, 0xD15708C1DBB6465DB77D47258319CC90):
        ours = id_of_number(number)
        assert rules.our_id(rules.venue_id(ours)) == ours
        assert number_of_id(ours) == number
    assert rules.our_id(rules.venue_id("mt1")) == "mt1"


@pytest.mark.parametrize("text", ["", "mt", "mt" + "0" * 21, "mt" + "z" * 22, "xx" + "0" * 22, "mt" + "-" * 22])
def test_what_is_no_id_of_ours_has_no_number(text: str) -> None:
    assert number_of_id(text) is None
