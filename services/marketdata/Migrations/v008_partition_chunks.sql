-- Days of bars in parts that stay small, so that a year of seconds for thousands of instruments is as fast to write, read and drop as a month of them. Bars of
-- an hour and longer are few and read over decades: one part. Shorter ones have a part a month.
ALTER TABLE chunks RENAME TO chunks_whole;
ALTER TABLE chunks_whole RENAME CONSTRAINT chunks_pkey TO chunks_whole_pkey;

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
    -- Where the bars came from: the id of a source, or file.
    source text NOT NULL DEFAULT 'file' CHECK (length(source) BETWEEN 1 AND 64),
    PRIMARY KEY (instrument_id, interval_seconds, side, origin, day, revision)
) PARTITION BY RANGE (interval_seconds);
-- Compressed already: compressing again costs time and wins nothing.
ALTER TABLE chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE chunks_coarse PARTITION OF chunks FOR VALUES FROM (3600) TO (MAXVALUE);
CREATE TABLE chunks_fine PARTITION OF chunks FOR VALUES FROM (MINVALUE) TO (3600) PARTITION BY RANGE (day);
-- For a day whose month nobody has made yet.
CREATE TABLE chunks_fine_other PARTITION OF chunks_fine DEFAULT;
CREATE TRIGGER chunks_stamp_once BEFORE UPDATE ON chunks FOR EACH ROW EXECUTE FUNCTION stamp_chunk_once();
GRANT SELECT, INSERT, UPDATE (recorded_at) ON chunks TO marketdata_app;

-- Makes the parts of the months in which the days lie. A new part is filled apart and then attached, which stops no reader of other months.
CREATE FUNCTION ensure_chunk_months(days date[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = marketdata, pg_temp AS $$
DECLARE
    month date;
    part text;
BEGIN
    FOR month IN SELECT DISTINCT date_trunc('month', day)::date FROM unnest(days) AS day ORDER BY 1 LOOP
        part := 'chunks_fine_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'marketdata'::regnamespace);
        -- A query sees what somebody else has committed meanwhile; to_regclass might not.
        PERFORM pg_advisory_xact_lock(hashtextextended('marketdata-chunk-months', 0));
        CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'marketdata'::regnamespace);
        EXECUTE format('CREATE TABLE %I (LIKE chunks_fine INCLUDING ALL)', part);
        EXECUTE format(
            'WITH moved AS (DELETE FROM chunks_fine_other WHERE day >= %L AND day < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
            month, month + interval '1 month', part);
        EXECUTE format('ALTER TABLE chunks_fine ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, month, (month + interval '1 month')::date);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION ensure_chunk_months(date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_chunk_months(date[]) TO marketdata_app;

SELECT ensure_chunk_months(array_agg(DISTINCT day)) FROM chunks_whole WHERE interval_seconds < 3600 HAVING count(*) > 0;
INSERT INTO chunks (instrument_id, interval_seconds, side, origin, day, revision, edition, rows, first_start, first_end, last_end, covered_from, covered_to,
    sha256, recorded_at, import_id, bytes)
SELECT instrument_id, interval_seconds, side, origin, day, revision, edition, rows, first_start, first_end, last_end, covered_from, covered_to,
    sha256, recorded_at, import_id, bytes
FROM chunks_whole;
DROP TABLE chunks_whole;
