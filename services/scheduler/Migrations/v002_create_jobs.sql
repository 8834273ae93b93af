-- The ledger of jobs: the row is the truth, a wake-up at the broker only a hint.
CREATE TABLE jobs (
    job_id              uuid PRIMARY KEY,
    state               text NOT NULL CHECK (state IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    resource_class      text NOT NULL CHECK (resource_class IN ('signal', 'small', 'standard', 'large', 'gpu', 'marketdata', 'signals')),
    -- 0 is urgent, 3 is low: what goes first stands first in the index. Waiting lowers `precedence`, never `priority`.
    priority            smallint NOT NULL CHECK (priority BETWEEN 0 AND 3),
    precedence          smallint NOT NULL CHECK (precedence BETWEEN 0 AND 3),
    attempt             smallint NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    max_attempts        smallint NOT NULL CHECK (max_attempts BETWEEN 1 AND 100),
    progress            smallint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    kind                text NOT NULL,
    account_id          uuid NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    available_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When `precedence` was last lowered.
    ranked_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Waiting beyond this counts as a failed attempt.
    queue_deadline      timestamptz NOT NULL,
    started_at          timestamptz,
    completed_at        timestamptz,
    cancel_requested_at timestamptz,
    claim_id            uuid,
    -- The fencing token: every write of a worker names it.
    attempt_id          uuid,
    worker              text,
    failure_kind        text CHECK (failure_kind IN
                            ('infra', 'lost_worker', 'queue_timeout', 'exception', 'invalid_output', 'out_of_memory', 'time_limit', 'policy')),
    error_message       text,
    parent_job_id       uuid,
    schedule_id         uuid,
    occurrence_id       uuid,
    signal_id           uuid,
    idempotency_key     text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    input_sha256        bytea NOT NULL CHECK (octet_length(input_sha256) = 32),
    result_sha256       bytea CHECK (octet_length(result_sha256) = 32),
    estimated_seconds   double precision,
    cpu_seconds         double precision,
    memory_peak_bytes   bigint,
    traceparent         text,
    spec                jsonb NOT NULL,
    result              jsonb,
    CHECK ((state IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CHECK (state <> 'running' OR (attempt_id IS NOT NULL AND worker IS NOT NULL)),
    CHECK (state <> 'failed' OR failure_kind IS NOT NULL)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 500);

-- What a claim walks: class, then rank, then account, then age.
CREATE INDEX jobs_claimable ON jobs (resource_class, precedence, account_id, available_at, job_id) WHERE state = 'pending';
CREATE INDEX jobs_waiting ON jobs (queue_deadline) WHERE state = 'pending';
CREATE INDEX jobs_ranked ON jobs (ranked_at) WHERE state = 'pending' AND precedence > 1;
CREATE INDEX jobs_open_runs ON jobs (schedule_id) WHERE schedule_id IS NOT NULL AND state IN ('pending', 'running');
CREATE UNIQUE INDEX jobs_idempotency ON jobs (account_id, kind, idempotency_key);
CREATE INDEX jobs_account ON jobs (account_id, job_id DESC);

-- Terminal states never change, whatever the code does.
CREATE FUNCTION refuse_change_of_ended_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'job % has ended as %', OLD.job_id, OLD.state USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'jobs_ended';
END $$;
CREATE TRIGGER jobs_ended BEFORE UPDATE ON jobs FOR EACH ROW
    WHEN (OLD.state IN ('completed', 'failed', 'cancelled')) EXECUTE FUNCTION refuse_change_of_ended_job();

-- Who holds what: a narrow table, because it is written every ten seconds for each running job.
CREATE TABLE leases (
    job_id         uuid PRIMARY KEY,
    attempt_id     uuid NOT NULL,
    claim_id       uuid NOT NULL,
    account_id     uuid NOT NULL,
    resource_class text NOT NULL,
    worker         text NOT NULL,
    expires_at     timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
CREATE INDEX leases_claim ON leases (claim_id);

-- What the last attempt printed.
CREATE TABLE job_logs (
    job_id       uuid PRIMARY KEY,
    attempt      smallint NOT NULL,
    is_truncated boolean NOT NULL,
    stored_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    body         text NOT NULL CHECK (octet_length(body) <= 65536)
);

GRANT SELECT, INSERT, UPDATE ON jobs TO scheduler_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON leases, job_logs TO scheduler_app;
