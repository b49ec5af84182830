-- name: hand_account
-- Why: the account somebody names, else the newest; its present is that of its last mark.
SELECT a.id, a.name, a.venue, a.environment, m.marked_at FROM accounts a JOIN account_marks m ON m.account_id = a.id
 WHERE :account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text)
 ORDER BY a.created_at DESC LIMIT 1;

-- name: hand_market
-- Why: the market as the account's venue has it, with the last price known then.
SELECT i.id, i.symbol, i.lot_size, i.tick_size, i.min_notional, c.close, c.close_time
  FROM instruments i LEFT JOIN LATERAL last_candle(i.id, :at) c ON true
 WHERE i.venue = :venue AND i.symbol = :symbol;

-- name: hand_strategy
-- Why: whose position the order is to change; without a name that of orders by hand.
SELECT id, name FROM strategies WHERE lower(:strategy::text) IN (lower(name), id::text) ORDER BY created_at DESC LIMIT 1;

-- name: manual_strategy
-- Why: orders by hand need a strategy whose positions are their own.
SELECT manual_strategy(:at);

-- name: raise_signal_by_hand
-- Why: an order by hand goes the way of every order, so that it is judged, reserved, sent once and explained like one.
SELECT raise_signal_by_hand(:id, :strategy_id, :account_id, :instrument_id, :type, :quantity, :price, :limit_price, :terms,
                            :evidence, :at, :valid_until);
