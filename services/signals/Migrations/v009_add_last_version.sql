-- The version of the event that told of the last due time. A run can fail after a later due time was told of: that event is newer, but it is about an
-- older time, so it says what is next and leaves alone what was last.
ALTER TABLE cadence ADD COLUMN last_version bigint NOT NULL DEFAULT 0;
UPDATE cadence SET last_version = version;
