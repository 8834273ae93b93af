-- What a job waits for. A job that still waits is pending and not available before the end of time, so a claim need not know of it.
ALTER TABLE jobs
    ADD COLUMN blocked_by smallint NOT NULL DEFAULT 0 CHECK (blocked_by >= 0),
    -- As it was asked for, for those who look at the job; what is still open stands in job_dependencies.
    ADD COLUMN waits_for  jsonb,
    -- The moment that was wished for a job that waits.
    ADD COLUMN not_before timestamptz,
    ADD CONSTRAINT jobs_blocked CHECK (blocked_by = 0 OR (state IN ('pending', 'cancelled') AND available_at >= '9999-12-31'));

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

GRANT SELECT, INSERT, DELETE ON job_dependencies TO scheduler_app;
-- A row is locked before its dependants are let go.
GRANT SELECT, INSERT, UPDATE, DELETE ON job_unblockings TO scheduler_app;
