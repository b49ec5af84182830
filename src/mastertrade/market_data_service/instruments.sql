-- name: sync_instruments
-- Why: the venue's own list replaces what was assumed; a trigger keeps what was valid before, and rows that are equal
-- already are not written.
-- idempotent: the same list again changes nothing.
WITH known AS (
    INSERT INTO venues (id, created_at) VALUES (:venue, :at) ON CONFLICT (id) DO NOTHING
), listed AS (
    SELECT * FROM unnest(:symbols::text[], :bases::text[], :quotes::text[], :kinds::text[], :settles::text[],
                         :contract_sizes::numeric[], :tick_sizes::numeric[], :lot_sizes::numeric[], :min_notionals::numeric[],
                         :maker_fees::numeric[], :taker_fees::numeric[], :statuses::text[])
           AS l(symbol, base, quote, kind, settle, contract_size, tick_size, lot_size, min_notional, maker_fee, taker_fee,
                status)
), written AS (
    INSERT INTO instruments AS i (venue, symbol, base, quote, kind, settle, contract_size, tick_size, lot_size, min_notional,
                                  maker_fee, taker_fee, status, rules_source, created_at, updated_at)
    SELECT :venue, l.symbol, l.base, l.quote, l.kind, l.settle, l.contract_size, l.tick_size, l.lot_size, l.min_notional,
           l.maker_fee, l.taker_fee, l.status, 'venue', :at, :at
      FROM listed l ORDER BY l.symbol
    ON CONFLICT (venue, symbol) DO UPDATE
       SET contract_size = excluded.contract_size, tick_size = excluded.tick_size, lot_size = excluded.lot_size,
           min_notional = excluded.min_notional, maker_fee = excluded.maker_fee, taker_fee = excluded.taker_fee,
           status = excluded.status, rules_source = excluded.rules_source, updated_at = excluded.updated_at
     WHERE (i.contract_size, i.tick_size, i.lot_size, i.min_notional, i.maker_fee, i.taker_fee, i.status, i.rules_source)
           IS DISTINCT FROM (excluded.contract_size, excluded.tick_size, excluded.lot_size, excluded.min_notional,
                             excluded.maker_fee, excluded.taker_fee, excluded.status, excluded.rules_source)
    RETURNING i.xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new)::int AS added, count(*) FILTER (WHERE NOT is_new)::int AS changed FROM written;

-- name: learn_instruments
-- Why: a list from a file may be older than what is known; its rules hold from its own time on.
-- idempotent: the same list again changes nothing.
SELECT added, changed
  FROM learn_instruments(:venue, :symbols, :bases, :quotes, :kinds, :settles, :contract_sizes, :tick_sizes, :lot_sizes,
                         :min_notionals, :maker_fees, :taker_fees, :statuses, :sources, :tell_notional, :tell_fees,
                         :known_at, :at);

-- name: learn_leverage_tiers
-- Why: what a swap of some size must keep as margin, from the time it was listed on.
-- idempotent: the same tiers again change nothing.
SELECT learn_leverage_tiers(:instrument_id, :notional_from, :notional_to, :maintenance_rate, :max_leverage, :known_at);

-- name: leverage_tiers
-- Why: the margin of a position is that of its time; before the first known tiers those are the best guess.
SELECT t.notional_from, t.notional_to, t.maintenance_rate, t.max_leverage
  FROM leverage_tiers t
 WHERE t.instrument_id = :instrument_id
   AND t.valid_from = (SELECT v.valid_from FROM leverage_tiers v WHERE v.instrument_id = :instrument_id
                        ORDER BY v.valid_from <= :as_of DESC, abs(extract(epoch FROM v.valid_from - :as_of)) LIMIT 1)
 ORDER BY t.notional_from LIMIT 1000;

-- name: delist_missing_instruments
-- Why: what a venue no longer lists can no longer be traded; only rows that came from the venue are judged by its list.
UPDATE instruments SET status = 'delisted', updated_at = :at
 WHERE venue = :venue AND rules_source = 'venue' AND status <> 'delisted' AND kind = ANY(:kinds::text[])
   AND NOT symbol = ANY(:symbols::text[])
RETURNING symbol;

-- name: instrument_at
-- Why: a backtest of last year trades by last year's rules; before the first known version the first one is the best guess.
SELECT i.id, i.venue, i.symbol, i.base, i.quote, v.tick_size, v.lot_size, v.min_notional, v.maker_fee, v.taker_fee, v.status,
       i.kind, i.settle, v.contract_size
  FROM instruments i JOIN instrument_versions v ON v.instrument_id = i.id
 WHERE i.id = :instrument_id
 ORDER BY v.valid_from <= :as_of DESC, abs(extract(epoch FROM v.valid_from - :as_of)) LIMIT 1;

-- name: known_instruments
-- Why: whoever chooses a market looks at its rules, and at since when they are so.
SELECT i.id, i.venue, i.symbol, i.base, i.quote, i.tick_size, i.lot_size, i.min_notional, i.maker_fee, i.taker_fee, i.status,
       i.kind, i.settle, i.contract_size, i.rules_source, v.valid_from
  FROM instruments i JOIN instrument_versions v ON v.instrument_id = i.id AND v.valid_to IS NULL
 WHERE :venue::text IS NULL OR i.venue = :venue
 ORDER BY i.venue, i.symbol LIMIT :limit;

-- name: instrument_versions
-- Why: what has changed about a market, and when.
SELECT instrument_id, valid_from, valid_to, contract_size, tick_size, lot_size, min_notional, maker_fee, taker_fee, status,
       rules_source
  FROM instrument_versions WHERE instrument_id = :instrument_id ORDER BY valid_from LIMIT 1000;
