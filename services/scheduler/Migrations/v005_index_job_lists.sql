-- An account's jobs of one signal, newest first: without it a list of a signal that ran long ago walks everything that the account ever ran.
-- (Those of a rare kind are found by jobs_idempotency, which begins with account and kind; of a common kind the newest are never far.)
CREATE INDEX jobs_by_signal ON jobs (account_id, signal_id, job_id DESC) WHERE signal_id IS NOT NULL;
