-- API keys by their hash, and the keys that sign access tokens.
CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts (id),
    user_id uuid NOT NULL REFERENCES users (id),
    name text NOT NULL CHECK (name <> ''),
    sha256 bytea NOT NULL CONSTRAINT api_keys_sha256_key UNIQUE CHECK (octet_length(sha256) = 32),
    prefix text NOT NULL CHECK (length(prefix) = 8),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    state text NOT NULL CHECK (state IN ('active', 'disabled', 'revoked', 'rerolled')),
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz,
    -- Raised with every change; a verdict that somebody cached under a lower one is void.
    generation bigint NOT NULL DEFAULT 1 CHECK (generation > 0),
    successor_id uuid REFERENCES api_keys (id),
    CHECK ((state = 'rerolled') = (successor_id IS NOT NULL) OR state = 'revoked')
) WITH (fillfactor = 80);
CREATE INDEX api_keys_account_id ON api_keys (account_id, id);
CREATE INDEX api_keys_user_id ON api_keys (user_id);
GRANT SELECT, INSERT, UPDATE ON api_keys TO auth_app;

CREATE TABLE token_keys (
    key_id text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('published', 'signing', 'verifying', 'gone')),
    since timestamptz NOT NULL,
    public_key jsonb NOT NULL,
    -- PKCS #8 under the master key; wiped when the key is gone.
    sealed_private_key bytea,
    created_at timestamptz NOT NULL,
    CHECK ((state = 'gone') = (sealed_private_key IS NULL))
);
-- Two replicas must never sign with two keys: the rule says one, and so does the table.
CREATE UNIQUE INDEX token_keys_one_signing ON token_keys (state) WHERE state = 'signing';
GRANT SELECT, INSERT, UPDATE ON token_keys TO auth_app;
