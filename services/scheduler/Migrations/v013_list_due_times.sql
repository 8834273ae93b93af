-- The due times of a backfill that come from a market: of the past of its sessions and bars only marketdata knows, and it is asked once. Null for grids of
-- time, whose due times follow from the publication, and once the backfill has ended.
ALTER TABLE backfills ADD COLUMN due_times timestamptz[] CHECK (due_times IS NULL OR state = 'open');
