-- name: stop_of_fill
-- Why: where the risk decision behind a fill gives the position up, and how its strategy wants its stops.
SELECT (SELECT p.stop_price FROM orders o JOIN approvals p ON p.id = o.approval_id WHERE o.id = :order_id)::numeric AS stop_price,
       s.configuration -> 'stop_loss' AS config, i.base, i.tick_size
  FROM strategies s, instruments i WHERE s.id = :strategy_id AND i.id = :instrument_id;

-- name: attach_stop
-- Why: a position is never without its stop, and never has two.
SELECT attach_stop(:account_id, :strategy_id, :instrument_id, :type, :stop_price, :config, :metadata, :at);

-- name: live_stops
-- Why: the stops of these markets; all of them are read again at every close, so that a restart forgets none. Locked: of two who
-- look at the same time the second finds what the first made of them.
SELECT s.id, s.side = 'long' AS is_long, s.stop_type, s.entry_price AS entry, s.stop_price AS price, s.config, s.metadata,
       CASE s.side WHEN 'long' THEN coalesce(s.highest_price, s.entry_price) ELSE coalesce(s.lowest_price, s.entry_price) END
       ::numeric AS best, s.created_at AS opened_at, s.instrument_id, s.symbol, p.account_id, p.strategy_id, p.quantity, i.tick_size
  FROM stop_losses s JOIN risk_positions p ON p.id = s.position_id AND p.status = 'open'
  JOIN instruments i ON i.id = s.instrument_id
 WHERE s.status = 'active' AND s.instrument_id = ANY(:instruments::int[]) AND s.created_at <= :at::timestamptz
 ORDER BY s.id LIMIT 10000 FOR UPDATE OF s;

-- name: stopped_symbols
-- Why: between two closes only markets with a live stop are asked for their price.
SELECT DISTINCT s.symbol FROM stop_losses s JOIN instruments i ON i.id = s.instrument_id AND i.venue = :venue
 WHERE s.status = 'active' ORDER BY s.symbol LIMIT 1000;

-- name: move_stops
-- Why: every stop that moved or was hit in this minute, in one call.
SELECT move_stops(:moves, :at);

-- name: want_exit
-- Why: the position of a stop that was hit is given up like any other.
SELECT want_exit(:account_id, :strategy_id, :instrument_id, 'stop', :reason, :actor, :at);

-- name: stops_shown
-- Why: people see what protects each position, how far away it is, and what was hit.
SELECT s.id, a.name AS account, g.name AS strategy, s.symbol, s.side, s.stop_type, s.status, s.entry_price::numeric AS entry_price,
       coalesce(CASE s.status WHEN 'active' THEN p.current_price END, s.current_price)::numeric AS current_price,
       s.stop_price::numeric AS stop_price, s.initial_stop_price::numeric AS initial_stop_price, s.quantity::numeric AS quantity,
       s.config, s.metadata, s.created_at, s.updated_at
  FROM stop_losses s
  LEFT JOIN risk_positions p ON p.id = s.position_id
  LEFT JOIN accounts a ON a.id = p.account_id
  LEFT JOIN strategies g ON g.id = s.strategy_id
 WHERE (:with_past::boolean OR s.status = 'active') AND (:account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text))
 ORDER BY s.status <> 'active', s.updated_at DESC, s.id LIMIT 1000;

-- name: stop_to_change
-- Why: what somebody wants to change, by its id or by the market it protects.
SELECT s.id, s.side = 'long' AS is_long, s.stop_type, s.stop_price::numeric AS price, s.config, i.tick_size, i.id AS instrument_id,
       coalesce(l.close::numeric, p.current_price, s.current_price)::numeric AS market, p.account_id, s.symbol, i.base
  FROM stop_losses s JOIN risk_positions p ON p.id = s.position_id JOIN instruments i ON i.id = s.instrument_id
  LEFT JOIN LATERAL last_candle(i.id, :at) l ON true
 WHERE s.status = 'active' AND :which IN (s.id, s.symbol) ORDER BY s.id LIMIT 20;

-- name: change_stop
-- Why: a stop that people move keeps who, why and what was before.
SELECT change_stop(:id, :type, :stop_price, :config, :is_loosened, :reason, :actor, :at);

-- name: cancel_stop
-- Why: somebody answers for a position without a stop.
SELECT cancel_stop(:id, :reason, :actor, :at);
