"""The laws of the platform as questions to its database: whatever was killed when, a run that has ended breaks none."""

from datetime import datetime
from typing import Any

from mastertrade.market_data_service.source import Source, to_datetime
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.shared.postgres_manager import PostgresManager

FINAL = "('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND')"

QUESTIONS = {
    "a signal raised on a bar has not exactly one verdict": """
        SELECT g.symbol, g.bar_close, g.signal_type, count(v.id) FROM signals g LEFT JOIN verdicts v ON v.signal_id = g.id
         WHERE g.bar_close IS NOT NULL GROUP BY g.id HAVING count(v.id) <> 1""",
    "an approval has not exactly one order": """
        SELECT a.id, count(o.id) FROM approvals a LEFT JOIN orders o ON o.approval_id = a.id GROUP BY a.id
        HAVING count(o.id) <> 1""",
    "the venue accepted a client id more than once": """
        SELECT client_order_id, count(*) FROM paper_venue.orders GROUP BY 1 HAVING count(*) > 1""",
    "the venue has an order we do not know, or another one than ours": """
        SELECT p.account, p.client_order_id, o.status FROM paper_venue.orders p
          LEFT JOIN (SELECT o.*, a.name FROM orders o JOIN accounts a ON a.id = o.account_id) o
            ON o.client_order_id = p.client_order_id AND o.name = p.account AND o.symbol = p.symbol AND o.side = p.side
           AND o.quantity = p.quantity AND o.exchange_order_id = 'paper-' || p.id
         WHERE o.id IS NULL""",
    "an order of ours that may be at the venue is not there": f"""
        SELECT o.client_order_id, o.status FROM orders o
          LEFT JOIN paper_venue.orders p ON p.client_order_id = o.client_order_id
         WHERE p.id IS NULL AND o.status NOT IN {FINAL} AND o.status <> 'UNKNOWN' OR p.id IS NULL AND o.status = 'FILLED'""",
    "we and the venue differ over what became of an order": """
        SELECT o.client_order_id, o.status, p.status AS theirs, o.filled_quantity, p.filled_quantity AS their_quantity
          FROM orders o JOIN paper_venue.orders p ON p.client_order_id = o.client_order_id
         WHERE (o.status, o.filled_quantity) IS DISTINCT FROM (p.status, p.filled_quantity)""",
    "a fill of the venue is not booked exactly once, or one is booked that it never had": """
        SELECT p.id AS venue_fill, t.id AS booked FROM paper_venue.fills p
          FULL JOIN (SELECT t.*, o.client_order_id FROM trades t JOIN orders o ON o.id = t.order_id) t
            ON t.exchange_trade_id = p.id::text AND t.client_order_id = p.client_order_id
           AND (t.quantity, t.price, t.commission, t.commission_asset, t.trade_time)
             = (p.quantity, p.price, p.commission, p.commission_asset, p.traded_at)
         WHERE p.id IS NULL OR t.id IS NULL""",
    "a fill has not exactly one ledger entry, or none of its own": """
        SELECT t.id, e.id FROM trades t FULL JOIN (SELECT * FROM ledger_entries WHERE kind = 'fill') e
            ON e.id = t.ledger_entry_id AND e.source_key = t.id::text
         WHERE t.id IS NULL OR e.id IS NULL""",
    "the filled quantity of an order is not the sum of its fills": """
        SELECT o.id, o.filled_quantity, sum(t.quantity) FROM orders o LEFT JOIN trades t ON t.order_id = o.id
         GROUP BY o.id HAVING o.filled_quantity <> coalesce(sum(t.quantity), 0)""",
    "an asset of the ledger does not sum to zero": """
        SELECT asset, sum(amount) FROM ledger_lines GROUP BY asset HAVING sum(amount) <> 0""",
    "a balance is not what the venue holds": """
        SELECT asset, b.amount AS ours, p.amount AS theirs
          FROM (SELECT a.name, b.asset, b.free_balance + b.locked_balance AS amount
                  FROM portfolio_balances b JOIN accounts a ON a.id = b.account_id) b
          FULL JOIN (SELECT account AS name, asset, amount FROM paper_venue.balances) p USING (name, asset)
         WHERE coalesce(b.amount, 0) <> coalesce(p.amount, 0)""",
    "contracts are not those the venue holds": """
        SELECT symbol, c.quantity AS ours, p.quantity AS theirs
          FROM (SELECT a.name, i.symbol, c.quantity FROM contract_positions c JOIN accounts a ON a.id = c.account_id
                  JOIN instruments i ON i.id = c.instrument_id) c
          FULL JOIN (SELECT account AS name, symbol, quantity FROM paper_venue.positions) p USING (name, symbol)
         WHERE coalesce(c.quantity, 0) <> coalesce(p.quantity, 0)""",
    "a settlement of the venue is not booked exactly once": """
        SELECT p.id AS theirs, f.id AS booked FROM paper_venue.funding p
          FULL JOIN funding_payments f ON f.payment_id = p.id::text
           AND (f.asset, f.amount, f.paid_at) = (p.asset, p.amount, p.settled_at)
         WHERE p.id IS NULL OR f.id IS NULL""",
    "a reservation is open without an open order, or the other way round": f"""
        SELECT r.id, r.remaining, o.status FROM reservations r LEFT JOIN orders o ON o.reservation_id = r.id
         WHERE (r.released_at IS NULL) <> coalesce(o.status NOT IN {FINAL}, false)""",
    "the risk manager's positions are not those of the fills": """
        SELECT p.symbol, p.quantity, r.quantity FROM (SELECT * FROM strategy_positions WHERE status = 'open') p
          FULL JOIN (SELECT * FROM risk_positions WHERE status = 'open') r USING (strategy_id, account_id, instrument_id)
         WHERE p.quantity IS DISTINCT FROM r.quantity""",
    "a fact and its event are not together": """
        SELECT fact, facts, events FROM (VALUES
            ('SignalRaised', (SELECT count(*) FROM signals WHERE bar_close IS NOT NULL),
                             (SELECT count(*) FROM outbox WHERE event_type = 'SignalRaised')),
            ('OrderApproved', (SELECT count(*) FROM approvals),
                              (SELECT count(*) FROM outbox WHERE event_type = 'OrderApproved')),
            ('OrderFilled', (SELECT count(*) FROM trades),
                            (SELECT count(*) FROM outbox WHERE event_type = 'OrderFilled'))) AS f (fact, facts, events)
         WHERE facts <> events""",
    "an order made a move that is not legal": """
        SELECT e.order_id, e.from_status, e.to_status FROM order_events e
         WHERE e.from_status <> e.to_status
           AND NOT EXISTS (SELECT FROM order_moves m WHERE (m.from_status, m.to_status) = (e.from_status, e.to_status))""",
    "an event is still waiting": "SELECT consumer, count(*) FROM deliveries GROUP BY 1",
    "a try of an event that was handled is still remembered": "SELECT consumer, count(*) FROM delivery_attempts GROUP BY 1",
    "an event is dead": "SELECT consumer, event_type, attempts, error FROM dead_letters",
    "a fill is in quarantine": "SELECT reason, payload FROM quarantined_fills",
}


async def broken_laws(manager: PostgresManager) -> list[str]:
    """One line for each law that does not hold, with the first rows that break it."""
    broken = []
    for law, question in QUESTIONS.items():
        rows = await manager.fetch(question)
        if rows:
            broken.append(_line(law, [dict(row) for row in rows]))
    problems = await ExecutorPostgresDatabase().ledger_problems(manager)
    if problems:
        broken.append(_line("balances and positions do not rebuild from the ledger", problems))
    return broken


async def broken_market(
    manager: PostgresManager, source: Source, *, feed: str, begin: datetime, end: datetime
) -> list[str]:
    """Whether every candle of the source between two times is stored once as it is, and published once."""
    broken = []
    wanted: dict[tuple[str, str], list[tuple[Any, ...]]] = {one.key: [] for one in source.instruments}
    for series in source.history(end):
        for bars in series.chunks if series.interval_s == source.interval_s else ():
            columns = (bars.time, bars.open, bars.high, bars.low, bars.close, bars.volume)
            for time, *rest in zip(*(column.tolist() for column in columns), strict=True):
                if to_datetime(time) >= begin:
                    wanted[series.listing.key].append((to_datetime(time), *rest))
    for (venue, symbol), candles in wanted.items():
        rows = await manager.fetch(
            """SELECT c.open_time, c.open, c.high, c.low, c.close, c.volume FROM candles c
                 JOIN instruments i ON i.id = c.instrument_id
                WHERE i.venue = $1 AND i.symbol = $2 AND c.open_time >= $3 ORDER BY c.open_time""",
            venue, symbol, begin,
        )  # fmt: skip
        stored = [tuple(row.values()) for row in rows]
        if stored != candles:
            differing = sorted(set(stored) ^ set(candles))
            broken.append(_line(f"{len(stored)} candles of {venue} {symbol} are stored, not {len(candles)}", differing))
    times = {candle[0] for candles in wanted.values() for candle in candles}
    row = await manager.fetchrow("SELECT position, batches FROM feeds WHERE name = $1", feed)
    if row is None or tuple(row.values()) != (max(times), len(times)):
        broken.append(f"the feed stands at {row and dict(row)}, not at {max(times)} after {len(times)} batches")
    published = await manager.fetch(
        "SELECT payload ->> 'open_time', count(*) FROM outbox WHERE event_type = 'CandlesClosed' GROUP BY 1"
    )
    if len(published) != len(times) or any(row["count"] != 1 for row in published):
        broken.append(f"{len(published)} closes were published, not {len(times)}, each once")
    return broken


def _line(law: str, rows: list[Any]) -> str:
    return f"{law} ({len(rows)}): {rows[:5]}"
