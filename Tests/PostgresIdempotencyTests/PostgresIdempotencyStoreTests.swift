import Contracts
import HTTPServing
import Postgres
import PostgresIdempotency
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@Suite("Answers of idempotent requests", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct PostgresIdempotencyStoreTests {
    private static let tables = """
        CREATE TABLE idempotency_keys (
            account_id uuid,
            route text NOT NULL,
            key text NOT NULL,
            request_sha256 bytea NOT NULL,
            status integer NOT NULL,
            content_type text,
            body bytea NOT NULL,
            created_at timestamptz NOT NULL,
            UNIQUE NULLS NOT DISTINCT (account_id, route, key)
        );
        CREATE TABLE effects (id int8 GENERATED ALWAYS AS IDENTITY);
        GRANT SELECT, INSERT, DELETE ON idempotency_keys, effects TO test_app;
        """

    /// A service with one unsafe route.
    private struct House: Sendable {
        let pool: PostgresPool
        let clock = ManualTimeSource()
        let commits: TestSignal<Void>
        let keys: PostgresIdempotencyStore

        init(_ pool: PostgresPool, takesOldAlong: Bool = false) {
            self.pool = pool
            let commits = TestSignal<Void>()
            self.commits = commits
            keys = PostgresIdempotencyStore(pool: pool, time: clock, takesOldAlong: takesOldAlong) { commits.signal() }
        }

        func post(_ key: String, body: String = "{}", account: AccountID? = nil) async throws -> Response {
            var request = try Request(method: .post, target: "/effects", headers: [("Idempotency-Key", key)], body: Array(body.utf8))
            request.principal = account.map { Principal(userID: .make(), accountID: $0, roles: [], credential: .session(.make())) }
            return try await Idempotency(store: keys).run(request) { connection in
                let id: Int = try await connection.query("INSERT INTO effects DEFAULT VALUES RETURNING id")[0].column(0)
                return .json(bytes: Array("{\"id\":\(id)}".utf8), status: .created)
            }
        }

        func count(_ table: String) async throws -> Int { try await pool.query("SELECT count(*) FROM \(identifier: table)")[0].column(0) }
    }

    private func withHouse(takesOldAlong: Bool = false, _ body: (House) async throws -> Void) async throws {
        try await withDatabase(migrations: [try Migration(named: "v001_create_idempotency_keys", sql: Self.tables)]) { database in
            try await database.withPool { pool in try await body(House(pool, takesOldAlong: takesOldAlong)) }
        }
    }

    @Test("The same request takes effect once, for each account and without one")
    func once() async throws {
        try await withHouse { house in
            let account = AccountID.make()
            let first = try await house.post("k", account: account)
            let again = try await house.post("k", account: account)
            #expect(first.status == .created && again.status == .created && again.bodyBytes == first.bodyBytes)
            #expect(again.headers["Idempotency-Replayed"] == "true")
            for account in [AccountID.make(), nil, nil] { _ = try await house.post("k", account: account) }
            #expect(try await house.count("effects") == 3)
            let problem = await #expect(throws: Problem.self) { try await house.post("k", body: "[]", account: account) }
            #expect(problem?.code == "idempotency_key_reused")
            for _ in 0..<2 { try await house.commits.next() }
        }
    }

    @Test("A second request that comes meanwhile learns so at once")
    func meanwhile() async throws {
        try await withHouse { house in
            let request = try #require(
                try Idempotency<PostgresIdempotencyStore>.idempotentRequest(
                    of: Request(method: .post, target: "/effects", headers: [("Idempotency-Key", "k")], body: Array("{}".utf8))
                )
            )
            let refused = try await house.keys.withTransaction { connection in
                let isClaimed = try await house.keys.claim(request, in: connection)
                #expect(isClaimed)
                return await #expect(throws: Problem.self) { try await house.post("k") }
            }
            #expect(refused?.code == "idempotent_request_running")
            // The transaction is over, and with it the claim.
            #expect(try await house.post("k").status == .created)
        }
    }

    @Test("An answer is given for a day; what is older makes room, and goes with a sweep")
    func lifetime() async throws {
        try await withHouse { house in
            _ = try await house.post("k")
            _ = try await house.post("other")
            house.clock.advance(by: .seconds(86_399))
            _ = try await house.post("k")
            #expect(try await house.count("effects") == 2)
            house.clock.advance(by: .seconds(2))
            _ = try await house.post("k")
            #expect(try await house.count("effects") == 3)
            #expect(try await house.count("idempotency_keys") == 2)
            try await house.keys.sweep()
            #expect(try await house.count("idempotency_keys") == 1)
        }
        try await withHouse(takesOldAlong: true) { house in
            for key in ["a", "b"] { _ = try await house.post(key) }
            house.clock.advance(by: .seconds(86_401))
            _ = try await house.post("c")
            #expect(try await house.count("idempotency_keys") == 1)
        }
    }
}
