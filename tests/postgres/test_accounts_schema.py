"""accounts.sql: every branch of the functions that move money, and the guards of the ledger."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from mastertrade.shared.errors import ConstraintViolated, DatabaseError
from mastertrade.shared.postgres_manager import Database, PostgresManager

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
NO_AMOUNTS = ("0", "-1", "'NaN'", "'Infinity'", "'-Infinity'", "NULL")


@dataclass(frozen=True, kw_only=True)
class Books:
    """One account and the functions of accounts.sql as calls."""

    db: PostgresManager
    account: UUID

    async def deposit(self, amount: Any, asset: str = "USDT", key: str = "first") -> bool:
        return bool(await self.db.fetchval("SELECT deposit($1, $2, $3, $4, $5)", self.account, asset, amount, key, NOW))

    async def reserve(self, amount: Any, asset: str = "USDT", id: UUID | None = None) -> UUID | None:
        reservation = id or uuid4()
        done = await self.db.fetchval(
            "SELECT reserve_balance($1, $2, $3, $4, $5)", reservation, self.account, asset, amount, NOW
        )
        return reservation if done else None

    async def consume(self, reservation: UUID | None, amount: Any) -> Decimal:
        taken: Decimal = await self.db.fetchval("SELECT consume_reservation($1, $2, $3)", reservation, amount, LATER)
        return taken

    async def release(self, reservation: UUID) -> None:
        await self.db.fetchval("SELECT release_reservation($1, $2)", reservation, LATER)

    async def post(
        self, lines: list[tuple[str, str, Any]], *, kind: str = "adjustment", db: Database | None = None
    ) -> int | None:
        columns = [list(column) for column in zip(*lines, strict=True)]
        entry: int | None = await (db or self.db).fetchval(
            "SELECT post_entry($1, $2, 'entry', $3, $4, $5, $6)", self.account, kind, NOW, *columns
        )
        return entry

    async def balance(self, asset: str = "USDT") -> Any:
        """Free and reserved."""
        row = await self.db.fetchrow(
            "SELECT free_balance, locked_balance FROM portfolio_balances WHERE account_id = $1 AND asset = $2",
            self.account, asset,
        )  # fmt: skip
        return row and tuple(row.values())

    async def differences(self) -> list[Any]:
        return list(await self.db.fetch("SELECT * FROM v_balance_check WHERE difference <> 0"))


@pytest.fixture
async def books(database: PostgresManager) -> Books:
    account = await database.fetchval("INSERT INTO accounts (name, venue) VALUES ('desk', 'simulated') RETURNING id")
    return Books(db=database, account=account)


async def test_a_deposit_is_one_balanced_entry_however_often_it_is_told(books: Books) -> None:
    assert [await books.deposit(Decimal("10.5")) for _ in range(3)] == [True, False, False]
    assert await books.deposit(Decimal(4), key="second") is True
    assert await books.balance() == (Decimal("14.5"), 0)
    lines = await books.db.fetch("SELECT account, amount FROM ledger_lines WHERE entry_id = 1 ORDER BY line")
    assert {row["account"]: row["amount"] for row in lines} == {
        "asset:spot": Decimal("10.5"),
        "equity:deposit": Decimal("-10.5"),
    }
    assert await books.differences() == []


async def test_deposits_told_at_once_by_many_are_one(books: Books) -> None:
    answers = await asyncio.gather(*(books.deposit(1) for _ in range(8)))
    assert sorted(answers) == [False] * 7 + [True]
    assert await books.balance() == (1, 0)


async def test_a_deposit_of_no_amount_is_refused_and_leaves_nothing(books: Books) -> None:
    for amount in (*NO_AMOUNTS, "1e24", "1e-19"):
        with pytest.raises(ConstraintViolated, match=r"above 0|amount_is_finite|null"):
            await books.db.fetchval(f"SELECT deposit($1, 'USDT', {amount}::numeric, 'k', now())", books.account)
    assert await books.db.fetchval("SELECT count(*) FROM ledger_entries") == 0
    assert await books.balance() is None


async def test_an_entry_is_posted_once_without_its_zero_lines(books: Books) -> None:
    lines = [("asset:spot", "USDT", 5), ("asset:spot", "BTC", 0), ("equity:adjustment", "USDT", -5)]
    assert await books.post(lines) is not None
    assert await books.post(lines) is None
    assert await books.db.fetchval("SELECT array_agg(line || account ORDER BY line) FROM ledger_lines") == [
        "1asset:spot", "2equity:adjustment",
    ]  # fmt: skip
    assert len(await books.differences()) == 1, "an entry alone moves no balance, and the check sees it"
    await books.db.execute("SELECT move_free_balance($1, 'USDT', 5, $2)", books.account, NOW)
    assert await books.differences() == []


async def test_an_entry_that_does_not_balance_cannot_commit(books: Books) -> None:
    for others in ([("equity:adjustment", "USDT", -4)], [("equity:adjustment", "BTC", -5)], []):
        with pytest.raises(ConstraintViolated, match=r"ledger entry \d does not balance: \w+ is off by"):
            await books.post([("asset:spot", "USDT", 5), *others])  # ledger_entry_balances looks
    assert await books.db.fetchval("SELECT count(*) FROM ledger_entries") == 0


async def test_an_entry_is_held_to_its_balance_when_the_transaction_ends(books: Books) -> None:
    async with books.db.transaction() as tx:
        entry = await books.post([("asset:spot", "USDT", 5)], db=tx)
        await tx.execute("INSERT INTO ledger_lines VALUES ($1, 2, 'equity:adjustment', 'USDT', -5)", entry)
    assert await books.db.fetchval("SELECT sum(amount) FROM ledger_lines") == 0


async def test_an_entry_of_unknown_kind_account_or_owner_is_refused(books: Books) -> None:
    pair = [("asset:spot", "USDT", 5), ("equity:adjustment", "USDT", -5)]
    with pytest.raises(ConstraintViolated, match="ledger_entries_kind_is_known"):
        await books.post(pair, kind="gift")
    with pytest.raises(ConstraintViolated, match="ledger_lines_account_is_known"):
        await books.post([("asset:mattress", "USDT", 5), ("equity:adjustment", "USDT", -5)])
    with pytest.raises(ConstraintViolated, match="foreign key"):
        await Books(db=books.db, account=uuid4()).post(pair)


async def test_the_ledger_is_never_changed(books: Books) -> None:
    await books.deposit(1)
    for table, change in (("ledger_entries", "source_key = 'x'"), ("ledger_lines", "amount = 2")):
        for statement in (f"UPDATE {table} SET {change}", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(DatabaseError, match=r"append-only: \w+ is refused"):  # refuse_change
                await books.db.execute(statement)
    assert await books.db.fetchval("SELECT sum(amount) FROM ledger_lines WHERE amount > 0") == 1


async def test_capital_is_reserved_up_to_what_is_free(books: Books) -> None:
    await books.deposit(10)
    assert await books.reserve(4) is not None
    assert await books.balance() == (6, 4)
    assert await books.reserve(Decimal("6.000000000000000001")) is None
    assert await books.reserve(6) is not None
    assert await books.balance() == (0, 10)
    assert await books.differences() == []


async def test_no_amount_and_no_balance_reserve_nothing(books: Books) -> None:
    await books.deposit(10)
    for amount in NO_AMOUNTS:
        reserve = f"SELECT reserve_balance(gen_random_uuid(), $1, 'USDT', {amount}::numeric, now())"
        assert await books.db.fetchval(reserve, books.account) is False
    assert await books.reserve(1, asset="BTC") is None
    assert await books.db.fetchval("SELECT count(*) FROM reservations") == 0
    assert await books.balance() == (10, 0)


async def test_a_reservation_id_is_used_once(books: Books) -> None:
    await books.deposit(10)
    id = await books.reserve(1)
    with pytest.raises(ConstraintViolated, match="reservations_pkey"):
        await books.reserve(1, id=id)
    assert await books.balance() == (9, 1)


async def test_eight_at_once_never_reserve_more_than_there_is(books: Books) -> None:
    await books.deposit(100)

    async def reserver() -> list[UUID | None]:
        return [await books.reserve(Decimal("3.7")) for _ in range(6)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(reserver()) for _ in range(8)]
    got = [id for task in tasks for id in task.result() if id is not None]
    assert len(got) == 27, "27 times 3.7 is 99.9"
    assert await books.balance() == (Decimal("0.1"), Decimal("99.9"))
    async with asyncio.TaskGroup() as group:
        for id in got * 2:
            group.create_task(books.release(id))
    assert await books.balance() == (100, 0), "each is given back once"


async def test_a_reservation_covers_what_is_left_of_it(books: Books) -> None:
    await books.deposit(10)
    id = await books.reserve(6)
    assert id is not None
    assert [await books.consume(id, amount) for amount in (2, 0, 1, 5, 5)] == [2, 0, 1, 3, 0]
    assert await books.balance() == (4, 0), "consumed amounts leave the account; the caller books where they went"
    assert await books.consume(uuid4(), 5) == 0
    assert await books.consume(None, 5) == 0


async def test_a_negative_amount_consumes_nothing(books: Books) -> None:
    await books.deposit(10)
    id = await books.reserve(6)
    assert await books.consume(id, -1) == 0
    assert await books.balance() == (4, 6)


async def test_the_rest_of_a_reservation_is_given_back_once(books: Books) -> None:
    await books.deposit(10)
    id = await books.reserve(6)
    assert id is not None
    await books.consume(id, 2)
    for _ in range(2):
        await books.release(id)
        assert await books.balance() == (8, 0)
    assert await books.consume(id, 1) == 0
    await books.release(uuid4())
    row = await books.db.fetchrow("SELECT amount, remaining, released_at FROM reservations")
    assert row is not None
    assert tuple(row.values()) == (6, 0, LATER)


async def test_a_free_balance_moves_both_ways_and_keeps_its_accounts_environment(books: Books) -> None:
    for amount in (3, -5):
        await books.db.execute("SELECT move_free_balance($1, 'BNB', $2, $3)", books.account, amount, NOW)
    assert await books.balance("BNB") == (-2, 0), "a fee beyond what is owned is shown, not hidden"
    assert await books.db.fetchval("SELECT environment FROM portfolio_balances") == "paper"
    await books.db.execute("SELECT move_free_balance($1, 'BNB', 1, $2)", uuid4(), NOW)
    assert await books.db.fetchval("SELECT count(*) FROM portfolio_balances") == 1


async def test_a_lease_goes_to_the_last_who_took_it(books: Books) -> None:
    take, held = "SELECT take_lease($1, $2, $3)", "SELECT lease_is_held($1, $2)"
    assert await books.db.fetchval(held, "sender", 1) is False
    assert [await books.db.fetchval(take, "sender", holder, NOW) for holder in "ab"] == [1, 2]
    assert await books.db.fetchval(take, "other", "a", NOW) == 1
    assert [await books.db.fetchval(held, "sender", epoch) for epoch in (1, 2, 3, None)] == [False, True, False, False]
    assert await books.db.fetchval("SELECT holder FROM leases WHERE role = 'sender'") == "b"


async def test_a_takeover_waits_until_what_was_written_under_the_old_lease_has_ended(books: Books) -> None:
    await books.db.fetchval("SELECT take_lease('sender', 'a', $1)", NOW)
    async with books.db.transaction() as tx:
        assert await tx.fetchval("SELECT lease_is_held('sender', 1)") is True
        takeover = asyncio.create_task(books.db.fetchval("SELECT take_lease('sender', 'b', $1)", NOW))
        await asyncio.sleep(0.1)
        assert not takeover.done()
        assert await tx.fetchval("SELECT lease_is_held('sender', 1)") is True
    assert await takeover == 2
    assert await books.db.fetchval("SELECT lease_is_held('sender', 1)") is False


async def test_a_balance_without_its_ledger_entry_is_found(books: Books) -> None:
    await books.deposit(10)
    await books.db.execute("UPDATE portfolio_balances SET free_balance = 11")
    (row,) = await books.differences()
    assert (row["asset"], row["balance"], row["ledger"], row["difference"]) == ("USDT", 11, 10, 1)
