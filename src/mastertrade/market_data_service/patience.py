"""How patiently a venue is asked: what is down or wants a pause is asked again for some minutes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from mastertrade.exchanges.market_feed import FeedDown
from mastertrade.shared.retry import Backoff, retry

log = logging.getLogger(__name__)

PATIENCE: Final = Backoff(first_s=0.5, longest_s=30.0, for_s=300.0, jitter=0.5)
T = TypeVar("T")


async def asked(
    call: Callable[[], Awaitable[T]],
    *,
    again: Callable[[FeedDown], bool] = lambda _: True,
    patience: Backoff = PATIENCE,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """The answer. ``again`` hears of each failure that hope is left for, and says whether to go on asking."""

    def when(error: Exception) -> bool:
        if not isinstance(error, FeedDown) or not again(error):
            return False
        log.warning("a venue is asked again", extra={"error": str(error)})
        return True

    return await retry(call, when=when, backoff=patience, sleep=sleep)
