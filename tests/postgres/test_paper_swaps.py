"""The paper venue's swaps: positions, margin, reduce-only orders, and what it tells of them."""

import random
from decimal import Decimal

import pytest

from mastertrade.domain.orders import OrderStatus, Side
from mastertrade.exchanges.exchange import SwapVenue
from mastertrade.exchanges.paper_margin import Tier
from mastertrade.quant.costs import Costs
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import open_desk
from tests.postgres.swap_seed import BTC, ETH, MINUTE, START, open_swaps

pytestmark = pytest.mark.asyncio


async def test_a_paper_account_for_swaps_answers_as_one_and_a_spot_one_does_not(database: PostgresManager) -> None:
    assert isinstance((await open_swaps(database)).venue, SwapVenue)
    assert not isinstance((await open_desk(database)).venue, SwapVenue)


async def test_a_short_gains_what_the_price_falls_and_pays_its_fees_from_the_wallet(database: PostgresManager) -> None:
    desk = await open_swaps(database, costs=Costs(taker_fee=0.001, maker_fee=0, half_spread=0, slippage=0, impact=0))
    await desk.sold("2", 100.0)
    assert await desk.held() == {BTC: Decimal(-2)}
    assert await desk.wallet() == Decimal("999.8"), "what is open is in no wallet"
    await desk.bought("2", 90.0)
    assert await desk.held() == {}
    assert await desk.wallet() == Decimal("1019.62")
    opened, closed = (await desk.venue.fills("", [])).fills
    assert (opened.side, opened.realized_pnl, opened.commission) == (Side.SELL, Decimal(0), Decimal("0.2"))
    assert (closed.realized_pnl, closed.commission, closed.commission_asset) == (Decimal(20), Decimal("0.18"), "USDT")


async def test_a_part_that_closes_realises_at_the_average_cost_and_the_rest_keeps_it(database: PostgresManager) -> None:
    desk = await open_swaps(database)
    for price in (100.0, 101.0, 103.0):
        await desk.bought("1", price)
    await desk.sold("2", 110.0)
    await desk.sold("1", 90.0)
    told = [fill.realized_pnl for fill in (await desk.venue.fills("", [])).fills]
    assert told == [0, 0, 0, Decimal("17.33333333"), Decimal("-11.33333333")]
    assert await desk.wallet() == Decimal("1006")


async def test_one_order_may_turn_a_position_over(database: PostgresManager) -> None:
    desk = await open_swaps(database)
    await desk.bought("1", 100.0)
    await desk.sold("3", 110.0)
    assert await desk.held() == {BTC: Decimal(-2)}
    assert await desk.wallet() == 1010
    await desk.bought("2", 100.0)
    assert await desk.wallet() == 1030


async def test_an_order_whose_margin_is_not_there_is_rejected_with_the_amounts(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="100", leverage=5)
    refused = await desk.found(await desk.bought("5.001", 100.0))
    assert refused.status is OrderStatus.REJECTED
    assert refused.reason == "insufficient margin: needs 100.02 USDT at leverage 5, and 100 are free"
    assert (await desk.found(await desk.bought("5", 100.0))).status is OrderStatus.FILLED


async def test_the_fee_needs_money_beside_the_margin(database: PostgresManager) -> None:
    costs = Costs(taker_fee=0.001, maker_fee=0.001, half_spread=0, slippage=0, impact=0)
    desk = await open_swaps(database, cash="100", leverage=5, costs=costs)
    assert (await desk.found(await desk.bought("5", 100.0))).status is OrderStatus.REJECTED
    assert (await desk.found(await desk.bought("4.975", 100.0))).status is OrderStatus.FILLED


async def test_margin_counts_what_every_position_has_lost_or_gained_and_binds_at_the_prices_of_the_moment(
    database: PostgresManager,
) -> None:
    desk = await open_swaps(database, cash="100", leverage=5)
    await desk.order(Side.SELL, "2", ETH)
    await desk.bar(100.0, 100.0)
    enough, too_much = await desk.order(Side.BUY, "1.8"), await desk.order(Side.BUY, "0.001")
    await desk.bar(100.0, 110.0)  # the short has lost 20 and binds 44, so 36 are free
    assert (await desk.found(enough)).status is OrderStatus.FILLED
    later = await desk.order(Side.BUY, "0.001")
    await desk.bar(100.0)  # the other market has no bar: its last price stands
    reasons = [(await desk.found(id)).reason for id in (too_much, later)]
    assert reasons == ["insufficient margin: needs 36.02 USDT at leverage 5, and 36 are free"] * 2


async def test_what_reduces_needs_no_margin(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="100", leverage=10)
    await desk.bought("10", 100.0)
    await desk.bar((91.0, 91.0, 91.0, 91.0))
    assert (await desk.found(await desk.sold("4", 91.0))).status is OrderStatus.FILLED
    assert (await desk.found(await desk.sold("6", 91.0))).status is OrderStatus.FILLED
    assert await desk.wallet() == 10


async def test_a_reduce_only_order_is_cut_to_what_is_held_and_never_turns_it_over(database: PostgresManager) -> None:
    desk = await open_swaps(database)
    await desk.bought("1", 100.0)
    id = await desk.order(Side.SELL, "1.5", reduce_only=True)
    await desk.bar(105.0)
    assert await desk.held() == {}
    cut = await desk.found(id)
    assert (cut.status, cut.filled_quantity) == (OrderStatus.EXPIRED, Decimal(1))
    assert cut.reason == "reduce-only: 1 were held, the rest of it ended"
    assert (await desk.venue.fills("", [])).fills[-1].quantity == 1


@pytest.mark.parametrize("side", [Side.SELL, Side.BUY])
async def test_a_reduce_only_order_that_would_open_or_enlarge_is_rejected(
    database: PostgresManager, side: Side
) -> None:
    desk = await open_swaps(database)
    if side is Side.BUY:
        await desk.bought("1", 100.0)
    id = await desk.order(side, "0.5", reduce_only=True)
    await desk.bar(100.0)
    refused = await desk.found(id)
    assert refused.status is OrderStatus.REJECTED
    assert refused.reason == "reduce-only: no position that it would reduce is held"


async def test_a_limit_order_that_rests_pays_the_makers_fee_and_moves_the_position(database: PostgresManager) -> None:
    costs = Costs(taker_fee=0.001, maker_fee=0.0002, half_spread=0, slippage=0, impact=0)
    desk = await open_swaps(database, costs=costs)
    await desk.order(Side.SELL, "1", limit="105", post_only=True)
    await desk.bar((100.0, 99.0, 104.0, 101.0))
    assert await desk.held() == {}
    await desk.bar((101.0, 100.0, 106.0, 104.0))
    assert await desk.held() == {BTC: Decimal(-1)}
    (fill,) = (await desk.venue.fills("", [])).fills
    assert (fill.price, fill.is_maker, fill.commission) == (Decimal(105), True, Decimal("0.021"))


async def test_prices_are_asked_for_while_a_position_is_open(database: PostgresManager) -> None:
    desk = await open_swaps(database)
    await desk.order(Side.BUY, "1", ETH)
    assert await desk.venue.resting_symbols() == [ETH]
    await desk.bar(100.0, 100.0)
    assert await desk.restarted().venue.resting_symbols() == [ETH]
    await desk.order(Side.SELL, "1", ETH)
    await desk.bar(100.0, 100.0)
    assert await desk.venue.resting_symbols() == []


async def test_a_position_of_more_than_the_venue_lets_have_the_leverage_is_refused(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="100000", leverage=20)
    desk.rules.tiers_of[1] = [
        Tier(notional_from=Decimal(low), notional_to=high, maintenance_rate=Decimal(rate), max_leverage=Decimal(most))
        for low, high, rate, most in (
            (0, Decimal(50_000), "0.004", 125),
            (50_000, Decimal(600_000), "0.01", 20),
            (600_000, None, "0.025", 10),
        )
    ]
    assert (await desk.found(await desk.bought("6000", 100.0))).status is OrderStatus.FILLED
    refused = await desk.found(await desk.bought("0.001", 100.0))
    assert refused.reason == "position too large: 600000.1 USDT, and at leverage 20 the venue allows 600000"


async def test_wallet_and_positions_are_the_sum_of_what_was_told_whatever_happens(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="500", leverage=20, costs=Costs(impact=0))
    draw = random.Random(5)
    btc, eth, statuses = 100.0, 50.0, set()
    ids = []
    for _ in range(150):
        for _ in range(draw.randint(0, 2)):
            side, of = draw.choice(list(Side)), draw.choice([BTC, ETH])
            price = btc if of == BTC else eth
            limit = draw.choice([None, None, f"{price * draw.uniform(0.97, 1.03):.2f}"])
            quantity = f"{draw.uniform(0.1, 60):.3f}"
            ids.append(await desk.order(side, quantity, of, limit=limit, reduce_only=draw.random() < 0.3))
        moved = [round(one * draw.uniform(0.97, 1.03), 2) for one in (btc, eth)]
        low, high = (round(factor * max(btc, moved[0]), 2) for factor in (0.94, 1.04))
        await desk.bar((btc, low, high, moved[0]), (eth, min(eth, moved[1]), max(eth, moved[1]), moved[1]))
        btc, eth = moved
        if draw.random() < 0.05:
            desk = desk.restarted()
        fills = (await desk.venue.fills("", [])).fills
        told = 500 + sum((fill.realized_pnl or Decimal(0)) - fill.commission for fill in fills)
        assert await desk.wallet() == told
        sums = {
            symbol: sum(
                one.quantity if one.side is Side.BUY else -one.quantity for one in fills if one.symbol == symbol
            )
            for symbol in (BTC, ETH)
        }
        assert await desk.held() == {symbol: held for symbol, held in sums.items() if held}
        if told == 0:
            break
    statuses = {(await desk.found(id)).status for id in ids}
    assert {OrderStatus.FILLED, OrderStatus.REJECTED, OrderStatus.EXPIRED} <= statuses
    assert len(fills) > 20


async def test_what_is_over_at_the_venue_is_not_done_again(database: PostgresManager) -> None:
    desk = await open_swaps(database)
    await desk.bought("1", 100.0)
    assert await database.fetchval("SELECT paper_venue.lock_wallet('swaps', 'USDT')") == 1000
    assert (
        await database.fetchval("SELECT paper_venue.fill_swap(1, 100, 0, false, now(), 'USDT', 10, NULL, '{}', '{}')")
        is None
    ), "the order has been filled"
    liquidate = "SELECT paper_venue.liquidate('swaps', $1, 90, 0, now(), 'USDT')"
    assert [await database.fetchval(liquidate, of) for of in (ETH, BTC, BTC)] == [None, "FILLED", None]
    assert await desk.wallet() == 990
    settle = "SELECT paper_venue.settle('swaps', $1, 'USDT', 100, ARRAY[$2::timestamptz], ARRAY[0.01])"
    assert [await database.fetchval(settle, BTC, START + MINUTE / 2) for _ in range(2)] == [1, 0]
    assert await desk.wallet() == 989
