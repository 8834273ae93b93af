import Contracts
import Postgres
import TestSupport
import Testing

@testable import signals

@Suite("Lists of signals", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct ListPlanTests {
    @Test("Those of one instrument do not walk all signals")
    func byInstrument() async throws {
        try await withPostgresStore { store, database, pool in
            let (signal, _) = try await Fixtures.published(in: store)
            try await pool.execute(
                """
                INSERT INTO signals (id, account_id, created_by, name, description, state, published_version_id, feed, instruments, created_at,
                    updated_at, published_at)
                SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'other', '', 'published', gen_random_uuid(), 'replay',
                    ARRAY['I' || number, 'J' || number], clock_timestamp(), clock_timestamp(), clock_timestamp()
                FROM generate_series(1, 5000) AS number
                """
            )
            let owner = try await PostgresConnection.connect(database.owner, on: TestLoop.shared)
            try await owner.execute("ANALYZE signals")
            await owner.close()
            for viewer in [nil, signal.accountID] as [AccountID?] {
                let filter = SignalFilter(viewer: viewer, instrument: "BTCUSD")
                var explained: SQL = "EXPLAIN "
                explained.append(try #require(PostgresSignalsStore.listing(filter, after: nil, limit: 50)))
                let plan = try await pool.query(explained.unprepared).map { try $0.column(0) as String }.joined(separator: "\n")
                #expect(plan.contains("signals_by_instrument"), "\(plan)")
                #expect(try await store.signals(filter, after: nil, limit: 50).map(\.id) == [signal.id])
            }
        }
    }
}
