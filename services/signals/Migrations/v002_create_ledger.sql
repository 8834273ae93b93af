-- The prediction ledger: what is written here is never changed, by nobody, in no way that the role that serves has.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

-- One row a signal: the end of its chain. Its lock orders all appends to the chain, so seq has no gaps and made_at rises with it.
CREATE TABLE heads (
    signal_id uuid PRIMARY KEY REFERENCES signals (id),
    seq bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    link bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (length(link) = 32),
    made_at timestamptz,
    sealed_seq bigint NOT NULL DEFAULT 0,
    -- Raised by everything that changes what a subscriber reads: an append, a seal, an outcome, a due time, a change of state.
    revision bigint NOT NULL DEFAULT 1,
    CHECK (sealed_seq <= seq)
) WITH (fillfactor = 70);
CREATE INDEX heads_unsealed ON heads (signal_id) WHERE sealed_seq < seq;
GRANT SELECT, INSERT, UPDATE ON heads TO signals_app;

-- One row a job that ended: recorded, refused, or failed. The primary key is what makes a second delivery harmless.
CREATE TABLE runs (
    job_id uuid PRIMARY KEY,
    signal_id uuid NOT NULL REFERENCES signals (id),
    version_id uuid,
    occurrence_id uuid,
    attempt_id uuid,
    outcome text NOT NULL CHECK (outcome IN ('recorded', 'rejected', 'failed')),
    -- How many rows the job reported; all of them were recorded, or none.
    reported_rows integer NOT NULL DEFAULT 0 CHECK (reported_rows >= 0),
    first_seq bigint,
    last_seq bigint,
    late boolean NOT NULL DEFAULT false,
    bad_row integer,
    reason text,
    due_at timestamptz,
    ended_at timestamptz NOT NULL,
    CHECK (outcome <> 'recorded' OR reported_rows = 0 OR last_seq - first_seq + 1 = reported_rows)
);
CREATE INDEX runs_by_signal ON runs (signal_id, ended_at);
GRANT SELECT, INSERT ON runs TO signals_app;

-- The key begins with the signal: hash partitions by it need no other key, and one signal's rows lie together.
CREATE TABLE predictions (
    signal_id uuid NOT NULL REFERENCES signals (id),
    seq bigint NOT NULL CHECK (seq > 0),
    made_at timestamptz NOT NULL,
    job_id uuid NOT NULL REFERENCES runs (job_id),
    row integer NOT NULL CHECK (row >= 0),
    version_sha256 bytea NOT NULL CHECK (length(version_sha256) = 32),
    env_sha256 bytea NOT NULL CHECK (length(env_sha256) = 32),
    data_sha256 bytea NOT NULL CHECK (length(data_sha256) = 32),
    instrument text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('direction', 'probability', 'price', 'return', 'quantiles')),
    -- A decimal, or for quantiles an object of decimals, as text: nothing is rounded on the way.
    value text NOT NULL,
    due_at timestamptz NOT NULL,
    as_of timestamptz NOT NULL,
    target_from timestamptz NOT NULL,
    target_to timestamptz NOT NULL,
    reference_price text,
    feed text NOT NULL CHECK (feed IN ('live', 'replay', 'backfill')),
    late boolean NOT NULL,
    payload text NOT NULL,
    nonce bytea NOT NULL CHECK (length(nonce) = 16),
    leaf bytea NOT NULL CHECK (length(leaf) = 32),
    link bytea NOT NULL CHECK (length(link) = 32),
    PRIMARY KEY (signal_id, seq),
    CONSTRAINT predictions_job_row_key UNIQUE (job_id, row),
    CHECK (target_to > target_from)
);
-- For the list over all signals of a subscriber.
CREATE INDEX predictions_by_time ON predictions (made_at, signal_id, seq);
CREATE TRIGGER predictions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON predictions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON predictions TO signals_app;

-- One row a second with appends, over all signals.
CREATE TABLE seals (
    number bigint PRIMARY KEY CHECK (number > 0),
    sealed_at timestamptz NOT NULL,
    merkle bytea NOT NULL CHECK (length(merkle) = 32),
    root bytea NOT NULL CHECK (length(root) = 32),
    previous_root bytea NOT NULL CHECK (length(previous_root) = 32),
    signature text NOT NULL,
    key_id text NOT NULL
);
CREATE INDEX seals_by_time ON seals (sealed_at);
CREATE TRIGGER seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON seals FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON seals TO signals_app;

-- The heads under a seal. A prediction's seal is the first one of its signal with a seq of its own or higher.
CREATE TABLE seal_heads (
    signal_id uuid NOT NULL REFERENCES signals (id),
    seq bigint NOT NULL CHECK (seq > 0),
    link bytea NOT NULL CHECK (length(link) = 32),
    seal_number bigint NOT NULL REFERENCES seals (number),
    PRIMARY KEY (signal_id, seq)
);
CREATE INDEX seal_heads_by_seal ON seal_heads (seal_number);
CREATE TRIGGER seal_heads_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON seal_heads FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON seal_heads TO signals_app;

-- What really happened, once for each prediction.
CREATE TABLE outcomes (
    signal_id uuid NOT NULL,
    seq bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('settled', 'unresolved')),
    opens_at timestamptz,
    open_price text,
    closes_at timestamptz,
    close_price text,
    realised_return text,
    correct boolean,
    -- Not late, not replayed, and sealed before its window opened.
    counts boolean NOT NULL,
    reason text,
    settled_at timestamptz NOT NULL,
    PRIMARY KEY (signal_id, seq),
    FOREIGN KEY (signal_id, seq) REFERENCES predictions (signal_id, seq)
);
CREATE TRIGGER outcomes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outcomes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON outcomes TO signals_app;

-- Predictions that wait for their outcome: a to-do list, not a record.
CREATE TABLE pending_outcomes (
    signal_id uuid NOT NULL,
    seq bigint NOT NULL,
    check_at timestamptz NOT NULL,
    give_up_at timestamptz NOT NULL,
    PRIMARY KEY (signal_id, seq)
);
CREATE INDEX pending_outcomes_by_time ON pending_outcomes (check_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON pending_outcomes TO signals_app;

-- A database that was restored from a backup may have lost rows that others have seen: it begins a new epoch, and cursors show it.
CREATE TABLE ledger_epochs (
    epoch bigint PRIMARY KEY CHECK (epoch > 0),
    began_at timestamptz NOT NULL
);
INSERT INTO ledger_epochs (epoch, began_at) VALUES (1, clock_timestamp());
GRANT SELECT ON ledger_epochs TO signals_app;
