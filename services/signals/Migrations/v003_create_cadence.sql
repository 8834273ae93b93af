-- What the scheduler said of each signal's due times: "no news", "did not run" and "failed" are different answers.
CREATE TABLE cadence (
    signal_id uuid PRIMARY KEY REFERENCES signals (id),
    last_due_at timestamptz,
    last_outcome text CHECK (last_outcome IN ('fired', 'late', 'missed', 'skipped', 'failed')),
    last_reason text,
    next_due_at timestamptz,
    -- The version of the event that was applied last; a lower one comes too late.
    version bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON cadence TO signals_app;
