-- What a signal's ledger held at a moment, for readers who follow all of theirs: without this a look walks back from the end, row by row.
CREATE INDEX predictions_moments ON predictions (signal_id, made_at, seq);
