-- What an account may have at once, where it differs from the settings. Without a row the settings apply.
CREATE TABLE account_limits (
    account_id     uuid NOT NULL,
    -- 'all' is all classes together.
    resource_class text NOT NULL CHECK (resource_class IN ('all', 'signal', 'small', 'standard', 'large', 'gpu', 'marketdata', 'signals')),
    -- Jobs that run at once.
    running_most   integer CHECK (running_most >= 0),
    -- Jobs that wait or run.
    open_most      integer CHECK (open_most >= 0),
    -- The best priority that may be asked for, as in jobs; 0 (urgent) is the platform's own.
    priority_cap   smallint CHECK (priority_cap BETWEEN 1 AND 3),
    PRIMARY KEY (account_id, resource_class),
    CHECK (resource_class = 'all' OR (open_most IS NULL AND priority_cap IS NULL))
);
GRANT SELECT, INSERT, UPDATE, DELETE ON account_limits TO scheduler_app;

-- How much an account runs; every claim asks it of the accounts that it looks at.
CREATE INDEX leases_account ON leases (account_id, resource_class);

-- Lists of what went wrong. Jobs come into these indexes once, at their end, and most never do: a list of open jobs is found by jobs_claimable and leases.
CREATE INDEX jobs_unhappy ON jobs (state, job_id DESC) WHERE state IN ('failed', 'cancelled');
CREATE INDEX jobs_unhappy_of_account ON jobs (account_id, state, job_id DESC) WHERE state IN ('failed', 'cancelled');
