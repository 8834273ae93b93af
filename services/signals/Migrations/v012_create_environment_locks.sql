-- The exact packages of a version, with the hashes of their files, for a series of Python on a kind of machine: resolved once, by the first
-- executor that ran the version, and built by every other from then on, whatever the package index says later. Never changed.
CREATE TABLE environment_locks (
    signal_id   uuid NOT NULL REFERENCES signals (id),
    -- Of the version; a rollback has the same one and so the same packages.
    version_sha256 bytea NOT NULL CHECK (length(version_sha256) = 32),
    platform    text NOT NULL CHECK (platform ~ '^[a-z0-9._-]{1,100}$'),
    lock        text NOT NULL CHECK (octet_length(lock) <= 4194304),
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (signal_id, version_sha256, platform)
);
GRANT SELECT, INSERT ON environment_locks TO signals_app;
