-- One row a login; its refresh tokens are its family, and reuse of one ends them all.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id),
    account_id uuid NOT NULL REFERENCES accounts (id),
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    token_expires_at timestamptz NOT NULL,
    address text NOT NULL,
    user_agent text NOT NULL,
    revoked_at timestamptz,
    revocation text CHECK (revocation IN ('logout', 'owner', 'password_changed', 'refresh_reused', 'user_disabled')),
    CHECK ((revoked_at IS NULL) = (revocation IS NULL))
);
CREATE INDEX sessions_user_id ON sessions (user_id, id) WHERE revoked_at IS NULL;
CREATE INDEX sessions_ends_at ON sessions (ends_at);
-- The deny set: revoked, with a token that may still be about.
CREATE INDEX sessions_denied ON sessions (token_expires_at) WHERE revoked_at IS NOT NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO auth_app;

CREATE TABLE refresh_tokens (
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    account_id uuid NOT NULL REFERENCES accounts (id),
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- Kept after use: that is how a copy is recognised.
    used_at timestamptz
);
CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON refresh_tokens TO auth_app;

-- Attempts by a hash of the address or the e-mail, so that the table names nobody.
CREATE TABLE throttles (
    kind text NOT NULL CHECK (kind IN ('login_account', 'login_address', 'registration_address')),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    attempts integer NOT NULL CHECK (attempts >= 0),
    window_started_at timestamptz NOT NULL,
    blocked_until timestamptz,
    PRIMARY KEY (kind, sha256)
) WITH (fillfactor = 70);
CREATE INDEX throttles_window_started_at ON throttles (window_started_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON throttles TO auth_app;
