"""What is Coinbase's own: orders found by its number or by walking all of them, tokens with a time, keys in PEM."""

import base64
import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mastertrade.domain.orders import OrderStatus, OrderType, Side, Terms, TimeInForce
from mastertrade.exchanges.ccxt_rules import THEIRS, Credentials
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.exchange import VenueRefused
from mastertrade.exchanges.key_rights import KeyRights, KeysRefused, problems
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import ConfigurationError, DependencyDown
from mastertrade.shared.logging import redact
from tests.contracts.answering_venue import OUR_ID, START, START_MS, Asked, Trouble, booth, recorded, ticket
from tests.contracts.venue_answers import COINBASE, COINBASE_KEY, COINBASE_PEM, coinbase_list

D = Decimal
ORDERS = "GET /api/v3/brokerage/orders/historical"
BATCH, FILLS = f"{ORDERS}/batch", f"{ORDERS}/fills"
CANCEL = "POST /api/v3/brokerage/orders/batch_cancel"
RIGHTS = "GET /api/v3/brokerage/key_permissions"
NUMBER = COINBASE.number
START_S = START_MS // 1000


def order(**changes: Any) -> dict[str, Any]:
    """Of the example in its documents, with the fields that are read, and some that are not."""
    given: dict[str, Any] = {
        "order_id": NUMBER, "product_id": "BTC-USD", "user_id": "2222-000000-000000",
        "order_configuration": {"limit_limit_gtc": {"base_size": "0.5", "limit_price": "29500.0", "post_only": False}},
        "side": "BUY", "client_order_id": OUR_ID, "status": "OPEN", "time_in_force": "GOOD_UNTIL_CANCELLED",
        "created_time": "2026-01-05T12:00:01.123456Z", "completion_percentage": "0", "filled_size": "0",
        "average_filled_price": "0", "number_of_fills": "0", "filled_value": "0", "pending_cancel": False,
        "size_in_quote": False, "total_fees": "0", "order_type": "LIMIT", "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "settled": False, "product_type": "SPOT", "reject_message": "", "cancel_message": "",
    }  # fmt: skip
    return given | changes


def with_answers(**answers: Any) -> dict[str, Any]:
    return {**COINBASE.base, COINBASE.place: COINBASE.taken, **answers}


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def claims_of(asked: Asked) -> Mapping[str, Any]:
    """Of a token that is signed with the key of the tests."""
    token = asked.headers["Authorization"].removeprefix("Bearer ")
    header, body, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    pair = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    COINBASE_KEY.public_key().verify(pair, f"{header}.{body}".encode(), ec.ECDSA(SHA256()))
    assert decoded(header)["kid"] == COINBASE.credentials.api_key
    claims: Mapping[str, Any] = decoded(body)
    return claims


async def test_the_token_of_an_order_is_valid_from_its_signature_until_its_time_is_over() -> None:
    answers = with_answers(**{f"{ORDERS}/{NUMBER}": {"order": order()}})
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        await on.client.now()
        on.clock.advance(START + timedelta(seconds=3))  # it was signed three seconds ago
        await on.client.place(ticket("BTC/USD", send_by=START + timedelta(seconds=5, milliseconds=900)))
        (placed,) = on.venue.of(COINBASE.place)
        claims = claims_of(placed)
        assert (claims["iat"], claims["nbf"], claims["exp"]) == (START_S, START_S, START_S + 5)
        assert claims["uri"] == f"POST {on.venue.url}/api/v3/brokerage/orders"
        assert claims["sub"] == COINBASE.credentials.api_key
        await on.client.find(OUR_ID, "BTC/USD")
        (asked,) = on.venue.of(f"{ORDERS}/{NUMBER}")
        claims = claims_of(asked)
        assert (claims["nbf"], claims["exp"]) == (START_S + 3, START_S + 123), "a question is of the present"


async def test_no_token_is_valid_for_longer_than_coinbase_allows() -> None:
    async with booth("coinbase", COINBASE.credentials, with_answers()) as on:
        await on.client.place(ticket("BTC/USD", send_by=START + timedelta(minutes=10)))
        assert claims_of(on.venue.of(COINBASE.place)[0])["exp"] == START_S + 120


async def test_markets_are_asked_for_once_and_without_keys() -> None:
    async with booth("coinbase", COINBASE.credentials, with_answers()) as on:
        await on.client.open_orders(["BTC/USD"])
        paths = [one.path.removeprefix("/api/v3/brokerage") for one in on.venue.asked]
        assert paths == ["/market/products", "/time", "/orders/historical/batch"]
        markets, _, _ = on.venue.asked
        assert (markets.given["product_type"], markets.headers.get("Authorization")) == ("SPOT", None)


KINDS = {
    "until cancelled": ({}, {"limit_limit_gtc": {"base_size": "0.5", "limit_price": "29500.0", "post_only": False}}),
    "until a time, which is ours to keep": (
        {"terms": Terms(time_in_force=TimeInForce.GTD, expires_at=START + timedelta(hours=1))},
        {"limit_limit_gtc": {"base_size": "0.5", "limit_price": "29500.0", "post_only": False}},
    ),
    "at once": (
        {"terms": Terms(time_in_force=TimeInForce.IOC)},
        {"sor_limit_ioc": {"base_size": "0.5", "limit_price": "29500.0"}},
    ),
    "all or nothing": (
        {"terms": Terms(time_in_force=TimeInForce.FOK)},
        {"limit_limit_fok": {"base_size": "0.5", "limit_price": "29500.0"}},
    ),
    "post only": (
        {"terms": Terms(post_only=True)},
        {"limit_limit_gtc": {"base_size": "0.5", "limit_price": "29500.0", "post_only": True}},
    ),
    "bought at the market": (
        {"type": OrderType.MARKET, "limit_price": None},
        {"market_market_ioc": {"base_size": "0.5"}},
    ),
    "sold at the market": (
        {"type": OrderType.MARKET, "limit_price": None, "side": Side.SELL},
        {"market_market_ioc": {"base_size": "0.5"}},
    ),
}


@pytest.mark.parametrize(("changes", "configured"), KINDS.values(), ids=KINDS)
async def test_each_kind_of_order_has_its_configuration(changes: dict[str, Any], configured: dict[str, Any]) -> None:
    async with booth("coinbase", COINBASE.credentials, with_answers()) as on:
        await on.client.place(ticket("BTC/USD", **changes))
        (asked,) = on.venue.of(COINBASE.place)
        assert asked.given["order_configuration"] == configured
        on.venue.answers[BATCH] = coinbase_list("orders", order(order_configuration=configured))
        (shown,) = await on.client.open_orders(["BTC/USD"])
        assert (shown.quantity, shown.limit_price) == (D("0.5"), changes.get("limit_price", D("29500.0")))


async def test_an_order_whose_number_is_known_is_asked_for_by_it() -> None:
    answers = with_answers(
        **{f"{ORDERS}/{NUMBER}": {"order": order(status="FILLED", filled_size="0.5", average_filled_price="7")}}
    )
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        await on.client.place(ticket("BTC/USD"))
        found = await on.client.find(OUR_ID, "BTC/USD")
        assert found is not None
        assert (found.status, found.filled_quantity, found.average_price) == (OrderStatus.FILLED, D("0.5"), D(7))
        assert on.venue.of(BATCH) == []


@pytest.mark.parametrize(
    "answer",
    [
        Trouble(status=404, text='{"error":"NOT_FOUND","error_details":"order with this orderID was not found"}'),
        {"order": order(order_id="another")},
        {"order": order(client_order_id="another")},
        {},
    ],
    ids=["not found", "another number", "another id", "nothing"],
)
async def test_an_order_that_coinbase_took_and_does_not_show_is_not_absent(answer: Any) -> None:
    answers = with_answers(**{f"{ORDERS}/{NUMBER}": answer})
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        await on.client.place(ticket("BTC/USD"))
        with pytest.raises(Exception, match=r"orderID was not found|told none, or another|told another"):
            await on.client.find(OUR_ID, "BTC/USD")


def pages(*listed: Any) -> Any:
    """The page after the first has the cursor "1"."""
    return lambda asked: listed[int(asked.given.get("cursor") or 0)]


ANOTHER = order(order_id="2", client_order_id="another")


async def test_an_order_without_a_known_number_is_looked_for_on_all_pages_from_its_signature_on() -> None:
    first = coinbase_list("orders", ANOTHER, cursor="1", has_next=True)
    answers = with_answers(**{BATCH: pages(first, coinbase_list("orders", order(), cursor="2"))})
    async with booth("coinbase", COINBASE.credentials, answers | {COINBASE.place: Trouble(status=502)}) as on:
        with pytest.raises(DependencyDown):
            await on.client.place(ticket("BTC/USD"))
        found = await on.client.find(OUR_ID, "BTC/USD")
        assert found is not None
        assert (found.exchange_order_id, found.status) == (NUMBER, OrderStatus.OPEN)
        asked = on.venue.of(BATCH)
        assert [one.given.get("cursor") for one in asked] == [None, "1"]
        assert {one.given["start_date"] for one in asked} == {"2026-01-05T11:59:00.000Z"}
        assert {claims_of(one)["uri"] for one in asked} == {
            f"GET {on.venue.url}/api/v3/brokerage/orders/historical/batch"
        }


async def test_after_a_start_an_order_is_looked_for_from_the_time_that_is_stored_or_among_all() -> None:
    answers = with_answers(**{BATCH: coinbase_list("orders", ANOTHER)})
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        assert await on.client.find(OUR_ID, "BTC/USD", since=START - timedelta(days=1)) is None
        (asked,) = on.venue.of(BATCH)
        assert asked.given["start_date"] == "2026-01-04T11:59:00.000Z"
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        assert await on.client.find(OUR_ID, "BTC/USD") is None
        (asked,) = on.venue.of(BATCH)
        assert "start_date" not in asked.given
        assert "product_ids" not in asked.given, "an alias is another name for the same market"


HALVES = {
    "no cursor to go on with": pages(coinbase_list("orders", ANOTHER, has_next=True)),
    "the same cursor again": lambda _: coinbase_list("orders", ANOTHER, cursor="1", has_next=True),
    "no word of an end": lambda _: {"orders": [ANOTHER], "cursor": ""},
    "no list": lambda _: {"has_next": False, "cursor": ""},
    "no list but nothing": lambda _: {"orders": None, "has_next": False, "cursor": ""},
    "a server that fails": pages(
        coinbase_list("orders", ANOTHER, cursor="1", has_next=True), Trouble(status=503, text='{"error":"it failed"}')
    ),
    "a page of HTML": pages(coinbase_list("orders", ANOTHER, cursor="1", has_next=True), Trouble(text="<html>")),
    "too many requests": pages(coinbase_list("orders", ANOTHER, cursor="1", has_next=True), Trouble(status=429)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("answer", HALVES.values(), ids=HALVES)
async def test_half_a_list_never_says_that_an_order_is_not_there(answer: Any) -> None:
    async with booth("coinbase", COINBASE.credentials, with_answers(**{BATCH: answer})) as on:
        with pytest.raises(Exception, match=r"does not say where|does not answer as|it failed|no list"):
            await on.client.find(OUR_ID, "BTC/USD")
        assert len(on.venue.of(BATCH)) <= 2, "what cannot end is not asked for again and again"


async def test_a_list_of_orders_without_end_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mastertrade.exchanges.ccxt_coinbase.MOST_PAGES", 3)

    def more(asked: Asked) -> Any:
        return coinbase_list("orders", ANOTHER, cursor=str(int(asked.given.get("cursor") or 0) + 1), has_next=True)

    async with booth("coinbase", COINBASE.credentials, with_answers(**{BATCH: more})) as on:
        with pytest.raises(DependencyDown, match="more than 3 pages"):
            await on.client.find(OUR_ID, "BTC/USD")


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("PENDING", OrderStatus.OPEN),
        ("QUEUED", OrderStatus.OPEN),
        ("OPEN", OrderStatus.OPEN),
        ("CANCEL_QUEUED", OrderStatus.OPEN),
        ("CANCELLED", OrderStatus.CANCELED),
        ("EXPIRED", OrderStatus.EXPIRED),
        ("FAILED", OrderStatus.REJECTED),
        ("UNKNOWN_ORDER_STATUS", OrderStatus.OPEN),
    ],
)
async def test_every_end_of_an_order_is_told_from_the_others(told: str, status: OrderStatus) -> None:
    answers = with_answers(**{BATCH: coinbase_list("orders", order(status=told))})
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        found = await on.client.find(OUR_ID, "BTC/USD")
        assert found is not None
        assert found.status is status


def cancelled(*, success: bool, reason: str = "UNKNOWN_CANCEL_FAILURE_REASON", number: str = NUMBER) -> Any:
    return {"results": [{"success": success, "failure_reason": reason, "order_id": number}]}


@pytest.mark.parametrize("is_known", [True, False])
async def test_an_order_is_cancelled_by_its_number(is_known: bool) -> None:
    ended = order(status="CANCELLED")
    listed, alone = coinbase_list("orders", ended), {"order": ended}
    answers = with_answers(**{CANCEL: cancelled(success=True), BATCH: listed, f"{ORDERS}/{NUMBER}": alone})
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        if is_known:
            await on.client.place(ticket("BTC/USD"))
        assert (await on.client.cancel(OUR_ID, "BTC/USD")).status is OrderStatus.CANCELED
        (asked,) = on.venue.of(CANCEL)
        assert asked.given == {"order_ids": [NUMBER]}
        assert bool(on.venue.of(BATCH)) is not is_known


async def test_a_cancel_that_comes_too_late_is_no_error() -> None:
    gone = cancelled(success=False, reason="UNKNOWN_CANCEL_ORDER")
    filled = order(status="FILLED", filled_size="0.5")
    answers = with_answers(**{CANCEL: gone, f"{ORDERS}/{NUMBER}": {"order": filled}})
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        await on.client.place(ticket("BTC/USD"))
        assert (await on.client.cancel(OUR_ID, "BTC/USD")).status is OrderStatus.FILLED
        assert (await on.client.cancel(f"{THEIRS}{NUMBER}", "BTC/USD")).status is OrderStatus.FILLED


async def test_there_is_nothing_to_cancel_of_an_order_on_no_list() -> None:
    async with booth("coinbase", COINBASE.credentials, with_answers()) as on:
        with pytest.raises(VenueRefused, match=f"there is no order {OUR_ID} to cancel"):
            await on.client.cancel(OUR_ID, "BTC/USD")
        assert on.venue.of(CANCEL) == []


@pytest.mark.parametrize(
    "answer",
    [
        cancelled(success=False, reason="COMMANDER_REJECTED_CANCEL_ORDER"),
        cancelled(success=False),
        cancelled(success=True, number="another"),
        {"results": []},
        {},
    ],
    ids=["rejected", "no reason", "another", "none", "nothing"],
)
async def test_a_cancel_that_is_not_confirmed_is_none(answer: Any) -> None:
    async with booth("coinbase", COINBASE.credentials, with_answers(**{CANCEL: answer})) as on:
        await on.client.place(ticket("BTC/USD"))
        with pytest.raises(DependencyDown, match=r"did not cancel its order|no list of results"):
            await on.client.cancel(OUR_ID, "BTC/USD")


def moved(real_data: Path) -> list[dict[str, Any]]:
    """Recorded fills, in the minutes before the test's own."""
    told: list[dict[str, Any]] = recorded(real_data, "coinbase/http_fills")["fills"]
    for number, one in enumerate(told):
        one["trade_time"] = f"2026-01-05T11:59:0{number}.123456789Z"
    return told


def by_number(asked: Asked) -> Any:
    number = asked.path.rpartition("/")[2]
    ours = {"0000-000000-000000": OUR_ID}
    return {"order": order(order_id=number, client_order_id=ours.get(number, "by-hand"))}


async def test_recorded_fills_are_exact_and_their_orders_are_asked_for(real_data: Path) -> None:
    first, second = moved(real_data)
    quoted = {
        **first, "trade_id": "3", "size": "6.32", "price": "21220.64", "commission": "0.0379", "size_in_quote": True,
        "trade_time": "2026-01-05T11:59:02Z", "liquidity_indicator": "UNKNOWN_LIQUIDITY_INDICATOR",
    }  # fmt: skip
    future = {**first, "trade_id": "4", "product_id": "BIP-20DEC30-CDE"}
    answers = with_answers(
        **{
            FILLS: pages(
                coinbase_list("fills", second, future, cursor="1"),
                coinbase_list("fills", first, quoted, cursor="2"),
                coinbase_list("fills", cursor="2"),
            ),
            f"{ORDERS}/0000-000000-000000": by_number,
            f"{ORDERS}/0000-000000-000002": by_number,
        }
    )
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        found = await on.client.fills(json.dumps({"": START_MS - 3_600_000}), [])
        one, two, three = found.fills
        assert (one.client_order_id, one.exchange_order_id, one.exchange_trade_id) == (
            OUR_ID, "0000-000000-000000", "1111-11111-111111",
        )  # fmt: skip
        assert (one.symbol, one.side, one.quantity, one.price) == ("BTC/USD", Side.BUY, D("0.005"), D("45123.45"))
        assert (one.commission, one.commission_asset, one.is_maker) == (D("1.14"), "USD", True)
        assert one.trade_time == START - timedelta(minutes=1) + timedelta(milliseconds=123)
        assert (two.client_order_id, two.symbol, two.side, two.is_maker) == ("by-hand", "ETH/USD", Side.SELL, False)
        assert three.quantity == D("0.000297823251325125"), "what 6.32 buys at 21220.64"
        asked = on.venue.of(FILLS)
        assert [one.given.get("cursor") for one in asked] == [None, "1", "2"]
        assert asked[0].given["start_sequence_timestamp"] == "2026-01-05T10:59:59.999Z"
        assert (await on.client.fills(found.cursor, [])).fills == (), "told once"


async def test_a_fill_that_was_taken_back_is_told_to_people_and_not_booked(
    real_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = moved(real_data)
    answers = with_answers(
        **{
            FILLS: coinbase_list("fills", {**second, "trade_type": "REVERSAL"}, first),
            f"{ORDERS}/0000-000000-000000": by_number,
        }
    )
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        with caplog.at_level(logging.ERROR):
            (fill,) = (await on.client.fills(json.dumps({"": START_MS - 3_600_000}), [])).fills
        assert fill.exchange_trade_id == first["trade_id"]
        (line,) = [one for one in caplog.records if "took back" in one.message]
        assert (line.__dict__["trade"], line.__dict__["what"]) == (second["trade_id"], "REVERSAL")


async def test_a_fill_waits_for_its_order_to_be_shown(real_data: Path) -> None:
    missing = Trouble(status=404, text='{"error":"NOT_FOUND","message":"order with this orderID was not found"}')
    first, _ = moved(real_data)
    answers = with_answers(**{FILLS: coinbase_list("fills", first), f"{ORDERS}/{first['order_id']}": missing})
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        with pytest.raises(Exception, match=r"orderID was not found"):
            await on.client.fills(json.dumps({"": START_MS - 3_600_000}), [])


async def test_recorded_orders_are_read(real_data: Path) -> None:
    told = recorded(real_data, "coinbase/http_orders_list")
    part = recorded(real_data, "coinbase/http_order")["order"]
    answers = with_answers(**{BATCH: told, f"{ORDERS}/{part['order_id']}": {"order": part}})
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        (resting,) = await on.client.open_orders(["BTC/USD", "ETH/USD"])
        assert (resting.client_order_id, resting.quantity, resting.limit_price, resting.status) == (
            "11111-000000-000001", D("0.01"), D("45000.00"), OrderStatus.OPEN,
        )  # fmt: skip
        assert on.venue.of(BATCH)[0].given["order_status"] == "OPEN"
        assert await on.client.open_orders(["ETH/USD"]) == ()
        quoted = await on.client.find("11111-000000-000002", "ETH/USD")
        assert quoted is not None
        assert (quoted.status, quoted.quantity, quoted.filled_quantity, quoted.limit_price) == (
            OrderStatus.FILLED, D("0.0325"), D("0.0325"), None,
        )  # fmt: skip
        shown = await on.client.find(f"{THEIRS}{part['order_id']}", "BTC/USD")
        assert shown is not None
        assert (shown.status, shown.filled_quantity, shown.limit_price) == (
            OrderStatus.PARTIALLY_FILLED, D("0.001"), D("10000.00"),
        )  # fmt: skip


async def test_recorded_balances_are_what_is_free_and_what_is_held_back(real_data: Path) -> None:
    told = recorded(real_data, "coinbase/http_accounts")["accounts"]
    more = {**told[0], "type": "ACCOUNT_TYPE_CRYPTO", "available_balance": {"value": "1", "currency": "BTC"}}
    vault = {**more, "type": "ACCOUNT_TYPE_VAULT"}
    answers = with_answers(
        **{
            COINBASE.balance_path: pages(
                coinbase_list("accounts", *told, cursor="1", has_next=True), coinbase_list("accounts", more, vault)
            )
        }
    )
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        assert await on.client.balances() == {"BTC": D("2.24456789"), "USD": D("10450.50")}
        on.venue.answers[COINBASE.balance_path] = coinbase_list("accounts", *told, has_next=True)
        with pytest.raises(DependencyDown, match="does not say where it goes on"):
            await on.client.balances()


async def test_its_clock_is_read_to_the_millisecond() -> None:
    told = {"iso": "2026-01-05T12:00:00Z", "epochSeconds": str(START_S), "epochMillis": str(START_MS + 789)}
    answers = with_answers(**{"GET /api/v3/brokerage/time": told})
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        assert await on.client.now() == START + timedelta(milliseconds=789)


@pytest.mark.parametrize("may_transfer", [False, True])
async def test_a_key_that_may_transfer_could_empty_the_account(may_transfer: bool) -> None:
    rights = {"can_view": True, "can_trade": True, "can_transfer": may_transfer, "portfolio_type": "DEFAULT"}
    answers = with_answers(**{COINBASE.balance_path: coinbase_list("accounts"), RIGHTS: rights})
    async with booth("coinbase", COINBASE.credentials, answers) as on:
        report = await on.client.check_keys()
        assert report.rights == KeyRights(
            may_read=True, may_trade=True, may_withdraw=may_transfer, may_transfer=may_transfer, is_bound=None
        )
        assert ["switch off Transfer" in one for one in problems("coinbase", report.rights)] == [True] * may_transfer
        on.venue.answers[RIGHTS] = Trouble(status=401, text="Unauthorized\n")
        with pytest.raises(KeysRefused, match=r"Unauthorized \(401\)"):
            await on.client.check_keys()


def pem_of(key: Any) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def venue_with(api_key: str, secret: str) -> CcxtVenue:
    return CcxtVenue(
        "coinbase", Credentials(api_key=api_key, secret=secret), clock=ReplayClock(START), url="http://127.0.0.1:1"
    )


@pytest.mark.parametrize(
    "secret",
    [COINBASE_PEM, COINBASE_PEM.replace("\n", "\\n"), COINBASE_PEM.strip(), pem_of(COINBASE_KEY)],
    ids=["its lines", "one line", "no last end of line", "PKCS 8"],
)
async def test_a_private_key_is_taken_in_any_form_of_pem_and_never_shown(secret: str) -> None:
    venue = venue_with("organizations/1/apiKeys/2", secret)
    await venue.close()
    for line in secret.replace("\\n", "\n").splitlines()[1:-1]:
        assert line not in redact(f"it says {line}")


WRONG_KEYS = {
    "no PEM": "a-secret-of-another-kind",
    "half of it": COINBASE_PEM[: len(COINBASE_PEM) // 2],
    "Ed25519 in PEM": pem_of(ed25519.Ed25519PrivateKey.generate()),
    "Ed25519": base64.b64encode(bytes(64)).decode(),
    "another curve": pem_of(ec.generate_private_key(ec.SECP384R1())),
}


@pytest.mark.parametrize("secret", WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_what_is_no_key_of_coinbase_is_told_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="signature algorithm ECDSA") as wrong:
        venue_with("organizations/1/apiKeys/2", secret)
    assert not any(line in str(wrong.value) for line in secret.splitlines() if not line.startswith("-----"))


def test_the_name_of_the_key_comes_first() -> None:
    with pytest.raises(ConfigurationError, match="name of the API key comes first"):
        venue_with(COINBASE_PEM.replace("\n", "\\n"), "organizations/1/apiKeys/2")
