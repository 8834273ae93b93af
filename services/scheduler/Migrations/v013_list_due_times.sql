-- The due times of a backfill that come from a market: of the past of its sessions and bars only marketdata knows, and it is asked once. Grids of time have none
-- here, because their due times follow from the publication. They go when the backfill has ended, or with the account's next one.
CREATE TABLE backfill_due_times (
    backfill_id uuid NOT NULL REFERENCES backfills,
    position    integer NOT NULL CHECK (position >= 0),
    due_at      timestamptz NOT NULL,
    -- The moment whose knowledge the run has.
    as_of       timestamptz NOT NULL CHECK (as_of >= due_at),
    PRIMARY KEY (backfill_id, position)
);
GRANT SELECT, INSERT, DELETE ON backfill_due_times TO scheduler_app;

ALTER TABLE backfills
    -- How many of its listed due times have their run; null where the grid says them. A listed one has its last due time as cursor_at from the beginning, and ends a
    -- microsecond behind it: code of before this migration walks the grid from the one to the other, so it makes none of its runs and does not end it either.
    ADD COLUMN next_position integer CHECK (next_position BETWEEN 0 AND due_count),
    -- The range as it was sent, by which the same request is known again; null of before this migration.
    ADD COLUMN asked_from timestamptz,
    ADD COLUMN asked_to timestamptz;
