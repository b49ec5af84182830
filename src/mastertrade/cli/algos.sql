-- name: algo_rows
-- Why: what waits for its time or is under way in parts, the newest first, or one of them with all it was asked for.
SELECT a.id, a.kind, c.name AS account, s.name AS strategy, i.symbol, a.side, a.quantity::numeric AS quantity,
       a.limit_price::numeric AS limit_price, a.terms, a.rules, a.progress, a.status, a.outcome, a.actor, a.reason, a.began_at, a.ends_at,
       a.updated_at, a.ended_at, coalesce(f.filled, 0)::numeric AS filled
  FROM algo_orders a
  JOIN accounts c ON c.id = a.account_id
  JOIN strategies s ON s.id = a.strategy_id
  JOIN instruments i ON i.id = a.instrument_id
  LEFT JOIN LATERAL (
       SELECT sum(o.filled_quantity) AS filled FROM algo_order_steps t JOIN orders o ON o.signal_id = t.signal_id
        WHERE t.algo_order_id = a.id AND t.leg <> 'exit') f ON true
 WHERE (:id::uuid IS NULL OR a.id = :id) AND (:with_past::boolean OR a.ended_at IS NULL)
   AND (:symbol::text IS NULL OR i.symbol = :symbol)
 ORDER BY a.ended_at IS NOT NULL, a.began_at DESC, a.id LIMIT :page;

-- name: algo_steps
-- Why: each order that came of it, with its verdict.
SELECT t.step, t.leg, t.raised_at, t.quantity::numeric AS quantity, t.signal_id, v.disposition, v.reason, o.id AS order_id, o.client_order_id,
       o.status, o.filled_quantity::numeric AS filled_quantity, o.avg_fill_price::numeric AS avg_fill_price
  FROM algo_order_steps t
  LEFT JOIN verdicts v ON v.signal_id = t.signal_id
  LEFT JOIN orders o ON o.id = coalesce(t.order_id, (SELECT x.id FROM orders x WHERE x.signal_id = t.signal_id LIMIT 1))
 WHERE t.algo_order_id = :id ORDER BY t.step LIMIT 1000;

-- name: algo_unguarded
-- Why: whoever calls off what guards a position is told that it is still held, and what is left to guard it.
SELECT algo_order_id, symbol, side, quantity, kind, stop_price FROM unguarded_positions('-infinity')
 WHERE algo_order_id = ANY(:ids::uuid[]) ORDER BY symbol LIMIT 1000;
