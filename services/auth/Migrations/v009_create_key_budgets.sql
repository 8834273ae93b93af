-- What API keys may use up. A rerolled key spends the budget of the first key of its line, so that an overlap of two keys is no second budget.
ALTER TABLE api_keys ADD COLUMN budget_id uuid REFERENCES api_keys (id);
COMMENT ON COLUMN api_keys.budget_id IS 'the first key of the line; NULL for the first itself';
WITH RECURSIVE line (id, first, successor_id) AS (
    SELECT id, id, successor_id FROM api_keys WHERE id NOT IN (SELECT successor_id FROM api_keys WHERE successor_id IS NOT NULL)
    UNION ALL
    SELECT api_keys.id, line.first, api_keys.successor_id FROM line JOIN api_keys ON api_keys.id = line.successor_id
)
UPDATE api_keys SET budget_id = line.first FROM line WHERE line.id = api_keys.id AND line.first <> api_keys.id;
CREATE INDEX api_keys_budget_id ON api_keys (budget_id) WHERE budget_id IS NOT NULL;

-- A row for each line that has ever had a limit. Apart from the keys, because every block of credits changes it.
CREATE TABLE key_budgets (
    id uuid PRIMARY KEY REFERENCES api_keys (id),
    requests_per_minute integer CHECK (requests_per_minute BETWEEN 1 AND 1000000),
    -- What has been handed out to no service yet; NULL means that nobody counts.
    credits bigint CHECK (credits BETWEEN 0 AND 1000000000000),
    -- Raised whenever the owner sets something.
    version bigint NOT NULL CHECK (version > 0),
    -- The version in which the credits were last set: blocks of an older one are void and cannot be given back.
    credits_version bigint NOT NULL CHECK (credits_version BETWEEN 0 AND version)
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE ON key_budgets TO auth_app;

-- Blocks of credits that services have taken, so that one that is asked for again is the same one, and one that comes back comes back once.
CREATE TABLE credit_blocks (
    id uuid PRIMARY KEY,
    budget_id uuid NOT NULL REFERENCES key_budgets (id),
    credits_version bigint NOT NULL,
    service text NOT NULL,
    credits bigint NOT NULL CHECK (credits > 0),
    taken_at timestamptz NOT NULL,
    -- What came back of it; NULL while it is out.
    unused bigint CHECK (unused BETWEEN 0 AND credits)
) WITH (fillfactor = 80);
CREATE INDEX credit_blocks_taken_at ON credit_blocks (taken_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON credit_blocks TO auth_app;
