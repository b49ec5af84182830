"""A signal through the risk manager on a real database: what is stored, reserved and announced."""

from datetime import timedelta
from decimal import Decimal

import pytest

from mastertrade.domain.events import OrderApproved, OrderRefused, SignalRaised
from mastertrade.domain.orders import OrderType, Side
from mastertrade.domain.risk import Disposition
from mastertrade.domain.strategy import SignalType
from mastertrade.risk_manager.rules import RULES
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.risk_seed import MINUTE, PRICE, START, open_office


async def test_an_ordinary_buy_is_approved_with_its_capital_reserved(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    answer = await office.judge(event)
    assert isinstance(answer, OrderApproved)
    approval = answer.approval
    assert (approval.side, approval.type, approval.limit_price, approval.reduces) == (
        Side.BUY,
        OrderType.MARKET,
        None,
        False,
    )
    assert approval.quantity == Decimal("0.096")  # 6 % x 0.8 of 100,000 at 50,000
    assert approval.valid_until == START + timedelta(seconds=30)
    assert await office.balance() == (Decimal("95171.2"), Decimal("4828.8"))  # 4,800 with 0.1 % fee and 0.5 % slippage
    verdict = await office.verdict(event)
    assert (verdict["disposition"], verdict["approved_quantity"], verdict["equity"]) == (
        "approved",
        Decimal("0.096"),
        Decimal(100_000),
    )
    row = await database.fetchrow("SELECT * FROM approvals")
    assert row is not None
    assert (row["id"], row["verdict_id"], row["signal_id"]) == (approval.approval_id, verdict["id"], event.signal.id)
    assert (row["strategy_id"], row["account_id"], row["instrument_id"]) == (
        office.strategy_id,
        office.account_id,
        office.btc,
    )
    assert (row["reservation_id"], row["quantity"], row["valid_until"]) == (
        approval.reservation_id,
        approval.quantity,
        approval.valid_until,
    )
    assert (answer.id, answer.correlation_id, answer.causation_id) == (approval.approval_id, event.signal.id, event.id)


async def test_every_check_is_stored_with_its_value_and_limit(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal(confidence=90.0)
    await office.judge(event)
    rows = await database.fetch("SELECT * FROM verdict_checks ORDER BY position")
    assert [row["name"] for row in rows] == ["sizing", *(rule.__name__ for rule in RULES)]
    cap = await office.check(event, "position_size")
    assert (cap["value"], cap["limit"], cap["unit"], cap["passed"], cap["reduced_to"]) == (
        6.0,
        5.0,
        "%",
        True,
        Decimal("0.1"),
    )
    assert (await office.verdict(event))["disposition"] == "reduced"


async def test_a_refused_signal_reserves_nothing_and_says_why(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.risk.halt("global", "test", "ann")
    event = await office.raise_signal()
    answer = await office.judge(event)
    assert isinstance(answer, OrderRefused)
    assert answer.disposition is Disposition.REFUSED
    assert answer.reasons == ("trading_state: global is halted by ann: test",)
    verdict = await office.verdict(event)
    assert (verdict["requested_quantity"], verdict["approved_quantity"]) == (Decimal("0.096"), Decimal(0))
    assert await office.balance() == (Decimal(100_000), Decimal(0))
    assert await database.fetchval("SELECT count(*) FROM reservations") == 0


async def test_a_sale_gives_up_the_whole_position_even_while_halted(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.position("0.05")
    await office.risk.halt("global", "test", "ann")
    answer = await office.judge(await office.raise_signal(SignalType.SELL))
    assert isinstance(answer, OrderApproved)
    assert (answer.approval.side, answer.approval.quantity, answer.approval.reduces) == (
        Side.SELL,
        Decimal("0.05"),
        True,
    )
    assert await office.balance("BTC") == (Decimal(0), Decimal("0.05"))


async def test_a_sale_without_a_position_is_refused(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "1")  # another strategy's
    answer = await office.judge(await office.raise_signal(SignalType.SELL))
    assert isinstance(answer, OrderRefused)
    assert any(reason.startswith("exit_has_position") for reason in answer.reasons)


async def test_a_late_signal_expires(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    office.clock.advance(START + timedelta(seconds=31))
    answer = await office.judge(event)
    assert isinstance(answer, OrderRefused)
    assert answer.disposition is Disposition.EXPIRED


async def test_hold_is_held(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal(SignalType.HOLD)
    answer = await office.judge(event)
    assert isinstance(answer, OrderRefused)
    assert answer.disposition is Disposition.HELD
    assert (await office.verdict(event))["disposition"] == "held"


async def test_a_signal_at_its_very_deadline_gets_an_approval_that_ends_with_it(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    office.clock.advance(event.signal.valid_until)
    answer = await office.judge(event)
    assert isinstance(answer, OrderApproved)
    assert answer.approval.valid_until == event.signal.valid_until == answer.approval.approved_at


async def test_a_long_lived_signal_gets_a_short_approval(database: PostgresManager) -> None:
    office = await open_office(database, approval_valid_s=12)
    answer = await office.judge(await office.raise_signal(valid_s=600))
    assert isinstance(answer, OrderApproved)
    assert answer.approval.valid_until == START + timedelta(seconds=12)


async def test_the_same_signal_twice_gets_one_verdict(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    assert await office.judge(event) is not None
    assert await office.judge(event) is None
    assert await database.fetchval("SELECT count(*) FROM verdicts") == 1
    assert await database.fetchval("SELECT count(*) FROM reservations") == 1


async def test_a_second_buy_waits_until_the_first_is_out_of_the_way(database: PostgresManager) -> None:
    office = await open_office(database)
    first = await office.judge(await office.raise_signal())
    assert isinstance(first, OrderApproved)
    office.clock.advance(START + timedelta(seconds=1))
    second = await office.judge(await office.raise_signal())
    assert isinstance(second, OrderRefused)
    assert f"approval {first.approval.approval_id} waits for its order" in second.reasons[0]
    order_id = await office.order_of(first, status="UNKNOWN")
    office.clock.advance(START + MINUTE)
    third = await office.judge(await office.raise_signal())
    assert isinstance(third, OrderRefused)
    assert f"order {order_id} is UNKNOWN" in third.reasons[0]


async def test_another_instrument_or_strategy_is_not_in_the_way(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.candle(3_000.0, instrument_id=office.eth)
    await office.judge(await office.raise_signal())
    eth = await office.judge(await office.raise_signal(instrument_id=office.eth, symbol="ETH/USDT", price=3_000.0))
    assert isinstance(eth, OrderApproved)
    other = await office.another_strategy()
    cut = await other.judge(await other.raise_signal())
    assert isinstance(cut, OrderApproved)  # what the first strategy has reserved counts towards the cap of both
    assert cut.approval.quantity < Decimal("0.004")


async def test_the_last_close_prices_the_order_once_it_is_newer_than_the_signal(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal(valid_s=120)
    office.clock.advance(START + MINUTE)
    await office.candle(48_000.0)
    answer = await office.judge(event)
    assert isinstance(answer, OrderApproved)
    assert answer.approval.quantity == Decimal("0.1")
    assert (await office.check(event, "price_age"))["detail"].startswith("48000 as of")


async def test_a_price_far_from_the_market_or_without_a_market_to_compare_with_opens_nothing(
    database: PostgresManager,
) -> None:
    office = await open_office(database)
    wild = await office.judge(await office.raise_signal(price=PRICE * 1.051))
    lonely = await office.judge(await office.raise_signal(instrument_id=office.eth, symbol="ETH/USDT", price=3_000.0))
    assert isinstance(wild, OrderRefused)
    assert wild.reasons == ("price_sanity: raised at 52550, the market is at 50000",)
    assert isinstance(lonely, OrderRefused)
    assert lonely.reasons == ("price_sanity: no stored price to compare with",)


async def test_a_signal_raised_on_an_old_price_is_refused(database: PostgresManager) -> None:
    office = await open_office(database)
    answer = await office.judge(
        await office.raise_signal(bar_close=START - 3 * MINUTE, instrument_id=office.eth, symbol="ETH/USDT")
    )
    assert isinstance(answer, OrderRefused)
    assert answer.reasons[0].startswith("price_age")


async def test_equity_counts_what_is_held_and_reserved_at_the_last_close(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "2")
    await office.hold("DOGE", "1000000")  # no market of the account's venue: counts as nothing
    await office.judge(await office.raise_signal())
    event = await (await office.another_strategy()).raise_signal()
    await office.judge(event)
    assert (await office.verdict(event))["equity"] == Decimal(200_000)


async def test_a_loss_since_the_start_of_the_day_stops_entries_until_the_next(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "2")
    await database.execute("SELECT mark_book('{paper}', $1)", START)
    office.clock.advance(START + MINUTE)
    await office.candle(44_000.0)  # 200,000 falls to 188,000: 6 %
    event = await office.raise_signal(price=44_000.0)
    answer = await office.judge(event)
    assert isinstance(answer, OrderRefused)
    assert {reason.partition(":")[0] for reason in answer.reasons} == {
        "circuit_breaker", "correlated_exposure", "daily_loss", "position_size",
    }  # fmt: skip
    assert (await office.check(event, "daily_loss"))["value"] == pytest.approx(6.0)
    await database.execute("SELECT mark_book('{paper}', $1)", START + MINUTE)
    office.clock.advance(START + timedelta(days=1))
    await office.candle(44_000.0)
    await office.judge(tomorrow := await office.raise_signal(price=44_000.0))
    assert (await office.check(tomorrow, "daily_loss"))["passed"] is True


async def test_the_drawdown_is_measured_from_the_highest_mark(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "2")
    await database.execute("SELECT mark_book('{paper}', $1)", START)
    office.clock.advance(START + timedelta(days=3))
    await office.candle(30_000.0)
    await office.judge(event := await office.raise_signal(price=30_000.0))
    check = await office.check(event, "drawdown")
    assert (check["value"], check["limit"], check["passed"]) == (20.0, 15.0, False)


async def test_the_operator_s_settings_of_a_strategy_are_kept(database: PostgresManager) -> None:
    office = await open_office(database)
    await database.execute(
        """INSERT INTO strategy_environment_configs (strategy_id, account_id, environment, risk_multiplier,
                                                     max_position_size)
           VALUES ($1, $2, 'paper', 0.5, 0.03)""",
        office.strategy_id,
        office.account_id,
    )
    event = await office.raise_signal()
    answer = await office.judge(event)
    assert isinstance(answer, OrderApproved)
    assert answer.approval.quantity == Decimal("0.03")
    assert (await office.verdict(event))["requested_quantity"] == Decimal("0.048")
    await database.execute("UPDATE strategy_environment_configs SET enabled = false")
    other = await office.judge(await office.raise_signal(at=START + timedelta(seconds=1)))
    assert isinstance(other, OrderRefused)
    assert any(reason.startswith("strategy_enabled") for reason in other.reasons)


@pytest.mark.parametrize("outcome", ["halted", "in_flight", "insufficient"])
async def test_a_verdict_the_database_turns_down_is_judged_again_and_then_refused(
    database: PostgresManager, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    postgres = office.risk._database
    commit, tries = postgres.commit_verdict, 0

    async def turned_down(*args: object, **kwargs: object) -> str:
        nonlocal tries
        if kwargs.get("approval") is None:
            return await commit(*args, **kwargs)  # type: ignore[arg-type]
        tries += 1
        return outcome

    monkeypatch.setattr(type(postgres), "commit_verdict", lambda self, *a, **k: turned_down(*a, **k))
    answer = await office.judge(event)
    assert isinstance(answer, OrderRefused)
    assert tries == 3
    assert answer.reasons[0].startswith("commit: ")
    monkeypatch.undo()
    assert (await office.verdict(event))["disposition"] == "refused"


async def test_a_conflict_that_passes_is_approved_on_fresh_numbers(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    kind, commit, answers = type(office.risk._database), office.risk._database.commit_verdict, ["insufficient"]

    async def once(*args: object, **kwargs: object) -> str:
        return answers.pop() if answers else await commit(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "commit_verdict", lambda self, *a, **k: once(*a, **k))
    assert isinstance(await office.judge(event), OrderApproved)


async def test_a_signal_that_could_not_be_judged_is_disposed_of_as_failed(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    async with database.transaction() as tx:
        await office.risk.on_dead_letter(event, tx)
    [answer] = office.bus.events
    assert isinstance(answer, OrderRefused)
    assert answer.disposition is Disposition.FAILED
    assert (await office.verdict(event))["disposition"] == "failed"


async def test_a_dead_letter_of_a_judged_signal_changes_nothing(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    await office.judge(event)
    async with database.transaction() as tx:
        await office.risk.on_dead_letter(event, tx)
    assert (await office.verdict(event))["disposition"] == "approved"
    assert len(office.bus.events) == 1


async def test_a_signal_that_was_never_stored_is_an_error_and_its_dead_letter_is_none(
    database: PostgresManager,
) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    stranger = await (await office.another_account()).raise_signal(at=START + timedelta(seconds=1))
    await database.execute("DELETE FROM signals WHERE id = $1", stranger.signal.id)
    with pytest.raises(NotFound, match="is not stored"):
        await office.judge(stranger)
    async with database.transaction() as tx:
        await office.risk.on_dead_letter(stranger, tx)
    assert await database.fetchval("SELECT count(*) FROM verdicts") == 0
    assert isinstance(event, SignalRaised)


async def test_nothing_of_a_judgement_stays_when_its_transaction_fails(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()

    async def judged_in_vain() -> None:
        async with database.transaction() as tx:
            await office.risk.on_signal_raised(event, tx)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        await judged_in_vain()
    assert office.bus.events == []
    assert await office.balance() == (Decimal(100_000), Decimal(0))
    assert isinstance(await office.judge(event), OrderApproved)


async def test_the_risk_manager_listens_to_signals_and_keeps_its_book_apart(database: PostgresManager) -> None:
    office = await open_office(database)
    judging, book, watch = office.risk.subscriptions()
    names = [one.consumer for one in (judging, book, watch)]
    assert names == ["risk_manager", "risk_manager.book", "risk_manager.watch"]
    assert judging.on_dead_letter is not None
    assert PRICE == 50_000.0
