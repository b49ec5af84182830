-- name: accept
-- Why: an order exists at the venue from the moment this row commits.
INSERT INTO paper_venue.orders (account, client_order_id, symbol, side, type, quantity, limit_price, time_in_force, expires_at,
                                post_only, reduce_only, accepted_at)
VALUES (:account, :client_order_id, :symbol, :side, :type, :quantity, :limit_price, :time_in_force, :expires_at, :post_only,
        :reduce_only, :accepted_at)
RETURNING id;

-- name: find
-- Why: the venue's answer to "what became of this order"; the newest row when an id was used twice.
SELECT id, client_order_id, symbol, side, quantity, limit_price, filled_quantity, status, reason
  FROM paper_venue.orders WHERE account = :account AND client_order_id = :client_order_id ORDER BY id DESC LIMIT 1;

-- name: resting
-- Why: what the next price may fill, in the order it came.
SELECT id, client_order_id, symbol, side, type, quantity, limit_price, filled_quantity, status, reason, accepted_at,
       time_in_force, expires_at, post_only, has_rested
  FROM paper_venue.orders WHERE account = :account AND status = 'OPEN' AND id > :after ORDER BY id LIMIT :page;

-- name: fill
-- Why: the venue's own bookkeeping of one execution, in one commit of its own.
SELECT paper_venue.fill(:order_id, :price, :commission, :is_maker, :at, :pay_asset, :spend, :get_asset, :receive, :commission_asset);

-- name: cancel
-- Why: only a resting order can be cancelled.
UPDATE paper_venue.orders SET status = 'CANCELED', reason = 'canceled on request'
 WHERE account = :account AND client_order_id = :client_order_id AND status = 'OPEN';

-- name: rest
-- Why: a post-only order that did not trade at its first price has become a maker.
UPDATE paper_venue.orders SET has_rested = true WHERE id = :order_id AND status = 'OPEN';

-- name: end
-- Why: what may not rest, or has rested long enough, ends at the venue by itself.
UPDATE paper_venue.orders SET status = :status, reason = :reason WHERE id = :order_id AND status = 'OPEN';

-- name: fills_after
-- Why: the list of own executions every real venue offers, oldest first.
SELECT f.id, f.client_order_id, f.order_id, o.symbol, o.side, f.quantity, f.price, f.commission, f.commission_asset, f.is_maker,
       f.traded_at, f.realized_pnl
  FROM paper_venue.fills f JOIN paper_venue.orders o ON o.id = f.order_id WHERE f.account = :account AND f.id > :after ORDER BY f.id LIMIT :page;

-- name: balances
-- Why: the venue's own view of what the account holds.
SELECT asset, amount FROM paper_venue.balances WHERE account = :account AND amount <> 0 ORDER BY asset;

-- name: deposit
-- Why: paper money comes from somewhere, once.
SELECT paper_venue.deposit(:account, :key, :asset, :amount);
