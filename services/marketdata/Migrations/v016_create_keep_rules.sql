-- What is kept up to date out of which source.
CREATE TABLE keep_rules (
    id uuid PRIMARY KEY,
    instrument_id uuid NOT NULL REFERENCES instruments (id),
    source text NOT NULL CHECK (length(source) BETWEEN 1 AND 64),
    -- The instrument as the source spells it.
    source_symbol text NOT NULL CHECK (length(source_symbol) BETWEEN 1 AND 64),
    -- tick, or the length of the source's bars such as 1m.
    interval text NOT NULL,
    -- Of the bars that are stored: trades become bars of a second.
    interval_seconds integer NOT NULL CHECK (interval_seconds > 0),
    -- Each round writes the day that still grows anew: more often would be a revision a minute.
    every_seconds integer NOT NULL CHECK (every_seconds BETWEEN 300 AND 604800),
    backfill_from timestamptz NOT NULL,
    -- The source has nothing older, as far as it has said so.
    reach_from timestamptz,
    enabled boolean NOT NULL,
    -- Bars that start in it were asked for and answered, if only by "there are none": never asked for again.
    spoken_for tstzmultirange NOT NULL DEFAULT '{}',
    next_due_at timestamptz NOT NULL,
    -- Whoever holds the lease works on it; another replica takes over when it has run out.
    runner text,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    -- In a row, those that may pass.
    failures integer NOT NULL DEFAULT 0,
    last_run_at timestamptz,
    last_outcome text,
    last_detail text,
    last_days_added integer NOT NULL DEFAULT 0,
    last_days_extended integer NOT NULL DEFAULT 0,
    last_days_revised integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT keep_rules_key UNIQUE (instrument_id, source, interval)
);
CREATE INDEX keep_rules_next_due_at ON keep_rules (next_due_at) WHERE enabled;
GRANT SELECT, INSERT, UPDATE, DELETE ON keep_rules TO marketdata_app;

-- Where it came from: the id of a source, or file.
ALTER TABLE imports ADD COLUMN source text NOT NULL DEFAULT 'file' CHECK (length(source) BETWEEN 1 AND 64);
