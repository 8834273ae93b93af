-- Who did what to whom. Lines are added and read; neither the service nor the schema's owner can change one by a statement.
CREATE TABLE audit_log (
    -- UUIDv7: the order of the lines.
    id uuid PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    action text NOT NULL CHECK (action <> ''),
    account_id uuid,
    actor_id uuid,
    subject text NOT NULL,
    detail jsonb NOT NULL,
    address text NOT NULL,
    user_agent text NOT NULL,
    request_id text NOT NULL
);
CREATE INDEX audit_log_account_id ON audit_log (account_id, id);
GRANT SELECT, INSERT ON audit_log TO auth_app;

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
