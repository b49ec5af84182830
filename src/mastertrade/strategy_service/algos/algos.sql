-- name: algo_orders_at_work
-- Why: the market, the account and the strategy of an algo order as the keeper needs them; locked, so that two who look at
-- the same time do so one after the other.
SELECT a.id, a.kind, a.account_id, a.strategy_id, a.instrument_id, a.side, a.quantity::numeric AS quantity,
       a.limit_price::numeric AS limit_price, a.terms, a.rules, a.progress, a.status, a.began_at, a.ends_at, a.actor, a.reason,
       i.symbol, i.lot_size::numeric AS lot_size, i.tick_size::numeric AS tick_size, i.min_notional::numeric AS min_notional, l.close
  FROM algo_orders a
  JOIN accounts c ON c.id = a.account_id
  JOIN instruments i ON i.id = a.instrument_id
  LEFT JOIN LATERAL last_candle(i.id, :at) l ON true
 WHERE a.ended_at IS NULL AND (:instruments::int[] IS NULL OR a.instrument_id = ANY(:instruments))
   AND (:id::uuid IS NULL OR a.id = :id)
   AND (:account_ids::uuid[] IS NULL OR a.account_id = ANY(:account_ids)) AND a.began_at <= :at::timestamptz
 ORDER BY a.id LIMIT 10000 FOR UPDATE OF a;

-- name: algo_watched_symbols
-- Why: between two closes only markets are asked for their price in which an order waits for one.
SELECT DISTINCT i.symbol FROM algo_orders a JOIN instruments i ON i.id = a.instrument_id AND i.venue = :venue
 WHERE a.ended_at IS NULL AND a.kind IN ('trigger', 'bracket') AND coalesce(a.progress ->> 'hit', '') = ''
   AND (:account_ids::uuid[] IS NULL OR a.account_id = ANY(:account_ids))
 ORDER BY i.symbol LIMIT 1000;

-- name: algo_of_order
-- Why: an order that ended may be one that an algo order waits for.
SELECT t.algo_order_id FROM algo_order_steps t JOIN orders o ON o.id = :order_id
 WHERE t.signal_id = o.signal_id OR t.order_id = o.id LIMIT 1;

-- name: algo_children
-- Why: what has come of each order it raised: judged, sent, filled, over.
SELECT t.algo_order_id, t.step, t.leg, v.disposition, v.reason, o.id AS order_id, o.status,
       coalesce(o.filled_quantity, 0)::numeric AS filled, o.avg_fill_price::numeric AS price,
       (SELECT min(x.trade_time) FROM trades x WHERE x.order_id = o.id) AS filled_at,
       r.released_at IS NOT NULL AND o.id IS NULL AS is_given_up,
       CASE WHEN c.actor NOT LIKE 'algo order %' THEN c.actor END AS cancelled_by
  FROM algo_order_steps t
  LEFT JOIN verdicts v ON v.signal_id = t.signal_id
  LEFT JOIN approvals p ON p.verdict_id = v.id
  LEFT JOIN reservations r ON r.id = p.reservation_id
  LEFT JOIN orders o ON o.id = coalesce(t.order_id, (SELECT x.id FROM orders x WHERE x.signal_id = t.signal_id LIMIT 1))
  LEFT JOIN order_cancels c ON c.order_id = o.id
 WHERE t.algo_order_id = ANY(:ids::uuid[])
 ORDER BY t.algo_order_id, t.step LIMIT 100000;

-- name: algo_held
-- Why: nothing is given up that its strategy no longer holds; a short of a swap is below 0.
SELECT coalesce(sum(signed_quantity(side, quantity)), 0)::numeric FROM strategy_positions
 WHERE account_id = :account_id AND strategy_id = :strategy_id AND instrument_id = :instrument_id AND status = 'open';

-- name: algo_insert
-- Why: kept before anything is done about it.
INSERT INTO algo_orders (id, kind, account_id, strategy_id, instrument_id, side, quantity, limit_price, terms, rules, progress, actor,
                         reason, began_at, ends_at, updated_at)
VALUES (:id, :kind, :account_id, :strategy_id, :instrument_id, :side, :quantity, :limit_price, :terms, :rules, :progress, :actor,
        :reason, :at, :ends_at, :at);

-- name: algo_step
-- Why: with the order it raises, in one transaction: a step is taken once.
INSERT INTO algo_order_steps (algo_order_id, step, leg, signal_id, order_id, quantity, raised_at)
SELECT :algo_order_id::uuid, count(*) + 1, :leg, :signal_id, :order_id, :quantity, :at FROM algo_order_steps
 WHERE algo_order_id = :algo_order_id;

-- name: algo_moved
-- Why: what it remembers, and how it ended.
UPDATE algo_orders
   SET progress = :progress, status = :status::text, updated_at = :at::timestamptz,
       outcome = CASE WHEN :outcome::text = '' THEN outcome ELSE :outcome END,
       ended_at = CASE WHEN :status IN ('working', 'ending') THEN NULL ELSE :at END
 WHERE id = :id;

-- name: algo_cancel
-- Why: an order of it that must not trade any more; the executor carries it out.
SELECT want_cancelled(:order_id, NULL, NULL, :reason, :actor, :at);

-- name: algo_named
-- Why: people name it by the beginning of its id.
SELECT a.id FROM algo_orders a
 WHERE a.id::text LIKE :name::text || '%' AND length(:name) >= 6 ORDER BY a.ended_at IS NOT NULL, a.began_at DESC LIMIT 3;

-- name: algo_working
-- Why: everything that may still raise an order, of a market or an account where one is named.
SELECT a.id FROM algo_orders a JOIN instruments i ON i.id = a.instrument_id
 WHERE a.status = 'working' AND (:symbol::text IS NULL OR i.symbol = :symbol)
   AND (:account_id::uuid IS NULL OR a.account_id = :account_id) ORDER BY a.began_at, a.id LIMIT 10000;

-- name: algo_replaced_order
-- Why: what is to take an order's place begins as that order is.
SELECT o.id, o.status, o.account_id, o.strategy_id, o.instrument_id, o.symbol, o.side, o.quantity::numeric AS quantity,
       o.filled_quantity::numeric AS filled_quantity, o.price::numeric AS price, o.order_type, o.time_in_force, o.expires_at,
       o.post_only, o.reduce_only, a.venue, m.marked_at
  FROM orders o JOIN accounts a ON a.id = o.account_id JOIN account_marks m ON m.account_id = a.id WHERE o.id = :order_id;

-- name: algo_end
-- Why: the wish is kept before anything is done about it; the market's time is that of the account's last mark.
UPDATE algo_orders a SET status = 'ending', outcome = :outcome, updated_at = greatest(a.updated_at, m.marked_at)
  FROM account_marks m WHERE a.id = :id AND m.account_id = a.account_id AND a.status = 'working'
RETURNING a.id, a.account_id, a.instrument_id, a.updated_at AS at;
