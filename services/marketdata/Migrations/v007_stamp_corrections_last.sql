-- A correction is written first and stamped last. While its import is under way recorded_at is 'infinity', which no reader's moment reaches; the last
-- step of the import takes the time of the database under the instrument's recording lock and writes it here. So stamps rise in the order of commits.
GRANT UPDATE (recorded_at) ON chunks TO marketdata_app;

CREATE FUNCTION stamp_chunk_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Nothing else of a stored day ever changes, and a stamp never does: answers were given by it.
    IF OLD.recorded_at <> 'infinity' OR NOT isfinite(NEW.recorded_at) THEN
        RAISE EXCEPTION 'a stored day is stamped once' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chunks_stamp_once BEFORE UPDATE ON chunks FOR EACH ROW EXECUTE FUNCTION stamp_chunk_once();

-- The latest stamp of the instrument: the next one is later even if the server's clock has been set back.
ALTER TABLE instruments ADD COLUMN last_correction_at timestamptz NOT NULL DEFAULT '-infinity';
UPDATE instruments SET last_correction_at = latest.recorded_at
FROM (SELECT instrument_id, max(recorded_at) AS recorded_at FROM chunks GROUP BY instrument_id) AS latest
WHERE latest.instrument_id = instruments.id;
