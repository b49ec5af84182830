"""The watch over accounts: figures kept, one open alert for each condition, updated and resolved."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from mastertrade.domain.events import CandlesClosed, RiskAlertChanged
from mastertrade.domain.risk import RiskLevel
from mastertrade.risk_manager.database import RiskManagementDatabase
from mastertrade.risk_manager.models import AlertType
from mastertrade.shared.postgres_manager import PostgresManager, Row
from mastertrade.shared.serialization import new_id
from tests.postgres.risk_seed import START, VENUE, Office, open_office
from tests.postgres.test_risk_book import candle_of

FIVE = timedelta(minutes=5)


async def closed(office: Office, at: datetime) -> None:
    """A minute closes; the book and the watch hear of it."""
    candle = candle_of(office, VENUE, at - timedelta(minutes=1))
    event = CandlesClosed(id=new_id(at), occurred_at=at, interval_s=60, open_time=candle.open_time, candles=(candle,))
    for subscription in office.risk.subscriptions():
        if (handler := subscription.handlers.get(CandlesClosed)) is not None:
            async with office.manager.transaction() as tx:
                await handler(event, tx)


async def alerts(office: Office) -> dict[tuple[str, str | None], Row]:
    rows = await office.manager.fetch("SELECT * FROM risk_alerts ORDER BY timestamp")
    return {(row["alert_type"], row["symbol"]): row for row in rows}


def news(office: Office) -> list[tuple[str, str, str]]:
    events = [one for one in office.bus.events if isinstance(one, RiskAlertChanged)]
    office.bus.events.clear()
    return sorted((one.change, one.alert_type, one.severity) for one in events)


async def test_an_alert_is_raised_updated_escalated_acknowledged_and_resolved(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "0.13")
    await office.candle(50_000.0, close_time=START)
    await closed(office, START)
    large = ("exposure_limit", "BTC/USDT")
    first = (await alerts(office))[large]
    assert (first["severity"], first["status"], first["threshold_value"]) == ("medium", "open", 5.0)
    assert first["current_value"] == pytest.approx(6_500 / 106_500 * 100)
    assert first["id"].startswith(f"exposure_BTCUSDT_{int(START.timestamp())}_")
    assert ("raised", "exposure_limit", "medium") in news(office)

    await closed(office, START)
    assert news(office) == [], "the same moment again is no news"
    await office.manager.fetchval(
        "SELECT acknowledge_alert($1, 'ann', 'known', $2)", first["id"], START + timedelta(seconds=1)
    )

    await office.candle(55_000.0, close_time=START + FIVE)
    await closed(office, START + FIVE)
    same = (await alerts(office))[large]
    assert (same["id"], same["status"], same["timestamp"]) == (first["id"], "acknowledged", START)
    assert same["current_value"] > first["current_value"]
    assert news(office) == []

    await office.candle(90_000.0, close_time=START + 2 * FIVE)
    await closed(office, START + 2 * FIVE)
    worse = (await alerts(office))[large]
    assert (worse["severity"], worse["status"]) == ("high", "open"), "what got worse must be seen again"
    assert ("escalated", "exposure_limit", "high") in news(office)

    await office.candle(20_000.0, close_time=START + 3 * FIVE)
    await closed(office, START + 3 * FIVE)
    ended = (await alerts(office))[large]
    assert (ended["status"], ended["resolved_at"]) == ("resolved", START + 3 * FIVE)
    assert ("resolved", "exposure_limit", "high") in news(office)

    await office.candle(60_000.0, close_time=START + 4 * FIVE)
    await closed(office, START + 4 * FIVE)
    rows = await database.fetch("SELECT status FROM risk_alerts WHERE alert_type = 'exposure_limit' ORDER BY timestamp")
    assert [row["status"] for row in rows] == ["resolved", "open"]


async def test_an_alert_does_not_come_and_go_around_its_limit(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "0.106")
    heard = []
    for number, price in enumerate((50_000.0, 49_000.0, 50_500.0, 48_000.0, 46_000.0)):
        at = START + number * FIVE
        await office.candle(price, close_time=at)
        await closed(office, at)
        heard.append([change for change, kind, _ in news(office) if kind == "exposure_limit"])
    assert heard == [["raised"], [], [], [], ["resolved"]], "5.03, 4.94, 5.08, 4.84 and 4.65 % of a limit of 5"
    message = await database.fetchval("SELECT message FROM risk_alerts WHERE alert_type = 'exposure_limit'")
    assert message.endswith("4.84 % is still near 5.00 %"), "as it was last seen"


async def test_an_older_moment_changes_no_alert(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "0.2")
    await office.candle(50_000.0, close_time=START)
    await closed(office, START)
    before = await alerts(office)
    assert (
        await database.fetch(
            "SELECT * FROM settle_alerts($1, $2, '[]', ARRAY['drawdown_warning', 'concentration_risk'])",
            office.account_id,
            START - FIVE,
        )
        == []
    )
    assert await alerts(office) == before
    assert await database.fetchval("SELECT acknowledge_alert('none', 'ann', '', $1)", START) is False


async def test_only_multiples_of_the_interval_are_looked_at_and_figures_are_kept(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "0.2")
    await office.candle(50_000.0, close_time=START)
    await closed(office, START + timedelta(minutes=1))
    assert await database.fetchval("SELECT count(*) FROM risk_metrics") == 0
    await closed(office, START + FIVE)
    [row] = await database.fetch("SELECT * FROM risk_metrics")
    metrics = row["metrics"]
    assert (row["account_id"], row["timestamp"], row["date"]) == (office.account_id, START + FIVE, START.date())
    assert metrics["total_portfolio_value"] == 110_000.0
    assert metrics["total_exposure"] == 10_000.0
    assert metrics["var_is_assumed"] is True, "there is one candle"
    assert metrics["var_1d"] == pytest.approx(1.6448536 * 0.1 * 10_000)
    assert metrics["sector_concentration"] == {"CRYPTO": 10_000.0}
    assert (metrics["risk_level"], metrics["max_drawdown"], metrics["illiquid_positions_percent"]) == (
        "medium",
        0.0,
        100.0,
    )
    assert 0 < metrics["risk_score"] < 100


async def test_the_deepest_drawdown_is_that_of_any_minute(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "1")
    for number, price in enumerate((50_000.0, 20_000.0, 50_000.0, 40_000.0, 45_000.0)):
        at = START + timedelta(minutes=number + 1)
        await office.candle(price, close_time=at)
        await closed(office, at)
    metrics = await database.fetchval("SELECT metrics FROM risk_metrics")
    assert metrics["max_drawdown"] == pytest.approx(20.0), "150,000 was 120,000 for a minute between two looks"
    assert metrics["current_drawdown"] == pytest.approx(100 * 5 / 150)


async def test_alerts_are_read_by_the_older_api_in_its_own_words(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "0.2")
    await office.candle(50_000.0, close_time=START)
    await closed(office, START)
    legacy = RiskManagementDatabase(database, clock=office.clock)
    active = await legacy.get_active_risk_alerts()
    found = {(one["alert_type"], one["symbol"]): one for one in active}
    assert found[AlertType.EXPOSURE_LIMIT, "BTCUSDT"]["severity"] is RiskLevel.HIGH
    assert Decimal(str(found[AlertType.EXPOSURE_LIMIT, "BTCUSDT"]["threshold_value"])) == 5
