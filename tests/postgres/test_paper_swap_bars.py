"""What the paper venue does with positions of swaps as bars pass: funding, liquidation, and both as in a backtest."""

import math
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.feather as feather
import pytest

from mastertrade.backtest import twin
from mastertrade.backtest.market import prepare
from mastertrade.backtest.options import Funding, Margin, Sizing, Terms
from mastertrade.backtest.result import ExitReason, Rules, Simulated
from mastertrade.domain.orders import OrderStatus, Side
from mastertrade.exchanges.paper_margin import Tier
from mastertrade.exchanges.paper_swaps import FundingRate, PaperSwapVenue
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.quant.costs import Costs
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.swap_seed import BTC, ETH, MINUTE, START, SwapDesk, open_swaps

pytestmark = pytest.mark.asyncio
COSTS = Costs(impact=0)


def rates(*minutes_and_rates: tuple[float, str]) -> list[FundingRate]:
    return [FundingRate(START + minute * MINUTE, Decimal(rate)) for minute, rate in minutes_and_rates]


async def paid(desk: SwapDesk) -> list[tuple[str, Decimal, timedelta]]:
    page = await desk.venue.funding("", [])
    return [(one.symbol, one.amount, one.paid_at - START) for one in page.payments]


@pytest.mark.parametrize(("side", "amount"), [(Side.BUY, "-0.22"), (Side.SELL, "0.22")])
async def test_at_a_settlement_a_long_pays_a_positive_rate_of_the_price_of_then_and_a_short_gets_it(
    database: PostgresManager, side: Side, amount: str
) -> None:
    desk = await open_swaps(database)
    desk.rules.rates[1] = rates((1, "0.001"))
    await desk.order(side, "2")
    await desk.bar(100.0)
    assert await desk.bar(110.0) == 1
    assert await paid(desk) == [(BTC, Decimal(amount), MINUTE)]
    assert await desk.wallet() == 1000 + Decimal(amount)


async def test_a_settlement_is_paid_once_however_often_its_bar_is_shown_and_whoever_died(
    database: PostgresManager,
) -> None:
    desk = await open_swaps(database)
    desk.rules.rates[1] = rates((1, "0.001"), (2, "-0.002"))
    await desk.bought("1")
    for again in (desk, desk, desk.restarted()):
        await again.venue.on_prices([desk.candle(100.0)])
    await desk.bar(100.0)
    assert await desk.restarted().bar(100.0) == 1
    first, second = (await desk.venue.funding("", [])).payments
    assert (first.amount, second.amount) == (Decimal("-0.1"), Decimal("0.2"))
    later = await desk.venue.funding(first.payment_id, [])
    assert (later.payments, later.cursor) == ((second,), second.payment_id)
    assert (await desk.venue.funding(later.cursor, [])).cursor == later.cursor


async def test_who_opens_at_a_settlement_pays_nothing_and_who_closes_at_it_pays(database: PostgresManager) -> None:
    desk = await open_swaps(database)
    desk.rules.rates[1] = rates((0, "0.001"), (1, "0.001"))
    await desk.bought("1", 100.0)
    await desk.sold("1", 100.0)
    assert await paid(desk) == [(BTC, Decimal("-0.1"), MINUTE)]


async def test_a_rate_that_becomes_known_late_is_paid_by_what_was_held_then(database: PostgresManager) -> None:
    desk = await open_swaps(database)
    await desk.bought("1", 100.0)
    await desk.bought("2", 100.0)
    await desk.sold("3", 100.0)
    assert await paid(desk) == [], "nothing is known, and nothing is charged"
    desk.rules.rates[1] = rates((1, "0.001"), (2, "0.001"), (2.5, "0.001"))
    desk = desk.restarted()
    await desk.bar(100.0)
    assert [amount for _, amount, _ in await paid(desk)] == [Decimal("-0.1"), Decimal("-0.3")]
    await desk.bought("1", 100.0)
    await desk.bar(100.0)
    assert len(await paid(desk)) == 2


async def test_a_settlement_between_two_bars_is_paid_at_the_open_of_the_next_one(database: PostgresManager) -> None:
    desk = await open_swaps(database)
    desk.rules.rates[1] = rates((1.0001, "0.001"))
    await desk.bought("1")
    await desk.bar(90.0)
    assert await paid(desk) == []
    await desk.bar(None, 50.0)
    assert await paid(desk) == [], "its own market has no price yet"
    await desk.bar(80.0)
    assert [amount for _, amount, _ in await paid(desk)] == [Decimal("-0.08")]


@pytest.mark.parametrize(("side", "bar", "price"), [
    (Side.BUY, (99.0, 89.0, 101.0, 95.0), 90 / 0.995),
    (Side.BUY, (99.0, 90.46, 101.0, 95.0), None),
    (Side.BUY, (85.0, 84.0, 86.0, 86.0), 85.0),
    (Side.SELL, (101.0, 100.0, 111.0, 105.0), 110 / 1.005),
    (Side.SELL, (101.0, 100.0, 109.45, 105.0), None),
    (Side.SELL, (120.0, 119.0, 121.0, 119.0), 120.0),
])  # fmt: skip
async def test_a_position_is_closed_where_the_money_behind_it_is_down_to_the_maintenance_margin(
    database: PostgresManager, side: Side, bar: tuple[float, float, float, float], price: float | None
) -> None:
    desk = await open_swaps(database, cash="100")
    await desk.order(side, "10")
    await desk.bar(100.0)
    assert await desk.bar(bar) == (price is not None)
    if price is None:
        assert len(await desk.held()) == 1
        return
    assert await desk.held() == {}
    fill = (await desk.venue.fills("", [])).fills[-1]
    assert fill.client_order_id.startswith("liquidation-")
    tick = Decimal("0.01")
    nearest = Decimal(price).quantize(tick)
    assert abs(fill.price - nearest) <= tick
    assert fill.price <= nearest if side is Side.BUY else fill.price >= nearest
    order = await desk.found(fill.client_order_id)
    assert (order.status, order.filled_quantity, order.side) == (OrderStatus.FILLED, Decimal(10), fill.side)
    assert await desk.bar(bar) == 0


async def test_a_gap_beyond_all_money_takes_no_more_than_the_wallet_holds(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="100", costs=COSTS)
    await desk.bought("9", 100.0)
    before = await desk.wallet()
    await desk.bar(50.0)
    fill = (await desk.venue.fills("", [])).fills[-1]
    assert await desk.wallet() == 0
    assert fill.realized_pnl == fill.commission - before


async def test_what_rests_ends_when_the_account_is_liquidated(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="100")
    await desk.bought("10", 100.0)
    id = await desk.order(Side.SELL, "10", limit="102", reduce_only=True)
    await desk.bar((100.0, 85.0, 103.0, 102.0))  # both were touched: as in a backtest the worse comes first
    ended = await desk.found(id)
    assert (ended.status, ended.reason) == (OrderStatus.EXPIRED, "the venue liquidates the account")
    assert (await desk.venue.open_orders([])) == ()


async def test_an_exit_at_the_open_comes_before_a_liquidation_inside_the_bar(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="100")
    await desk.bought("10", 100.0)
    id = await desk.order(Side.SELL, "10")
    await desk.bar((91.0, 80.0, 91.0, 80.0))
    assert (await desk.found(id)).status is OrderStatus.FILLED
    assert await desk.wallet() == 10


async def test_a_position_opened_inside_a_bar_may_be_liquidated_in_it(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="100")
    await desk.order(Side.BUY, "10", limit="100", post_only=True)
    await desk.bar((101.0, 89.0, 102.0, 95.0))
    assert await desk.held() == {}
    assert (await desk.venue.fills("", [])).fills[-1].client_order_id.startswith("liquidation-")


async def test_the_largest_position_goes_first_and_the_rest_stays_when_it_is_carried(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="100", leverage=20)
    await desk.order(Side.BUY, "15")
    await desk.order(Side.SELL, "1", ETH)
    await desk.bar(100.0, 100.0)
    await desk.bar((100.0, 90.0, 100.0, 90.0), 100.0)
    assert await desk.held() == {ETH: Decimal(-1)}
    assert 0 < await desk.wallet() < 10


async def test_a_bar_from_before_a_position_was_opened_does_not_end_it(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="100")
    earlier = desk.candle((100.0, 50.0, 150.0, 100.0))
    desk.clock.advance(START + MINUTE / 2)
    await desk.order(Side.BUY, "10")
    await desk.bar(100.0)
    assert await desk.venue.on_prices([earlier]) == 0
    assert await desk.held() == {BTC: Decimal(10)}


@pytest.mark.parametrize(("side", "ends"), [(Side.BUY, False), (Side.BUY, True), (Side.SELL, False), (Side.SELL, True)])
async def test_a_moment_of_bid_and_ask_ends_a_long_by_the_bid_and_a_short_by_the_ask(
    database: PostgresManager, side: Side, ends: bool
) -> None:
    desk = await open_swaps(database, cash="100")
    await desk.order(side, "10")
    await desk.bar(100.0)
    bid, ask = {(Side.BUY, False): (90.5, 90.7), (Side.BUY, True): (90.4, 90.7),
                (Side.SELL, False): (109.3, 109.4), (Side.SELL, True): (109.3, 109.5)}[side, ends]  # fmt: skip
    await desk.bar(((bid + ask) / 2, ask, bid, (bid + ask) / 2))
    assert (await desk.held() == {}) == ends


async def test_the_margin_of_a_large_position_is_that_of_its_tiers(database: PostgresManager) -> None:
    desk = await open_swaps(database, cash="1000")
    desk.rules.tiers_of[1] = [
        Tier(notional_from=Decimal(low), notional_to=high, maintenance_rate=Decimal(rate), max_leverage=Decimal(100))
        for low, high, rate in ((0, Decimal(1000), "0.01"), (1000, None, "0.05"))
    ]
    await desk.bought("100", 100.0)
    await desk.bar((100.0, 94.4, 100.0, 100.0))  # 440 are left, and 10 + 5 % of 8,440 are 432
    assert await desk.held() == {BTC: Decimal(100)}
    await desk.bar((100.0, 94.3, 100.0, 100.0))  # 430 are left of 431.5
    assert await desk.held() == {}


@pytest.mark.parametrize("seed", [2, 4, 5])
async def test_a_venue_that_dies_in_the_middle_of_a_bar_and_is_shown_it_again_ends_where_one_that_did_not(
    database: PostgresManager, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = random.Random(seed)
    deaths = 0
    for step in ("_settle", "_fill", "_liquidate", "_close", "_mark"):
        monkeypatch.setattr(PaperSwapVenue, step, mortal(getattr(PaperSwapVenue, step), dying))
    ends = []
    for account in ("dying", "living"):
        desk = await open_swaps(database, cash="3000", leverage=20, costs=COSTS, account=account)
        desk.rules.rates[1] = rates(*((minute, "0.001") for minute in range(0, 60, 4)))
        desk.rules.rates[2] = rates(*((minute + 0.5, "-0.002") for minute in range(0, 60, 7)))
        for orders, btc, eth in script(random.Random(seed), 60):
            for side, quantity, of, limit, reduce_only in orders:
                await desk.order(side, quantity, of, limit=limit, reduce_only=reduce_only)
            mortality = 0.1 if account == "dying" else 0.0
            while True:
                dying_at.chance = mortality
                try:
                    await desk.bar(btc, eth)
                    break
                except Death:
                    deaths, mortality = deaths + 1, mortality / 2
                    desk = desk.restarted()
        fills = (await desk.venue.fills("", [])).fills
        told = [(one.symbol, one.side, one.quantity, one.price, one.realized_pnl, one.trade_time) for one in fills]
        liquidations = sum(one.client_order_id.startswith("liquidation-") for one in fills)
        ends.append((told, liquidations, await paid(desk), await desk.wallet(), await desk.held()))
    assert ends[0] == ends[1]
    assert deaths > 3
    assert len(ends[0][0]) > 20
    assert ends[0][1] > 0
    assert len(ends[0][2]) > 3


class Death(Exception):
    """Of the venue's process."""


class DyingAt:
    chance = 0.0


dying_at = DyingAt()


def mortal(step: Callable[..., Awaitable[Any]], dying: random.Random) -> Callable[..., Awaitable[Any]]:
    """The step, before or after which the process may die."""

    async def stepped(*arguments: Any) -> Any:
        if dying_at.chance and dying.random() < dying_at.chance:
            raise Death
        answer = await step(*arguments)
        if dying_at.chance and dying.random() < dying_at.chance:
            raise Death
        return answer

    return stepped


Prices = tuple[float, float, float, float]
Ordered = tuple[Side, str, str, str | None, bool]


def script(draw: random.Random, count: int) -> Iterator[tuple[list[Ordered], Prices, Prices]]:
    """Orders and the bars after them."""
    at = {BTC: 100.0, ETH: 50.0}
    for _ in range(count):
        orders: list[Ordered] = []
        for _ in range(draw.randint(0, 2)):
            side, of = draw.choice(list(Side)), draw.choice([BTC, ETH])
            limit = draw.choice([None, None, f"{at[of] * draw.uniform(0.98, 1.02):.2f}"])
            orders.append((side, f"{draw.uniform(50, 500):.3f}", of, limit, draw.random() < 0.3))
        bars = []
        for of in (BTC, ETH):
            open_, at[of] = at[of], round(at[of] * draw.uniform(0.97, 1.03), 2)
            bars.append((open_, min(open_, at[of]) * 0.98, max(open_, at[of]) * 1.02, at[of]))
        yield orders, bars[0], bars[1]


# --- the same as in a backtest ---


@dataclass
class Walk:
    """Bars, and what to hold from each close on."""

    bars: Bars
    targets: np.ndarray

    @classmethod
    def random(cls, seed: int, count: int = 120, spread: float = 0.004) -> "Walk":
        draw = np.random.default_rng(seed)
        close = np.round(100 * np.exp(np.cumsum(draw.normal(0, spread, count))), 2)
        open_ = np.round(np.concatenate(([100.0], close[:-1])) * np.exp(draw.normal(0, spread / 4, count)), 2)
        low = np.round(np.minimum(open_, close) * (1 - draw.uniform(0, spread, count)), 2)
        high = np.round(np.maximum(open_, close) * (1 + draw.uniform(0, spread, count)), 2)
        time = to_milliseconds(START) + np.arange(count, dtype=np.int64) * 60_000
        bars = Bars(interval_s=60, time=time, open=open_, high=high, low=low, close=close, volume=np.full(count, 1e6))
        held = np.repeat(draw.choice([-1.0, 0.0, 1.0], count // 10), 10)
        held[-11:] = 0.0
        return cls(bars, held)

    def in_a_backtest(self, terms: Terms, funding: Funding | None = None, tick: float = 0.01) -> Simulated:
        rules = Rules(lot=0.001, tick=tick)
        return twin.simulate([prepare(BTC, self.bars, self.targets, terms, rules=rules, funding=funding)], terms)

    async def on_paper(self, desk: SwapDesk, quantity: Decimal) -> None:
        """Each change of the target is ordered at its close."""
        for bar in range(len(self.bars)):
            desk.clock.advance(to_datetime(int(self.bars.time[bar])))
            prices = tuple(float(getattr(self.bars, one)[bar]) for one in ("open", "low", "high", "close"))
            await desk.bar(prices)  # type: ignore[arg-type]
            before = self.targets[bar - 1] if bar else 0.0
            if self.targets[bar] != before:
                target = quantity * Decimal(int(self.targets[bar]))
                change = target - (await desk.held()).get(BTC, Decimal(0))
                if change:
                    await desk.order(Side.BUY if change > 0 else Side.SELL, str(abs(change)))


async def test_paper_trades_and_settles_as_a_backtest_does_on_the_same_bars_and_rates(
    database: PostgresManager,
) -> None:
    walk = Walk.random(3)
    minutes = [7.0, 15.0, 15.0003, 22.5, 31.0, 40.0, 55.0, 70.0, 71.0, 88.0, 100.0]
    values = ["0.0001", "-0.0003", "0.0007", "0.001", "-0.002", "0.0005", "0.0005", "0.004", "-0.001", "0.0002", "0.01"]
    funding = Funding(
        time=[math.ceil(to_milliseconds(START) + minute * 60_000) for minute in minutes],
        rate=[float(value) for value in values],
    )
    terms = Terms(
        costs=COSTS, cash=1000.0, sizing=Sizing.quantity(3.5), margin=Margin(leverage=3.0), shorts=True
    )  # fmt: skip
    tested = walk.in_a_backtest(terms, funding)
    desk = await open_swaps(database, leverage=3, costs=COSTS)
    desk.rules.rates[1] = rates(*zip(minutes, values, strict=True))
    await walk.on_paper(desk, Decimal("3.5"))
    trades = list(tested.trades)
    assert {trade.side for trade in trades} == {1, -1}
    assert not tested.counts.liquidations
    fills = (await desk.venue.fills("", [])).fills
    settled = (await desk.venue.funding("", [])).payments
    of_a_trade = [
        sum(one.amount for one in settled if trade.entry_time < to_milliseconds(one.paid_at) <= trade.exit_time)
        for trade in trades
    ]
    assert sum(map(bool, of_a_trade)) > 2
    assert [float(-amount) for amount in of_a_trade] == pytest.approx([trade.funding for trade in trades], abs=1e-6)
    assert float(sum(fill.commission for fill in fills)) == pytest.approx(sum(trade.fees for trade in trades), abs=1e-5)
    assert float(await desk.wallet()) == pytest.approx(tested.equity[-1], abs=1e-4)


async def test_days_of_a_real_perpetual_cost_and_settle_on_paper_what_they_do_in_a_backtest(
    database: PostgresManager, real_data: Path
) -> None:
    folder = real_data / "perps" / "bybit_2025-09"
    if not folder.is_dir():
        pytest.skip(f"{folder} holds no perpetual with its funding rates")
    candles = feather.read_table(folder / "BNB_USDT_USDT-5m-futures.feather").to_pydict()
    told = feather.read_table(folder / "BNB_USDT_USDT-1h-funding_rate.feather").to_pydict()
    count, first = 600, 2_000
    columns = {
        name: np.array(candles[name][first : first + count]) for name in ("open", "low", "high", "close", "volume")
    }
    opened = candles["date"][first : first + count]
    draw = np.random.default_rng(8)
    targets = np.repeat(draw.choice([-1.0, 0.0, 1.0], count // 40), 40)
    targets[-41:] = 0.0
    walk = Walk(Bars(interval_s=300, time=np.array([to_milliseconds(one) for one in opened]), **columns), targets)
    settled = [
        (time, rate) for time, rate in zip(told["date"], told["open"], strict=True) if opened[0] < time <= opened[-1]
    ]
    assert len(settled) >= 6
    funding = Funding(time=[to_milliseconds(time) for time, _ in settled], rate=[rate for _, rate in settled])
    terms = Terms(costs=COSTS, cash=10_000.0, sizing=Sizing.quantity(20.0), margin=Margin(leverage=3.0), shorts=True)
    tested = walk.in_a_backtest(terms, funding)
    desk = await open_swaps(database, cash="10000", leverage=3, costs=COSTS, start=opened[0])
    desk.rules.rates[1] = [FundingRate(time, Decimal(str(rate))) for time, rate in settled]
    await walk.on_paper(desk, Decimal(20))
    paid = [one.amount for one in (await desk.venue.funding("", [])).payments]
    assert len(paid) > 2
    assert float(-sum(paid)) == pytest.approx(sum(trade.funding for trade in tested.trades), abs=1e-6)
    assert float(await desk.wallet()) == pytest.approx(tested.equity[-1], abs=1e-4)


@pytest.mark.parametrize("seed", [1, 2, 4])
async def test_a_position_with_all_the_money_behind_it_is_liquidated_where_a_backtest_liquidates_it(
    database: PostgresManager, seed: int
) -> None:
    walk = Walk.random(seed, spread=0.01)
    side = 1.0 if seed % 2 else -1.0
    walk.targets[:] = side
    leverage, quantity = 25, Decimal("4")
    opening = twin.simulate(
        [prepare(BTC, walk.bars, walk.targets, loose := Terms(
            costs=COSTS, cash=1e6, sizing=Sizing.quantity(4.0), margin=Margin(leverage=25.0), shorts=True
        ), rules=Rules(lot=0.001, tick=0.01))], loose,
    ).trades[0]  # fmt: skip
    cash = 4 * opening.entry_price * (1 / leverage + COSTS.taker_fee) + 1e-6
    terms = Terms(
        costs=COSTS, cash=cash, sizing=Sizing.quantity(4.0), margin=Margin(leverage=float(leverage)), shorts=True
    )  # fmt: skip
    (trade,) = walk.in_a_backtest(terms).trades
    assert trade.reason is ExitReason.LIQUIDATION
    desk = await open_swaps(database, cash=f"{cash:.8f}", leverage=leverage, costs=COSTS)
    await walk.on_paper(desk, quantity)
    opened, closed = (await desk.venue.fills("", [])).fills
    assert closed.client_order_id.startswith("liquidation-")
    assert (float(opened.price), to_milliseconds(opened.trade_time)) == (trade.entry_price, trade.entry_time)
    assert (float(closed.price), to_milliseconds(closed.trade_time)) == (trade.exit_price, trade.exit_time)
