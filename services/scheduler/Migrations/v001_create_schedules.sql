-- When published signals run: a read model of signals.signal.published.v1 and .unpublished.v1, and how far each grid has been worked off.
CREATE TABLE schedules (
    schedule_id     uuid PRIMARY KEY,
    state           text NOT NULL CHECK (state IN ('active', 'unpublished', 'invalid')),
    signal_id       uuid NOT NULL UNIQUE,
    account_id      uuid NOT NULL,
    -- Of the signal's last event that was applied: an older one that comes later changes nothing, so the row outlives the signal.
    subject_version bigint NOT NULL,
    -- What was published last, as signals said it; null only when the first event heard was the signal's end.
    publication     jsonb,
    invalid_reason  text,
    -- Every due time up to here has its occurrence.
    cursor_at       timestamptz NOT NULL,
    -- Null for bar closes and for what does not run.
    next_due_at     timestamptz,
    bar_instrument  text,
    bar_seconds     integer CHECK (bar_seconds > 0),
    -- Counts the events that were said about the signal.
    event_version   bigint NOT NULL DEFAULT 0,
    CHECK (state = 'unpublished' OR publication IS NOT NULL),
    CHECK ((state = 'invalid') = (invalid_reason IS NOT NULL)),
    CHECK (next_due_at IS NULL OR state = 'active')
);
CREATE INDEX schedules_due ON schedules (next_due_at) WHERE state = 'active' AND next_due_at IS NOT NULL;
CREATE INDEX schedules_bars ON schedules (bar_instrument, bar_seconds) WHERE state = 'active' AND bar_instrument IS NOT NULL;
CREATE INDEX schedules_account ON schedules (account_id, schedule_id);

-- From when to when which grid was in force: what an audit counts occurrences against.
CREATE TABLE schedule_eras (
    schedule_id uuid NOT NULL REFERENCES schedules,
    -- Due times after this belong to the era.
    from_at     timestamptz NOT NULL,
    -- Due times up to this; null while it lasts.
    to_at       timestamptz,
    cadence     jsonb NOT NULL,
    PRIMARY KEY (schedule_id, from_at),
    CHECK (to_at >= from_at)
);
CREATE UNIQUE INDEX schedule_eras_lasting ON schedule_eras (schedule_id) WHERE to_at IS NULL;

-- A due time and what became of it; made from the grid, never from the run before.
CREATE TABLE occurrences (
    occurrence_id uuid PRIMARY KEY,
    outcome       text NOT NULL CHECK (outcome IN ('fired', 'late', 'missed', 'skipped', 'failed')),
    schedule_id   uuid NOT NULL REFERENCES schedules,
    signal_id     uuid NOT NULL,
    account_id    uuid NOT NULL,
    due_at        timestamptz NOT NULL,
    -- The last due time and the number of due times, of a row that stands for more than a thousand missed ones.
    range_to      timestamptz,
    due_count     bigint NOT NULL DEFAULT 1 CHECK (due_count > 0),
    -- Nothing known later may be read; fixed here and never moved by a retry.
    as_of         timestamptz NOT NULL,
    -- The bar that set it off: it sets off one run however often its close is told. The instrument belongs to it, because every replay of an
    -- instrument shows bars of the same ends.
    bar_instrument text,
    bar_end       timestamptz,
    reason        text,
    job_id        uuid,
    -- Only a recorded run counts as on time.
    recorded_at   timestamptz,
    made_at       timestamptz NOT NULL,
    UNIQUE (schedule_id, due_at),
    CHECK ((range_to IS NULL) = (due_count = 1)),
    CHECK ((bar_end IS NULL) = (bar_instrument IS NULL)),
    CHECK (outcome NOT IN ('fired', 'late') OR job_id IS NOT NULL),
    CHECK (recorded_at IS NULL OR outcome IN ('fired', 'late'))
);
CREATE UNIQUE INDEX occurrences_bar ON occurrences (schedule_id, bar_instrument, bar_end) WHERE bar_end IS NOT NULL;

GRANT SELECT, INSERT, UPDATE ON schedules, schedule_eras, occurrences TO scheduler_app;
