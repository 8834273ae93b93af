-- Troubles of a provider's signals, in groups: what is alike on one day (UTC) is one row that counts. Only its own account reads it: what the code said may
-- hold its secrets.
CREATE TABLE incidents (
    incident_id  uuid PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('rejected', 'failed', 'missed', 'late', 'paused')),
    signal_id    uuid NOT NULL REFERENCES signals (id),
    account_id   uuid NOT NULL,
    day          date NOT NULL,
    -- What makes two troubles alike beyond their kind: whose fault, and the words without their numbers.
    likeness     text NOT NULL,
    failure_kind text,
    -- How many due times it stands for, and how many of them have been read. None: what was said turned out to be something else, and streams say so.
    count        bigint NOT NULL CHECK (count >= 0),
    read_count   bigint NOT NULL DEFAULT 0 CHECK (read_count >= 0),
    first_due_at timestamptz NOT NULL,
    last_due_at  timestamptz NOT NULL,
    -- Of the latest due time.
    reason       text,
    message      text,
    job_id       uuid,
    -- Rises with every change of any incident of the account, and no two have the same: how far a stream has come.
    revision     bigint NOT NULL,
    UNIQUE (signal_id, day, kind, likeness)
) WITH (fillfactor = 70);
CREATE INDEX incidents_newest ON incidents (signal_id, last_due_at DESC, incident_id DESC);
CREATE UNIQUE INDEX incidents_changed ON incidents (account_id, revision);
CREATE INDEX incidents_age ON incidents (last_due_at);

-- What is known of one run that was due: the events about it come doubled and in any order, and count once.
CREATE TABLE troubles (
    -- The due time's row at the scheduler; the job where no schedule asked.
    trouble_id   uuid PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('rejected', 'failed', 'missed', 'late', 'paused')),
    -- Nothing while only the due time's outcome has been told of a run that failed.
    incident_id  uuid,
    due_at       timestamptz NOT NULL,
    -- The last of many due times that are told of as one, and how many they are.
    last_due_at  timestamptz NOT NULL,
    count        bigint NOT NULL CHECK (count > 0),
    failure_kind text,
    reason       text,
    message      text,
    job_id       uuid
);
CREATE INDEX troubles_incident ON troubles (incident_id, due_at);
CREATE INDEX troubles_age ON troubles (last_due_at);

CREATE TABLE incident_heads (
    account_id uuid PRIMARY KEY,
    revision   bigint NOT NULL
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON incidents, troubles TO signals_app;
GRANT SELECT, INSERT, UPDATE ON incident_heads TO signals_app;

-- What an account's versions hold is counted with those of deleted signals: their files stay as long as the ledger does.
CREATE INDEX signals_of_account ON signals (account_id);
