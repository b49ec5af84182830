-- name: held
-- Why: what of swaps the account holds or held lately, beside its wallet.
SELECT p.symbol, p.quantity, p.cost, p.mark, p.changed_at, p.settled_to, coalesce(b.amount, 0) AS wallet
  FROM paper_venue.positions p LEFT JOIN paper_venue.balances b ON b.account = p.account AND b.asset = :asset
 WHERE p.account = :account AND (p.quantity <> 0 OR p.changed_at > :lately) ORDER BY p.symbol LIMIT 10000;

-- name: positions
-- Why: the venue's own view of the contracts an account holds.
SELECT symbol, quantity FROM paper_venue.positions WHERE account = :account AND quantity <> 0 ORDER BY symbol LIMIT 10000;

-- name: fill_swap
-- Why: the venue's own bookkeeping of one execution of a swap, in one commit of its own.
SELECT paper_venue.fill_swap(:order_id, :price, :fee_rate, :is_maker, :at, :asset, :leverage, :most_notional, :symbols, :marks);

-- name: liquidate
-- Why: a position that the account's money does not carry any more is closed by the venue.
SELECT paper_venue.liquidate(:account, :symbol, :price, :fee_rate, :at, :asset);

-- name: settle
-- Why: longs pay shorts, or shorts longs, at each settlement once.
-- idempotent: a settlement that was passed is not passed again.
SELECT paper_venue.settle(:account, :symbol, :asset, :price, :times, :rates);

-- name: mark
-- Why: markets without a bar are valued at the last price seen, after a restart too.
UPDATE paper_venue.positions p SET mark = m.price FROM unnest(:symbols::text[], :marks::numeric[]) AS m (symbol, price)
 WHERE p.account = :account AND p.symbol = m.symbol AND p.quantity <> 0 AND p.mark <> m.price;

-- name: funding_after
-- Why: the list of own funding payments every real venue offers, oldest first.
SELECT id, symbol, asset, amount, settled_at FROM paper_venue.funding
 WHERE account = :account AND id > :after ORDER BY id LIMIT :page;
