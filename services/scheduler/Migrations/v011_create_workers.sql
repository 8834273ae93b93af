-- Who works now and what it can do: one row a worker, written anew every ten seconds. A row whose worker has been silent for a minute counts for
-- nothing and goes with another's report. There are as many rows as processes, so nothing is indexed but the name, and updates stay within a page.
CREATE TABLE workers (
    worker      text PRIMARY KEY CHECK (octet_length(worker) BETWEEN 1 AND 200),
    -- As it was sent, so that a field more needs no migration.
    report      jsonb NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON workers TO scheduler_app;
