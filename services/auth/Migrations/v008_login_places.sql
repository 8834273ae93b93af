-- Failures are counted for an account from one network too, and whoever asks for a password of a live session by a count of its own.
ALTER TABLE throttles DROP CONSTRAINT throttles_kind_check;
ALTER TABLE throttles ADD CONSTRAINT throttles_kind_check
    CHECK (kind IN ('login_account', 'login_address', 'login_place', 'password_user', 'registration_address'));
-- Which account a place belongs to, so that a reset by the operator can forget the counts of all its places.
ALTER TABLE throttles ADD COLUMN account_sha256 bytea CHECK (octet_length(account_sha256) = 32);
CREATE INDEX throttles_account_sha256 ON throttles (account_sha256) WHERE account_sha256 IS NOT NULL;

-- Where an account has logged in from: strangers' failures do not hold up whoever comes from there. By hashes, so that the table names nobody.
CREATE TABLE login_places (
    account_sha256 bytea NOT NULL CHECK (octet_length(account_sha256) = 32),
    network_sha256 bytea NOT NULL CHECK (octet_length(network_sha256) = 32),
    last_login_at timestamptz NOT NULL,
    PRIMARY KEY (account_sha256, network_sha256)
);
CREATE INDEX login_places_last_login_at ON login_places (last_login_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON login_places TO auth_app;
