-- Which instruments are made of what a source tells while it happens.
CREATE TABLE live_subscriptions (
    -- From one source only: bars of two would be mixed into one series.
    instrument_id uuid PRIMARY KEY REFERENCES instruments (id),
    source text NOT NULL CHECK (length(source) BETWEEN 1 AND 64),
    -- The instrument as the source spells it; what comes under it is one instrument's.
    source_symbol text NOT NULL CHECK (length(source_symbol) BETWEEN 1 AND 64),
    -- Null: bars of a second out of trades. Else bars of so many seconds as the source builds them.
    bar_seconds integer CHECK (bar_seconds BETWEEN 1 AND 3600),
    changed_at timestamptz NOT NULL,
    -- What whoever runs the feed last said of it.
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'live', 'away', 'refused')),
    state_detail text NOT NULL DEFAULT '',
    state_at timestamptz NOT NULL,
    UNIQUE (source, source_symbol)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON live_subscriptions TO marketdata_app;
