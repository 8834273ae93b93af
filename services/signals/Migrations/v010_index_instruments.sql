-- The catalogue's filter by instrument: without it each such list walks all signals that there are.
CREATE INDEX signals_by_instrument ON signals USING gin (instruments) WHERE state <> 'deleted';
