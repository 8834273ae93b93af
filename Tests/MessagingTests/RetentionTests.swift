import Contracts
import Messaging
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
}
