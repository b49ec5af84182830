-- Exchange keys: sealed by the program under a master key that the database never sees.
-- Owner of every table here: order_executor.

CREATE TABLE IF NOT EXISTS account_keys (
    account_id     uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE RESTRICT,
    sealed         bytea NOT NULL,
    master_key_id  text NOT NULL,
    ending         text NOT NULL,
    url            text,
    rights         jsonb,
    added_at       timestamptz NOT NULL,
    added_by       text NOT NULL,
    checked_at     timestamptz NOT NULL,
    CONSTRAINT account_keys_ending_gives_little_away CHECK (length(ending) <= 4),
    CONSTRAINT account_keys_url_is_of_this_machine CHECK (url ~ '^https?://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?/?$')
);
COMMENT ON TABLE account_keys IS
    'order_executor: sealed keys of an account at its venue, the last letters of the key, and the rights the venue told (null: it does not tell)';
