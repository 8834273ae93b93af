-- Files of foreign formats are converted to text by an executor before they are imported.
CREATE TABLE upload_conversions (
    upload_id uuid PRIMARY KEY REFERENCES uploads (id) ON DELETE CASCADE,
    format text NOT NULL,
    -- Of the file that is being converted; null when its parts were sent anew since, so that the next import begins with a conversion.
    file_sha256 bytea CHECK (octet_length(file_sha256) = 32),
    -- Part of the job's key: another turn is another job.
    turn integer NOT NULL DEFAULT 1,
    job_id uuid,
    percent integer NOT NULL DEFAULT 0 CHECK (percent BETWEEN 0 AND 100),
    -- What the converter found, once it is done.
    result jsonb
);
GRANT SELECT, INSERT, UPDATE, DELETE ON upload_conversions TO marketdata_app;

-- The packed text in parts, each a blob.
CREATE TABLE upload_tables (
    upload_id uuid NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number integer NOT NULL CHECK (number > 0),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    PRIMARY KEY (upload_id, number)
);
CREATE INDEX upload_tables_sha256 ON upload_tables (sha256);
GRANT SELECT, INSERT, UPDATE, DELETE ON upload_tables TO marketdata_app;
