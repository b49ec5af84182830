-- name: create_order
-- Why: the order exists before it is sent; one approval and attempt is one order, whatever is delivered twice. Events are told by
-- whoever can write one: only what the stored approval says too becomes an order.
INSERT INTO orders (id, approval_id, attempt, client_order_id, account_id, instrument_id, strategy_id, signal_id, reservation_id,
                    symbol, order_type, side, quantity, price, reduces, environment, order_time, valid_until, time_in_force,
                    expires_at, post_only, reduce_only)
SELECT :id, :approval_id, :attempt, :client_order_id, a.id, :instrument_id, :strategy_id, :signal_id, :reservation_id,
       :symbol, :order_type, :side, :quantity::numeric, :price::numeric, :reduces, a.environment, :order_time, :valid_until,
       :time_in_force, :expires_at, :post_only, :reduce_only
  FROM require_lease(:role, :epoch), accounts a, approvals p, instruments i
 WHERE a.id = :account_id AND p.id = :approval_id AND i.id = p.instrument_id
   AND (p.account_id, p.instrument_id, i.symbol, p.strategy_id, p.signal_id, p.reservation_id, p.side, p.order_type, p.reduces)
     = (:account_id, :instrument_id, :symbol, :strategy_id, :signal_id, :reservation_id, :side, :order_type, :reduces)
   AND (p.verdict_id, p.approved_at) = (:verdict_id::uuid, :approved_at::timestamptz)
   AND (p.quantity, p.limit_price, p.valid_until) IS NOT DISTINCT FROM (:quantity::numeric, :price::numeric, :valid_until)
   AND (coalesce(p.terms ->> 'time_in_force', 'GTC'), (p.terms ->> 'expires_at')::timestamptz,
        coalesce((p.terms ->> 'post_only')::boolean, false), coalesce((p.terms ->> 'reduce_only')::boolean, false))
       IS NOT DISTINCT FROM (:time_in_force, :expires_at, :post_only, :reduce_only)
ON CONFLICT (approval_id, attempt) DO NOTHING
RETURNING id;

-- name: approval_as_stored
-- Why: when an event made no order: it was made before, or the event tells of another approval than the one there is.
SELECT p.id AS approval_id, p.verdict_id, p.signal_id, p.strategy_id, p.account_id, p.reservation_id, p.instrument_id, i.symbol,
       p.side, p.order_type, p.quantity, p.limit_price, p.reduces, p.approved_at, p.valid_until, p.terms,
       EXISTS (SELECT 1 FROM orders o WHERE o.approval_id = p.id) AS has_order
  FROM approvals p JOIN instruments i ON i.id = p.instrument_id WHERE p.id = :approval_id;

-- name: orders_by_id
-- Why: what is about to be sent is read back from the row that is committed with it.
SELECT * FROM orders WHERE id = ANY(:ids::uuid[]) LIMIT 1000;

-- name: active_orders
-- Why: everything that may still change at the venue; read at start and at every look, a page at a time.
SELECT * FROM orders
 WHERE account_id = :account_id AND status NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND')
   AND (:after_time::timestamptz IS NULL OR (order_time, id) > (:after_time, :after_id::uuid))
 ORDER BY order_time, id LIMIT :page;

-- name: wanted_cancelled
-- Why: what people want cancelled is carried out at the next look, whichever process looks.
SELECT c.order_id, c.reason, c.actor FROM order_cancels c WHERE c.order_id = ANY(:order_ids::uuid[]) LIMIT :page;

-- name: want_cancelled
-- Why: the wish is kept before anything is done about it.
SELECT want_cancelled(:order_id, :symbol, :account_id, :reason, :actor, :at);

-- name: traded_symbols
-- Why: venues tell fills by market; what may still trade, or ended not long ago, may have some that nobody has heard of, and a
-- venue liquidates what is held.
SELECT symbol FROM orders
 WHERE account_id = :account_id AND status NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND')
 UNION
SELECT symbol FROM orders WHERE account_id = :account_id AND update_time > :since
 UNION
SELECT i.symbol FROM contract_positions c JOIN instruments i ON i.id = c.instrument_id
 WHERE c.account_id = :account_id AND c.quantity <> 0
 ORDER BY symbol LIMIT 10000;

-- name: begin_sends
-- Why: the halt, the lease and the deadline are read in the transaction that commits SUBMITTING.
SELECT begin_send(x.order_id, x.at, x.send_by, :role, :epoch) AS outcome
  FROM unnest(:order_ids::uuid[], :ats::timestamptz[], :send_bys::timestamptz[])
       WITH ORDINALITY AS x (order_id, at, send_by, place)
 ORDER BY x.place;

-- name: move_orders
-- Why: the only way a status changes; the database refuses illegal moves.
SELECT move_order(CASE WHEN is_held THEN x.order_id END, x.from_status, x.to_status, x.at, x.source, x.payload,
                  x.exchange_order_id) AS moved
  FROM require_lease(:role, :epoch) AS is_held,
       unnest(:order_ids::uuid[], :from_statuses::text[], :to_statuses::text[], :ats::timestamptz[], :sources::text[],
              :payloads::jsonb[], :exchange_order_ids::text[])
       WITH ORDINALITY AS x (order_id, from_status, to_status, at, source, payload, exchange_order_id, place)
 ORDER BY x.place;

-- name: apply_fills
-- Why: one fill is one call: order, ledger, balances, reservation and position together or not at all.
SELECT f.* FROM require_lease(:role, :epoch) AS is_held,
    unnest(:fill_ids::uuid[], :account_ids::uuid[], :client_order_ids::text[], :exchange_order_ids::text[],
           :exchange_trade_ids::text[], :quantities::numeric[], :prices::numeric[], :commissions::numeric[],
           :commission_assets::text[], :are_makers::boolean[], :trade_times::timestamptz[], :ats::timestamptz[],
           :sources::text[], :venue_pnls::numeric[], :sides::text[])
    WITH ORDINALITY AS x (fill_id, account_id, client_order_id, exchange_order_id, exchange_trade_id, quantity, price,
                          commission, commission_asset, is_maker, trade_time, at, source, venue_pnl, side, place),
    LATERAL apply_fill(CASE WHEN is_held THEN x.fill_id END, x.account_id, x.client_order_id, x.exchange_order_id,
                       x.exchange_trade_id, x.quantity, x.price, x.commission, x.commission_asset, x.is_maker,
                       x.trade_time, x.at, x.source, x.venue_pnl, x.side) f
 ORDER BY x.place;

-- name: apply_funding
-- Why: one payment is one booking, of ledger, wallet and the positions it was for.
SELECT apply_funding(x.id, :account_id, x.symbol, x.payment_id, x.asset, x.amount, x.paid_at, :at) AS outcome
  FROM require_lease(:role, :epoch) AS is_held,
       unnest(:ids::uuid[], :symbols::text[], :payment_ids::text[], :assets::text[], :amounts::numeric[], :paid_ats::timestamptz[])
       WITH ORDINALITY AS x (id, symbol, payment_id, asset, amount, paid_at, place)
 WHERE is_held ORDER BY x.place;

-- name: contracts
-- Why: what our books say an account holds of swaps, to be compared with its venue, and where settlements may come.
SELECT i.symbol, c.quantity, c.updated_at,
       (SELECT coalesce(sum(signed_quantity(p.side, p.quantity)), 0) FROM strategy_positions p
         WHERE p.account_id = c.account_id AND p.instrument_id = c.instrument_id AND p.status = 'open')::numeric AS claimed
  FROM contract_positions c JOIN instruments i ON i.id = c.instrument_id
 WHERE c.account_id = :account_id AND (c.quantity <> 0 OR c.updated_at > :since) ORDER BY i.symbol LIMIT 10000;

-- name: statuses
-- Why: an order that rests at the venue and is not active here has either ended here, or was never ours.
SELECT client_order_id, status FROM orders WHERE client_order_id = ANY(:client_order_ids::text[]) LIMIT :page;

-- name: adopt_order
-- Why: what stands or traded at the venue on our account is in our books, whoever placed it.
SELECT adopt_order(:account_id, :symbol, :client_order_id, :exchange_order_id, :side, :quantity, :price, :origin, :at)
  FROM require_lease(:role, :epoch);

-- name: begin_recovery
-- Why: a venue that was silent is compared before anything is sent to it again.
SELECT begin_recovery(:account_id, :role, :epoch, :reason, :at);

-- name: note_stream
-- Why: whether an account's own stream tells is for people to see, and for whoever judges what silence proves.
SELECT note_stream(:account_id, :role, :epoch, :state, :reason, :at);

-- name: record_comparison
-- Why: differences are rows, and whether the account may trade follows from them in the same transaction.
SELECT record_comparison(:account_id, :role, :epoch, :at, :breaks);

-- name: settle_order_alerts
-- Why: what is wrong with orders and books is told to people, once, until it is right again.
SELECT change, alert FROM settle_order_alerts(:account_id, :role, :epoch, :at);

-- name: waive_breaks
-- Why: who let an account trade with a difference is kept with it.
SELECT waive_breaks(:account_id, :break_id, :actor, :reason, :at);

-- name: book_balance_breaks
-- Why: what the venue holds and our ledger does not know becomes a booking with a name on it.
SELECT book_balance_breaks(:account_id, :break_id, :actor, :reason, :at);

-- name: account_totals
-- Why: what our books say the venue holds.
SELECT asset, free_balance + locked_balance AS total FROM portfolio_balances WHERE account_id = :account_id ORDER BY asset
 LIMIT 10000;

-- name: quarantine_fill
-- Why: a fill that cannot be booked is money; it is kept and shown, never dropped.
INSERT INTO quarantined_fills (account_id, reason, payload, occurred_at)
SELECT :account_id, :reason, :payload, :at FROM require_lease(:role, :epoch) ON CONFLICT DO NOTHING;

-- name: instrument_of
-- Why: a fill that was refused says which order it belongs to, not which market.
SELECT instrument_id FROM orders WHERE client_order_id = :client_order_id;

-- name: halt_instrument
-- Why: after a fill that contradicts our books nothing new may be opened there.
SELECT halt_trading('instrument:' || :instrument_id::int, :reason, 'order_executor', :at);

-- name: note_absent
-- Why: each definite "no such order" is evidence with a time.
INSERT INTO order_events (order_id, event_type, source, payload, occurred_at)
SELECT :order_id, 'absent', 'venue', '{}', :at FROM require_lease(:role, :epoch);

-- name: absent_answers
-- Why: the absence certificate needs them all, in order.
SELECT occurred_at FROM order_events WHERE order_id = :order_id AND event_type = 'absent' ORDER BY occurred_at LIMIT 1000;

-- name: absence_doubts
-- Why: a trade that nobody's order explains may be the very order that is said to be absent.
SELECT absence_doubts(:order_id);

-- name: note_doubt
-- Why: people see why an order stays UNKNOWN although its venue knows none of it.
INSERT INTO order_events (order_id, event_type, source, payload, occurred_at)
SELECT :order_id, 'note', 'order_executor', :payload, :at FROM require_lease(:role, :epoch);

-- name: want_resolved
-- Why: what a person says is kept before anything is done about it.
SELECT id, refusal FROM want_resolved(:order_id, :verdict, :price, :reason, :actor, :at);

-- name: resolutions
-- Why: what people have said of these orders and nobody has held against the venue yet.
SELECT id, order_id, verdict, price, reason, actor FROM order_resolutions
 WHERE order_id = ANY(:order_ids::uuid[]) AND decided_at IS NULL LIMIT :page;

-- name: resolution_outcome
-- Why: whoever said it wants to know what came of it.
SELECT r.id, r.verdict, r.outcome, r.explanation, o.client_order_id, o.status
  FROM order_resolutions r JOIN orders o ON o.id = r.order_id WHERE r.id = :id;

-- name: settle_resolution
-- Why: the decision and its note among the steps of the order are one.
SELECT settle_resolution(:id, :role, :epoch, :outcome, :explanation, :at);

-- name: cursor
-- Why: where to go on in the venue's list of fills.
SELECT cursor FROM venue_cursors WHERE account_id = :account_id;

-- name: save_cursor
-- Why: advanced only after every fill up to it is booked.
INSERT INTO venue_cursors AS c (account_id, cursor, updated_at)
SELECT :account_id, :cursor, :at FROM require_lease(:role, :epoch)
ON CONFLICT (account_id) DO UPDATE SET cursor = EXCLUDED.cursor, updated_at = EXCLUDED.updated_at
 WHERE c.cursor <> EXCLUDED.cursor;

-- name: funding_cursor
-- Why: where to go on in the venue's list of funding payments.
SELECT funding FROM venue_cursors WHERE account_id = :account_id;

-- name: save_funding_cursor
-- Why: advanced with the payments it stands for.
INSERT INTO venue_cursors AS c (account_id, cursor, funding, updated_at)
SELECT :account_id, '', :funding, :at FROM require_lease(:role, :epoch)
ON CONFLICT (account_id) DO UPDATE SET funding = EXCLUDED.funding, updated_at = EXCLUDED.updated_at;

-- name: release_reservation
-- Why: an approval that will never become an order gives its capital back.
SELECT release_reservation(:reservation_id, :at) FROM require_lease(:role, :epoch);

-- name: create_account
-- Why: the same name is the same account.
INSERT INTO accounts (id, name, venue, environment, quote_asset, kind, leverage)
VALUES (:id, :name, :venue, :environment, :quote_asset, :kind, :leverage)
ON CONFLICT (name) DO NOTHING;

-- name: account_by_name
-- Why: people speak of accounts by name.
SELECT id, name, venue, environment, quote_asset, kind, leverage FROM accounts WHERE name = :name;

-- name: deposit
-- Why: money enters through a balanced booking; the same source key is one deposit.
SELECT deposit(:account_id, :asset, :amount, :source_key, :at);

-- name: balances
-- Why: what an account holds now.
SELECT asset, free_balance, locked_balance, updated_at FROM portfolio_balances
 WHERE account_id = :account_id AND (free_balance <> 0 OR locked_balance <> 0) ORDER BY asset;

-- name: open_positions
-- Why: what each strategy holds now.
SELECT p.strategy_id, s.name AS strategy, p.symbol, p.instrument_id, signed_quantity(p.side, p.quantity) AS quantity, p.entry_price, p.current_price, p.unrealized_pnl,
       p.realized_pnl, p.opened_at
  FROM strategy_positions p JOIN strategies s ON s.id = p.strategy_id
 WHERE p.account_id = :account_id AND p.status = 'open' ORDER BY p.symbol, s.name LIMIT 1000;

-- name: ledger_problems
-- Why: the ledger must sum to zero per asset, balances must equal it, positions must rebuild from fills; rows are defects.
SELECT 'ledger does not sum to zero' AS problem, asset AS subject, sum(amount)::text AS difference
  FROM ledger_lines GROUP BY asset HAVING sum(amount) <> 0
UNION ALL
SELECT 'balance differs from ledger', account_id || ' ' || asset, difference::text FROM v_balance_check WHERE difference <> 0
UNION ALL
SELECT 'position differs from fills', strategy_id || ' ' || instrument_id, (stored - rebuilt)::text
  FROM rebuild_positions() WHERE NOT is_equal
UNION ALL
SELECT 'contracts differ from fills', account_id || ' ' || instrument_id, (stored - rebuilt)::text
  FROM rebuild_contracts() WHERE NOT is_equal
UNION ALL
SELECT 'funding differs from its parts', p.id::text, (p.funding - coalesce(sum(f.amount), 0))::text
  FROM strategy_positions p LEFT JOIN strategy_funding f ON f.position_id = p.id
 GROUP BY p.id, p.funding HAVING p.funding <> coalesce(sum(f.amount), 0)
UNION ALL
SELECT 'locked differs from reservations', b.account_id || ' ' || b.asset, (b.locked_balance - coalesce(r.remaining, 0))::text
  FROM portfolio_balances b
  LEFT JOIN (SELECT account_id, asset, sum(remaining) AS remaining
               FROM (SELECT account_id, asset, remaining FROM reservations WHERE released_at IS NULL
                      UNION ALL
                     SELECT c.account_id, i.quote, c.margin FROM contract_positions c JOIN instruments i ON i.id = c.instrument_id) l
              GROUP BY 1, 2) r
    USING (account_id, asset)
 WHERE b.locked_balance <> coalesce(r.remaining, 0);
