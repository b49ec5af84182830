"""What a venue says of a pair of keys: whether they work, and what they may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from mastertrade.shared.errors import DependencyDown, Refused


class KeysRefused(Refused):
    """The venue does not accept the keys, or they may do more, or less, than trading needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRights:
    """``may_transfer``: between accounts and wallets of one owner. ``is_bound``: works from given addresses only; None
    where the venue does not tell."""

    may_read: bool
    may_trade: bool
    may_withdraw: bool
    may_transfer: bool
    is_bound: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """Keys that the venue has accepted. ``clock_ahead``: its clock before ours; ``rights`` None: it does not tell."""

    clock_ahead: timedelta
    rights: KeyRights | None
    assets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Where a venue's users change what a key may do, and what the switches are called there."""

    where: str
    read: str = "reading"
    trade: str = "trading"
    trade_swaps: str = "trading of futures"
    withdraw: str = "withdrawals"


SWITCHES: Final[Mapping[str, Switches]] = {
    "binance": Switches(
        where="at Binance under API Management, Edit restrictions",
        read="Enable Reading",
        trade="Enable Spot & Margin Trading",
        trade_swaps="Enable Futures",
        withdraw="Enable Withdrawals",
    ),
    "kraken": Switches(
        where="at Kraken under Settings, API",
        read="Query Funds, Query Open Orders & Trades, and Query Closed Orders & Trades",
        trade="Create & Modify Orders, and Cancel & Close Orders",
        withdraw="Withdraw Funds",
    ),
    "bybit": Switches(
        where="at Bybit under API, Edit",
        read="the key",
        trade="Read-Write, and SPOT Trade of the unified account",
        trade_swaps="Read-Write, and Orders and Positions of the unified account",
        withdraw="Withdrawal under Wallet",
    ),
    "coinbase": Switches(
        where="at portal.cdp.coinbase.com under API keys", read="View", trade="Trade", withdraw="Transfer"
    ),
    "okx": Switches(
        where="at OKX under API, Edit", read="Read", trade="Trade", trade_swaps="Trade", withdraw="Withdraw"
    ),
}


def binance_rights(told: Mapping[str, Any], *, to_trade: str = "enableSpotAndMarginTrading") -> KeyRights:
    """Out of the answer to GET /sapi/v1/account/apiRestrictions. A right that it does not tell could be any.
    ``to_trade``: what trading needs."""
    names = (
        "enableReading",
        to_trade,
        "enableWithdrawals",
        "enableInternalTransfer",
        "permitsUniversalTransfer",
        "ipRestrict",
    )
    untold = [name for name in names if type(told.get(name)) is not bool]
    if untold:
        raise DependencyDown(f"binance: its answer on the rights of the key does not tell {', '.join(untold)}")
    return KeyRights(
        may_read=told["enableReading"],
        may_trade=told[to_trade],
        may_withdraw=told["enableWithdrawals"],
        may_transfer=told["enableInternalTransfer"] or told["permitsUniversalTransfer"],
        is_bound=told["ipRestrict"],
    )


def kraken_rights(told: Mapping[str, Any]) -> KeyRights:
    """Out of the result of GetApiKeyInfo."""
    may = told.get("permissions")
    if not isinstance(may, list):
        raise DependencyDown("kraken: its answer on the rights of the key does not tell permissions")
    return KeyRights(
        may_read={"query-funds", "query-open-trades", "query-closed-trades"} <= set(may),
        may_trade={"modify-trades", "close-trades"} <= set(may),
        may_withdraw="withdraw-funds" in may,
        may_transfer=bool({"withdraw-funds", "add-funds", "earn-funds"} & set(may)),
        is_bound=bool(told["ip_allowlist"]) if "ip_allowlist" in told else None,
    )


def bybit_rights(told: Mapping[str, Any], *, to_trade: tuple[str, str] = ("Spot", "SpotTrade")) -> KeyRights:
    """Out of the result of GET /v5/user/query-api. ``to_trade``: the group and the right that trading needs."""
    may = told.get("permissions")
    if not isinstance(may, dict) or told.get("readOnly") is None:
        raise DependencyDown("bybit: its answer on the rights of the key does not tell permissions and readOnly")
    is_written = str(told["readOnly"]) == "0"
    wallet, ips = set(may.get("Wallet") or ()), told.get("ips")
    return KeyRights(
        may_read=True,
        may_trade=is_written and to_trade[1] in (may.get(to_trade[0]) or ()),
        may_withdraw=is_written and "Withdraw" in wallet,
        may_transfer=is_written and bool(wallet - {"Withdraw"}),
        is_bound=bool(ips) and "*" not in ips if isinstance(ips, list) else None,
    )


def coinbase_rights(told: Mapping[str, Any]) -> KeyRights:
    """Out of GET /api/v3/brokerage/key_permissions. Its right to transfer is that to deposit and withdraw."""
    untold = [name for name in ("can_view", "can_trade", "can_transfer") if type(told.get(name)) is not bool]
    if untold:
        raise DependencyDown(f"coinbase: its answer on the rights of the key does not tell {', '.join(untold)}")
    return KeyRights(
        may_read=told["can_view"],
        may_trade=told["can_trade"],
        may_withdraw=told["can_transfer"],
        may_transfer=told["can_transfer"],
        is_bound=None,
    )


def okx_rights(told: Mapping[str, Any]) -> KeyRights:
    """Out of GET /api/v5/account/config. Its right to withdraw is that to transfer as well."""
    if not isinstance(told.get("perm"), str):
        raise DependencyDown("okx: its answer on the rights of the key does not tell perm")
    may = {one.strip() for one in told["perm"].split(",")}
    return KeyRights(
        may_read="read_only" in may,
        may_trade="trade" in may,
        may_withdraw="withdraw" in may,
        may_transfer="withdraw" in may,
        is_bound=bool(told["ip"]) if "ip" in told else None,
    )


def problems(venue: str, rights: KeyRights | None, *, trades_swaps: bool = False) -> list[str]:
    """Why nobody should trade with such keys, each with what to do; empty when that is fine, or not told."""
    if rights is None:
        return []
    switch = SWITCHES.get(venue, Switches(where=f"at {venue}"))
    found = []
    if rights.may_withdraw:
        found.append(
            "the key may withdraw, and whoever gets hold of it can take the money away: "
            f"switch off {switch.withdraw} {switch.where}"
        )
    if not rights.may_trade:
        what = ("trade swaps", switch.trade_swaps) if trades_swaps else ("trade", switch.trade)
        found.append(f"the key may not {what[0]}: switch on {what[1]} {switch.where}")
    if not rights.may_read:
        found.append(f"the key may not read orders and balances: switch on {switch.read} {switch.where}")
    return found
