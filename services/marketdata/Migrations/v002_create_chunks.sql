-- Bars by UTC day, compressed; a day is never overwritten, it gets another revision.
CREATE TABLE chunks (
    instrument_id uuid NOT NULL REFERENCES instruments (id),
    interval_seconds integer NOT NULL CHECK (interval_seconds > 0),
    side text NOT NULL CHECK (side IN ('trade', 'bid', 'ask', 'mid')),
    -- imported: as the vendor had it; derived: made by us out of ticks, and read only where nothing was imported.
    origin text NOT NULL CHECK (origin IN ('imported', 'derived')),
    day date NOT NULL,
    -- Counts what was stored of the day.
    revision integer NOT NULL CHECK (revision > 0),
    -- Counts corrections, from 1: what readers call the revision. Rows added beyond the old ones change no earlier answer, nor this.
    edition integer NOT NULL CHECK (edition > 0),
    rows integer NOT NULL CHECK (rows > 0),
    first_start timestamptz NOT NULL,
    -- When the first bar became known: before this moment the chunk says nothing at all.
    first_end timestamptz NOT NULL,
    last_end timestamptz NOT NULL,
    -- The stretch that the imports of this day spoke for: rows beyond it are an addition, not a correction.
    covered_from timestamptz NOT NULL,
    covered_to timestamptz NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    -- When we stored it; -infinity for the first import of a day, which was history already.
    recorded_at timestamptz NOT NULL,
    import_id uuid NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (instrument_id, interval_seconds, side, origin, day, revision)
);
-- Compressed already: compressing again costs time and wins nothing.
ALTER TABLE chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;
GRANT SELECT, INSERT ON chunks TO marketdata_app;

-- One row a series: what exists, without counting chunks.
CREATE TABLE series (
    instrument_id uuid NOT NULL REFERENCES instruments (id),
    interval_seconds integer NOT NULL,
    side text NOT NULL,
    origin text NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL,
    first_end timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, interval_seconds, side, origin)
);
GRANT SELECT, INSERT, UPDATE ON series TO marketdata_app;

-- What came in, from whom, and what became of it.
CREATE TABLE imports (
    id uuid PRIMARY KEY,
    instrument_id uuid NOT NULL REFERENCES instruments (id),
    file_name text NOT NULL,
    file_sha256 bytea NOT NULL CHECK (octet_length(file_sha256) = 32),
    layout text NOT NULL,
    rows integer NOT NULL,
    days_added integer NOT NULL,
    days_extended integer NOT NULL,
    days_revised integer NOT NULL,
    days_unchanged integer NOT NULL,
    days_refused integer NOT NULL,
    notes text[] NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX imports_instrument_id ON imports (instrument_id, recorded_at);
GRANT SELECT, INSERT ON imports TO marketdata_app;
