-- Bars that a feed closes now. None of these tables refers to instruments by a foreign key: an import holds the instrument's row for as long as it takes, and
-- the check of the key would make every feed wait for it.

-- Closed intervals that are not part of a day's chunk yet. Rows are added, never changed; sealing moves them into the chunk.
CREATE TABLE tail_bars (
    instrument_id uuid NOT NULL,
    interval_seconds integer NOT NULL CHECK (interval_seconds > 0),
    side text NOT NULL CHECK (side IN ('trade', 'bid', 'ask', 'mid')),
    -- derived: made by us out of trades or quotes; imported: the source built the bar.
    origin text NOT NULL CHECK (origin IN ('imported', 'derived')),
    -- The UTC day of the start, as of a chunk.
    day date NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
    -- 0: the close of the interval. 1 and more: what late ticks made of it.
    version integer NOT NULL CHECK (version >= 0),
    -- When it was closed, or revised, by the one clock of everything live.
    known_at timestamptz NOT NULL CHECK (isfinite(known_at)),
    -- Without prices the row is a marker: the interval is over and nothing happened in it.
    open numeric,
    high numeric,
    low numeric,
    close numeric,
    volume numeric,
    trades bigint CHECK (trades >= 0),
    PRIMARY KEY (instrument_id, day, interval_seconds, side, origin, starts_at, known_at, version),
    CHECK (num_nonnulls(open, high, low, close) IN (0, 4)),
    CHECK (open IS NOT NULL OR (volume IS NULL AND trades IS NULL))
);
GRANT SELECT, INSERT ON tail_bars TO marketdata_app;

-- The days of which something became known by a feed: from then on, what is stored of them by an import is known from its recording on only.
CREATE TABLE live_days (
    instrument_id uuid NOT NULL,
    interval_seconds integer NOT NULL,
    side text NOT NULL,
    origin text NOT NULL,
    day date NOT NULL,
    -- The moment of the first row; infinity while the day is only entered, which is done under the lock of the instrument's row, before the first row is told.
    first_known_at timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, day, interval_seconds, side, origin)
);
GRANT SELECT, INSERT, UPDATE (first_known_at) ON live_days TO marketdata_app;

-- The one clock of everything live: it never falls, even if the server's clock is set back.
CREATE TABLE live_clock (
    is_it boolean PRIMARY KEY DEFAULT true CHECK (is_it),
    known_at timestamptz NOT NULL
);
INSERT INTO live_clock (known_at) VALUES ('-infinity');
GRANT SELECT, UPDATE ON live_clock TO marketdata_app;

-- Who runs the feed of a source.
CREATE TABLE live_feeds (
    source text PRIMARY KEY CHECK (length(source) BETWEEN 1 AND 64),
    runner text NOT NULL,
    lease_until timestamptz NOT NULL,
    -- The step that was recorded last.
    last_step uuid
);
GRANT SELECT, INSERT, UPDATE ON live_feeds TO marketdata_app;

-- How far a feed has closed each series: where it goes on after a restart.
CREATE TABLE live_closed (
    source text NOT NULL REFERENCES live_feeds (source),
    instrument_id uuid NOT NULL,
    interval_seconds integer NOT NULL,
    side text NOT NULL,
    origin text NOT NULL,
    closed_through timestamptz NOT NULL,
    PRIMARY KEY (source, instrument_id, interval_seconds, side, origin)
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE ON live_closed TO marketdata_app;

-- Closes that are recorded and not announced yet: whoever has the feed's lease announces them.
CREATE TABLE live_announcements (
    source text NOT NULL REFERENCES live_feeds (source),
    interval_seconds integer NOT NULL CHECK (interval_seconds > 0),
    close_at timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    instruments uuid[] NOT NULL,
    PRIMARY KEY (source, interval_seconds, close_at)
);
GRANT SELECT, INSERT, DELETE ON live_announcements TO marketdata_app;

-- Revisions by late ticks that are recorded and not said yet: whoever has the feed's lease raises the instrument's version and says them, when no import has
-- the instrument's row.
CREATE TABLE live_revisions (
    source text NOT NULL REFERENCES live_feeds (source),
    known_at timestamptz NOT NULL,
    instrument_id uuid NOT NULL,
    interval_seconds integer NOT NULL,
    side text NOT NULL,
    origin text NOT NULL,
    day date NOT NULL,
    edition bigint NOT NULL,
    PRIMARY KEY (source, instrument_id, known_at, day, interval_seconds, side, origin)
);
GRANT SELECT, INSERT, DELETE ON live_revisions TO marketdata_app;

-- Stretches that a feed missed.
CREATE TABLE live_holes (
    id uuid PRIMARY KEY,
    source text NOT NULL,
    instrument_id uuid NOT NULL,
    interval_seconds integer NOT NULL CHECK (interval_seconds > 0),
    side text NOT NULL,
    origin text NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
    reason text NOT NULL,
    -- repaired: the source had it after all; lost: it did not.
    state text NOT NULL CHECK (state IN ('open', 'repaired', 'lost')),
    opened_at timestamptz NOT NULL,
    settled_at timestamptz,
    CHECK ((state = 'open') = (settled_at IS NULL))
);
CREATE INDEX live_holes_open ON live_holes (source) WHERE state = 'open';
CREATE INDEX live_holes_instrument_id ON live_holes (instrument_id, starts_at);
GRANT SELECT, INSERT, UPDATE (state, settled_at) ON live_holes TO marketdata_app;

-- Of a live day's chunk: when its first row became known, through which moment its tail is part of it (rows of the tail that became known by then stand in both
-- until they are removed, and count once), and at how many moments rows of it were revised, each of which counts as an edition.
ALTER TABLE chunks
    ADD COLUMN first_known_at timestamptz,
    ADD COLUMN sealed_through timestamptz,
    ADD COLUMN live_editions integer NOT NULL DEFAULT 0 CHECK (live_editions >= 0),
    ADD CHECK ((first_known_at IS NULL) = (sealed_through IS NULL));

-- Who knows nothing of live days, as a replica that still runs what was there before them does, takes a sealed day for damaged and would mend it with what a
-- file says: what feeds told of it would be lost.
CREATE FUNCTION keep_sealed() RETURNS trigger LANGUAGE plpgsql SET search_path = marketdata, pg_temp AS $$
BEGIN
    IF NEW.sealed_through IS NULL AND EXISTS (
        SELECT FROM chunks c
        WHERE c.instrument_id = NEW.instrument_id AND c.interval_seconds = NEW.interval_seconds AND c.side = NEW.side AND c.origin = NEW.origin
            AND c.day = NEW.day AND c.sealed_through IS NOT NULL)
    THEN
        RAISE EXCEPTION 'a sealed day stays one' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chunks_keep_sealed BEFORE INSERT ON chunks FOR EACH ROW EXECUTE FUNCTION keep_sealed();

-- After a live day was sealed: removes what its newest revision holds too, which is the revision before it with the same stamp, and the tail up to its
-- sealed_through. Looks at the rules itself, so that nothing can go that is not held.
CREATE FUNCTION remove_sealed(instrument uuid, seconds integer, price text, made text, sealed date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = marketdata, pg_temp AS $$
DECLARE
    newest record;
BEGIN
    SELECT c.revision, c.recorded_at, c.sealed_through INTO newest FROM chunks c
    WHERE c.instrument_id = instrument AND c.interval_seconds = seconds AND c.side = price AND c.origin = made AND c.day = sealed
    ORDER BY c.revision DESC LIMIT 1;
    IF NOT FOUND OR newest.sealed_through IS NULL THEN RETURN; END IF;
    DELETE FROM chunk_slots s USING chunks c
    WHERE c.instrument_id = instrument AND c.interval_seconds = seconds AND c.side = price AND c.origin = made AND c.day = sealed
        AND c.revision < newest.revision AND c.recorded_at = newest.recorded_at
        AND (c.sealed_through IS NULL OR c.sealed_through <= newest.sealed_through)
        AND s.instrument_id = instrument AND s.interval_seconds = seconds AND s.side = price AND s.origin = made AND s.day = sealed
        AND s.revision = c.revision;
    DELETE FROM chunks c
    WHERE c.instrument_id = instrument AND c.interval_seconds = seconds AND c.side = price AND c.origin = made AND c.day = sealed
        AND c.revision < newest.revision AND c.recorded_at = newest.recorded_at
        AND (c.sealed_through IS NULL OR c.sealed_through <= newest.sealed_through);
    DELETE FROM tail_bars t
    WHERE t.instrument_id = instrument AND t.interval_seconds = seconds AND t.side = price AND t.origin = made AND t.day = sealed
        AND t.known_at <= newest.sealed_through;
END $$;
REVOKE ALL ON FUNCTION remove_sealed(uuid, integer, text, text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION remove_sealed(uuid, integer, text, text, date) TO marketdata_app;

-- As before, and days that have nothing but a tail are days of the series too.
CREATE OR REPLACE FUNCTION shorten_series(instrument uuid, seconds integer, price text, made text, since date) RETURNS boolean
LANGUAGE plpgsql SET search_path = marketdata, pg_temp AS $$
DECLARE
    first date;
BEGIN
    SELECT min(d.day) INTO first FROM (
        SELECT min(c.day) AS day FROM chunks c
        WHERE c.instrument_id = instrument AND c.interval_seconds = seconds AND c.side = price AND c.origin = made AND c.day >= since
        UNION ALL
        SELECT min(l.day) FROM live_days l
        WHERE l.instrument_id = instrument AND l.interval_seconds = seconds AND l.side = price AND l.origin = made AND l.day >= since
    ) AS d;
    IF first IS NULL THEN
        DELETE FROM series s WHERE s.instrument_id = instrument AND s.interval_seconds = seconds AND s.side = price AND s.origin = made;
        RETURN FOUND;
    END IF;
    UPDATE series s SET first_day = first, first_end = (
        SELECT min(d.moment) FROM (
            SELECT min(coalesce(c.first_known_at, c.first_end)) AS moment FROM chunks c
            WHERE c.instrument_id = instrument AND c.interval_seconds = seconds AND c.side = price AND c.origin = made AND c.day = first
            UNION ALL
            SELECT least(l.first_known_at, clock_timestamp()) FROM live_days l
            WHERE l.instrument_id = instrument AND l.interval_seconds = seconds AND l.side = price AND l.origin = made AND l.day = first
        ) AS d)
    WHERE s.instrument_id = instrument AND s.interval_seconds = seconds AND s.side = price AND s.origin = made AND s.first_day < first;
    RETURN false;
END $$;
