"""Keys of an exchange, checked by the real ccxt client at a venue on this machine."""

import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_venue import CcxtVenue
from mastertrade.exchanges.key_rights import (
    KeyRights,
    KeysRefused,
    binance_rights,
    bybit_rights,
    coinbase_rights,
    kraken_rights,
    okx_rights,
    problems,
)
from mastertrade.exchanges.simulated import Fault, FaultKind, FaultScript, SimulatedVenue, VenueTime, simulated_market
from mastertrade.exchanges.simulated.private import USUAL_RIGHTS, Keys
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import DependencyDown

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
API_KEY, SECRET = "canary-of-the-api-key-0001", "canary-of-the-secret-0001"
KEYS = Keys(api_key=API_KEY, secret=SECRET)
MONEY = {"USDT": Decimal(1_000), "BTC": Decimal(1)}


@asynccontextmanager
async def keys_at_a_venue(
    *faults: Fault, api_key: str = API_KEY, secret: str = SECRET, ahead_s: float = 0
) -> AsyncIterator[tuple[SimulatedVenue, CcxtVenue]]:
    market = simulated_market("BTC/USDT", seed=1, from_ms=START_MS - 86_400_000)
    time = VenueTime(START_MS + int(ahead_s * 1000), speed=0)
    async with SimulatedVenue([market], time=time, faults=FaultScript(faults), money=MONEY, keys=KEYS) as venue:
        credentials = Credentials(api_key=api_key, secret=secret)
        client = CcxtVenue("binance", credentials, clock=ReplayClock(START), url=venue.url)
        try:
            yield venue, client
        finally:
            await client.close()


async def test_keys_that_work_are_reported_with_rights_holdings_and_the_venues_clock() -> None:
    async with keys_at_a_venue(ahead_s=90) as (venue, client):
        report = await client.check_keys()
        assert report.clock_ahead == timedelta(seconds=90)
        assert report.assets == 2
        assert report.rights == KeyRights(
            may_read=True, may_trade=True, may_withdraw=False, may_transfer=False, is_bound=True
        )
        assert problems("binance", report.rights) == []
        assert venue.private is not None
        venue.private.rights.update(enableWithdrawals=True, permitsUniversalTransfer=True, ipRestrict=False)
        rights = (await client.check_keys()).rights
        assert rights == KeyRights(may_read=True, may_trade=True, may_withdraw=True, may_transfer=True, is_bound=False)
        assert "switch off Enable Withdrawals at Binance" in problems("binance", rights)[0]


@pytest.mark.parametrize(
    "wrong", [{"api_key": "another-key-0001"}, {"secret": "another-secret-0001"}], ids=["api key", "secret"]
)
async def test_wrong_keys_are_refused_with_the_venues_words_and_none_of_ours(wrong: dict[str, str]) -> None:
    async with keys_at_a_venue(**wrong) as (_, client):  # type: ignore[arg-type]
        with pytest.raises(KeysRefused, match=r"binance does not accept the keys: .*\(-(2015|1022)\).*testnet") as told:
            await client.check_keys()
        assert_silent(told.value)


TROUBLES = {
    "nobody answers": Fault(kind=FaultKind.DROP, times=0),
    "the account breaks off": Fault(kind=FaultKind.DROP, on="/api/v3/account", times=0),
    "the rights break off": Fault(kind=FaultKind.DROP, on="apiRestrictions", times=0),
    "a page of HTML": Fault(kind=FaultKind.HTML, on="/api/v3/account", times=0),
    "an error of the server": Fault(kind=FaultKind.STATUS, on="apiRestrictions", times=0),
    "half an answer": Fault(kind=FaultKind.TRUNCATE, on="apiRestrictions", times=0),
    "too many requests": Fault(kind=FaultKind.RATE_LIMIT, on="/api/v3/account", times=0),
    "no answer in time": Fault(kind=FaultKind.SILENCE, on="/api/v3/account", seconds=600),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", TROUBLES.values(), ids=TROUBLES)
async def test_a_venue_in_trouble_is_down_and_says_nothing_of_what_was_sent(fault: Fault) -> None:
    async with keys_at_a_venue(fault) as (_, client):
        with pytest.raises(DependencyDown, match="binance does not answer as it should: ") as told:
            await client.check_keys(timeout_s=1 if fault.kind is FaultKind.SILENCE else 60)
        assert_silent(told.value)


def assert_silent(error: BaseException) -> None:
    """Nothing of the keys in it, nor in what it came from."""
    text = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__cause__)
    for marker in (API_KEY, SECRET, "another-key", "another-secret", "signature"):
        assert marker not in text, text


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", ["account", "openOrders", "myTrades"])
async def test_a_page_of_html_that_says_it_went_well_is_never_taken_for_an_empty_list(path: str) -> None:
    async with keys_at_a_venue(Fault(kind=FaultKind.HTML, on=path, times=0)) as (_, client):
        ask = {
            "account": client.balances,
            "openOrders": lambda: client.open_orders(["BTC/USDT"]),
            "myTrades": lambda: client.fills("", ["BTC/USDT"]),
        }[path]
        with pytest.raises(DependencyDown, match="no JSON"):
            await ask()


async def test_a_testnet_that_has_no_such_question_tells_no_rights() -> None:
    client = CcxtVenue("binance", Credentials(api_key="k", secret="s"), clock=ReplayClock(START))
    try:
        assert await client._rules.rights(client._client) is None
    finally:
        await client.close()


@pytest.mark.parametrize("name", ["enableWithdrawals", "enableSpotAndMarginTrading", "ipRestrict"])
@pytest.mark.parametrize("value", [None, "false", 0])
def test_a_right_that_is_not_told_is_never_taken_for_none(name: str, value: Any) -> None:
    with pytest.raises(DependencyDown, match=name):
        binance_rights({**USUAL_RIGHTS, name: value})


def test_a_key_that_may_not_trade_is_told_what_to_switch_on() -> None:
    rights = binance_rights({**USUAL_RIGHTS, "enableSpotAndMarginTrading": False})
    assert "switch on Enable Spot & Margin Trading" in problems("binance", rights)[0]
    assert problems("binance", None) == []


@pytest.mark.parametrize(
    ("changes", "rights"),
    [
        ({}, KeyRights(may_read=True, may_trade=True, may_withdraw=False, may_transfer=False, is_bound=True)),
        (
            {"permissions": {"Spot": ["SpotTrade"], "Wallet": ["AccountTransfer", "Withdraw"]}, "ips": ["*"]},
            KeyRights(may_read=True, may_trade=True, may_withdraw=True, may_transfer=True, is_bound=False),
        ),
        (
            {"readOnly": 1, "permissions": {"Spot": ["SpotTrade"], "Wallet": ["Withdraw"]}},
            KeyRights(may_read=True, may_trade=False, may_withdraw=False, may_transfer=False, is_bound=True),
        ),
        (
            {"permissions": {}},
            KeyRights(may_read=True, may_trade=False, may_withdraw=False, may_transfer=False, is_bound=True),
        ),
    ],
)  # fmt: skip
def test_bybits_rights_are_what_its_key_is_for(changes: dict[str, Any], rights: KeyRights) -> None:
    told = {"readOnly": 0, "permissions": {"Spot": ["SpotTrade"], "Wallet": []}, "ips": ["192.0.2.1"]}
    assert bybit_rights(told | changes) == rights


@pytest.mark.parametrize("lacking", ["readOnly", "permissions"])
def test_what_bybit_does_not_tell_of_a_key_could_be_anything(lacking: str) -> None:
    told: dict[str, Any] = {"readOnly": 0, "permissions": {}}
    with pytest.raises(DependencyDown, match="does not tell"):
        bybit_rights({name: value for name, value in told.items() if name != lacking})


@pytest.mark.parametrize(
    ("permissions", "may_trade", "may_withdraw"),
    [
        (["query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades"], True, False),
        (["modify-trades", "withdraw-funds"], False, True),
    ],
)
def test_krakens_rights_are_what_its_key_is_for(permissions: list[str], may_trade: bool, may_withdraw: bool) -> None:
    rights = kraken_rights({"permissions": permissions, "ip_allowlist": []})
    assert (rights.may_trade, rights.may_withdraw, rights.is_bound) == (may_trade, may_withdraw, False)
    assert bool(problems("kraken", rights)) is not may_trade


@pytest.mark.parametrize(
    ("perm", "may_trade", "may_withdraw"), [("read_only,trade", True, False), ("read_only, withdraw", False, True)]
)
def test_okx_rights_are_what_its_key_is_for(perm: str, may_trade: bool, may_withdraw: bool) -> None:
    rights = okx_rights({"perm": perm, "ip": ""})
    assert (rights.may_read, rights.may_trade, rights.may_withdraw, rights.is_bound) == (
        True, may_trade, may_withdraw, False,
    )  # fmt: skip
    with pytest.raises(DependencyDown, match="does not tell perm"):
        okx_rights({})


@pytest.mark.parametrize(
    ("may_read", "may_trade", "may_transfer"), [(True, True, False), (True, False, False), (True, True, True)]
)
def test_coinbases_rights_are_what_its_key_is_for(may_read: bool, may_trade: bool, may_transfer: bool) -> None:
    told = {"can_view": may_read, "can_trade": may_trade, "can_transfer": may_transfer, "portfolio_type": "DEFAULT"}
    rights = coinbase_rights(told)
    assert (rights.may_read, rights.may_trade, rights.may_withdraw, rights.may_transfer, rights.is_bound) == (
        may_read, may_trade, may_transfer, may_transfer, None,
    )  # fmt: skip
    assert bool(problems("coinbase", rights)) is (may_transfer or not may_trade)
    for name in ("can_view", "can_trade", "can_transfer"):
        for value in (None, "false", 0):
            with pytest.raises(DependencyDown, match=f"does not tell {name}"):
                coinbase_rights({**told, name: value})
