-- name: open_exits
-- Why: every exit that is wanted, with what is still held, what may still trade, and the price to ask for it at.
SELECT e.id, e.account_id, e.strategy_id, e.instrument_id, e.kind, e.reason, e.actor, e.attempts, i.symbol, i.lot_size,
       coalesce(p.quantity, 0)::numeric AS held, p.side, i.kind AS market_kind, l.close,
       in_flight(e.account_id, e.strategy_id, e.instrument_id, :at::timestamptz) AS in_flight
  FROM risk_exits e
  JOIN accounts a ON a.id = e.account_id
  JOIN instruments i ON i.id = e.instrument_id
  LEFT JOIN strategy_positions p ON p.account_id = e.account_id AND p.strategy_id = e.strategy_id
   AND p.instrument_id = e.instrument_id AND p.status = 'open'
  LEFT JOIN LATERAL last_candle(i.id, :at) l ON true
 WHERE e.ended_at IS NULL AND (:venues::text[] IS NULL OR a.venue = ANY(:venues))
 ORDER BY e.wanted_at, e.id LIMIT 10000;

-- name: raise_exit_signal
-- Why: the exit goes the way of every order, so that it is judged, reserved, sent once and explained like one.
SELECT raise_exit_signal(:id, :strategy_id, :account_id, :instrument_id, :timeframe_s, :bar_close, :price, :evidence,
                         :raised_at, :valid_until, :type, :terms);

-- name: exit_asked
-- Why: how often it was asked for, and by which signal last.
UPDATE risk_exits SET attempts = attempts + 1, signal_id = :signal_id WHERE id = :id;

-- name: end_exit
-- Why: nothing is held any more; a position of later is another one.
UPDATE risk_exits SET ended_at = :at, outcome = :outcome WHERE id = :id AND ended_at IS NULL;

-- name: want_exits
-- Why: everything a scope holds is given up, each position once.
SELECT want_exits(:scope, :kind, :reason, :actor, :at);

-- name: market_time
-- Why: accounts live in the time of their market, which a replay moves.
SELECT max(marked_at) FROM account_marks;

-- name: exits_of_scope
-- Why: people see what is being given up and what became of it.
SELECT e.id, a.name AS account, s.name AS strategy, i.symbol, e.kind, e.reason, e.actor, e.wanted_at, e.attempts, e.signal_id,
       e.ended_at, e.outcome, coalesce(p.quantity, 0)::numeric AS held
  FROM risk_exits e
  JOIN accounts a ON a.id = e.account_id
  JOIN strategies s ON s.id = e.strategy_id
  JOIN instruments i ON i.id = e.instrument_id
  LEFT JOIN strategy_positions p ON p.account_id = e.account_id AND p.strategy_id = e.strategy_id
   AND p.instrument_id = e.instrument_id AND p.status = 'open'
 WHERE :scope = ANY (scopes_around(e.account_id, e.strategy_id, e.instrument_id))
   AND (e.ended_at IS NULL OR e.wanted_at >= :since::timestamptz)
 ORDER BY e.ended_at IS NOT NULL, e.wanted_at DESC, i.symbol LIMIT 1000;
