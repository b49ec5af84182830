-- name: order_list
-- Why: orders for people, the newest first; the order in which they were written, which in a replay need not be that of the market's time.
SELECT o.id, o.client_order_id, a.name AS account, s.name AS strategy, o.symbol, o.side, o.order_type, o.quantity,
       o.filled_quantity, o.price, o.avg_fill_price, o.commission, o.commission_asset, o.status, o.order_time, o.update_time,
       o.time_in_force, o.expires_at, o.post_only, o.reduce_only
  FROM orders o
  JOIN accounts a ON a.id = o.account_id
  LEFT JOIN strategies s ON s.id = o.strategy_id
 WHERE (NOT :is_open::boolean OR o.status NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND'))
   AND (:status::text IS NULL OR o.status = :status)
   AND (:symbol::text IS NULL OR o.symbol = :symbol)
   AND (:account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text))
   AND (:strategy::text IS NULL OR lower(:strategy) IN (lower(s.name), s.id::text))
 ORDER BY o.order_time DESC, o.id DESC LIMIT :page;

-- name: order_of
-- Why: one order by any of its ids, or the beginning of its own.
SELECT o.*, a.name AS account, s.name AS strategy
  FROM orders o JOIN accounts a ON a.id = o.account_id LEFT JOIN strategies s ON s.id = o.strategy_id
 WHERE :name IN (o.client_order_id, o.exchange_order_id, o.id::text)
    OR (length(:name) >= 8 AND o.id::text LIKE replace(:name, '%', '') || '%')
 ORDER BY o.order_time DESC LIMIT 2;

-- name: is_market
-- Why: a market that nobody has would only look like one without orders.
SELECT EXISTS (SELECT 1 FROM instruments WHERE symbol = :symbol);

-- name: order_account
-- Why: people name accounts, the database knows ids.
SELECT id FROM accounts WHERE lower(:account::text) IN (lower(name), id::text) LIMIT 1;

-- name: order_states
-- Why: whether what was wanted cancelled has ended, and how.
SELECT id, client_order_id, symbol, side, quantity, filled_quantity, status FROM orders WHERE id = ANY(:ids::uuid[])
 ORDER BY order_time, id;

-- name: orders_to_cancel
-- Why: people see which orders they ask to be cancelled.
SELECT o.id FROM orders o
 WHERE o.status NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND')
   AND (:symbol::text IS NULL OR o.symbol = :symbol) AND (:account_id::uuid IS NULL OR o.account_id = :account_id)
 ORDER BY o.order_time, o.id LIMIT 10000;

-- name: reconcile_accounts
-- Why: whether each account may trade, and since when and why not. An epoch that has passed on proves nothing.
SELECT a.id, a.name AS account, a.venue, a.environment, coalesce(s.state, 'recovering') AS state,
       coalesce(s.reason, 'not compared yet') AS reason, s.since, s.compared_at,
       (SELECT count(*) FROM quarantined_fills q WHERE q.account_id = a.id) AS quarantined
  FROM accounts a LEFT JOIN account_states s ON s.account_id = a.id
 WHERE :account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text)
 ORDER BY a.name LIMIT 1000;

-- name: reconcile_breaks
-- Why: what our books and the venue disagree about, and who has said that it may stand.
SELECT b.id, a.name AS account, a.id AS account_id, b.kind, b.subject, b.ours, b.theirs, b.detail, b.blocks, b.times_seen,
       b.first_seen, b.last_seen, b.waived_by, b.waive_reason, b.closed_at, b.closed_by
  FROM reconciliation_breaks b JOIN accounts a ON a.id = b.account_id
 WHERE (:with_closed::boolean OR b.closed_at IS NULL)
   AND (:account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text))
 ORDER BY b.closed_at IS NOT NULL, b.first_seen DESC, a.name, b.kind, b.subject LIMIT :page;

-- name: order_steps
-- Why: the whole life of an order, with who told each step.
SELECT event_type, from_status, to_status, source, payload, occurred_at FROM order_events WHERE order_id = :order_id
 ORDER BY id LIMIT 1000;

-- name: order_fills
-- Why: what was filled, and the booking it became.
SELECT exchange_trade_id, quantity, price, commission, commission_asset, is_maker, realized_pnl, trade_time, ledger_entry_id
  FROM trades WHERE order_id = :order_id ORDER BY trade_time, exchange_trade_id LIMIT 1000;

-- name: position_list
-- Why: what each strategy holds, and what it held.
SELECT a.name AS account, s.name AS strategy, p.symbol, p.status, signed_quantity(p.side, p.quantity) AS quantity, p.entry_price,
       l.close AS last_price,
       CASE WHEN p.status = 'open' THEN signed_quantity(p.side, p.quantity) * (l.close::numeric - p.entry_price) END
           AS unrealized_pnl, p.realized_pnl + p.funding AS realized_pnl, p.funding,
       p.opened_at, p.closed_at
  FROM strategy_positions p
  JOIN strategies s ON s.id = p.strategy_id
  JOIN accounts a ON a.id = p.account_id
  LEFT JOIN account_marks m ON m.account_id = a.id
  LEFT JOIN LATERAL last_candle(p.instrument_id, coalesce(m.marked_at, now())) l ON true
 WHERE (:with_closed::boolean OR p.status = 'open')
   AND (:account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text))
 ORDER BY p.status = 'closed', coalesce(p.closed_at, p.opened_at) DESC, a.name, p.symbol, s.name LIMIT :page;

-- name: position_lots
-- Why: when what was bought, what of it was sold when, and what that brought, first in, first out.
SELECT a.name AS account, s.name AS strategy, f.symbol, f.quantity, f.cost / f.quantity AS unit_cost, f.cost, f.bought_at,
       f.sold_at, f.proceeds, f.realized, f.purchase, f.sale
  FROM accounts a
 CROSS JOIN LATERAL fifo_lots(p_account => a.id) f
  JOIN strategies s ON s.id = f.strategy_id
 WHERE (:account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text))
   AND (:symbol::text IS NULL OR f.symbol = :symbol) AND (:with_closed::boolean OR f.sale IS NULL)
 ORDER BY a.name, f.symbol, s.name, f.bought_at, f.purchase, f.sold_at LIMIT :page;

-- name: balance_list
-- Why: what each account owns, what of it is promised to orders, and what it is worth.
SELECT a.name AS account, a.quote_asset, b.asset, b.free_balance, b.locked_balance, h.value
  FROM accounts a
  JOIN portfolio_balances b ON b.account_id = a.id AND (b.free_balance <> 0 OR b.locked_balance <> 0)
  LEFT JOIN account_marks m ON m.account_id = a.id
  LEFT JOIN LATERAL holdings_at(a.id, coalesce(m.marked_at, now())) h
    ON h.asset = b.asset AND h.quantity = b.free_balance + b.locked_balance
 WHERE :account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text)
 ORDER BY a.name, b.asset LIMIT :page;

-- name: ledger_list
-- Why: every booking with its lines, the newest first; the lines of an entry sum to nothing for each asset.
SELECT e.id, a.name AS account, e.kind, e.source_key, e.occurred_at,
       (SELECT jsonb_agg(jsonb_build_object('account', l.account, 'asset', l.asset, 'amount', l.amount::text) ORDER BY l.line)
          FROM ledger_lines l WHERE l.entry_id = e.id) AS lines
  FROM ledger_entries e JOIN accounts a ON a.id = e.account_id
 WHERE (:account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text))
   AND (:asset::text IS NULL OR EXISTS (SELECT 1 FROM ledger_lines l WHERE l.entry_id = e.id AND l.asset = :asset))
 ORDER BY e.id DESC LIMIT :page;

-- name: hand_outcome
-- Why: what became of a wish so far: its verdict, and its order.
SELECT v.disposition, v.reason, v.requested_quantity, v.approved_quantity, v.decided_at, o.id AS order_id, o.client_order_id,
       o.status, o.quantity, o.filled_quantity, o.avg_fill_price, o.commission, o.commission_asset
  FROM signals s
  LEFT JOIN verdicts v ON v.signal_id = s.id
  LEFT JOIN orders o ON o.signal_id = s.id
 WHERE s.id = :signal_id;

-- name: is_somebody_there
-- Why: a wish waits for whoever judges and sends.
SELECT EXISTS (SELECT 1 FROM leases l JOIN pg_locks k
       ON k.locktype = 'advisory' AND k.granted
      AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (k.classid::bigint << 32 | k.objid::bigint) = hashtextextended('role:' || l.role, 0));
