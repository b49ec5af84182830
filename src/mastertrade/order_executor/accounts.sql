-- name: account_list
-- Why: people see which accounts there are, and what the venue said of their keys; never the keys.
SELECT a.id, a.name, a.venue, a.environment, a.quote_asset, a.kind, a.leverage, a.created_at, k.added_at, k.added_by, k.ending, k.url, k.rights,
       k.checked_at
  FROM accounts a LEFT JOIN account_keys k ON k.account_id = a.id
 WHERE :name::text IS NULL OR a.name = :name
 ORDER BY a.created_at, a.name LIMIT 1000;

-- name: sealed_keys
-- Why: only the process that signs opens them.
SELECT sealed, master_key_id, url FROM account_keys WHERE account_id = :account_id;

-- name: master_key_in_use
-- Why: a new master key is made only where nothing waits for an old one.
SELECT master_key_id FROM account_keys ORDER BY added_at LIMIT 1;

-- name: store_keys
-- Why: keys are stored once; who wants others there forgets these first.
INSERT INTO account_keys (account_id, sealed, master_key_id, ending, url, rights, added_at, added_by, checked_at)
VALUES (:account_id, :sealed, :master_key_id, :ending, :url, :rights, :at, :actor, :at)
ON CONFLICT (account_id) DO NOTHING
RETURNING account_id;

-- name: note_rights
-- Why: what the venue says changes when people change it there.
UPDATE account_keys SET rights = :rights, checked_at = :at WHERE account_id = :account_id;

-- name: forget_keys
-- Why: the keys go, and the account with its orders and bookings stays.
DELETE FROM account_keys WHERE account_id = :account_id RETURNING account_id;

-- name: has_bookings
-- Why: balances that a venue holds are taken over once, when nothing of the account was booked yet.
SELECT EXISTS (SELECT FROM ledger_entries WHERE account_id = :account_id);
