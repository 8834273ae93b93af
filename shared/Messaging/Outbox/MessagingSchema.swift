/// The tables that every service which says or hears events has in its schema.
public enum MessagingSchema {
    /// The statements of a migration: tables `outbox`, `inbox` and `dead_letters`, usable by the role
    /// `<schema>_app`. The text never changes; what comes later is another constant.
    ///
    /// All three are keyed by ids that rise with time, so that a partition per day can take their place without new columns.
    public static func sql(schema: String) -> String {
        let name = quoted(schema)
        let app = quoted(schema + "_app")
        return """
            -- Events that transactions said. A relay publishes them and sets sent_at; a row is deleted a day after that.
            CREATE TABLE \(name).outbox (
                id          uuid PRIMARY KEY,
                -- Hash of the subject: who relays which rows can be split among processes by it.
                shard       smallint NOT NULL CHECK (shard BETWEEN 0 AND 15),
                type        text NOT NULL,
                traceparent text,
                -- The bytes as they go over the wire.
                envelope    bytea NOT NULL CHECK (octet_length(envelope) <= 65536),
                appended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                attempts    integer NOT NULL DEFAULT 0,
                -- Not before this moment, after a publish that no queue wanted.
                retry_at    timestamptz NOT NULL DEFAULT '-infinity',
                last_error  text,
                sent_at     timestamptz
            ) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
            -- Small as long as the relay keeps up: only what is unsent is in it.
            CREATE INDEX outbox_unsent ON \(name).outbox (id) WHERE sent_at IS NULL;
            CREATE INDEX outbox_sent ON \(name).outbox USING brin (sent_at);

            -- Events whose effects are in the database, per consumer; written in the transaction of the effect. Kept for 30 days.
            CREATE TABLE \(name).inbox (
                consumer   text NOT NULL,
                event_id   uuid NOT NULL,
                handled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                PRIMARY KEY (consumer, event_id)
            );
            CREATE INDEX inbox_handled ON \(name).inbox USING brin (handled_at);

            -- Notes on events that nobody could handle; the events themselves are in the dead queues of the broker.
            CREATE TABLE \(name).dead_letters (
                id         uuid PRIMARY KEY,
                queue      text NOT NULL,
                -- The event's id, or whatever the sender of something that is no event put there.
                message_id text NOT NULL,
                event_type text NOT NULL,
                attempts   integer NOT NULL,
                reason     text NOT NULL,
                died_at    timestamptz NOT NULL
            );
            CREATE INDEX dead_letters_queue ON \(name).dead_letters (queue, died_at);

            GRANT SELECT, INSERT, UPDATE, DELETE ON \(name).outbox TO \(app);
            GRANT SELECT, INSERT, DELETE ON \(name).inbox TO \(app);
            GRANT SELECT, INSERT, DELETE ON \(name).dead_letters TO \(app);
            """
    }

    private static func quoted(_ name: String) -> String { "\"" + name.replacing("\"", with: "\"\"") + "\"" }

    /// The same as an entry for a `MigrationCatalogue`, such as version 2 of a service's history.
    public static func migration(version: Int, schema: String) -> (name: String, bytes: [UInt8]) {
        let number = String(version)
        return ("v\(String(repeating: "0", count: max(0, 3 - number.count)))\(number)_messaging", Array(sql(schema: schema).utf8))
    }
}
