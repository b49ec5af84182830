-- Market data that comes in files: what was imported, what is held back until somebody confirms it.
-- Owner of every table here: market_data_service.

CREATE TABLE IF NOT EXISTS imports (
    id            uuid PRIMARY KEY,
    file          text NOT NULL,
    bytes         bigint NOT NULL,
    sha256        text NOT NULL,
    kind          text NOT NULL,
    venue         text NOT NULL,
    symbol        text,
    interval_s    int,
    rows_read     bigint NOT NULL DEFAULT 0,
    rows_stored   bigint NOT NULL DEFAULT 0,
    unchanged     bigint NOT NULL DEFAULT 0,
    revisions     bigint NOT NULL DEFAULT 0,
    rejected      bigint NOT NULL DEFAULT 0,
    quarantined   bigint NOT NULL DEFAULT 0,
    findings      jsonb NOT NULL DEFAULT '[]',
    rejects_file  text,
    error         text,
    began_at      timestamptz NOT NULL,
    ended_at      timestamptz,
    CONSTRAINT imports_hash_is_sha256 CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT imports_end_after_they_begin CHECK (ended_at >= began_at)
);
CREATE INDEX IF NOT EXISTS imports_by_content ON imports (sha256, began_at DESC);
CREATE INDEX IF NOT EXISTS imports_by_time ON imports (began_at DESC);
COMMENT ON TABLE imports IS
    'market_data_service: each file that was imported, its hash and what became of its rows; without an end it was cut short';

CREATE TABLE IF NOT EXISTS quarantined_candles (
    instrument_id  int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    interval_s     int NOT NULL,
    open_time      timestamptz NOT NULL,
    open           float8 NOT NULL,
    high           float8 NOT NULL,
    low            float8 NOT NULL,
    close          float8 NOT NULL,
    volume         float8 NOT NULL,
    reason         text NOT NULL,
    status         text NOT NULL DEFAULT 'waiting',
    import_id      uuid REFERENCES imports (id) ON DELETE RESTRICT,
    held_at        timestamptz NOT NULL,
    decided_at     timestamptz,
    PRIMARY KEY (instrument_id, interval_s, open_time),
    CONSTRAINT quarantined_candles_status_is_known CHECK (status IN ('waiting', 'accepted', 'dropped')),
    CONSTRAINT quarantined_candles_are_decided_once CHECK ((status = 'waiting') = (decided_at IS NULL))
);
CREATE INDEX IF NOT EXISTS quarantined_candles_waiting ON quarantined_candles (held_at) WHERE status = 'waiting';
COMMENT ON TABLE quarantined_candles IS
    'market_data_service: candles that look like a bad print, kept out of candles until a second source or a person confirms';

-- The kinds beside candles. One writer a series at a time, so that what was not there before is new. Natural keys, so that the same rows twice change nothing; what differs from a stored row of its
-- key is refused and told, never written over. Numbers are float8 as candles are.

CREATE TABLE IF NOT EXISTS kind_series (
    kind        text NOT NULL,
    venue       text NOT NULL REFERENCES venues (id) ON DELETE RESTRICT,
    symbol      text NOT NULL,
    rows        bigint NOT NULL DEFAULT 0,
    first_time  timestamptz,
    last_time   timestamptz,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (kind, venue, symbol),
    CONSTRAINT kind_series_kind_is_known CHECK (kind IN ('trades', 'funding', 'book', 'tickers')),
    CONSTRAINT kind_series_with_rows_knows_its_ends
        CHECK (rows >= 0 AND num_nulls(first_time, last_time) = CASE rows WHEN 0 THEN 2 ELSE 0 END)
) WITH (fillfactor = 50);
COMMENT ON TABLE kind_series IS
    'market_data_service: catalogue of trades, funding, books and tickers: rows and ends, kept by the functions that store them';

CREATE TABLE IF NOT EXISTS kind_coverage (
    instrument_id  int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    kind           text NOT NULL,
    answered       tstzmultirange NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, kind),
    CONSTRAINT kind_coverage_kind_is_known CHECK (kind IN ('trades', 'funding'))
);
COMMENT ON TABLE kind_coverage IS
    'market_data_service: for which times a venue has told all its trades or funding rates; a resumed download asks for the rest';

CREATE TABLE IF NOT EXISTS market_trades (
    instrument_id  int NOT NULL,
    time           timestamptz NOT NULL,
    trade_id       text NOT NULL,
    price          float8 NOT NULL,
    amount         float8 NOT NULL,
    is_buy         boolean,
    PRIMARY KEY (instrument_id, time, trade_id),
    CONSTRAINT market_trades_price_and_amount_are_positive
        CHECK (price > 0 AND price < 'Infinity' AND amount > 0 AND amount < 'Infinity')
) PARTITION BY RANGE (time);
COMMENT ON TABLE market_trades IS
    'market_data_service: single trades of venues; is_buy: the taker bought; without a venue''s id it is made of price and amount';

CREATE TABLE IF NOT EXISTS funding_rates (
    instrument_id  int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    time           timestamptz NOT NULL,
    rate           float8 NOT NULL,
    PRIMARY KEY (instrument_id, time),
    CONSTRAINT funding_rates_are_fractions CHECK (abs(rate) < 1)
);
COMMENT ON TABLE funding_rates IS 'market_data_service: what longs paid shorts at that time, as a fraction of the notional';

-- A snapshot holds the whole book (of its depth), a change only the levels that changed, an amount of 0 removing one.
CREATE TABLE IF NOT EXISTS book_updates (
    instrument_id   int NOT NULL,
    time            timestamptz NOT NULL,
    sequence        bigint NOT NULL,
    is_snapshot     boolean NOT NULL,
    first_sequence  bigint,
    bid_prices      float8[] NOT NULL,
    bid_amounts     float8[] NOT NULL,
    ask_prices      float8[] NOT NULL,
    ask_amounts     float8[] NOT NULL,
    PRIMARY KEY (instrument_id, time, sequence, is_snapshot),
    CONSTRAINT book_updates_levels_are_whole
        CHECK (cardinality(bid_prices) = cardinality(bid_amounts) AND cardinality(ask_prices) = cardinality(ask_amounts))
) PARTITION BY RANGE (time);
COMMENT ON TABLE book_updates IS
    'market_data_service: order book snapshots and the changes between them, each with the sequence number of its venue';

CREATE TABLE IF NOT EXISTS market_tickers (
    venue         text NOT NULL,
    symbol        text NOT NULL,
    time          timestamptz NOT NULL,
    sequence      bigint NOT NULL DEFAULT 0,
    bid           float8,
    bid_amount    float8,
    ask           float8,
    ask_amount    float8,
    last          float8,
    volume        float8,
    PRIMARY KEY (venue, symbol, time, sequence),
    CONSTRAINT market_tickers_are_finite CHECK (
        abs(coalesce(bid, 0)) < 'Infinity' AND abs(coalesce(ask, 0)) < 'Infinity' AND abs(coalesce(last, 0)) < 'Infinity')
) PARTITION BY RANGE (time);
COMMENT ON TABLE market_tickers IS
    'market_data_service: best bid and ask, last price and day''s volume at a time; symbols as the venue''s list names them';

CREATE OR REPLACE FUNCTION ensure_month_partitions(p_table text, p_from timestamptz, p_to timestamptz) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    v_month  timestamp := date_trunc('month', p_from AT TIME ZONE 'UTC');
    v_last   timestamp := date_trunc('month', p_to AT TIME ZONE 'UTC');
    v_made   int := 0;
    v_name   text;
BEGIN
    IF p_table NOT IN ('market_trades', 'book_updates', 'market_tickers') OR p_from > p_to
       OR v_last > v_month + interval '600 months' THEN
        RAISE EXCEPTION 'partitions of % from % to %: the table must be one that has months, the end at most 600 months '
            'after the start', p_table, p_from, p_to USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WHILE v_month <= v_last LOOP
        v_name := p_table || to_char(v_month, '_YYYY_MM');
        IF to_regclass(v_name) IS NULL THEN
            EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', p_table);
            IF to_regclass(v_name) IS NULL THEN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', v_name, p_table);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p_table, v_name,
                               to_char(v_month, 'YYYY-MM-DD') || ' 00:00:00+00',
                               to_char(v_month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
                v_made := v_made + 1;
            END IF;
        END IF;
        v_month := v_month + interval '1 month';
    END LOOP;
    RETURN v_made;
END $$;
COMMENT ON FUNCTION ensure_month_partitions IS
    'market_data_service: make the monthly partitions of trades, books or tickers from p_from to p_to; the number made';

CREATE OR REPLACE FUNCTION book_kind(
    p_kind text, p_venue text, p_symbol text, p_new bigint, p_first timestamptz, p_last timestamptz, p_at timestamptz
) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO kind_series AS s (kind, venue, symbol, rows, first_time, last_time, updated_at)
    SELECT p_kind, p_venue, p_symbol, p_new, p_first, p_last, p_at WHERE p_new > 0
    ON CONFLICT (kind, venue, symbol) DO UPDATE
       SET rows = s.rows + excluded.rows, first_time = least(s.first_time, excluded.first_time),
           last_time = greatest(s.last_time, excluded.last_time), updated_at = excluded.updated_at
$$;
COMMENT ON FUNCTION book_kind IS 'market_data_service: the catalogue follows what was stored, in its transaction';

CREATE OR REPLACE FUNCTION store_trades(
    p_instrument_id int, p_times timestamptz[], p_ids text[], p_prices float8[], p_amounts float8[], p_is_buy boolean[],
    p_at timestamptz, OUT new_places int[], OUT other_places int[]
)
LANGUAGE plpgsql AS $$
DECLARE
    v_from  timestamptz;
    v_to    timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('trades ' || p_instrument_id, 0));
    SELECT min(t), max(t) INTO v_from, v_to FROM unnest(p_times) AS t;
    WITH offered AS (
        SELECT * FROM unnest(p_times, p_ids, p_prices, p_amounts, p_is_buy)
               WITH ORDINALITY AS o(time, trade_id, price, amount, is_buy, place)
    ), there AS (
        SELECT o.place, (t.price, t.amount, t.is_buy) IS DISTINCT FROM (o.price, o.amount, o.is_buy) AS is_other
          FROM offered o JOIN market_trades t
            ON t.instrument_id = p_instrument_id AND t.time = o.time AND t.trade_id = o.trade_id
         WHERE t.time BETWEEN v_from AND v_to
    ), written AS (
        INSERT INTO market_trades (instrument_id, time, trade_id, price, amount, is_buy)
        SELECT p_instrument_id, o.time, o.trade_id, o.price, o.amount, o.is_buy FROM offered o ORDER BY o.time, o.trade_id
        ON CONFLICT DO NOTHING
    )
    SELECT (SELECT array_agg(o.place::int) FROM offered o WHERE o.place NOT IN (SELECT h.place FROM there h)),
           (SELECT array_agg(h.place::int) FROM there h WHERE h.is_other)
      INTO new_places, other_places;
    PERFORM book_kind('trades', i.venue, i.symbol, cardinality(new_places),
                      (SELECT min(p_times[n]) FROM unnest(new_places) AS n),
                      (SELECT max(p_times[n]) FROM unnest(new_places) AS n), p_at)
       FROM instruments i WHERE i.id = p_instrument_id;
END $$;
COMMENT ON FUNCTION store_trades IS
    'market_data_service: store trades; the places (from 1) of the new ones, and of those that are there with other numbers';

CREATE OR REPLACE FUNCTION store_funding(
    p_instrument_id int, p_times timestamptz[], p_rates float8[], p_at timestamptz,
    OUT new_places int[], OUT other_places int[]
)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('funding ' || p_instrument_id, 0));
    WITH offered AS (
        SELECT * FROM unnest(p_times, p_rates) WITH ORDINALITY AS o(time, rate, place)
    ), there AS (
        SELECT o.place, f.rate IS DISTINCT FROM o.rate AS is_other
          FROM offered o JOIN funding_rates f ON f.instrument_id = p_instrument_id AND f.time = o.time
    ), written AS (
        INSERT INTO funding_rates (instrument_id, time, rate)
        SELECT p_instrument_id, o.time, o.rate FROM offered o ORDER BY o.time
        ON CONFLICT DO NOTHING
    )
    SELECT (SELECT array_agg(o.place::int) FROM offered o WHERE o.place NOT IN (SELECT h.place FROM there h)),
           (SELECT array_agg(h.place::int) FROM there h WHERE h.is_other)
      INTO new_places, other_places;
    PERFORM book_kind('funding', i.venue, i.symbol, cardinality(new_places),
                      (SELECT min(p_times[n]) FROM unnest(new_places) AS n),
                      (SELECT max(p_times[n]) FROM unnest(new_places) AS n), p_at)
       FROM instruments i WHERE i.id = p_instrument_id;
END $$;
COMMENT ON FUNCTION store_funding IS 'market_data_service: store funding rates; the answer is that of store_trades';

-- Levels come flat, with the number of bids and asks of each update: SQL has no arrays of arrays of different lengths.
CREATE OR REPLACE FUNCTION store_books(
    p_instrument_id int, p_times timestamptz[], p_sequences bigint[], p_is_snapshot boolean[], p_first_sequences bigint[],
    p_bid_counts int[], p_ask_counts int[], p_bid_prices float8[], p_bid_amounts float8[], p_ask_prices float8[],
    p_ask_amounts float8[], p_at timestamptz, OUT new_places int[], OUT other_places int[]
)
LANGUAGE plpgsql AS $$
DECLARE
    v_from  timestamptz;
    v_to    timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('book ' || p_instrument_id, 0));
    SELECT min(t), max(t) INTO v_from, v_to FROM unnest(p_times) AS t;
    WITH counted AS (
        SELECT o.*, sum(o.bids) OVER w AS bid_end, sum(o.asks) OVER w AS ask_end
          FROM unnest(p_times, p_sequences, p_is_snapshot, p_first_sequences, p_bid_counts, p_ask_counts)
               WITH ORDINALITY AS o(time, sequence, is_snapshot, first_sequence, bids, asks, place)
        WINDOW w AS (ORDER BY o.place)
    ), offered AS (
        SELECT c.time, c.sequence, c.is_snapshot, c.first_sequence, c.place,
               p_bid_prices[c.bid_end - c.bids + 1 : c.bid_end] AS bid_prices,
               p_bid_amounts[c.bid_end - c.bids + 1 : c.bid_end] AS bid_amounts,
               p_ask_prices[c.ask_end - c.asks + 1 : c.ask_end] AS ask_prices,
               p_ask_amounts[c.ask_end - c.asks + 1 : c.ask_end] AS ask_amounts
          FROM counted c
    ), there AS (
        -- Snapshots of one moment may be of different depth: they agree when the shallower one is the top of the other.
        SELECT o.place, o.is_snapshot AND (cardinality(o.bid_prices) > d.bids OR cardinality(o.ask_prices) > d.asks) AS is_deeper,
               (b.bid_prices[:d.bids], b.bid_amounts[:d.bids], b.ask_prices[:d.asks], b.ask_amounts[:d.asks])
               IS DISTINCT FROM
               (o.bid_prices[:d.bids], o.bid_amounts[:d.bids], o.ask_prices[:d.asks], o.ask_amounts[:d.asks]) AS is_other
          FROM offered o JOIN book_updates b
            ON b.instrument_id = p_instrument_id AND b.time = o.time AND b.sequence = o.sequence
           AND b.is_snapshot = o.is_snapshot
         CROSS JOIN LATERAL (SELECT
               CASE WHEN o.is_snapshot THEN least(cardinality(o.bid_prices), cardinality(b.bid_prices))
                    ELSE greatest(cardinality(o.bid_prices), cardinality(b.bid_prices)) END AS bids,
               CASE WHEN o.is_snapshot THEN least(cardinality(o.ask_prices), cardinality(b.ask_prices))
                    ELSE greatest(cardinality(o.ask_prices), cardinality(b.ask_prices)) END AS asks) d
         WHERE b.time BETWEEN v_from AND v_to
    ), deepened AS (
        UPDATE book_updates b
           SET bid_prices = o.bid_prices, bid_amounts = o.bid_amounts, ask_prices = o.ask_prices, ask_amounts = o.ask_amounts
          FROM there h JOIN offered o ON o.place = h.place
         WHERE h.is_deeper AND NOT h.is_other AND b.instrument_id = p_instrument_id AND b.time BETWEEN v_from AND v_to
           AND b.time = o.time AND b.sequence = o.sequence AND b.is_snapshot
    ), written AS (
        INSERT INTO book_updates (instrument_id, time, sequence, is_snapshot, first_sequence, bid_prices, bid_amounts,
                                  ask_prices, ask_amounts)
        SELECT p_instrument_id, o.time, o.sequence, o.is_snapshot, o.first_sequence, o.bid_prices, o.bid_amounts,
               o.ask_prices, o.ask_amounts
          FROM offered o ORDER BY o.time, o.sequence
        ON CONFLICT DO NOTHING
    )
    SELECT (SELECT array_agg(o.place::int) FROM offered o WHERE o.place NOT IN (SELECT h.place FROM there h)),
           (SELECT array_agg(h.place::int) FROM there h WHERE h.is_other)
      INTO new_places, other_places;
    PERFORM book_kind('book', i.venue, i.symbol, cardinality(new_places),
                      (SELECT min(p_times[n]) FROM unnest(new_places) AS n),
                      (SELECT max(p_times[n]) FROM unnest(new_places) AS n), p_at)
       FROM instruments i WHERE i.id = p_instrument_id;
END $$;
COMMENT ON FUNCTION store_books IS 'market_data_service: store book snapshots and changes; the answer is that of store_trades';

CREATE OR REPLACE FUNCTION store_tickers(
    p_venue text, p_symbols text[], p_times timestamptz[], p_sequences bigint[], p_bids float8[], p_bid_amounts float8[],
    p_asks float8[], p_ask_amounts float8[], p_lasts float8[], p_volumes float8[], p_at timestamptz,
    OUT new_places int[], OUT other_places int[]
)
LANGUAGE plpgsql AS $$
DECLARE
    v_from  timestamptz;
    v_to    timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tickers ' || p_venue, 0));
    SELECT min(t), max(t) INTO v_from, v_to FROM unnest(p_times) AS t;
    WITH offered AS (
        SELECT * FROM unnest(p_symbols, p_times, p_sequences, p_bids, p_bid_amounts, p_asks, p_ask_amounts, p_lasts, p_volumes)
               WITH ORDINALITY AS o(symbol, time, sequence, bid, bid_amount, ask, ask_amount, last, volume, place)
    ), there AS (
        SELECT o.place, (t.bid, t.bid_amount, t.ask, t.ask_amount, t.last, t.volume)
               IS DISTINCT FROM (o.bid, o.bid_amount, o.ask, o.ask_amount, o.last, o.volume) AS is_other
          FROM offered o JOIN market_tickers t
            ON t.venue = p_venue AND t.symbol = o.symbol AND t.time = o.time AND t.sequence = o.sequence
         WHERE t.time BETWEEN v_from AND v_to
    ), written AS (
        INSERT INTO market_tickers (venue, symbol, time, sequence, bid, bid_amount, ask, ask_amount, last, volume)
        SELECT p_venue, o.symbol, o.time, o.sequence, o.bid, o.bid_amount, o.ask, o.ask_amount, o.last, o.volume
          FROM offered o ORDER BY o.symbol, o.time, o.sequence
        ON CONFLICT DO NOTHING
    )
    SELECT (SELECT array_agg(o.place::int) FROM offered o WHERE o.place NOT IN (SELECT h.place FROM there h)),
           (SELECT array_agg(h.place::int) FROM there h WHERE h.is_other)
      INTO new_places, other_places;
    PERFORM book_kind('tickers', p_venue, g.symbol, g.rows, g.first_time, g.last_time, p_at)
       FROM (SELECT p_symbols[n] AS symbol, count(*) AS rows, min(p_times[n]) AS first_time, max(p_times[n]) AS last_time
               FROM unnest(new_places) AS n GROUP BY 1 ORDER BY 1) g;
END $$;
COMMENT ON FUNCTION store_tickers IS 'market_data_service: store tickers of one venue; the answer is that of store_trades';
