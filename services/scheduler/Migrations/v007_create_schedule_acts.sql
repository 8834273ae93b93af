-- What owners do with schedules: pauses, runs by hand, runs of the past; and the ledger of how reliably each one ran.

ALTER TABLE schedules
    -- While it is set the schedule's due times are skipped; the grid goes on. It outlives a republication.
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN paused_by text CHECK (paused_by IN ('owner', 'administrator', 'failures')),
    ADD COLUMN pause_reason text CHECK (length(pause_reason) <= 500),
    -- When the last pause was lifted: nothing that was due before it runs or counts as a failure any more.
    ADD COLUMN resumed_at timestamptz,
    -- Runs that failed by the code's fault since the last one that was recorded.
    ADD COLUMN failures_in_a_row integer NOT NULL DEFAULT 0 CHECK (failures_in_a_row >= 0),
    -- The last job that was made by hand: a schedule has one of them open at most.
    ADD COLUMN run_now_job_id uuid,
    ADD CHECK ((paused_at IS NULL) = (paused_by IS NULL) AND (paused_at IS NOT NULL OR pause_reason IS NULL));
-- Each due time rewrites the row: what was published lies beside it, so that a few bytes are rewritten and not a manifest.
ALTER TABLE schedules SET (fillfactor = 70, toast_tuple_target = 256, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);
-- Announcements look for the lengths of bars whose end is near.
CREATE INDEX schedules_bar_seconds ON schedules (bar_seconds) WHERE state = 'active' AND bar_instrument IS NOT NULL;

-- Signals recorded the run, but its rows came after their deadline.
ALTER TABLE occurrences ADD COLUMN recorded_late boolean NOT NULL DEFAULT false;

-- Most are changed once, when their run is recorded; later they move to the archive.
ALTER TABLE occurrences SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

-- Runs of a schedule's past due times, made in slices as earlier ones end.
CREATE TABLE backfills (
    backfill_id     uuid PRIMARY KEY,
    state           text NOT NULL CHECK (state IN ('open', 'completed', 'cancelled')),
    schedule_id     uuid NOT NULL REFERENCES schedules,
    account_id      uuid NOT NULL,
    -- The version that was live when it was asked for: all its runs are of that one.
    publication     jsonb NOT NULL,
    from_at         timestamptz NOT NULL,
    to_at           timestamptz NOT NULL,
    overlap         text NOT NULL CHECK (overlap IN ('sequential', 'allow_all')),
    due_count       integer NOT NULL CHECK (due_count BETWEEN 1 AND 10000),
    -- Every due time up to here has its run.
    cursor_at       timestamptz NOT NULL,
    completed_count integer NOT NULL DEFAULT 0,
    failed_count    integer NOT NULL DEFAULT 0,
    cancelled_count integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at        timestamptz,
    idempotency_key text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    CHECK (from_at <= to_at),
    CHECK ((state = 'open') = (ended_at IS NULL)),
    UNIQUE (account_id, idempotency_key)
);
-- A schedule has one of them open at most.
CREATE UNIQUE INDEX backfills_open ON backfills (schedule_id) WHERE state = 'open';
CREATE INDEX backfills_schedule ON backfills (schedule_id, backfill_id DESC);
CREATE INDEX backfills_account ON backfills (account_id) WHERE state = 'open';

CREATE TABLE backfill_runs (
    backfill_id uuid NOT NULL REFERENCES backfills,
    due_at      timestamptz NOT NULL,
    job_id      uuid NOT NULL,
    -- Of the job; what is open is looked at until it has ended.
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'completed', 'failed', 'cancelled')),
    PRIMARY KEY (backfill_id, due_at)
);
CREATE INDEX backfill_runs_open ON backfill_runs (backfill_id) WHERE state = 'open';

GRANT SELECT, INSERT, UPDATE ON backfills, backfill_runs TO scheduler_app;

-- How a schedule did on a UTC day that is over. The day that runs is counted from the occurrences.
CREATE TABLE cadence_days (
    schedule_id  uuid NOT NULL REFERENCES schedules,
    day          date NOT NULL,
    -- Raised whenever the counts change; the version of the event that told them. 0 is a day that has not been counted yet.
    version      integer NOT NULL CHECK (version >= 0),
    -- Something about the day's occurrences has changed since: it is to be counted again.
    is_stale     boolean NOT NULL DEFAULT false,
    due          bigint NOT NULL,
    on_time      bigint NOT NULL,
    late         bigint NOT NULL,
    missed       bigint NOT NULL,
    skipped      bigint NOT NULL,
    failed       bigint NOT NULL,
    -- Fired, and not recorded so far.
    unrecorded   bigint NOT NULL,
    -- {"overlap": 3, …}
    skipped_by_reason jsonb NOT NULL,
    settled_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (schedule_id, day),
    CHECK (due = on_time + late + missed + skipped + failed + unrecorded)
);
CREATE INDEX cadence_days_stale ON cadence_days (day, schedule_id) WHERE is_stale;

-- Which days have been gone through, and how far: one row a day, kept.
CREATE TABLE cadence_walks (
    day            date PRIMARY KEY,
    after_schedule uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    done_at        timestamptz
);
GRANT SELECT, INSERT, UPDATE ON cadence_days, cadence_walks TO scheduler_app;

-- An occurrence of a day that has been counted is added or changes its outcome: the day is counted again. Ranges may cover several days.
CREATE FUNCTION note_late_occurrences() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = scheduler, pg_temp AS $$
BEGIN
    INSERT INTO cadence_days (schedule_id, day, version, is_stale, due, on_time, late, missed, skipped, failed, unrecorded, skipped_by_reason)
    SELECT DISTINCT schedule_id, day, 0, true, 0, 0, 0, 0, 0, 0, 0, '{}'::jsonb
    FROM (SELECT schedule_id, generate_series((due_at AT TIME ZONE 'UTC')::date,
                  least((coalesce(range_to, due_at) AT TIME ZONE 'UTC')::date, (clock_timestamp() AT TIME ZONE 'UTC')::date - 1), '1 day')::date AS day
          FROM changed WHERE due_at < date_trunc('day', clock_timestamp(), 'UTC')) AS past
    ORDER BY schedule_id, day
    ON CONFLICT (schedule_id, day) DO UPDATE SET is_stale = true WHERE NOT cadence_days.is_stale;
    RETURN NULL;
END $$;
CREATE TRIGGER occurrences_added AFTER INSERT ON occurrences REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_late_occurrences();
CREATE TRIGGER occurrences_changed AFTER UPDATE ON occurrences REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_late_occurrences();

-- Occurrences whose day has been counted and that can no longer change: by month, written once, read by lists and the audit.
CREATE TABLE occurrences_archive (LIKE occurrences INCLUDING DEFAULTS) PARTITION BY RANGE (due_at);
-- A due time has one occurrence, here as well.
CREATE UNIQUE INDEX occurrences_archive_due ON occurrences_archive (schedule_id, due_at);
CREATE INDEX occurrences_archive_id ON occurrences_archive (occurrence_id);
CREATE TABLE occurrences_archive_rest PARTITION OF occurrences_archive DEFAULT;
GRANT SELECT, INSERT ON occurrences_archive TO scheduler_app;
GRANT DELETE ON occurrences TO scheduler_app;
CREATE INDEX occurrences_due ON occurrences (due_at);
CREATE INDEX occurrences_ranges ON occurrences (schedule_id, range_to) WHERE range_to IS NOT NULL;
CREATE INDEX occurrences_archive_ranges ON occurrences_archive (schedule_id, range_to) WHERE range_to IS NOT NULL;

-- Makes room for the occurrences of a month: tables belong to the owner, so the role that serves asks for them here.
CREATE FUNCTION ensure_occurrence_month(month date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = scheduler, pg_temp AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    name text := 'occurrences_archive_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass('scheduler.' || name) IS NOT NULL THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('scheduler.' || name, 0));
    IF to_regclass('scheduler.' || name) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF occurrences_archive FOR VALUES FROM (%L) TO (%L)', name,
        first::timestamp AT TIME ZONE 'UTC', (first + interval '1 month')::timestamp AT TIME ZONE 'UTC');
END $$;
REVOKE ALL ON FUNCTION ensure_occurrence_month(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_occurrence_month(date) TO scheduler_app;

-- Both, for whoever reads the past.
CREATE VIEW all_occurrences AS
    SELECT occurrence_id, schedule_id, signal_id, account_id, due_at, range_to, due_count, as_of, bar_instrument, bar_end, outcome, reason, job_id,
        recorded_at, made_at, recorded_late FROM occurrences
    UNION ALL
    SELECT occurrence_id, schedule_id, signal_id, account_id, due_at, range_to, due_count, as_of, bar_instrument, bar_end, outcome, reason, job_id,
        recorded_at, made_at, recorded_late FROM occurrences_archive;
GRANT SELECT ON all_occurrences TO scheduler_app;
