-- How reliably each signal ran, by UTC day, as the scheduler counts it once the day is over: part of a signal's public record. A day that was counted anew and
-- found empty stays as a row of zeros, so that an older word about it changes nothing.
CREATE TABLE cadence_days (
    schedule_id uuid NOT NULL,
    day date NOT NULL,
    signal_id uuid NOT NULL REFERENCES signals (id),
    -- The version of the event that was applied last; a lower one comes too late.
    version bigint NOT NULL,
    on_time bigint NOT NULL CHECK (on_time >= 0),
    late bigint NOT NULL CHECK (late >= 0),
    missed bigint NOT NULL CHECK (missed >= 0),
    failed bigint NOT NULL CHECK (failed >= 0),
    unrecorded bigint NOT NULL CHECK (unrecorded >= 0),
    -- Words of the platform and how many due times were left out for each; nothing that a run said.
    skipped_by_reason jsonb NOT NULL,
    PRIMARY KEY (schedule_id, day)
);
CREATE INDEX cadence_days_of_signal ON cadence_days (signal_id, day);
GRANT SELECT, INSERT, UPDATE ON cadence_days TO signals_app;
