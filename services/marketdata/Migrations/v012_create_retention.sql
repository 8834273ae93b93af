-- For how long stored bars are kept. Without a rule: for ever.
CREATE TABLE retention_rules (
    -- Null: of all instruments.
    instrument_id uuid REFERENCES instruments (id),
    -- Null: of all intervals.
    interval_seconds integer CHECK (interval_seconds BETWEEN 1 AND 31622400),
    -- Null: for ever, which exempts from a wider rule.
    keep_days integer CHECK (keep_days BETWEEN 30 AND 36500),
    changed_at timestamptz NOT NULL,
    CONSTRAINT retention_rules_key UNIQUE NULLS NOT DISTINCT (instrument_id, interval_seconds)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON retention_rules TO marketdata_app;

-- What a removed day was: if it comes back, answers that were remembered of it must not be taken for answers of what came.
CREATE TABLE removed_days (
    instrument_id uuid NOT NULL,
    interval_seconds integer NOT NULL,
    side text NOT NULL,
    origin text NOT NULL,
    day date NOT NULL,
    -- Of the latest revision.
    revision integer NOT NULL,
    edition integer NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    recorded_at timestamptz NOT NULL,
    removed_at timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, interval_seconds, side, origin, day)
);
GRANT SELECT ON removed_days TO marketdata_app;

-- A day that comes back as it was has its old numbers, another one has numbers that nobody ever saw; neither is known earlier than the old one was.
CREATE FUNCTION number_returned_day() RETURNS trigger LANGUAGE plpgsql SET search_path = marketdata, pg_temp AS $$
DECLARE
    removed removed_days;
BEGIN
    SELECT * INTO removed FROM removed_days r
    WHERE r.instrument_id = NEW.instrument_id AND r.interval_seconds = NEW.interval_seconds AND r.side = NEW.side AND r.origin = NEW.origin
        AND r.day = NEW.day;
    IF NOT FOUND THEN RETURN NEW; END IF;
    IF removed.sha256 = NEW.sha256 THEN
        NEW.revision := removed.revision;
        NEW.edition := removed.edition;
    ELSE
        NEW.revision := removed.revision + 1;
        NEW.edition := removed.edition + 1;
    END IF;
    NEW.recorded_at := greatest(NEW.recorded_at, removed.recorded_at);
    RETURN NEW;
END $$;
CREATE TRIGGER chunks_number_returned BEFORE INSERT ON chunks FOR EACH ROW WHEN (NEW.revision = 1) EXECUTE FUNCTION number_returned_day();

-- The slots of a day are written beside it, or later by somebody who has read it: of a day that is gone they are dropped.
CREATE FUNCTION number_returned_slots() RETURNS trigger LANGUAGE plpgsql SET search_path = marketdata, pg_temp AS $$
DECLARE
    removed integer;
    returned integer;
BEGIN
    SELECT r.revision INTO removed FROM removed_days r
    WHERE r.instrument_id = NEW.instrument_id AND r.interval_seconds = NEW.interval_seconds AND r.side = NEW.side AND r.origin = NEW.origin
        AND r.day = NEW.day;
    IF NOT FOUND THEN RETURN NEW; END IF;
    SELECT min(c.revision) INTO returned FROM chunks c
    WHERE c.instrument_id = NEW.instrument_id AND c.interval_seconds = NEW.interval_seconds AND c.side = NEW.side AND c.origin = NEW.origin
        AND c.day = NEW.day AND c.revision >= removed;
    IF returned IS NULL THEN RETURN NULL; END IF;
    NEW.revision := returned;
    RETURN NEW;
END $$;
CREATE TRIGGER chunk_slots_number_returned BEFORE INSERT ON chunk_slots FOR EACH ROW WHEN (NEW.revision = 1) EXECUTE FUNCTION number_returned_slots();

-- From which day rules count back: the newest stored day, but never later than the database's clock. A clock that runs ahead removes nothing that the data
-- does not prove to be old, and a file with a day in the future nothing that the clock does not.
CREATE FUNCTION retention_day() RETURNS date LANGUAGE sql STABLE SET search_path = marketdata, pg_temp AS $$
    SELECT least((clock_timestamp() AT TIME ZONE 'UTC')::date, (SELECT max(last_day) FROM series))
$$;

-- Each series with the rule that applies, the most specific one: an instrument goes before an interval.
CREATE VIEW series_retention AS
SELECT s.instrument_id, s.interval_seconds, s.side, s.origin, s.first_day, s.last_day, r.instrument_id IS NOT NULL AS names_instrument,
    r.interval_seconds IS NOT NULL AS names_interval, r.keep_days, (SELECT retention_day()) - r.keep_days AS kept_from,
    -- A replay may look back as far as there are bars, so that it holds all of its source.
    EXISTS (SELECT FROM replays p WHERE p.source_instrument_id = s.instrument_id AND p.state IN ('running', 'paused')) AS is_held
FROM series s CROSS JOIN LATERAL (
    SELECT r.instrument_id, r.interval_seconds, r.keep_days FROM retention_rules r
    WHERE (r.instrument_id IS NULL OR r.instrument_id = s.instrument_id) AND (r.interval_seconds IS NULL OR r.interval_seconds = s.interval_seconds)
    ORDER BY r.instrument_id IS NULL, r.interval_seconds IS NULL LIMIT 1
) AS r;
GRANT SELECT ON series_retention TO marketdata_app;

-- After the days before `since` went, series say what is left; true if nothing is. The caller holds the instrument's row.
CREATE FUNCTION shorten_series(instrument uuid, seconds integer, price text, made text, since date) RETURNS boolean
LANGUAGE plpgsql SET search_path = marketdata, pg_temp AS $$
DECLARE
    first date;
BEGIN
    SELECT min(c.day) INTO first FROM chunks c
    WHERE c.instrument_id = instrument AND c.interval_seconds = seconds AND c.side = price AND c.origin = made AND c.day >= since;
    IF first IS NULL THEN
        DELETE FROM series s WHERE s.instrument_id = instrument AND s.interval_seconds = seconds AND s.side = price AND s.origin = made;
        RETURN FOUND;
    END IF;
    UPDATE series s SET first_day = first, first_end = (
        SELECT min(c.first_end) FROM chunks c
        WHERE c.instrument_id = instrument AND c.interval_seconds = seconds AND c.side = price AND c.origin = made AND c.day = first)
    WHERE s.instrument_id = instrument AND s.interval_seconds = seconds AND s.side = price AND s.origin = made AND s.first_day < first;
    RETURN false;
END $$;
REVOKE ALL ON FUNCTION shorten_series(uuid, integer, text, text, date) FROM PUBLIC;

-- Removes the oldest days that no rule keeps, at most so many; with `before` only bars shorter than an hour, and only days before it. Gives how many went
-- (null while somebody else removes) and the instruments of which a series is gone. A series always loses its oldest days first.
CREATE FUNCTION remove_chunk_days(before date, maximum integer, OUT removed integer, OUT emptied uuid[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = marketdata, pg_temp AS $$
DECLARE
    found_series record;
    one record;
    days date[];
BEGIN
    removed := 0;
    emptied := '{}';
    IF NOT pg_try_advisory_xact_lock(hashtextextended('marketdata-retention', 0)) THEN
        removed := NULL;
        RETURN;
    END IF;
    FOR found_series IN
        SELECT r.instrument_id, r.interval_seconds, r.side, r.origin FROM series_retention r
        WHERE NOT r.is_held AND r.first_day < least(r.kept_from, before) AND r.kept_from IS NOT NULL AND (before IS NULL OR r.interval_seconds < 3600)
        ORDER BY r.instrument_id, r.interval_seconds, r.side, r.origin
    LOOP
        -- Imports hold the row to their end, and a replay is begun under it. What is held comes another time.
        PERFORM FROM instruments i WHERE i.id = found_series.instrument_id FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        -- Again, now that nobody begins a replay or imports.
        SELECT r.*, least(r.kept_from, before) AS until INTO one FROM series_retention r
        WHERE r.instrument_id = found_series.instrument_id AND r.interval_seconds = found_series.interval_seconds AND r.side = found_series.side
            AND r.origin = found_series.origin AND NOT r.is_held AND r.kept_from IS NOT NULL AND r.first_day < least(r.kept_from, before);
        CONTINUE WHEN NOT FOUND;
        days := ARRAY(
            SELECT DISTINCT c.day FROM chunks c
            WHERE c.instrument_id = one.instrument_id AND c.interval_seconds = one.interval_seconds AND c.side = one.side AND c.origin = one.origin
                AND c.day >= one.first_day AND c.day < one.until
            ORDER BY c.day LIMIT greatest(1, maximum) - removed);
        IF cardinality(days) > 0 THEN
            INSERT INTO removed_days (instrument_id, interval_seconds, side, origin, day, revision, edition, sha256, recorded_at, removed_at)
            SELECT DISTINCT ON (c.day) c.instrument_id, c.interval_seconds, c.side, c.origin, c.day, c.revision, c.edition, c.sha256, c.recorded_at,
                clock_timestamp()
            FROM chunks c
            WHERE c.instrument_id = one.instrument_id AND c.interval_seconds = one.interval_seconds AND c.side = one.side AND c.origin = one.origin
                AND c.day >= days[1] AND c.day <= days[cardinality(days)]
            ORDER BY c.day, c.revision DESC
            ON CONFLICT (instrument_id, interval_seconds, side, origin, day) DO UPDATE SET revision = excluded.revision, edition = excluded.edition,
                sha256 = excluded.sha256, recorded_at = excluded.recorded_at, removed_at = excluded.removed_at;
            DELETE FROM chunk_slots c
            WHERE c.instrument_id = one.instrument_id AND c.interval_seconds = one.interval_seconds AND c.side = one.side AND c.origin = one.origin
                AND c.day >= days[1] AND c.day <= days[cardinality(days)];
            DELETE FROM chunks c
            WHERE c.instrument_id = one.instrument_id AND c.interval_seconds = one.interval_seconds AND c.side = one.side AND c.origin = one.origin
                AND c.day >= days[1] AND c.day <= days[cardinality(days)];
            removed := removed + cardinality(days);
        END IF;
        IF shorten_series(one.instrument_id, one.interval_seconds, one.side, one.origin, coalesce(days[cardinality(days)] + 1, one.until)) THEN
            emptied := emptied || one.instrument_id;
        END IF;
        EXIT WHEN removed >= maximum;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION remove_chunk_days(date, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION remove_chunk_days(date, integer) TO marketdata_app;

-- Whether something of a month of fine bars has to stay, or would go before older days of its series.
CREATE FUNCTION keeps_chunk_month(first date, next date) RETURNS boolean LANGUAGE sql STABLE SET search_path = marketdata, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM (
            SELECT DISTINCT c.instrument_id, c.interval_seconds, c.side, c.origin FROM chunks_fine c WHERE c.day >= first AND c.day < next
        ) AS c LEFT JOIN series_retention r USING (instrument_id, interval_seconds, side, origin)
        WHERE r.kept_from IS NULL OR r.kept_from < next OR r.first_day < first OR r.is_held)
$$;
REVOKE ALL ON FUNCTION keeps_chunk_month(date, date) FROM PUBLIC;

-- Drops the part of a month of fine bars if no rule keeps anything of it. Gives the same as remove_chunk_days. Readers wait for no more than the dropping:
-- what can be done before is, and a lock that does not come in two seconds is given up.
CREATE FUNCTION drop_chunk_month(month date, OUT removed integer, OUT emptied uuid[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = marketdata, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    next date := (date_trunc('month', month) + interval '1 month')::date;
    part text := 'chunks_fine_' || to_char(month, 'YYYY_MM');
    holders uuid[];
    one record;
BEGIN
    removed := 0;
    emptied := '{}';
    IF NOT pg_try_advisory_xact_lock(hashtextextended('marketdata-retention', 0)) THEN
        removed := NULL;
        RETURN;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid WHERE h.inhparent = 'chunks_fine'::regclass AND c.relname = part
    ) OR keeps_chunk_month(first, next) THEN
        RETURN;
    END IF;
    holders := ARRAY(
        SELECT i.id FROM instruments i WHERE i.id IN (SELECT c.instrument_id FROM chunks_fine c WHERE c.day >= first AND c.day < next)
        ORDER BY i.id FOR UPDATE);
    -- Again, now that nobody begins a replay of these instruments or imports bars of them.
    IF keeps_chunk_month(first, next) THEN RETURN; END IF;
    INSERT INTO removed_days (instrument_id, interval_seconds, side, origin, day, revision, edition, sha256, recorded_at, removed_at)
    SELECT DISTINCT ON (c.instrument_id, c.interval_seconds, c.side, c.origin, c.day) c.instrument_id, c.interval_seconds, c.side, c.origin, c.day,
        c.revision, c.edition, c.sha256, c.recorded_at, clock_timestamp()
    FROM chunks_fine c WHERE c.day >= first AND c.day < next
    ORDER BY c.instrument_id, c.interval_seconds, c.side, c.origin, c.day, c.revision DESC
    ON CONFLICT (instrument_id, interval_seconds, side, origin, day) DO UPDATE SET revision = excluded.revision, edition = excluded.edition,
        sha256 = excluded.sha256, recorded_at = excluded.recorded_at, removed_at = excluded.removed_at;
    GET DIAGNOSTICS removed = ROW_COUNT;
    DELETE FROM chunk_slots c WHERE c.instrument_id = ANY (holders) AND c.interval_seconds < 3600 AND c.day >= first AND c.day < next;
    FOR one IN
        SELECT s.instrument_id, s.interval_seconds, s.side, s.origin FROM series s
        WHERE s.instrument_id = ANY (holders) AND s.interval_seconds < 3600 AND s.first_day < next
    LOOP
        IF shorten_series(one.instrument_id, one.interval_seconds, one.side, one.origin, next) THEN emptied := emptied || one.instrument_id; END IF;
    END LOOP;
    -- From the whole to the part, as readers go, or they and we would wait for each other.
    PERFORM pg_advisory_xact_lock(hashtextextended('marketdata-chunk-months', 0));
    LOCK TABLE ONLY chunks_fine IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM chunks_fine c WHERE c.day >= first AND c.day < next AND c.instrument_id <> ALL (holders)) THEN
        RAISE EXCEPTION 'somebody else has stored bars of %', part USING ERRCODE = 'lock_not_available';
    END IF;
    EXECUTE format('DROP TABLE %I', part);
END $$;
REVOKE ALL ON FUNCTION drop_chunk_month(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_chunk_month(date) TO marketdata_app;
