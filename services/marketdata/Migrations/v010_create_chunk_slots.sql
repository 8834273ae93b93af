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
