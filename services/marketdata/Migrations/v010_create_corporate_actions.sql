-- Splits, dividends and the like. A revision is never overwritten; a correction is known from its recording on, as one of a day of bars is.
CREATE TABLE corporate_actions (
    instrument_id uuid NOT NULL REFERENCES instruments (id),
    -- The last day before the action, by the exchange's calendar: it is in force from the opening of the next session.
    day date NOT NULL,
    revision integer NOT NULL CHECK (revision > 0),
    -- Prices up to the day are multiplied by numerator / denominator and volumes divided by it: seven shares for one are 1/7.
    split_numerator bigint NOT NULL CHECK (split_numerator > 0),
    split_denominator bigint NOT NULL CHECK (split_denominator > 0),
    -- The factor for what was paid out. With 1/1 and one trillion the revision takes the action back.
    price_trillionths bigint NOT NULL CHECK (price_trillionths > 0),
    -- The closing price of the day, where the file has it.
    reference_price numeric CHECK (reference_price > 0),
    -- -infinity for what was history already.
    recorded_at timestamptz NOT NULL,
    import_id uuid NOT NULL,
    PRIMARY KEY (instrument_id, day, revision)
);
GRANT SELECT, INSERT ON corporate_actions TO marketdata_app;

-- What instruments were called, and when: a ticker resolves at a date. instruments.symbol is what one is called today, or what tells it from the living
-- (FB.1). Two may have borne one name at different times, and nothing forbids that files overlap: who began to bear it later is meant.
CREATE TABLE instrument_names (
    instrument_id uuid NOT NULL REFERENCES instruments (id),
    ticker text NOT NULL CHECK (ticker ~ '^[A-Z0-9][A-Z0-9._-]{0,39}$'),
    first_day date NOT NULL,
    -- 9999-12-31 while it lasts.
    last_day date NOT NULL,
    exchange text,
    PRIMARY KEY (instrument_id, first_day),
    CHECK (first_day <= last_day)
);
CREATE INDEX instrument_names_ticker ON instrument_names (ticker, first_day);
GRANT SELECT, INSERT, DELETE ON instrument_names TO marketdata_app;

-- What an import saw of a day besides its bars, for the report on the instrument; the same file again says nothing new.
CREATE TABLE import_findings (
    instrument_id uuid NOT NULL REFERENCES instruments (id),
    day date NOT NULL,
    kind text NOT NULL CHECK (kind IN ('duplicate', 'out_of_order', 'refused')),
    file_sha256 bytea NOT NULL CHECK (octet_length(file_sha256) = 32),
    file_name text NOT NULL,
    rows integer NOT NULL CHECK (rows > 0),
    first_line integer NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, day, kind, file_sha256)
);
GRANT SELECT, INSERT ON import_findings TO marketdata_app;
