-- The schema of MasterTrade: every table, view and function, one file per owner below schema/.
--
--   psql -d mastertrade -f schema.sql      on an empty database is enough; a second time changes nothing.
--   mastertrade db init                    does the same and remembers the hash of the text.
--
-- PostgreSQL 15 or newer, no extension required. Lines that begin with a backslash or end in \g are for psql alone:
-- they make the file one transaction that stops at the first error. postgres/apply.py brings its own.
\set ON_ERROR_STOP on
BEGIN \g
SET LOCAL client_min_messages = warning;

\ir schema/ground.sql
\ir schema/bus.sql
\ir schema/accounts.sql
\ir schema/account_keys.sql
\ir schema/instruments.sql
\ir schema/market.sql
\ir schema/market_truth.sql
\ir schema/market_derived.sql
\ir schema/market_kinds.sql
\ir schema/market_quality.sql
\ir schema/market_retention.sql
\ir schema/strategy.sql
\ir schema/backtests.sql
\ir schema/risk.sql
\ir schema/risk_limits.sql
\ir schema/risk_alerts.sql
\ir schema/risk_exits.sql
\ir schema/risk_breakers.sql
\ir schema/risk_stops.sql
\ir schema/risk_regimes.sql
\ir schema/reconciliation.sql
\ir schema/orders.sql
\ir schema/order_resolutions.sql
\ir schema/swaps.sql
\ir schema/inferred_fills.sql
\ir schema/lots.sql
\ir schema/algo_orders.sql
\ir schema/order_alerts.sql
\ir schema/arbitrage.sql
\ir schema/request_budgets.sql
\ir schema/paper_venue.sql
\ir schema/lineage.sql
\ir schema/times.sql

INSERT INTO schema_version (version) VALUES (1) ON CONFLICT (only_row) DO NOTHING;
COMMIT \g
