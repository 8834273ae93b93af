-- The listed due times of a backfill go when it ends, whatever ends it: here, and nowhere in the code.
CREATE FUNCTION forget_due_times() RETURNS trigger LANGUAGE plpgsql SET search_path = scheduler, pg_temp AS $$
BEGIN
    DELETE FROM backfill_due_times WHERE backfill_id = NEW.backfill_id;
    RETURN NULL;
END $$;
CREATE TRIGGER backfills_ended AFTER UPDATE OF state ON backfills FOR EACH ROW
    WHEN (OLD.state = 'open' AND NEW.state <> 'open') EXECUTE FUNCTION forget_due_times();

-- What code of before the list left behind.
DELETE FROM backfill_due_times USING backfills WHERE backfills.backfill_id = backfill_due_times.backfill_id AND backfills.state <> 'open';
