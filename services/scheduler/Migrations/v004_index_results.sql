-- The clean-up of results asks for many files at once whether a job still names them.
CREATE INDEX jobs_result ON jobs (result_sha256) WHERE result_sha256 IS NOT NULL;
