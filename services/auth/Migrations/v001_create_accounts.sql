-- Who exists: an account owns things, a user logs in and acts for one account.
GRANT USAGE ON SCHEMA auth TO auth_app;

CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('person', 'organisation')),
    name text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON accounts TO auth_app;

CREATE TABLE users (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts (id),
    -- Normalised by the service: the constraint keeps a second spelling of one address out whoever writes.
    email text NOT NULL CONSTRAINT users_email_key UNIQUE CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
    display_name text NOT NULL CHECK (display_name <> ''),
    password_hash text NOT NULL CHECK (password_hash LIKE '$2b$%'),
    password_changed_at timestamptz NOT NULL,
    roles text[] NOT NULL CHECK (cardinality(roles) > 0 AND roles <@ ARRAY['provider', 'subscriber', 'admin']),
    -- Access tokens carry the version; those of a lower one are refused.
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    version_raised_at timestamptz NOT NULL,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE INDEX users_account_id ON users (account_id);
-- The deny set asks for users whose older tokens may still be about.
CREATE INDEX users_version_raised_at ON users (version_raised_at) WHERE version > 1;
GRANT SELECT, INSERT, UPDATE ON users TO auth_app;
