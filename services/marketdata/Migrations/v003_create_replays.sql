-- A replay shows an instrument's stored bars again, each becoming known at the moment of its release.
CREATE TABLE replays (
    id uuid PRIMARY KEY,
    -- The replay's own instrument.
    instrument_id uuid NOT NULL UNIQUE REFERENCES instruments (id),
    source_instrument_id uuid NOT NULL REFERENCES instruments (id),
    number integer NOT NULL CHECK (number > 0),
    account_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'paused', 'finished', 'stopped')),
    base_interval_seconds integer NOT NULL,
    speed double precision NOT NULL CHECK (speed > 0),
    loops boolean NOT NULL,
    -- The recorded time at which it begins and, if set, ends.
    starts_at timestamptz NOT NULL,
    ends_at timestamptz,
    -- Corrections recorded later than this are not seen: a replay never changes under its readers.
    revisions_as_of timestamptz NOT NULL,
    -- Everything that ended by this recorded time has been released; changed only together with a row in replay_releases.
    released_through timestamptz NOT NULL,
    released_bars bigint NOT NULL DEFAULT 0,
    -- Whoever holds the lease releases; another replica takes over when it has run out.
    runner text,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    created_at timestamptz NOT NULL,
    UNIQUE (source_instrument_id, number)
) WITH (fillfactor = 50);
CREATE INDEX replays_running ON replays (lease_until) WHERE state = 'running';
GRANT SELECT, INSERT, UPDATE ON replays TO marketdata_app;

-- The knowledge clock of a replay: at known_at everything that ended by released_through was known.
CREATE TABLE replay_releases (
    replay_id uuid NOT NULL REFERENCES replays (id),
    known_at timestamptz NOT NULL,
    released_through timestamptz NOT NULL,
    bars integer NOT NULL CHECK (bars >= 0),
    PRIMARY KEY (replay_id, known_at)
);
GRANT SELECT, INSERT ON replay_releases TO marketdata_app;

-- Which closes somebody waits for, per calling service.
CREATE TABLE watches (
    caller text NOT NULL,
    instrument_id uuid NOT NULL REFERENCES instruments (id),
    interval_seconds integer NOT NULL CHECK (interval_seconds > 0),
    PRIMARY KEY (caller, instrument_id, interval_seconds)
);
CREATE INDEX watches_instrument_id ON watches (instrument_id);
GRANT SELECT, INSERT, DELETE ON watches TO marketdata_app;
