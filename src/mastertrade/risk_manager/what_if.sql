-- name: what_if_account
-- Why: the account somebody names, else the one marked last; its present is that of its last mark.
SELECT a.id, a.name, m.marked_at FROM accounts a JOIN account_marks m ON m.account_id = a.id
 WHERE :account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text)
 ORDER BY m.marked_at DESC, a.created_at DESC LIMIT 1;

-- name: what_if_strategy
-- Why: the strategy somebody names, else the one that looked at this market of the account last, else any of its own.
SELECT s.id, s.name FROM strategies s
  LEFT JOIN LATERAL (SELECT g.timestamp, g.instrument_id = :instrument_id AS is_same FROM signals g
                      WHERE g.strategy_id = s.id AND g.account_id = :account_id
                      ORDER BY g.instrument_id = :instrument_id DESC, g.timestamp DESC LIMIT 1) g ON true
 WHERE CASE WHEN :strategy::text IS NULL THEN true ELSE lower(:strategy) IN (lower(s.name), s.id::text) END
 ORDER BY g.is_same DESC NULLS LAST, g.timestamp DESC NULLS LAST, s.created_at DESC LIMIT 1;

-- name: trading_mode
-- Why: whether this account, strategy and market may trade now, the tightest of all scopes.
SELECT trading_mode(:account_id, :strategy_id, :instrument_id);

-- name: what_if_market
-- Why: the market as the account's venue has it, with the last price known then.
SELECT i.id, i.symbol, c.close, c.close_time
  FROM instruments i JOIN accounts a ON a.id = :account_id AND i.venue = a.venue
  LEFT JOIN LATERAL last_candle(i.id, :at) c ON true
 WHERE i.symbol = :symbol;
