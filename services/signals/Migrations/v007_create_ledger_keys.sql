-- The public halves of all keys that ever signed a seal: an old seal must stay provable after the service has changed its key.
CREATE TABLE ledger_keys (
    key_id text PRIMARY KEY,
    -- A JSON Web Key.
    jwk text NOT NULL,
    first_used_at timestamptz NOT NULL
);
CREATE TRIGGER ledger_keys_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_keys FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON ledger_keys TO signals_app;
