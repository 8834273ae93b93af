-- What running attempts have printed so far, in the pieces that came with renewals; and what attempts printed that never told their end. Only ever added
-- to and deleted from: a log that grows every second must not be written anew every second.
CREATE TABLE log_chunks (
    job_id     uuid NOT NULL,
    attempt_id uuid NOT NULL,
    -- Where the piece begins, in bytes of all that the attempt printed.
    begins_at  bigint NOT NULL CHECK (begins_at >= 0),
    stored_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempt    smallint NOT NULL,
    body       text NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 16384),
    PRIMARY KEY (job_id, attempt_id, begins_at)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX log_chunks_age ON log_chunks (stored_at);

-- Which attempt printed it; null in rows of before. A released job is taken up again with the same number.
ALTER TABLE job_logs ADD COLUMN attempt_id uuid;

-- How many bytes of logs an account's jobs have left on a day (UTC).
CREATE TABLE log_usage (
    account_id uuid NOT NULL,
    day        date NOT NULL,
    bytes      bigint NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (account_id, day)
) WITH (fillfactor = 70);
CREATE INDEX log_usage_age ON log_usage (day);

GRANT SELECT, INSERT, DELETE ON log_chunks TO scheduler_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON log_usage TO scheduler_app;
