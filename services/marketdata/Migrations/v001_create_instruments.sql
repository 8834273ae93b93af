-- What can be forecast: an instrument is a permanent id, its symbol is what it is called today.
GRANT USAGE ON SCHEMA marketdata TO marketdata_app;

CREATE TABLE instruments (
    id uuid PRIMARY KEY,
    symbol text NOT NULL CONSTRAINT instruments_symbol_key UNIQUE CHECK (symbol ~ '^[A-Z0-9][A-Z0-9._-]{0,39}(@replay-[0-9]+)?$'),
    asset_class text NOT NULL CHECK (asset_class IN ('crypto', 'equity', 'fx', 'index', 'future', 'cfd')),
    calendar text NOT NULL,
    time_zone text NOT NULL,
    tick_size numeric CHECK (tick_size > 0),
    lot_size numeric CHECK (lot_size > 0),
    volume_unit text NOT NULL CHECK (volume_unit IN ('shares', 'contracts', 'base', 'quote', 'ticks', 'none')),
    -- The shortest stored bars; null until the first import.
    base_interval_seconds integer CHECK (base_interval_seconds > 0),
    feed text NOT NULL CHECK (feed IN ('live', 'replay', 'backfill')),
    -- Set on replays only: the instrument whose bars are replayed.
    replay_of uuid REFERENCES instruments (id),
    active boolean NOT NULL DEFAULT true,
    -- Raised with every change, under the row's lock: the subject version of its events.
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    CHECK ((feed = 'replay') = (replay_of IS NOT NULL)),
    CHECK ((feed = 'replay') = (symbol LIKE '%@replay-%'))
);
GRANT SELECT, INSERT, UPDATE ON instruments TO marketdata_app;

-- Calendars beyond the built-in ones, and corrections of those.
CREATE TABLE calendars (
    name text PRIMARY KEY,
    definition jsonb NOT NULL,
    recorded_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON calendars TO marketdata_app;
