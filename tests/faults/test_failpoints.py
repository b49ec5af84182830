"""Death and silence at each step of an order's way: one order is in flight, and nothing else is lost."""

from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from mastertrade.postgres.apply import apply_schema
from mastertrade.shared.postgres_manager import PostgresManager
from tests.faults.lost_orders import orders_in_flight, unexplained
from tests.faults.replaying import Start
from tests.platform.walk_laws import broken_laws, broken_market
from tests.platform.walk_seed import ACCOUNT, START, Story, opened, played, short_plan, simulated, story

KILLED = 137
MINUTES = 25
LATE = {"NOT_FOUND"}
"""What becomes of an order that died on its way: the venue never had it."""
FOUND = {"FILLED"}


@pytest.mark.parametrize(
    ("deaths", "ends"),
    [
        (["executor.submitting=exit@9"], LATE),
        (["paper.before_accept=exit@9"], LATE),
        (["paper.after_accept=exit@9"], FOUND),
        (["executor.answered=exit@9"], FOUND),
        (["executor.filled=exit@9"], set()),
        (["paper.after_accept=exit@9", "paper.list=exit"], FOUND),
        (["paper.before_accept=exit@9", "paper.find=exit"], LATE),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
async def test_a_process_that_dies_at_a_failpoint_is_followed_by_one_that_brings_everything_to_its_end(
    deaths: list[str], ends: set[str], start: Start, database: PostgresManager, dsn: str, undisturbed: Story
) -> None:
    end = START + timedelta(minutes=MINUTES)
    for failpoints in deaths:
        dying = start(end.isoformat(), **server_of(dsn), MASTERTRADE_FAILPOINTS=failpoints)
        assert dying.wait() == KILLED, dying.said
    last = start(end.isoformat(), **server_of(dsn))
    assert last.wait() == 0, last.said
    ended = await ends_of_lost_orders(database, end, undisturbed)
    assert ends <= ended <= LATE | FOUND, "the order that died, and those that were being sent beside it"


@pytest.mark.parametrize(
    ("failpoints", "ends"),
    [
        ("executor.submitting=silence@9", LATE),
        ("paper.before_accept=silence@9", LATE),
        ("paper.after_accept=silence@9", FOUND),
        ("executor.answered=silence@9", FOUND),
        ("paper.after_accept=silence@*", FOUND | {"OPEN"}),
        ("paper.after_accept=silence@9,paper.list=silence@1", FOUND),
        ("paper.before_accept=silence@9,paper.find=silence@2", LATE),
    ],
)
async def test_an_answer_that_never_comes_leaves_an_order_unknown_until_the_venue_is_asked(
    failpoints: str, ends: set[str], database: PostgresManager, dsn: str, undisturbed: Story
) -> None:
    plan = short_plan(minutes=MINUTES)
    await played(database, dsn, plan, mastertrade_failpoints=failpoints)
    async with opened(database, dsn, plan):
        """Started once more, it hears of the orders that nobody has asked for yet."""
    assert plan.end is not None
    assert await ends_of_lost_orders(database, plan.end, undisturbed) == ends


@pytest_asyncio.fixture
async def undisturbed(empty_database: PostgresManager, empty_dsn: str) -> Story:
    """What the failpoint runs would have done without them; played once in each test process."""
    if not _UNDISTURBED:
        await apply_schema(empty_database)
        await played(empty_database, empty_dsn, short_plan(minutes=MINUTES))
        _UNDISTURBED.append(await story(empty_database))
    return _UNDISTURBED[0]


_UNDISTURBED: list[Story] = []


async def ends_of_lost_orders(manager: PostgresManager, end: datetime, undisturbed: Story) -> set[str]:
    """How the orders ended that were in flight at a death, in a run that breaks no law and lost nothing else."""
    broken = await broken_laws(manager)
    broken += await broken_market(manager, simulated(), feed=ACCOUNT, begin=START, end=end)
    assert not broken, "\n".join(broken)
    lost = await orders_in_flight(manager)
    ours = await story(manager)
    assert ours.signals == undisturbed.signals
    assert not unexplained(ours.fills, undisturbed.fills, lost)
    return {order["status"] for order in lost}


def server_of(dsn: str) -> dict[str, str]:
    """The settings that lead another process to a test's database."""
    parts = urlsplit(dsn)
    assert parts.hostname
    assert parts.password
    return {
        "POSTGRES_HOST": parts.hostname,
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_PASSWORD": parts.password,
        "POSTGRES_DB": parts.path.lstrip("/"),
    }
