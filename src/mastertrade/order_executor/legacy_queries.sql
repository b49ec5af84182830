-- name: find_strategy
-- Why: a strategy by its id or by the id it had in the older system, which wins.
SELECT id FROM strategies WHERE id = :id OR legacy_id = :reference
 ORDER BY legacy_id IS NOT DISTINCT FROM :reference DESC LIMIT 1;

-- name: account_of_environment
-- Why: older callers know no accounts: the strategy's own in that environment, else the oldest one there.
SELECT a.id, a.name, a.venue FROM accounts a
  LEFT JOIN strategy_environment_configs c ON c.account_id = a.id AND c.strategy_id = :strategy_id
 WHERE a.environment = :environment
 ORDER BY c.account_id IS NULL, a.created_at, a.id LIMIT 1;

-- name: instrument_on_venue
-- Why: an order is for a market of its account's venue.
SELECT id FROM instruments WHERE venue = :venue AND symbol = :symbol;

-- name: find_signal
-- Why: an order refers to a signal we have; the id of any other is kept as a note.
SELECT id FROM signals WHERE id = :id;

-- name: record_order
-- Why: an order noted by an older caller. Without an approval it is never sent; the same client id is one order.
INSERT INTO orders (id, client_order_id, account_id, instrument_id, strategy_id, strategy_ref, signal_id, symbol, order_type,
                    side, quantity, price, stop_price, environment, order_time, metadata)
VALUES (:id, :client_order_id, :account_id, :instrument_id, :strategy_id, :strategy_ref, :signal_id, :symbol, :order_type,
        :side, :quantity, :price, :stop_price, :environment, :at, :metadata)
ON CONFLICT (client_order_id) DO NOTHING;

-- name: seen_orders
-- Why: orders with the status an older reader knows, newest first; every filter may be left open.
SELECT o.* FROM (
    SELECT r.*, CASE WHEN r.status IN ('NEW', 'SUBMITTING', 'UNKNOWN', 'OPEN') THEN 'NEW'
                     WHEN r.status = 'NOT_FOUND' THEN 'REJECTED'
                     WHEN r.status IN ('PENDING_CANCEL', 'PENDING_REPLACE') AND r.filled_quantity > 0 THEN 'PARTIALLY_FILLED'
                     WHEN r.status IN ('PENDING_CANCEL', 'PENDING_REPLACE') THEN 'NEW'
                     ELSE r.status END AS seen_status
      FROM orders r) o
 WHERE (:id::uuid IS NULL OR o.id = :id)
   AND (:client_order_id::text IS NULL OR o.client_order_id = :client_order_id)
   AND (:seen_status::text IS NULL OR o.seen_status = :seen_status)
   AND (:symbol::text IS NULL OR o.symbol = :symbol)
   AND (:strategy_ref::text IS NULL OR o.strategy_id = :strategy_id OR o.strategy_ref = :strategy_ref)
   AND (NOT :active::boolean OR o.status NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND'))
 ORDER BY o.order_time DESC, o.id DESC LIMIT :limit;

-- name: lock_order
-- Why: what a call decides about an order must still be true when it writes; with what its fills have cost so far.
SELECT o.*, i.quote AS quote_asset,
       (SELECT coalesce(sum(t.quantity * t.price), 0) FROM trades t WHERE t.order_id = o.id) AS booked_notional
  FROM orders o JOIN instruments i ON i.id = o.instrument_id WHERE o.id = :id FOR UPDATE OF o;

-- name: set_exchange_order_id
-- Why: an order has one id at its exchange, for good; until it is told, fills carry our own in its place.
UPDATE orders SET exchange_order_id = :exchange_order_id::text, update_time = :at
 WHERE id = :id AND coalesce(exchange_order_id, client_order_id) IN (client_order_id, :exchange_order_id) RETURNING id;

-- name: edit_order
-- Why: notes may be added at any time, prices only while an order without approval is new.
UPDATE orders
   SET metadata = metadata || :metadata, update_time = :at,
       price = CASE WHEN approval_id IS NULL AND status = 'NEW' THEN coalesce(:price, price) ELSE price END,
       stop_price = CASE WHEN approval_id IS NULL AND status = 'NEW' THEN coalesce(:stop_price, stop_price) ELSE stop_price END
 WHERE id = :id;

-- name: trade_in_books
-- Why: one execution told twice, or told once by itself and once within an order's total, is booked once.
SELECT (SELECT t.exchange_order_id FROM trades t
         WHERE t.order_id = :order_id AND t.exchange_trade_id = :exchange_trade_id LIMIT 1) AS exchange_order_id,
       EXISTS (SELECT 1 FROM order_events e WHERE e.order_id = :order_id AND e.payload ->> 'counted_in' = 'total'
                  AND e.payload ->> 'exchange_trade_id' = :exchange_trade_id) AS is_counted,
       (SELECT coalesce(sum(t.quantity), 0) FROM trades t
         WHERE t.order_id = :order_id AND t.exchange_trade_id LIKE 'total:%')
     - (SELECT coalesce(sum((e.payload ->> 'quantity')::numeric), 0) FROM order_events e
         WHERE e.order_id = :order_id AND e.payload ->> 'counted_in' = 'total') AS left_in_totals;

-- name: note_counted
-- Why: an execution that an already booked total contains is kept as told, without moving money again.
INSERT INTO order_events (order_id, event_type, source, payload, occurred_at)
VALUES (:order_id, 'note', 'legacy', :payload, :at);

-- name: seen_trades
-- Why: the newest fills, of one order or of all.
SELECT id, order_id, exchange_trade_id, symbol, side, quantity, price, commission, commission_asset, is_maker, realized_pnl,
       trade_time
  FROM trades WHERE (:order_id::uuid IS NULL OR order_id = :order_id)
 ORDER BY trade_time DESC, id DESC LIMIT :limit;

-- name: balances_of_environment
-- Why: the older system's balance of an asset is the sum over the accounts of an environment.
SELECT asset, sum(free_balance)::numeric AS free_balance, sum(locked_balance)::numeric AS locked_balance,
       sum(free_balance + locked_balance)::numeric AS total_balance, max(updated_at) AS updated_at
  FROM portfolio_balances WHERE environment = :environment GROUP BY asset ORDER BY asset;

-- name: seen_positions
-- Why: what strategies hold or held, the last opened first.
SELECT id, symbol, strategy_id, environment, quantity, entry_price AS avg_entry_price, current_price, unrealized_pnl,
       realized_pnl, side = 'long' AS is_long, opened_at AS entry_time, closed_at AS exit_time
  FROM strategy_positions
 WHERE (:strategy_id::uuid IS NULL OR strategy_id = :strategy_id)
   AND (:is_open::boolean IS NULL OR (status = 'open') = :is_open)
 ORDER BY opened_at DESC, id DESC LIMIT :limit;

-- name: trading_enabled
-- Why: the older system's switch is the global trading state.
SELECT enabled FROM trading_config WHERE config_type = 'trading_enabled';

-- name: lock_trading_switch
-- Why: two flips at once are two flips.
SELECT pg_advisory_xact_lock(hashtextextended('trading_switch', 0));

-- name: flip_trading_switch
-- Why: a flip is a halt of everything or its end; a missing switch is switched on.
INSERT INTO trading_config (config_type, enabled, updated_at)
SELECT 'trading_enabled', NOT coalesce((SELECT enabled FROM trading_config WHERE config_type = 'trading_enabled'), false), :at
RETURNING enabled;

-- name: configure_strategy
-- Why: the strategy service's own function binds a strategy to an environment, an account there and limits.
SELECT * FROM configure_strategy(:strategy_id, :environment, NULL, :max_position_size, :max_daily_trades, :risk_multiplier,
                                 :enabled, :metadata, :at);

-- name: environment_configs
-- Why: where strategies trade and within which limits.
SELECT strategy_id, environment, max_position_size, max_daily_trades, risk_multiplier, enabled, metadata, created_at, updated_at
  FROM strategy_environment_configs WHERE (:strategy_id::uuid IS NULL OR strategy_id = :strategy_id)
 ORDER BY created_at, strategy_id LIMIT 10000;
