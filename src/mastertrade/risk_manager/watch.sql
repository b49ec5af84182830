-- name: watched_accounts
-- Why: accounts of these venues that are marked at this moment, in an order that is always the same.
SELECT a.id FROM accounts a JOIN account_marks m ON m.account_id = a.id
 WHERE a.venue = ANY(:venues) AND m.marked_at = :at ORDER BY a.id;

-- name: settle_alerts
-- Why: one open alert for each condition, and what changed about them in one call.
SELECT change, alert FROM settle_alerts(:account_id, :at, :found, :types);

-- name: alerts_of_accounts
-- Why: what is or was wrong, the open and the severe first.
SELECT r.id, r.timestamp, r.alert_type, r.severity, r.title, r.message, r.symbol, r.current_value, r.threshold_value,
       r.recommendation, r.status, r.resolved_at, r.updated_at, r.metadata, a.name AS account
  FROM risk_alerts r LEFT JOIN accounts a ON a.id = r.account_id
 WHERE (:account::text IS NULL OR :account IN (a.name, a.id::text))
   AND (r.status <> 'resolved' OR (:with_resolved::boolean AND r.timestamp >= :since::timestamptz))
 ORDER BY r.status = 'resolved', array_position(ARRAY['critical', 'high', 'medium', 'low'], r.severity), r.timestamp DESC, r.id
 LIMIT 1000;

-- name: acknowledge_alert
-- Why: somebody has seen it, with who and why.
SELECT acknowledge_alert(:id, :actor, :note, :at);

-- name: open_alert_ids
-- Why: an error says which alerts there are.
SELECT id FROM risk_alerts WHERE status = 'open' ORDER BY timestamp DESC LIMIT 10;

-- name: refusals
-- Why: what stood against signals and what was cut, by check: how often, since when, and how far beyond at the worst.
SELECT c.name, count(*) FILTER (WHERE NOT c.passed) AS refused, count(*) FILTER (WHERE c.passed) AS cut,
       min(v.decided_at) AS first, max(v.decided_at) AS last,
       (array_agg(c.detail ORDER BY abs(c.value / nullif(c."limit", 0)) DESC NULLS LAST, v.decided_at, v.id))[1] AS worst,
       array_agg(DISTINCT g.symbol ORDER BY g.symbol) AS symbols
  FROM verdicts v
  JOIN verdict_checks c ON c.verdict_id = v.id AND (NOT c.passed OR c.reduced_to IS NOT NULL)
  JOIN signals g ON g.id = v.signal_id
  JOIN accounts a ON a.id = g.account_id
 WHERE (:account::text IS NULL OR :account IN (a.name, a.id::text))
   AND v.decided_at >= coalesce(:since::timestamptz, '-infinity') AND v.decided_at < coalesce(:until::timestamptz, 'infinity')
 GROUP BY c.name ORDER BY 2 DESC, 3 DESC, c.name LIMIT 200;

-- name: judged
-- Why: how many signals there were to refuse.
SELECT count(*) AS signals, count(*) FILTER (WHERE v.disposition = 'approved') AS approved,
       count(*) FILTER (WHERE v.disposition = 'reduced') AS reduced,
       count(*) FILTER (WHERE v.disposition NOT IN ('approved', 'reduced')) AS refused
  FROM verdicts v JOIN signals g ON g.id = v.signal_id JOIN accounts a ON a.id = g.account_id
 WHERE (:account::text IS NULL OR :account IN (a.name, a.id::text))
   AND v.decided_at >= coalesce(:since::timestamptz, '-infinity') AND v.decided_at < coalesce(:until::timestamptz, 'infinity');
