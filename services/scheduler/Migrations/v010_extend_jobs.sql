-- What a job waits for. A job that still waits is pending and not available before the end of time, so a claim need not know of it.
ALTER TABLE jobs
    ADD COLUMN blocked_by smallint NOT NULL DEFAULT 0 CHECK (blocked_by >= 0),
    -- As it was asked for, for those who look at the job; what is still open stands in job_dependencies.
    ADD COLUMN waits_for  jsonb,
    -- The moment that was wished for a job that waits.
    ADD COLUMN not_before timestamptz,
    ADD COLUMN batch_id uuid,
    -- Raised by every change that can be seen: the coordinate of a job's stream.
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    -- The transaction of the last change that can be seen: the coordinate of an account's stream (docs/decisions/job-streams.md).
    ADD COLUMN changed_in bigint NOT NULL DEFAULT 0,
    -- Of all attempts together, as cpu_seconds is.
    ADD COLUMN memory_gib_seconds double precision,
    ADD COLUMN bytes_in bigint,
    ADD COLUMN bytes_out bigint,
    ADD CONSTRAINT jobs_blocked CHECK (blocked_by = 0 OR (state IN ('pending', 'cancelled') AND available_at >= '9999-12-31'));
ALTER TABLE jobs ALTER COLUMN changed_in SET DEFAULT (pg_current_xact_id()::text::bigint);

-- What waits for others cannot be claimed and does not rise: it lies in no index that is walked for those who can.
DROP INDEX jobs_claimable, jobs_ranked;
CREATE INDEX jobs_claimable ON jobs (resource_class, precedence, account_id, available_at, job_id) WHERE state = 'pending' AND blocked_by = 0;
CREATE INDEX jobs_ranked ON jobs (ranked_at) WHERE state = 'pending' AND blocked_by = 0 AND precedence > 1;
-- It counts against the queue of its account, and stands in its list.
CREATE INDEX jobs_behind_others ON jobs (account_id, job_id DESC) WHERE state = 'pending' AND blocked_by > 0;

CREATE INDEX jobs_changes ON jobs (account_id, changed_in, job_id);
CREATE INDEX jobs_by_parent ON jobs (parent_job_id, job_id DESC) WHERE parent_job_id IS NOT NULL;
CREATE INDEX jobs_by_batch ON jobs (batch_id, job_id DESC) WHERE batch_id IS NOT NULL;

-- A trigger, so that no statement that changes a job can forget it.
CREATE FUNCTION mark_job_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    NEW.changed_in := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;
CREATE TRIGGER jobs_changed BEFORE UPDATE ON jobs FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.progress <> NEW.progress OR OLD.attempt <> NEW.attempt OR OLD.blocked_by <> NEW.blocked_by
        OR OLD.available_at <> NEW.available_at OR OLD.cancel_requested_at IS DISTINCT FROM NEW.cancel_requested_at)
    EXECUTE FUNCTION mark_job_change();

-- One row for each end that a job still waits for.
CREATE TABLE job_dependencies (
    job_id    uuid NOT NULL,
    on_job_id uuid NOT NULL,
    condition text NOT NULL CHECK (condition IN ('completed', 'ended')),
    PRIMARY KEY (job_id, on_job_id)
);
CREATE INDEX job_dependencies_on ON job_dependencies (on_job_id, job_id);

-- Jobs that have ended and had more dependants than one transaction lets go.
CREATE TABLE job_unblockings (
    job_id uuid PRIMARY KEY,
    state  text NOT NULL CHECK (state IN ('completed', 'failed', 'cancelled'))
);

-- Jobs that were asked for together.
CREATE TABLE job_batches (
    batch_id        uuid PRIMARY KEY,
    account_id      uuid NOT NULL,
    idempotency_key text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 190),
    input_sha256    bytea NOT NULL CHECK (octet_length(input_sha256) = 32),
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- In the order in which they were asked for.
    jobs            uuid[] NOT NULL,
    UNIQUE (account_id, idempotency_key)
);

-- What jobs cost, counted in the transaction that ends an attempt. Whole numbers, so that sums are exact in any order; slots, so that workers that
-- finish jobs of one account at the same moment seldom wait for each other.
CREATE TABLE job_costs (
    account_id       uuid NOT NULL,
    day              date NOT NULL,
    kind             text NOT NULL,
    slot             smallint NOT NULL,
    jobs             bigint NOT NULL,
    attempts         bigint NOT NULL,
    cpu_microseconds bigint NOT NULL,
    memory_mib_ms    bigint NOT NULL,
    bytes_in         bigint NOT NULL,
    bytes_out        bigint NOT NULL,
    PRIMARY KEY (account_id, day, kind, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
-- What an administrator reads: all accounts of some days.
CREATE INDEX job_costs_day ON job_costs (day);

-- How long the last jobs of a kind and size took, newest first: what an estimate is made of. The signal is all zeros in the rows of all signals.
CREATE TABLE job_durations (
    kind        text NOT NULL,
    signal_id   uuid NOT NULL,
    size_bucket smallint NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    seconds     double precision[] NOT NULL,
    PRIMARY KEY (kind, signal_id, size_bucket)
) WITH (fillfactor = 50);
CREATE INDEX job_durations_new ON job_durations (updated_at);

GRANT SELECT, INSERT ON job_batches TO scheduler_app;
GRANT SELECT, INSERT, UPDATE ON job_costs, job_durations TO scheduler_app;
GRANT SELECT, INSERT, DELETE ON job_dependencies TO scheduler_app;
-- A row is locked before its dependants are let go.
GRANT SELECT, INSERT, UPDATE, DELETE ON job_unblockings TO scheduler_app;
