"""Whatever ccxt raises while an order is sent: what decides is whether the order went to the wire, and what the venue
said itself. The kind of an exception refuses nothing."""

import asyncio
import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final

import aiohttp
import pytest

from mastertrade.exchanges.ccxt_library import errors
from mastertrade.exchanges.exchange import NotSent, VenueRefused
from mastertrade.shared.errors import DependencyDown
from tests.contracts.answering_venue import OUR_ID, Answer, Booth, Trouble, booth, ticket
from tests.contracts.swap_answers import PLACES
from tests.contracts.venue_answers import Wording

EACH = pytest.mark.parametrize("said", PLACES.values(), ids=PLACES)
SAYS_NO: Final = frozenset({
    "AccountNotEnabled", "AccountSuspended", "AddressPending", "ArgumentsRequired", "AuthenticationError", "BadRequest",
    "BadSymbol", "ContractUnavailable", "InsufficientFunds", "InvalidAddress", "InvalidOrder",
    "ManualInteractionNeeded", "MarginModeAlreadySet", "MarketClosed", "NoChange", "NotSupported",
    "OperationRejected", "OrderImmediatelyFillable", "OrderNotFillable", "PermissionDenied", "RestrictedLocation",
})  # fmt: skip
"""What sounds like a refusal. ccxt raises it for codes that it maps by hand, also for time-outs behind the venue and
for ids that are taken, and for words anywhere in an answer."""
SAYS_NOTHING: Final = frozenset({
    "BadResponse", "BaseError", "CancelPending", "ChecksumError", "DDoSProtection", "DuplicateOrderId",
    "ExchangeClosedByUser", "ExchangeError", "ExchangeNotAvailable", "InvalidNonce", "InvalidProxySettings",
    "NetworkError", "NullResponse", "OnMaintenance", "OperationFailed", "OrderNotCached", "OrderNotFound",
    "RateLimitExceeded", "RequestTimeout", "UnsubscribeError",
})  # fmt: skip
"""What may come after the order was taken."""
BESIDES: Final = (
    aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionResetError, TimeoutError, KeyError,
    TypeError, ValueError, RecursionError, MemoryError, asyncio.IncompleteReadError,
)  # fmt: skip


def classes() -> dict[str, type[Exception]]:
    found = inspect.getmembers(errors(), inspect.isclass)
    return {name: one for name, one in found if issubclass(one, BaseException)}


def raised() -> Iterator[Exception]:
    for one in classes().values():
        yield one("it went wrong")
    for kind in BESIDES:
        yield kind(b"", 1) if kind is asyncio.IncompleteReadError else kind("it went wrong")


def test_every_exception_of_ccxt_has_been_thought_about() -> None:
    """A new one fails here: put it where it belongs, and see whether a venue's list of codes wants one more."""
    assert frozenset() == SAYS_NO & SAYS_NOTHING
    assert set(classes()) == SAYS_NO | SAYS_NOTHING


def at(said: Wording, answers: Mapping[str, Answer] | None = None) -> AbstractAsyncContextManager[Booth]:
    told = {**said.base, said.place: said.taken} if answers is None else answers
    return booth(said.name, said.credentials, told, settle=said.settle)


async def outcome(on: Booth, said: Wording) -> Exception:
    on.venue.asked.clear()
    try:
        placed = await on.client.place(ticket(said.symbol))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error
    pytest.fail(f"taken for placed: {placed}")


def raising(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@EACH
async def test_after_an_order_was_written_no_exception_refuses_it(said: Wording) -> None:
    async with at(said) as on:
        await on.client.place(ticket(said.symbol))
        wrong: dict[str, str] = {}
        for error in raised():
            on.client._client.handle_errors = raising(error)
            found = await outcome(on, said)
            if isinstance(found, VenueRefused) or not isinstance(found, DependencyDown):
                wrong[type(error).__name__] = repr(found)
            assert len(on.venue.of(said.place)) == 1, "one write an attempt"
    assert wrong == {}


@EACH
async def test_what_the_venue_says_refuses_whatever_ccxt_makes_of_it(said: Wording) -> None:
    status, body = next(iter(said.refusals.values()))
    async with at(said) as on:
        await on.client.place(ticket(said.symbol))
        on.venue.answers[said.place] = Trouble(status=status, text=json.dumps(body))
        wrong: dict[str, str] = {}
        for error in raised():
            on.client._client.handle_errors = raising(error)
            found = await outcome(on, said)
            if not isinstance(found, VenueRefused) or isinstance(found, NotSent):
                wrong[type(error).__name__] = repr(found)
    assert wrong == {}


@EACH
async def test_an_order_that_ccxt_cannot_even_ask_for_is_not_sent(said: Wording) -> None:
    async with at(said) as on:
        await on.client.place(ticket(said.symbol))
        wrong: dict[str, str] = {}
        for error in raised():
            on.client._client.sign = raising(error)
            found = await outcome(on, said)
            if not isinstance(found, NotSent) or type(error).__name__ not in str(found):
                wrong[type(error).__name__] = repr(found)
            assert on.venue.of(said.place) == []
    assert wrong == {}


@EACH
async def test_an_order_of_an_unknown_market_and_one_before_the_venue_is_there_are_not_sent(said: Wording) -> None:
    async with at(said) as on:
        with pytest.raises(NotSent, match="BadSymbol"):
            await on.client.place(replace(ticket(said.symbol), symbol=said.symbol.replace("BTC", "NOSUCH")))
        assert on.venue.of(said.place) == []
    async with at(replace(said, base={})) as on:
        with pytest.raises(NotSent, match=r"the order was not sent|no order was sent"):
            await on.client.place(ticket(said.symbol))
        assert on.venue.of(said.place) == []


@EACH
async def test_no_error_repeats_what_was_signed(said: Wording) -> None:
    """ccxt writes the address of a request into its errors, with its fields and the signature over them."""
    failing = Trouble(status=502, text="<html>Bad Gateway</html>")
    answers = {**said.base, said.place: said.taken, said.balance_path: failing}
    async with at(said, answers) as on:
        await on.client.place(ticket(said.symbol))
        for ask in (on.client.balances(), on.client.find(OUR_ID, said.symbol)):
            on.venue.answers.update({path: failing for path in said.base if "time" not in path.lower()})
            with pytest.raises(DependencyDown) as error:
                await ask
            text = str(error.value)
            assert not any(word in text for word in ("signature", "?", said.credentials.api_key, "html"))
