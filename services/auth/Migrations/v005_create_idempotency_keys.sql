-- Answers of unsafe requests that carried an Idempotency-Key, written in the transaction of their effect, kept for a day.
CREATE TABLE idempotency_keys (
    -- Null for routes without a login.
    account_id uuid,
    route text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_sha256 bytea NOT NULL CHECK (octet_length(request_sha256) = 32),
    status integer NOT NULL,
    content_type text,
    -- Never holds a secret: what was shown once is left out.
    body bytea NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (account_id, route, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO auth_app;
