-- In which slots of a stored day bars begin, one bit a slot (`DaySlots`): coverage is drawn of these without reading the day. What was stored before this
-- table has no row; the first question for its coverage makes one.
CREATE TABLE chunk_slots (
    instrument_id uuid NOT NULL REFERENCES instruments (id),
    interval_seconds integer NOT NULL,
    side text NOT NULL,
    origin text NOT NULL,
    day date NOT NULL,
    revision integer NOT NULL,
    slots bytea NOT NULL CHECK (octet_length(slots) BETWEEN 1 AND 180),
    PRIMARY KEY (instrument_id, interval_seconds, side, origin, day, revision)
);
GRANT SELECT, INSERT, UPDATE ON chunk_slots TO marketdata_app;

-- Foreign exchange is called forex, as everywhere else; a replica of the version before may still write its old word while it is being replaced.
ALTER TABLE instruments DROP CONSTRAINT instruments_asset_class_check;
ALTER TABLE instruments ADD CONSTRAINT instruments_asset_class_check
    CHECK (asset_class IN ('equity', 'crypto', 'forex', 'commodity', 'future', 'index', 'cfd', 'fx'));
UPDATE instruments SET asset_class = 'forex' WHERE asset_class = 'fx';

-- Files that come in parts and are imported when they are whole. What nobody has touched for a day is forgotten.
CREATE TABLE uploads (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    file_name text NOT NULL,
    bytes bigint NOT NULL CHECK (bytes > 0),
    -- All parts but the last have this length.
    part_bytes integer NOT NULL CHECK (part_bytes BETWEEN 65536 AND 8388608),
    -- Of the whole file, where the sender said it.
    sha256 bytea CHECK (octet_length(sha256) = 32),
    state text NOT NULL CHECK (state IN ('open', 'importing', 'imported', 'failed')),
    -- The parameters of the import, as they were asked.
    options jsonb NOT NULL DEFAULT '{}',
    days_done integer NOT NULL DEFAULT 0,
    -- Unknown until the file has been read.
    days_total integer,
    rows_done bigint NOT NULL DEFAULT 0,
    -- How often somebody began to import it: what kills its importer again and again is given up.
    attempts integer NOT NULL DEFAULT 0,
    -- What became of it, or why nothing did.
    result jsonb,
    problem jsonb,
    -- Whoever holds the lease imports; another replica takes over when it has run out.
    runner text,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    created_at timestamptz NOT NULL,
    touched_at timestamptz NOT NULL
);
CREATE INDEX uploads_importing ON uploads (lease_until) WHERE state = 'importing';
CREATE INDEX uploads_touched_at ON uploads (touched_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON uploads TO marketdata_app;

CREATE TABLE upload_parts (
    upload_id uuid NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number integer NOT NULL CHECK (number > 0),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    PRIMARY KEY (upload_id, number)
);
CREATE INDEX upload_parts_sha256 ON upload_parts (sha256);
GRANT SELECT, INSERT, UPDATE, DELETE ON upload_parts TO marketdata_app;
