"""Laws of the risk manager against the database: verdicts follow from what is kept with them, restarts change none."""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

from mastertrade.domain.strategy import SignalType
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.gathering import Inputs
from mastertrade.risk_manager.judge import judge
from mastertrade.risk_manager.service import RiskManager
from mastertrade.risk_manager.sizing_methods import SizingMethod
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.risk_seed import PRICE, START, Office, open_office

VERDICTS = 1_000
STEP = timedelta(seconds=3)
PRINTED = "SELECT * FROM verdict_checks ORDER BY verdict_id, position"


async def judged_at_random(office: Office, count: int, seed: int) -> None:
    """Signals of every kind on an account that deposits, halts, holds and changes its limits meanwhile."""
    chance = random.Random(seed)
    bots = [office, *[await office.another_strategy() for _ in range(9)]]
    for number, method in enumerate(SizingMethod):
        config = {"sizing": method.value}
        await office.manager.execute(
            "UPDATE strategies SET configuration = $1 WHERE id = $2", config, bots[number].strategy_id
        )
    for number in range(count):
        office.clock.advance(office.clock.now() + STEP)
        own = chance.choice(bots)
        if number % 50 == 0:
            await office.candle(PRICE * chance.uniform(0.7, 1.3), close_time=office.clock.now().replace(second=0))
            await office.manager.execute("SELECT mark_book('{paper}', $1)", office.clock.now())
        if number % 97 == 0:
            await office.hold("USDT", str(chance.randint(1, 5_000)))
        if number % 211 == 210:
            await office.risk.halt("global" if chance.random() < 0.5 else "asset:BTC", "a test", "chance")
        if number % 211 == 0:
            await office.risk.resume("global", "a test", "chance")
            await office.risk.resume("asset:BTC", "a test", "chance")
        kind = chance.choices([SignalType.BUY, SignalType.SELL, SignalType.HOLD], [8, 2, 1])[0]
        at = office.clock.now() - chance.choice([0, 0, 0, 91]) * timedelta(seconds=1)
        price = PRICE * chance.choice([1.0, 1.0, 1.02, 1.5])
        await own.judge(await own.raise_signal(kind, at=at, confidence=chance.uniform(0, 100), price=price))
        if number % 5 == 0:  # what was approved lately did not come to be
            await office.manager.execute(
                "SELECT release_reservation(id, $1) FROM reservations WHERE released_at IS NULL", office.clock.now()
            )


async def test_a_thousand_kept_verdicts_are_judged_again_with_the_same_answers(database: PostgresManager) -> None:
    office = await open_office(database, max_daily_loss_percent=Decimal(90), max_drawdown_percent=Decimal(90))
    await judged_at_random(office, VERDICTS, seed=11)
    rows = await database.fetch(
        "SELECT v.*, i.inputs FROM verdicts v JOIN verdict_inputs i ON i.verdict_id = v.id ORDER BY v.id"
    )
    assert len(rows) == VERDICTS
    kinds = {row["disposition"] for row in rows}
    assert kinds >= {"approved", "refused", "reduced", "expired", "held"}
    again = []
    for row in rows:
        inputs = Inputs.from_json(row["inputs"])
        verdict = judge(inputs.case, inputs.limits, verdict_id=row["id"]).verdict
        kept = (row["disposition"], row["reason"], row["requested_quantity"], row["approved_quantity"])
        assert (verdict.disposition, verdict.reason, verdict.requested_quantity, verdict.approved_quantity) == kept
        again += [
            (row["id"], number, one.name, one.value, one.limit, one.unit, one.passed, one.detail, one.reduced_to)
            for number, one in enumerate(verdict.checks, start=1)
        ]
    kept_checks: list[Any] = [tuple(row) for row in await database.fetch(PRINTED)]
    assert again == kept_checks


async def test_a_restart_changes_no_verdict(database: PostgresManager) -> None:
    """The same signals on two accounts alike; of one the risk manager is started anew before each."""
    first = await open_office(database)
    second = await (await first.another_strategy()).another_account()
    answers = []
    for office, restarts in ((first, False), (second, True)):
        office.clock = ReplayClock(START)
        office.risk = a_risk_manager(office)
        for number in range(40):
            office.clock.advance(office.clock.now() + STEP)
            if restarts:
                office.risk = a_risk_manager(office)
            await office.judge(await office.raise_signal(confidence=2.5 * number))
        rows = await database.fetch(
            "SELECT v.decided_at, v.disposition, v.approved_quantity, c.position, c.name, c.value, c.passed"
            "  FROM verdicts v JOIN verdict_checks c ON c.verdict_id = v.id JOIN signals g ON g.id = v.signal_id"
            " WHERE g.account_id = $1 AND c.name <> 'venue_share' ORDER BY v.decided_at, c.position",
            office.account_id,
        )
        answers.append([tuple(row) for row in rows])
    assert answers[0] == answers[1]
    assert len(answers[0]) > 40 * 30
    assert {disposition for _, disposition, *_ in answers[0]} == {"approved", "reduced", "refused"}


def a_risk_manager(office: Office) -> RiskManager:
    settings = RiskSettings(max_volume_percent=Decimal(100))
    return RiskManager(
        settings=settings, clock=office.clock, bus=office.bus, manager=office.manager, bars_of=DatabaseBars
    )
