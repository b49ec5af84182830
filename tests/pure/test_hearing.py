"""Whether an account's own stream can be believed to tell."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from mastertrade.domain.orders import Fill, Side
from mastertrade.exchanges.exchange import AccountNews
from mastertrade.order_executor.hearing import Hearing, StreamState, mention

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
NEWS = AccountNews(symbol="BTC/USDT", exchange_order_id="7")


def later(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def fill(order: str = "7", trade: str = "1", at: datetime = AT + timedelta(seconds=60)) -> Fill:
    return Fill(
        client_order_id="ours", exchange_order_id=order, exchange_trade_id=trade, symbol="BTC/USDT", side=Side.BUY,
        quantity=Decimal(1), price=Decimal(100), commission=Decimal(0), commission_asset="USDT", is_maker=True,
        trade_time=at,
    )  # fmt: skip


def opened() -> Hearing:
    hearing = Hearing()
    hearing.begins(AT)
    return hearing


def test_a_fill_whose_order_was_not_mentioned_in_ten_seconds_was_left_out() -> None:
    hearing = opened()
    hearing.books([fill()], later(60))
    assert hearing.left_out(later(70)) is None
    assert hearing.left_out(later(70.1)) == "7"


def test_an_order_mentioned_shortly_before_or_after_its_fill_was_booked_is_not_left_out() -> None:
    early, late = opened(), opened()
    early.hears(NEWS, later(51))
    early.books([fill()], later(60))
    late.books([fill()], later(60))
    late.hears(NEWS, later(69))
    assert early.left_out(later(300)) is late.left_out(later(300)) is None


def test_an_order_mentioned_long_before_its_fill_does_not_count() -> None:
    hearing = opened()
    hearing.hears(NEWS, later(10))
    hearing.books([fill()], later(60))
    assert hearing.left_out(later(71)) == "7"


def test_what_was_traded_before_the_stream_began_or_while_it_was_down_is_not_missed() -> None:
    hearing = Hearing()
    hearing.books([fill()], later(60))
    hearing.begins(later(61))
    hearing.books([fill(trade="2")], later(62))
    assert hearing.left_out(later(300)) is None


def test_a_silent_stream_that_connects_again_is_silent_until_it_tells_something() -> None:
    hearing = opened()
    hearing.ends(is_silent=True)
    hearing.begins(later(10))
    assert (hearing.state, hearing.since) == (StreamState.SILENT, later(10))
    hearing.hears(NEWS, later(11))
    assert hearing.state is StreamState.OPEN
    hearing.ends()
    assert (hearing.state, hearing.since) == (StreamState.DOWN, None)


def test_news_that_come_together_are_asked_about_once() -> None:
    traded = mention(replace(NEWS, exchange_trade_id="1", has_traded=True)).and_then(
        replace(NEWS, client_order_id="ours", is_over=True)
    )
    assert (traded.client_order_id, traded.trades, traded.has_traded, traded.is_over) == ("ours", {"1"}, True, True)


def test_news_of_trades_are_settled_when_all_the_trades_they_name_are_booked() -> None:
    hearing = opened()
    named = mention(replace(NEWS, exchange_trade_id="1", has_traded=True)).and_then(
        replace(NEWS, exchange_trade_id="2", has_traded=True)
    )
    assert not hearing.has_booked(named)
    hearing.books([fill(trade="1")], later(60))
    assert not hearing.has_booked(named)
    assert hearing.has_booked(mention(replace(NEWS, has_traded=True)))
    hearing.books([fill(trade="2")], later(61))
    assert hearing.has_booked(named)
