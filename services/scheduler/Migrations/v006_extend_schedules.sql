-- The instrument whose market a schedule follows or keeps to; null for most.
ALTER TABLE schedules ADD COLUMN market text;
CREATE INDEX schedules_market ON schedules (market, schedule_id) WHERE state = 'active' AND market IS NOT NULL;

-- The bounds within which the grid was in force; null where it had none.
ALTER TABLE schedule_eras ADD COLUMN policy jsonb;

-- What is known of markets: a read model of what marketdata answers about the days ahead. What has begun does not change any more, because due times
-- were made of it.
CREATE TABLE markets (
    market        text PRIMARY KEY,
    -- Sessions that begin up to here are all known; null while nothing is.
    known_through timestamptz,
    -- When marketdata answered last.
    refreshed_at  timestamptz,
    -- Why it could not say more when it was asked last.
    fault         text,
    -- Since when all that follow it are being armed anew, because sessions ahead have changed; null when that is done.
    rearming_since timestamptz
);
-- What waits for its market to be known.
CREATE INDEX schedules_unarmed ON schedules (market, schedule_id)
    WHERE state = 'active' AND market IS NOT NULL AND next_due_at IS NULL AND bar_instrument IS NULL;
CREATE TABLE market_sessions (
    market    text NOT NULL REFERENCES markets,
    opens_at  timestamptz NOT NULL,
    closes_at timestamptz NOT NULL CHECK (closes_at > opens_at),
    PRIMARY KEY (market, opens_at)
);

-- For how long a bar's run is caught up, of schedules that wait for bars; null on rows from before: as long as the bar, ten seconds at least.
ALTER TABLE schedules ADD COLUMN bar_window_seconds integer CHECK (bar_window_seconds > 0);
CREATE INDEX schedules_deadlines ON schedules (bar_instrument, bar_seconds, bar_window_seconds) WHERE state = 'active' AND bar_instrument IS NOT NULL;

-- When bars that schedules wait for will close, as marketdata said it.
CREATE TABLE expected_bars (
    bar_instrument text NOT NULL,
    bar_seconds    integer NOT NULL,
    bars           jsonb NOT NULL,
    known_through  timestamptz NOT NULL,
    refreshed_at   timestamptz NOT NULL,
    PRIMARY KEY (bar_instrument, bar_seconds)
);
-- Up to when each close has its outcome, whether it was heard or given up.
CREATE TABLE close_deadlines (
    bar_instrument text NOT NULL,
    bar_seconds    integer NOT NULL,
    window_seconds integer NOT NULL,
    settled_to     timestamptz NOT NULL,
    PRIMARY KEY (bar_instrument, bar_seconds, window_seconds)
);

GRANT SELECT, INSERT, UPDATE ON expected_bars, close_deadlines TO scheduler_app;
GRANT SELECT, INSERT, UPDATE ON markets TO scheduler_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON market_sessions TO scheduler_app;
