-- How good the stored candles are: what the last check of each series found.
-- Owner of every table here: market_data_service.

CREATE TABLE IF NOT EXISTS quality_reports (
    instrument_id  int NOT NULL,
    interval_s     int NOT NULL,
    starts         timestamptz NOT NULL,
    ends           timestamptz NOT NULL,
    rows           bigint NOT NULL,
    score          float8 NOT NULL,
    checked_at     timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, interval_s),
    CONSTRAINT quality_reports_belong_to_a_series FOREIGN KEY (instrument_id, interval_s)
        REFERENCES series (instrument_id, interval_s) ON DELETE CASCADE,
    CONSTRAINT quality_reports_end_after_they_start CHECK (starts < ends),
    CONSTRAINT quality_reports_score_is_a_percentage CHECK (score >= 0 AND score <= 100)
);
COMMENT ON TABLE quality_reports IS 'market_data_service: when each series was last checked, over which time, and its score';

CREATE TABLE IF NOT EXISTS quality_findings (
    instrument_id  int NOT NULL,
    interval_s     int NOT NULL,
    rule           text NOT NULL,
    severity       text NOT NULL,
    rows           bigint NOT NULL,
    places         bigint NOT NULL,
    first_time     timestamptz,
    last_time      timestamptz,
    detail         text NOT NULL,
    PRIMARY KEY (instrument_id, interval_s, rule),
    CONSTRAINT quality_findings_belong_to_a_report FOREIGN KEY (instrument_id, interval_s)
        REFERENCES quality_reports (instrument_id, interval_s) ON DELETE CASCADE,
    CONSTRAINT quality_findings_severity_is_known CHECK (severity IN ('info', 'warning', 'error')),
    CONSTRAINT quality_findings_are_about_something CHECK (rows > 0 AND places > 0)
);
COMMENT ON TABLE quality_findings IS
    'market_data_service: what the last check of a series found, by rule: how many candles, in how many places, from when on';
