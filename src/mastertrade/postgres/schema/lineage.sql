-- Lineage: every order explained, by foreign keys alone. Views only; each column belongs to the table it comes from.

CREATE OR REPLACE VIEW v_lineage AS
SELECT o.id AS order_id, o.client_order_id, o.symbol, o.side, o.order_type, o.status, o.quantity, o.filled_quantity,
       o.avg_fill_price, o.commission, o.commission_asset, o.environment, o.order_time, o.signed_at, o.update_time,
       ac.id AS account_id, ac.name AS account, ac.venue, o.exchange_order_id,
       st.id AS strategy_id, st.name AS strategy, sg.id AS signal_id, sg.signal_type, sg.confidence, sg.price AS signal_price,
       sg.timeframe_s, sg.bar_close, sg.timestamp AS signal_time, sg.evidence,
       v.id AS verdict_id, v.disposition, v.requested_quantity, v.approved_quantity, v.reason AS verdict_reason,
       v.equity, v.decided_at,
       (SELECT jsonb_agg(jsonb_build_object('name', c.name, 'value', c.value, 'limit', c."limit", 'unit', c.unit,
                                            'passed', c.passed, 'detail', c.detail) ORDER BY c.position)
          FROM verdict_checks c WHERE c.verdict_id = v.id) AS checks,
       ap.id AS approval_id, ap.approved_at, ap.valid_until, r.asset AS reserved_asset, r.amount AS reserved_amount,
       (SELECT jsonb_agg(jsonb_build_object('at', e.occurred_at, 'recorded_at', e.created_at, 'event', e.event_type,
                                            'from', e.from_status, 'to', e.to_status, 'source', e.source,
                                            'payload', e.payload) ORDER BY e.id)
          FROM order_events e WHERE e.order_id = o.id) AS steps,
       (SELECT jsonb_agg(jsonb_build_object('id', t.id, 'at', t.trade_time, 'quantity', t.quantity::text, 'price', t.price::text,
                                            'commission', t.commission::text, 'commission_asset', t.commission_asset,
                                            'realized_pnl', t.realized_pnl::text, 'exchange_trade_id', t.exchange_trade_id,
                                            'ledger_entry_id', t.ledger_entry_id) ORDER BY t.ledger_entry_id)
          FROM trades t WHERE t.order_id = o.id) AS fills,
       (SELECT jsonb_agg(jsonb_build_object('entry_id', l.entry_id, 'account', l.account, 'asset', l.asset,
                                            'amount', l.amount::text) ORDER BY l.entry_id, l.line)
          FROM ledger_lines l JOIN trades t ON t.ledger_entry_id = l.entry_id WHERE t.order_id = o.id) AS ledger
  FROM orders o
  JOIN accounts ac ON ac.id = o.account_id
  LEFT JOIN approvals ap ON ap.id = o.approval_id
  LEFT JOIN reservations r ON r.id = o.reservation_id
  LEFT JOIN verdicts v ON v.id = ap.verdict_id
  LEFT JOIN signals sg ON sg.id = coalesce(v.signal_id, o.signal_id)
  LEFT JOIN strategies st ON st.id = o.strategy_id;
COMMENT ON VIEW v_lineage IS 'candle and indicator values, signal, checks, approval, order steps, fills and ledger of each order';
