import Contracts
@testable import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite(.enabled(if: TestServers.available)) struct RetentionTests {
    @Test func allThatIsOldGoesInOneCleaningHoweverMuchItIs() async throws {
        try await withMessaging { fixture in
            try await fixture.pool.execute(
                """
                INSERT INTO outbox (id, shard, type, envelope, sent_at)
                SELECT gen_random_uuid(), 0, 'test.thing.changed.v1', 'x', clock_timestamp() - interval '25 hours' FROM generate_series(1, 41000)
                """
            )
            try await fixture.pool.execute(
                """
                INSERT INTO outbox (id, shard, type, envelope, sent_at)
                SELECT gen_random_uuid(), 0, 'test.thing.changed.v1', 'x', clock_timestamp() - interval '23 hours' FROM generate_series(1, 10)
                """
            )
            try await fixture.pool.execute(
                """
                INSERT INTO inbox (consumer, event_id, handled_at)
                SELECT 'probe', gen_random_uuid(), clock_timestamp() - interval '1 day' * age
                FROM generate_series(1, 41000), LATERAL (SELECT CASE WHEN generate_series <= 10 THEN 30 ELSE 32 END AS age) AS ages
                """
            )
            let relay = fixture.relay()
            try await running([relay]) {
                try await eventually(timeout: .seconds(60), "an outbox of one day") { try await fixture.count("SELECT count(*) FROM outbox") == 10 }
                try await eventually(timeout: .seconds(60), "an inbox of one month") { try await fixture.count("SELECT count(*) FROM inbox") == 10 }
            }
        }
    }

    /// What was sent since the last vacuum is dead in the index of what is unsent: a bitmap would read all of it for each event, a plain scan marks it once.
    @Test func whatWasSentIsReadByNoBitmap() async throws {
        try await withMessaging { fixture in
            try await fixture.pool.execute(
                """
                INSERT INTO outbox (id, shard, type, envelope)
                SELECT gen_random_uuid(), number % 16, 'test.thing.changed.v1', convert_to(repeat('x', 600), 'UTF8') FROM generate_series(1, 2000) AS number
                """
            )
            try await fixture.pool.execute("UPDATE outbox SET sent_at = clock_timestamp()")
            let plan = try await fixture.pool.withConnection { connection in
                for setting in RelayWorker.settings { try await connection.execute(setting) }
                var explained: SQL = "EXPLAIN (COSTS OFF) "
                explained.append(RelayWorker.unsent(schema: MessagingFixture.service, shards: (0..<16).map { Int16($0) }))
                return try await connection.query(explained.unprepared).map { try $0.column(0, as: String.self) }.joined(separator: "\n")
            }
            #expect(plan.contains("Index Scan using outbox_unsent") && !plan.contains("Bitmap") && !plan.contains("Seq Scan"), "\(plan)")
        }
    }
}
