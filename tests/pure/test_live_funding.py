"""Learning funding rates of a live market."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from mastertrade.exchanges.market_feed import FeedKind, NotOffered
from mastertrade.market_data_service import live_funding
from mastertrade.market_data_service.live_funding import LiveFunding
from mastertrade.shared.clock import SystemClock

BTC = "BTC/USDT:USDT"


class Feed:
    name = "somewhere"

    def __init__(self, *histories: FeedKind) -> None:
        self.histories = frozenset(histories)


def learning(*histories: FeedKind) -> LiveFunding:
    return LiveFunding(clock=SystemClock(), manager=None, feed=Feed(*histories), symbols=[BTC])  # type: ignore[arg-type]


def test_a_venue_that_tells_no_rates_of_the_past_is_not_asked_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert list(learning(FeedKind.CANDLES).jobs()) == []
    assert "somewhere tells no funding rates: none is charged" in caplog.text
    assert [job.name for job in learning(FeedKind.FUNDING).jobs()] == ["learn_funding"]


@pytest.mark.asyncio
async def test_a_venue_that_fails_is_asked_again_at_the_next_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def __init__(self, **_: Any) -> None: ...

        async def run(self, symbols: Sequence[str], kind: FeedKind, **_: Any) -> None:
            raise NotOffered(f"no {kind.value} of {symbols[0]}")

    monkeypatch.setattr(live_funding, "KindDownloader", Failing)
    await learning(FeedKind.FUNDING).learn()
    assert f"asked for again in a minute: no funding of {BTC}" in caplog.text
