-- name: positions
-- Why: the book as people and the older system's callers read it, newest first.
SELECT * FROM risk_positions
 WHERE (:id::text IS NULL OR id = :id) AND (:status::text IS NULL OR status = :status)
   AND (:strategy_id::uuid IS NULL OR strategy_id IN (SELECT s.id FROM strategies s WHERE s.id = :strategy_id OR s.legacy_id = :strategy_ref))
 ORDER BY created_at DESC, id LIMIT 10000;

-- name: insert_position
-- Why: an id that exists is left as it is; a strategy we do not know is kept by its name in the metadata.
INSERT INTO risk_positions (id, strategy_id, symbol, side, quantity, entry_price, current_price, unrealized_pnl, realized_pnl,
                            stop_loss_price, take_profit_price, status, position_value_usd, risk_score, metadata, created_at,
                            updated_at, closed_at)
VALUES (:id, (SELECT s.id FROM strategies s WHERE s.id = :strategy_id OR s.legacy_id = :strategy_ref LIMIT 1), :symbol, :side,
        :quantity, :entry_price, :current_price, :unrealized_pnl, :realized_pnl, :stop_loss_price, :take_profit_price, :status,
        :position_value_usd, :risk_score, :metadata, :at, :at, :closed_at)
ON CONFLICT (id) DO NOTHING;

-- name: lock_position
-- Why: read, change and save as one step.
SELECT * FROM risk_positions WHERE id = :id FOR UPDATE;

-- name: save_position
-- Why: the columns a caller may change, all of them named.
UPDATE risk_positions
   SET side = :side, quantity = :quantity, entry_price = :entry_price, current_price = :current_price,
       unrealized_pnl = :unrealized_pnl, realized_pnl = :realized_pnl, stop_loss_price = :stop_loss_price,
       take_profit_price = :take_profit_price, status = :status, position_value_usd = :position_value_usd,
       risk_score = :risk_score, metadata = :metadata, updated_at = :at, closed_at = :closed_at
 WHERE id = :id;

-- name: cancel_stops
-- Why: the stops of a position that has closed have nothing left to protect.
UPDATE stop_losses SET status = 'cancelled', updated_at = :at WHERE position_id = :position_id AND status = 'active';

-- name: portfolio_value
-- Why: what all open positions are worth together.
SELECT coalesce(sum(quantity * coalesce(current_price, entry_price)), 0)::numeric FROM risk_positions WHERE status = 'open';

-- name: insert_stop
-- Why: an id that exists is left as it is; a stop of an unknown position stays, with that id in its metadata.
INSERT INTO stop_losses (id, position_id, strategy_id, symbol, side, stop_type, status, entry_price, current_price, stop_price,
                         initial_stop_price, quantity, highest_price, lowest_price, trigger_count, config, profit_loss,
                         metadata, created_at, updated_at)
SELECT :id, p.id, p.strategy_id, :symbol, coalesce(:side, p.side, 'long'), :stop_type, :status, :entry_price, :current_price,
       :stop_price, :initial_stop_price, :quantity, :highest_price, :lowest_price, :trigger_count, :config, :profit_loss,
       CASE WHEN p.id IS NULL THEN :metadata::jsonb || jsonb_build_object('legacy_position_id', :position_id::text)
            ELSE :metadata::jsonb END, :created_at, :updated_at
  FROM (SELECT :position_id::text AS wanted) w LEFT JOIN risk_positions p ON p.id = w.wanted
ON CONFLICT (id) DO NOTHING;

-- name: save_stop
-- Why: a stop's whole changing state, as its owner computed it.
UPDATE stop_losses
   SET status = :status, current_price = :current_price, stop_price = :stop_price, config = :config,
       trigger_count = :trigger_count, profit_loss = :profit_loss, highest_price = :highest_price,
       lowest_price = :lowest_price, updated_at = :updated_at,
       metadata = :metadata::jsonb || CASE WHEN metadata ? 'legacy_position_id'
           THEN jsonb_build_object('legacy_position_id', metadata -> 'legacy_position_id') ELSE '{}' END
 WHERE id = :id;

-- name: active_stops
-- Why: what still protects a position; all of them are read again after a restart.
SELECT * FROM stop_losses
 WHERE status = 'active' AND (:position_id::text IS NULL OR position_id = :position_id
                              OR (position_id IS NULL AND metadata ->> 'legacy_position_id' = :position_id))
 ORDER BY updated_at DESC, id LIMIT 10000;

-- name: tighten_stop
-- Why: a stop never moves against its position.
UPDATE stop_losses SET stop_price = :stop_price, updated_at = :at
 WHERE id = :id AND status = 'active'
   AND CASE side WHEN 'long' THEN :stop_price > stop_price ELSE :stop_price < stop_price END;

-- name: set_stop_status
-- Why: cancelled, expired and triggered stops no longer act.
UPDATE stop_losses SET status = :status, updated_at = :at WHERE id = :id AND status <> :status;

-- name: store_metrics
-- Why: one row a UTC day, the last one written wins.
INSERT INTO risk_metrics (date, timestamp, metrics) VALUES ((:timestamp::timestamptz AT TIME ZONE 'UTC')::date, :timestamp, :metrics)
ON CONFLICT (date, account_id) DO UPDATE SET timestamp = EXCLUDED.timestamp, metrics = EXCLUDED.metrics;

-- name: metrics_since
-- Why: the history of the portfolio's risk, newest first.
SELECT id, date, timestamp, metrics FROM risk_metrics WHERE account_id IS NULL AND timestamp >= :since ORDER BY timestamp DESC LIMIT 10000;

-- name: store_alert
-- Why: a repeated alert updates its row; when it was resolved never moves.
INSERT INTO risk_alerts AS a (id, timestamp, alert_type, severity, title, message, strategy_id, symbol, current_value,
                              threshold_value, recommendation, metadata, status, resolved_at, updated_at)
VALUES (:id, :created_at, :alert_type, :severity, :title, :message,
        (SELECT s.id FROM strategies s WHERE s.id = :strategy_id OR s.legacy_id = :strategy_ref LIMIT 1), :symbol,
        :current_value, :threshold_value, :recommendation, :metadata, coalesce(:status, 'open'), :resolved_at, :at)
ON CONFLICT (id) DO UPDATE SET
    alert_type = EXCLUDED.alert_type, severity = EXCLUDED.severity, title = EXCLUDED.title, message = EXCLUDED.message,
    symbol = EXCLUDED.symbol, current_value = EXCLUDED.current_value, threshold_value = EXCLUDED.threshold_value,
    recommendation = EXCLUDED.recommendation, metadata = EXCLUDED.metadata, updated_at = EXCLUDED.updated_at,
    status = CASE WHEN a.status = 'resolved' THEN a.status ELSE coalesce(:status, a.status) END,
    resolved_at = coalesce(a.resolved_at, EXCLUDED.resolved_at);

-- name: alerts
-- Why: what is or was wrong, newest first.
SELECT * FROM risk_alerts
 WHERE (:status::text IS NULL OR status = :status) AND (:since::timestamptz IS NULL OR timestamp >= :since)
 ORDER BY timestamp DESC, id LIMIT 10000;

-- name: resolve_alert
-- Why: only an alert that is not resolved yet can be.
UPDATE risk_alerts SET status = 'resolved', resolved_at = :at, updated_at = :at WHERE id = :id AND status <> 'resolved';

-- name: track_drawdown
-- Why: the high-water mark is carried over from day to day.
SELECT track_drawdown(:value, :at);

-- name: drawdown_extremes
-- Why: the deepest fall and the highest value of all days.
SELECT max(max_drawdown) AS max_drawdown, max(peak_value) AS peak_value FROM drawdown_tracking;

-- name: raise_peak
-- Why: a peak seen elsewhere counts from today on; it never falls.
UPDATE drawdown_tracking d
   SET peak_value = :value, updated_at = :at,
       current_drawdown = least(1, (:value::numeric - current_value) / :value::numeric),
       max_drawdown = greatest(max_drawdown, least(1, (:value::numeric - current_value) / :value::numeric)),
       drawdown_duration_days = 0
 WHERE date = (SELECT max(date) FROM drawdown_tracking) AND peak_value < :value::numeric AND :value::numeric > 0;

-- name: log_admin_action
-- Why: what people did must stay visible.
INSERT INTO risk_admin_actions (action, details, created_at) VALUES (:action, :details, :at);

-- name: log_configuration_change
-- Why: every change of a limit is kept.
INSERT INTO risk_configuration_changes (changes, created_at) VALUES (:changes, :at);

-- name: log_adjustments
-- Why: what the risk manager did to positions on its own.
INSERT INTO risk_adjustment_history (adjustments, timestamp) VALUES (:adjustments, :at);
