"""Price board: traded prices only, compared only while they are fresh."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from mastertrade.arbitrage_service.price_board import PriceBoard, quotes_of
from mastertrade.domain.market import Candle

OPEN = datetime(2023, 3, 11, 6, tzinfo=UTC)
CLOSE = OPEN + timedelta(minutes=1)


def candle(
    venue: str,
    close: float,
    *,
    instrument_id: int = 1,
    minutes: int = 0,
    volume: float = 1,
    symbol: str = "BTC/USDT",
) -> Candle:
    return Candle(
        instrument_id=instrument_id,
        venue=venue,
        symbol=symbol,
        interval_s=60,
        open_time=OPEN + timedelta(minutes=minutes),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=volume,
    )


def venues(board: PriceBoard, minutes: int = 0) -> list[str]:
    now = CLOSE + timedelta(minutes=minutes)
    return [price.venue for price in board.comparable(["BTC/USDT"], now, 15)]


def test_one_venue_is_nothing_to_compare() -> None:
    board = PriceBoard()
    assert board.note([candle("kraken", 100)]) == ["BTC/USDT"]
    assert venues(board) == []


def test_two_venues_are_compared_once_both_closed_the_same_minute() -> None:
    board = PriceBoard()
    board.note([candle("kraken", 100)])
    board.note([candle("bybit", 101, instrument_id=2)])
    assert venues(board) == ["kraken", "bybit"]

    board.note([candle("kraken", 100, minutes=1)])
    assert venues(board, minutes=1) == []


def test_a_candle_without_volume_is_no_price() -> None:
    board = PriceBoard()
    board.note([candle("kraken", 100)])
    assert board.note([candle("dead", 90, instrument_id=2, volume=0)]) == []
    assert venues(board) == []


def test_an_older_candle_does_not_replace_a_newer_one() -> None:
    board = PriceBoard()
    board.note([candle("kraken", 100, minutes=1)])
    board.note([candle("kraken", 90)])
    board.note([candle("bybit", 100, instrument_id=2, minutes=1)])
    assert [price.price for price in board.comparable(["BTC/USDT"], CLOSE + timedelta(minutes=1), 15)] == [100, 100]


def test_a_close_stands_for_bid_and_ask_and_keeps_the_digits_of_the_venue() -> None:
    board = PriceBoard()
    board.note([candle("kraken", 20345.67)])
    board.note([candle("bybit", 0.1, instrument_id=2)])
    prices = board.comparable(["BTC/USDT"], CLOSE, 15)
    first, second = quotes_of(prices, {1: Decimal("0.0026"), 2: Decimal("0.001")})
    assert (first.bid, first.ask, first.taker_fee, first.as_of) == (
        Decimal("20345.67"),
        Decimal("20345.67"),
        Decimal("0.0026"),
        CLOSE,
    )
    assert second.bid == Decimal("0.1")


def test_a_market_without_known_fee_gives_no_quote() -> None:
    board = PriceBoard()
    board.note([candle("kraken", 100)])
    board.note([candle("bybit", 101, instrument_id=2)])
    assert [q.venue for q in quotes_of(board.comparable(["BTC/USDT"], CLOSE, 15), {2: Decimal(0)})] == ["bybit"]
