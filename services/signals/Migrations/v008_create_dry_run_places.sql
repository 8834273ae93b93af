-- A place for each dry run that an account has asked for: taken before its job is made, so that two requests at once cannot both have the last one.
CREATE TABLE dry_run_places (
    account_id uuid NOT NULL,
    -- The key under which the job is made: the same request again has the place that it had.
    request text NOT NULL,
    taken_at timestamptz NOT NULL,
    -- Null while the job is being made.
    job_id uuid,
    -- When it was found out that the job had ended: the scheduler knows, and is asked when places run short.
    ended_at timestamptz,
    PRIMARY KEY (account_id, request)
);
CREATE INDEX dry_run_places_open ON dry_run_places (account_id, taken_at) WHERE ended_at IS NULL;
CREATE INDEX dry_run_places_by_account ON dry_run_places (account_id, taken_at);
CREATE INDEX dry_run_places_by_time ON dry_run_places (taken_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON dry_run_places TO signals_app;
