-- What providers offer: signals, the immutable versions of their code, and who may read them.
GRANT USAGE ON SCHEMA signals TO signals_app;

-- What auth and marketdata said: read models, applied by version, in whatever order the events come.
CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    roles text[] NOT NULL,
    version bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON accounts TO signals_app;

CREATE TABLE instruments (
    id uuid PRIMARY KEY,
    symbol text NOT NULL CONSTRAINT instruments_symbol_key UNIQUE,
    asset_class text NOT NULL,
    feed text NOT NULL CHECK (feed IN ('live', 'replay', 'backfill')),
    active boolean NOT NULL,
    version bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON instruments TO signals_app;

CREATE TABLE signals (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    created_by uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 120),
    description text NOT NULL CHECK (char_length(description) <= 10000),
    state text NOT NULL CHECK (state IN ('draft', 'published', 'unpublished', 'deleted')),
    published_version_id uuid,
    -- Where the bars of the published version come from; a replay is flagged wherever its predictions show.
    feed text CHECK (feed IN ('live', 'replay')),
    -- Of the published version, or of the newest one: what lists are filtered by.
    instruments text[] NOT NULL DEFAULT '{}',
    interval_seconds bigint[] NOT NULL DEFAULT '{}',
    -- The subject version of this signal's events, raised under the row's lock.
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    published_at timestamptz,
    CHECK (state <> 'published' OR (published_version_id IS NOT NULL AND feed IS NOT NULL AND published_at IS NOT NULL))
);
-- Ids are in the order of creation, so lists page by id.
CREATE INDEX signals_by_account ON signals (account_id, id) WHERE state <> 'deleted';
CREATE INDEX signals_published ON signals (id) WHERE state = 'published';
GRANT SELECT, INSERT, UPDATE ON signals TO signals_app;

CREATE TABLE versions (
    id uuid PRIMARY KEY,
    signal_id uuid NOT NULL REFERENCES signals (id),
    number integer NOT NULL CHECK (number > 0),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    -- As text, not jsonb: the hash above is over these bytes.
    manifest text NOT NULL,
    note text NOT NULL CHECK (char_length(note) <= 1000),
    -- The version whose files were taken over, when this one is a rollback.
    restored_from integer,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT versions_number_key UNIQUE (signal_id, number)
);
GRANT SELECT, INSERT ON versions TO signals_app;

CREATE TABLE version_files (
    version_id uuid NOT NULL REFERENCES versions (id),
    path text NOT NULL CHECK (path <> ''),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    bytes bigint NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (version_id, path)
);
CREATE INDEX version_files_by_blob ON version_files (sha256);
GRANT SELECT, INSERT ON version_files TO signals_app;

-- Blobs that an account has sent: only what one has sent oneself may be named in a version, for knowing a hash is not having the file.
CREATE TABLE uploads (
    account_id uuid NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    bytes bigint NOT NULL CHECK (bytes >= 0),
    uploaded_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, sha256)
);
CREATE INDEX uploads_by_time ON uploads (uploaded_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON uploads TO signals_app;

CREATE TABLE subscriptions (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    signal_id uuid NOT NULL REFERENCES signals (id),
    active boolean NOT NULL,
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    CHECK (active = (ended_at IS NULL))
);
CREATE UNIQUE INDEX subscriptions_active_key ON subscriptions (account_id, signal_id) WHERE active;
CREATE INDEX subscriptions_by_account ON subscriptions (account_id, id);
CREATE INDEX subscriptions_by_signal ON subscriptions (signal_id) WHERE active;
GRANT SELECT, INSERT, UPDATE ON subscriptions TO signals_app;

-- Runs that an author asked for by hand; they record nothing, the job ledger has their results.
CREATE TABLE dry_runs (
    job_id uuid PRIMARY KEY,
    signal_id uuid NOT NULL REFERENCES signals (id),
    version_id uuid NOT NULL REFERENCES versions (id),
    account_id uuid NOT NULL,
    created_at timestamptz NOT NULL
);
GRANT SELECT, INSERT ON dry_runs TO signals_app;
