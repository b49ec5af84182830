-- name: taker_fees
-- Why: what a trade costs on each of these markets now; markets that cannot be traded are left out.
SELECT id, taker_fee FROM instruments WHERE id = ANY(:ids::int[]) AND status = 'tradable';

-- name: lock_opportunity
-- Why: two prices of one pair that arrive at once see each other's row.
SELECT pg_advisory_xact_lock(hashtextextended('opportunity:' || :pair::text || ':' || :buy_venue::text || ':' || :sell_venue::text, 0));

-- name: refresh_opportunity
-- Why: a difference that is still there a moment later is the same opportunity with newer numbers.
UPDATE arbitrage_opportunities
   SET buy_price = :buy_price, sell_price = :sell_price, buy_venue_data = :buy_venue_data,
       sell_venue_data = :sell_venue_data, profit_percent = :profit_percent, estimated_profit_usd = :net_profit,
       trade_amount = :quantity, fees = :fees, metadata = :metadata, times_seen = times_seen + 1,
       timestamp = least(timestamp, :found_at::timestamptz), last_seen_at = greatest(last_seen_at, :found_at)
 WHERE id = (SELECT id FROM arbitrage_opportunities
              WHERE pair = :pair AND buy_venue = :buy_venue AND sell_venue = :sell_venue AND NOT executed
                AND last_seen_at BETWEEN :found_at::timestamptz - :window::interval AND :found_at::timestamptz + :window
              ORDER BY last_seen_at DESC LIMIT 1)
RETURNING id;

-- name: insert_opportunity
-- Why: a difference found; the same id a second time changes nothing.
-- idempotent: the row has its id before it is sent.
INSERT INTO arbitrage_opportunities (id, pair, buy_venue, sell_venue, buy_venue_data, sell_venue_data, buy_price, sell_price,
                                     profit_percent, estimated_profit_usd, trade_amount, gas_cost, fees, arbitrage_type,
                                     executed, execution_id, metadata, timestamp, last_seen_at)
VALUES (:id, :pair, :buy_venue, :sell_venue, :buy_venue_data, :sell_venue_data, :buy_price, :sell_price, :profit_percent,
        :net_profit, :quantity, :gas_cost, :fees, :arbitrage_type, :executed, :execution_id, :metadata,
        :found_at::timestamptz, :found_at)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: profitable_opportunities
-- Why: what could still be taken, the best first.
SELECT * FROM arbitrage_opportunities
 WHERE NOT executed AND profit_percent >= :min_profit_percent ORDER BY profit_percent DESC, id DESC LIMIT :limit;

-- name: opportunities_by_type
-- Why: the newest of one kind, executed ones included.
SELECT * FROM arbitrage_opportunities
 WHERE arbitrage_type = :arbitrage_type AND (:chain::text IS NULL OR metadata ->> 'chain' = :chain)
 ORDER BY timestamp DESC, id DESC LIMIT :limit;

-- name: begin_execution
-- Why: an attempt begins; an opportunity nobody stored is remembered in the metadata only.
INSERT INTO arbitrage_executions (id, opportunity_id, execution_type, start_time, metadata)
VALUES (:id, (SELECT o.id FROM arbitrage_opportunities o WHERE o.id = :opportunity_id), :execution_type, :at, :metadata);

-- name: finish_execution
-- Why: how an attempt ended.
UPDATE arbitrage_executions
   SET end_time = :at, status = :status, transactions = coalesce(:transactions::jsonb, transactions),
       actual_profit_usd = coalesce(:actual_profit_usd, actual_profit_usd), gas_used = coalesce(:gas_used, gas_used),
       error_message = coalesce(:error_message, error_message)
 WHERE id = :id
RETURNING opportunity_id;

-- name: mark_executed
-- Why: an opportunity that was taken is not offered again.
UPDATE arbitrage_opportunities SET executed = true, execution_id = :execution_id WHERE id = :id;

-- name: executions
-- Why: the newest attempts.
SELECT * FROM arbitrage_executions ORDER BY start_time DESC, id DESC LIMIT :limit;

-- name: insert_dex_price
-- Why: a price of a decentralised venue as it was read.
INSERT INTO dex_prices (id, pair, dex, chain, price, liquidity, reserve0, reserve1, timestamp)
VALUES (:id, :pair, :dex, :chain, :price, :liquidity, :reserve0, :reserve1, :at)
RETURNING id;

-- name: latest_dex_prices
-- Why: the newest price of a pair on each chain and venue.
SELECT DISTINCT ON (chain, dex) * FROM dex_prices WHERE pair = :pair ORDER BY chain, dex, timestamp DESC, id DESC;

-- name: insert_flash_loan_opportunity
-- Why: a path that would pay back a loan with profit.
INSERT INTO flash_loan_opportunities (id, protocol, token, amount, fee_percent, arbitrage_path, gas_estimate,
                                      estimated_profit, capital_required, timestamp)
VALUES (:id, :protocol, :token, :amount, :fee_percent, :arbitrage_path, :gas_estimate, :estimated_profit,
        :capital_required, :at)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: flash_loan_opportunities
-- Why: the newest loans worth taking, of one protocol or of all.
SELECT * FROM flash_loan_opportunities WHERE (:protocol::text IS NULL OR protocol = :protocol)
 ORDER BY timestamp DESC, id DESC LIMIT :limit;

-- name: insert_triangular_opportunity
-- Why: a profitable cycle on one venue.
INSERT INTO triangular_arbitrage (id, exchange, chain, route, base_amount, profit_percent, estimated_profit_usd, timestamp)
VALUES (:id, :exchange, :chain, :route, :base_amount, :profit_percent, :estimated_profit_usd, :at)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: triangular_opportunities
-- Why: the newest cycles, of one venue or of all.
SELECT * FROM triangular_arbitrage WHERE (:exchange::text IS NULL OR exchange = :exchange)
 ORDER BY timestamp DESC, id DESC LIMIT :limit;

-- name: insert_gas_price
-- Why: what gas cost on a chain at a moment.
INSERT INTO gas_prices (id, chain, standard_gwei, fast_gwei, instant_gwei, timestamp)
VALUES (:id, :chain, :standard_gwei, :fast_gwei, :instant_gwei, :at)
RETURNING id;

-- name: latest_gas_price
-- Why: the newest gas price of a chain.
SELECT * FROM gas_prices WHERE chain = :chain ORDER BY timestamp DESC, id DESC LIMIT 1;

-- name: statistics
-- Why: what was found and what came of it since a moment.
SELECT o.*, e.*
  FROM (SELECT count(*)::int AS total_opportunities,
               count(*) FILTER (WHERE estimated_profit_usd > 0)::int AS profitable_opportunities,
               count(*) FILTER (WHERE executed)::int AS executed_count,
               coalesce(avg(profit_percent), 0)::float8 AS avg_profit_percent,
               coalesce(max(profit_percent), 0)::float8 AS max_profit_percent,
               coalesce(sum(estimated_profit_usd), 0)::float8 AS total_estimated_profit
          FROM arbitrage_opportunities WHERE timestamp >= :since) AS o,
       (SELECT count(*)::int AS total_executions,
               count(*) FILTER (WHERE status = 'success')::int AS successful_executions,
               count(*) FILTER (WHERE status = 'failed')::int AS failed_executions,
               count(*) FILTER (WHERE status <> 'pending')::int AS finished_executions,
               coalesce(sum(actual_profit_usd) FILTER (WHERE status <> 'pending'), 0)::float8 AS total_profit_usd
          FROM arbitrage_executions WHERE start_time >= :since) AS e;
