"""Swaps at each venue in its own words: what goes over the wire, what comes back as ours, what refuses, and what is
made ready before the first order."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.orders import FundingPayment, OrderStatus, OrderType, Side, Terms
from mastertrade.exchanges.ccxt_swaps import SWAP_VENUES, CcxtSwapVenue
from mastertrade.exchanges.exchange import OrderTicket, VenueRefused
from mastertrade.exchanges.key_rights import problems
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import DependencyDown
from tests.contracts.answering_venue import OUR_ID, START, START_MS, Answer, AnsweringVenue, Trouble, answering, ticket
from tests.contracts.swap_wordings import OKX, PAID_MS, SWAP_WORDINGS, SwapWording
from tests.contracts.venue_errors import AGAIN, OPEN, SHAPES

EACH = pytest.mark.parametrize("said", SWAP_WORDINGS.values(), ids=SWAP_WORDINGS)
BTC = "BTC/USDT:USDT"
NEVER = {
    "binance": {"-1000", "-1001", "-1006", "-1007", "-1008", "-1015", "-1016", "-4116"},
    "bybit": {"10000", "10006", "10016", "110063", "110072"},
    "okx": {"50001", "50004", "50011", "50013", "50026", "51016"},
}
"""Trouble, haste, and an id that is taken: they do not say how far an order came."""
OPENED = json.dumps({"": START_MS - 86_400_000})


@dataclass(frozen=True, slots=True)
class Booth:
    venue: AnsweringVenue
    client: CcxtSwapVenue


@asynccontextmanager
async def at(said: SwapWording, *told: tuple[str, Answer], leverage: str = "2") -> AsyncIterator[Booth]:
    async with answering({**said.base, said.place: said.taken, **dict(told)}) as venue:
        client = CcxtSwapVenue(
            said.name, said.credentials, settle="USDT", leverage=Decimal(leverage), clock=ReplayClock(START),
            url=venue.url,
        )  # fmt: skip
        try:
            yield Booth(venue, client)
        finally:
            await client.close()


def sale(**changes: Any) -> OrderTicket:
    return ticket(BTC, **({"side": Side.SELL} | changes))


def test_each_venue_of_swaps_has_its_words_here() -> None:
    assert set(SWAP_WORDINGS) == set(SWAP_VENUES)


@EACH
async def test_an_order_counts_on_the_wire_as_its_venue_does_and_in_base_units_here(said: SwapWording) -> None:
    async with at(said) as on:
        placed = await on.client.place(sale())
        (asked,) = on.venue.of(said.place)
        seen = {**asked.headers, **asked.given}
        assert {name: seen.get(name) for name in said.sent} == dict(said.sent)
        assert (placed.client_order_id, placed.status) == (OUR_ID, OrderStatus.OPEN)
        assert (placed.quantity, placed.limit_price) == (Decimal("0.5"), Decimal("29500.0"))
        reducing = sale(terms=Terms(reduce_only=True), type=OrderType.MARKET, limit_price=None)
        await on.client.place(reducing)
        seen = on.venue.of(said.place)[-1].given
        assert {name: seen.get(name) for name in said.reducing} == dict(said.reducing)
        assert "29500" not in json.dumps(seen)


@EACH
async def test_what_is_found_held_filled_and_paid_is_told_in_base_units(said: SwapWording) -> None:
    async with at(said, said.found, said.fills, said.positions, said.funding, said.balances) as on:
        found = await on.client.find(OUR_ID, BTC)
        assert found is not None
        assert (found.status, found.side, found.quantity, found.filled_quantity, found.average_price) == (
            OrderStatus.FILLED, Side.SELL, Decimal("0.5"), Decimal("0.5"), Decimal(29500),
        )  # fmt: skip
        fills = (await on.client.fills(OPENED, [BTC])).fills
        ours, forced = sorted(fills, key=lambda fill: fill.quantity, reverse=True)
        assert (ours.quantity, ours.price, ours.commission) == (Decimal("0.4"), 29500, Decimal("5.9"))
        assert (forced.quantity, forced.commission, forced.commission_asset) == (
            Decimal("0.1"),
            Decimal("1.475"),
            "USDT",
        )
        assert (ours.client_order_id, ours.symbol, ours.side) == (OUR_ID, BTC, Side.SELL)
        assert forced.client_order_id in ("autoclose-1767614400000", "@2")
        assert ours.realized_pnl == (None if said.realized is None else Decimal(said.realized))
        assert await on.client.positions([]) == {BTC: Decimal("-0.4")}
        (paid,) = (await on.client.funding(OPENED, [])).payments
        at_ = datetime.fromtimestamp(PAID_MS / 1000, UTC)
        expected = {"symbol": BTC, "asset": "USDT", "amount": Decimal("-0.59"), "paid_at": at_}
        assert paid == FundingPayment(payment_id=paid.payment_id, **expected)  # type: ignore[arg-type]
        assert await on.client.balances() == {"USDT": Decimal("122.12345678")}, "without what is open"


@EACH
async def test_an_order_that_is_not_there_is_absent(said: SwapWording) -> None:
    async with at(said, *said.absent.items()) as on:
        assert await on.client.find(OUR_ID, BTC) is None


@EACH
async def test_fills_and_funding_come_once(said: SwapWording) -> None:
    async with at(said, said.found, said.fills, said.funding) as on:
        for ask in (on.client.fills, on.client.funding):
            first = await ask(OPENED, [BTC])
            again = await ask(first.cursor, [BTC])
            assert (again.cursor, [*getattr(again, "fills", ()), *getattr(again, "payments", ())]) == (first.cursor, [])


@EACH
async def test_a_market_is_made_ready_once_and_its_leverage_raised(said: SwapWording) -> None:
    async with at(said, said.low_leverage, leverage="24.5") as on:
        for _order in range(2):
            await on.client.place(sale())
        path, expected = said.raising
        (asked,) = on.venue.of(path)
        assert {name: asked.given.get(name) for name in expected} == dict(expected)
    async with at(said, said.low_leverage, leverage="20") as on:
        await on.client.place(sale())
        assert on.venue.of(said.raising[0]) == [], "it is enough as it is"


@EACH
async def test_an_account_that_is_not_ready_sends_nothing(said: SwapWording) -> None:
    for path, (answer, why) in said.unready.items():
        async with at(said, said.low_leverage, (path, answer), leverage="25") as on:
            with pytest.raises(VenueRefused, match=why):
                await on.client.place(sale())
            assert on.venue.of(said.place) == []


@pytest.mark.filterwarnings("ignore")
@EACH
async def test_a_code_refuses_where_it_is_listed_and_nowhere_else(said: SwapWording) -> None:
    rules = SWAP_VENUES[said.name]
    async with at(said) as on:

        async def outcome(status: int, body: Any) -> str:
            on.venue.answers[said.place] = Trouble(
                status=status, text=body if isinstance(body, str) else json.dumps(body)
            )
            try:
                return f"placed: {await on.client.place(sale())}"
            except VenueRefused as refused:
                return f"refused: {refused}"
            except DependencyDown:
                return "unknown"

        for code in rules.answers.refused:
            for spoken in SHAPES[said.name](code):
                assert code in await outcome(*spoken), spoken
            status, body = SHAPES[said.name](code)[0]
            assert await outcome(503, body) == "unknown", (code, status)
        assert rules.answers.refused.isdisjoint(NEVER[said.name])
        uncertain = {code for codes in OPEN[said.name].values() for code in codes} - rules.answers.refused
        uncertain |= NEVER[said.name]
        for code in uncertain:
            for spoken in SHAPES[said.name](code):
                assert await outcome(*spoken) == "unknown", spoken
        for spoken in AGAIN[said.name]:
            assert await outcome(*spoken) == "unknown", spoken


@EACH
async def test_keys_need_the_right_to_trade_swaps(said: SwapWording) -> None:
    path, enough, too_little = said.rights
    for answer, found in ((enough, 0), (too_little, 1)):
        async with at(said, said.balances, (path, answer)) as on:
            rights = (await on.client.check_keys()).rights
            told = problems(said.name, rights, trades_swaps=True)
            assert (len(told), "may not trade swaps" in "".join(told)) == (found, found == 1)


async def test_a_quantity_that_is_no_whole_step_of_contracts_is_refused_before_it_is_sent() -> None:
    async with at(OKX) as on:
        with pytest.raises(
            VenueRefused, match=r"0\.00005 of .* are 0\.005 contracts, and it trades them in steps of 0\.01"
        ):
            await on.client.place(sale(quantity=Decimal("0.00005")))
        assert on.venue.of(OKX.place) == []


async def test_a_position_in_contracts_of_unknown_size_is_no_position_of_ours() -> None:
    told = {"instId": "NEW-USDT-SWAP", "instType": "SWAP", "posSide": "net", "pos": "-40"}
    path, _ = OKX.positions
    async with at(OKX, (path, {"code": "0", "msg": "", "data": [told]})) as on:
        with pytest.raises(DependencyDown, match="NEW-USDT-SWAP"):
            await on.client.positions([])
