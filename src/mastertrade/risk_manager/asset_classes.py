"""Classes of assets, after which risk is capped and weighed. By the base asset alone, never by the pair."""

from decimal import Decimal
from enum import StrEnum
from typing import Final


class AssetClass(StrEnum):
    STABLECOIN = "STABLECOIN"
    MEME = "MEME"
    DEFI = "DEFI"
    LAYER2 = "LAYER2"
    LAYER1 = "LAYER1"
    CRYPTO = "CRYPTO"
    """Everything that no other class names, Bitcoin and ether among them."""


MEMBERS: Final[dict[AssetClass, frozenset[str]]] = {
    AssetClass.STABLECOIN: frozenset({"USDT", "USDC", "BUSD", "DAI", "UST", "FDUSD", "TUSD", "USDE", "PYUSD"}),
    AssetClass.MEME: frozenset({"DOGE", "SHIB", "FLOKI", "PEPE", "BONK", "WIF"}),
    AssetClass.DEFI: frozenset({"UNI", "SUSHI", "COMP", "AAVE", "YFI", "CRV", "1INCH", "MKR", "SNX"}),
    AssetClass.LAYER2: frozenset({"MATIC", "POL", "LRC", "IMX", "METIS", "ARB", "OP"}),
    AssetClass.LAYER1: frozenset({"BNB", "ADA", "DOT", "SOL", "AVAX", "NEAR"}),
}
MULTIPLIERS: Final[dict[AssetClass, Decimal]] = {
    AssetClass.STABLECOIN: Decimal("0.2"),
    AssetClass.MEME: Decimal("2.5"),
    AssetClass.DEFI: Decimal("1.5"),
    AssetClass.LAYER2: Decimal("1.8"),
    AssetClass.LAYER1: Decimal("1.2"),
    AssetClass.CRYPTO: Decimal("1.0"),
}
"""How much riskier than Bitcoin a class counts, in stops and scores."""

_CLASS_OF: Final = {asset: one for one, assets in MEMBERS.items() for asset in assets}


def asset_class(asset: str) -> AssetClass:
    return _CLASS_OF.get(asset.upper(), AssetClass.CRYPTO)
