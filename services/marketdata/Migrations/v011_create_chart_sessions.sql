-- Somebody looks at charts: for a while, by a token that stands for the account that asked for it. Only the token's SHA-256 is kept.
CREATE TABLE chart_sessions (
    id uuid PRIMARY KEY,
    token_sha256 bytea NOT NULL CONSTRAINT chart_sessions_token_key UNIQUE CHECK (octet_length(token_sha256) = 32),
    account_id uuid NOT NULL,
    user_id uuid NOT NULL,
    -- Made with an access token: of this login, for this version of the user. What voids such a token ends the chart session too.
    login_id uuid,
    user_version bigint,
    -- Made with an API key: it serves only as long as the key does.
    api_key_sha256 bytea CHECK (octet_length(api_key_sha256) = 32),
    created_at timestamptz NOT NULL,
    -- Moved on by each heartbeat.
    expires_at timestamptz NOT NULL,
    CHECK ((login_id IS NULL) <> (api_key_sha256 IS NULL)),
    CHECK ((login_id IS NULL) = (user_version IS NULL))
);
CREATE INDEX chart_sessions_expires_at ON chart_sessions (expires_at);
CREATE INDEX chart_sessions_account_id ON chart_sessions (account_id, expires_at);
GRANT SELECT, INSERT, DELETE, UPDATE (expires_at) ON chart_sessions TO marketdata_app;

-- A question that is answered in parts, all as of one moment: what is corrected later does not show through.
CREATE TABLE chart_requests (
    id uuid PRIMARY KEY,
    -- Gone with its session, and with nothing else.
    session_id uuid NOT NULL REFERENCES chart_sessions (id) ON DELETE CASCADE,
    symbol text NOT NULL,
    -- As readers spell it: 5m, 1d, 1M.
    bar_interval text NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
    -- By the database's clock, like the stamps that it is compared with.
    as_of timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    -- From then on 410: the row stays for another day, so that it is not taken for one that never was.
    expires_at timestamptz NOT NULL
);
CREATE INDEX chart_requests_session_id ON chart_requests (session_id, created_at);
GRANT SELECT, INSERT, DELETE, UPDATE (expires_at) ON chart_requests TO marketdata_app;
