-- name: change_limit
-- Why: limit, version and both audit rows are one call, fenced against judgements under way.
SELECT change_limit(:scope, :name, :value, :seen, :before, :reason, :actor, :at);

-- name: limit_history
-- Why: who changed which limit when and why.
SELECT version, scope, name, value::numeric AS value, reason, actor, changed_at FROM risk_limits ORDER BY version DESC LIMIT :count;

-- name: regime_of_account
-- Why: what the market of the account's venue is like, as the risk manager saw it last.
SELECT r.regime FROM risk_regimes r JOIN accounts a ON a.id = :account_id AND a.venue = r.venue ORDER BY r.since DESC LIMIT 1;

-- name: market_of_account
-- Why: the rules of a market are those of the venue the account trades on.
SELECT i.* FROM instruments i JOIN accounts a ON a.id = :account_id AND i.venue = a.venue WHERE i.symbol = :symbol;
