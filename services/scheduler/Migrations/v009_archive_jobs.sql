-- Jobs that ended long ago leave the hot table for that of the month in which they were made.
--
-- The archives inherit from jobs: what reads jobs reads them too, a column that jobs gets they get as well, and what only concerns the hot table says
-- ONLY jobs. (Partitions of one table would not do: the month of a job and the state that moves it are not the same key.)
CREATE TABLE job_archives (
    -- The first day of the month.
    month      date PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When the month's jobs were deleted for good.
    dropped_at timestamptz
);
GRANT SELECT ON job_archives TO scheduler_app;

-- What goes next; in the order of time, so that the index grows at one end and shrinks at the other.
CREATE INDEX jobs_ended_at ON jobs (completed_at) WHERE completed_at IS NOT NULL;

-- A vacuum of the hot tables that sleeps falls behind: what has ended and gone must make room for what comes.
ALTER TABLE jobs SET (autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE leases SET (autovacuum_vacuum_cost_delay = 0);

CREATE FUNCTION refuse_change_of_archived_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'job % is archived', OLD.job_id USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'jobs_archived';
END $$;

-- Makes the archive of a month. Indexes are those that reads of ended jobs use.
CREATE FUNCTION ensure_job_archive(wanted date) RETURNS text
LANGUAGE plpgsql SET search_path = scheduler, pg_temp AS $$
DECLARE
    part text := 'jobs_' || to_char(wanted, 'YYYY_MM');
BEGIN
    IF EXISTS (SELECT FROM job_archives WHERE month = wanted AND dropped_at IS NULL) THEN RETURN part; END IF;
    EXECUTE format('CREATE TABLE %I (CHECK (state IN (''completed'', ''failed'', ''cancelled''))) INHERITS (jobs) WITH (fillfactor = 100)', part);
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (job_id)', part);
    EXECUTE format('CREATE INDEX ON %I (account_id, job_id DESC)', part);
    EXECUTE format('CREATE INDEX ON %I (account_id, kind, job_id DESC)', part);
    EXECUTE format('CREATE INDEX ON %I (account_id, signal_id, job_id DESC) WHERE signal_id IS NOT NULL', part);
    EXECUTE format('CREATE INDEX ON %I (state, job_id DESC) WHERE state IN (''failed'', ''cancelled'')', part);
    EXECUTE format('CREATE INDEX ON %I (account_id, state, job_id DESC) WHERE state IN (''failed'', ''cancelled'')', part);
    EXECUTE format('CREATE INDEX ON %I (parent_job_id) WHERE parent_job_id IS NOT NULL', part);
    EXECUTE format('CREATE INDEX ON %I (batch_id) WHERE batch_id IS NOT NULL', part);
    EXECUTE format('CREATE INDEX ON %I (result_sha256) WHERE result_sha256 IS NOT NULL', part);
    EXECUTE format('CREATE TRIGGER jobs_archived BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change_of_archived_job()', part);
    EXECUTE format('GRANT SELECT ON %I TO scheduler_app', part);
    INSERT INTO job_archives (month, name) VALUES (wanted, part) ON CONFLICT (month) DO UPDATE SET dropped_at = NULL, made_at = clock_timestamp();
    RETURN part;
END $$;

-- Moves jobs that ended before the moment given, and never one that ended less than a day ago; at most so many, those that ended first. Gives how many
-- went; null while somebody else is at it. The role of the service may delete no job, so this is the only way out of the hot table.
CREATE FUNCTION archive_jobs(before timestamptz, maximum integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = scheduler, pg_temp AS $$
DECLARE
    limited timestamptz := least(before, clock_timestamp() - interval '24 hours');
    ids uuid[];
    wanted date;
    columns text;
    part text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('scheduler.archives', 0)) THEN RETURN NULL; END IF;
    SELECT array_agg(job_id) INTO ids FROM (
        SELECT job_id FROM ONLY jobs WHERE completed_at IS NOT NULL AND completed_at < limited ORDER BY completed_at LIMIT maximum FOR UPDATE SKIP LOCKED) AS old;
    IF ids IS NULL THEN RETURN 0; END IF;
    -- By name: a column that jobs got later stands elsewhere in an older archive.
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
        WHERE attrelid = 'scheduler.jobs'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    FOR wanted IN SELECT DISTINCT date_trunc('month', created_at AT TIME ZONE 'UTC')::date FROM ONLY jobs WHERE job_id = ANY (ids) ORDER BY 1 LOOP
        part := ensure_job_archive(wanted);
        EXECUTE format(
            'WITH moved AS (DELETE FROM ONLY jobs WHERE job_id = ANY ($1) AND date_trunc(''month'', created_at AT TIME ZONE ''UTC'')::date = $2 RETURNING %s)
             INSERT INTO %I (%s) SELECT %s FROM moved', columns, part, columns, columns) USING ids, wanted;
    END LOOP;
    RETURN cardinality(ids);
END $$;

-- Deletes the archives, and the logs, of months before the one given; gives how many months went. Whoever reads them holds it up for two seconds at most:
-- then it is left for the next time.
CREATE FUNCTION drop_job_archives(before date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = scheduler, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    one record;
    gone integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('scheduler.archives', 0)) THEN RETURN 0; END IF;
    FOR one IN SELECT month, name FROM job_archives WHERE dropped_at IS NULL AND month < date_trunc('month', before)::date ORDER BY month LOOP
        EXECUTE format('DELETE FROM job_logs USING %I AS old WHERE job_logs.job_id = old.job_id', one.name);
        EXECUTE format('DROP TABLE %I', one.name);
        UPDATE job_archives SET dropped_at = clock_timestamp() WHERE month = one.month;
        gone := gone + 1;
    END LOOP;
    RETURN gone;
END $$;

REVOKE ALL ON FUNCTION ensure_job_archive(date), archive_jobs(timestamptz, integer), drop_job_archives(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION archive_jobs(timestamptz, integer), drop_job_archives(date) TO scheduler_app;
