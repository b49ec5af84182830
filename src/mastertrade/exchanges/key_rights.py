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
    """``may_transfer``: between accounts and wallets of one owner. ``is_bound``: works from given addresses only."""

    may_read: bool
    may_trade: bool
    may_withdraw: bool
    may_transfer: bool
    is_bound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """Keys that the venue has accepted. ``clock_ahead``: its clock before ours; ``rights`` None: it does not tell."""

    clock_ahead: timedelta
    rights: KeyRights | None
    assets: int


HOW_TO_MEND: Final[Mapping[str, str]] = {
    "binance": "at Binance under API Management, Edit restrictions",
}
"""Where a venue's users change what a key may do."""


def binance_rights(told: Mapping[str, Any]) -> KeyRights:
    """Out of the answer to GET /sapi/v1/account/apiRestrictions. A right that it does not tell could be any."""
    names = (
        "enableReading",
        "enableSpotAndMarginTrading",
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
        may_trade=told["enableSpotAndMarginTrading"],
        may_withdraw=told["enableWithdrawals"],
        may_transfer=told["enableInternalTransfer"] or told["permitsUniversalTransfer"],
        is_bound=told["ipRestrict"],
    )


def problems(venue: str, rights: KeyRights | None) -> list[str]:
    """Why nobody should trade with such keys, each with what to do; empty when that is fine, or not told."""
    found = []
    where = HOW_TO_MEND.get(venue, f"at {venue}")
    if rights is not None and rights.may_withdraw:
        found.append(
            "the key may withdraw, and whoever gets hold of it can take the money away: switch off Enable Withdrawals "
            f"{where}"
        )
    if rights is not None and not rights.may_trade:
        found.append(f"the key may not trade: switch on Enable Spot & Margin Trading {where}")
    return found
