import Contracts
import Messaging
import Postgres

/// The store in Postgres, schema `auth`, as the role `auth_app`.
final class PostgresAuthStore: AuthStore {
    static let schema = "auth"

    private let pool: PostgresPool
    private let outbox: Outbox

    init(pool: PostgresPool, outbox: Outbox) {
        self.pool = pool
        self.outbox = outbox
    }

    func transaction<Outcome: Sendable>(_ body: @Sendable (any AuthTransaction) async throws -> Outcome) async throws -> Outcome {
        let announcements = AnnouncementCount()
        let outcome = try await pool.withTransaction { connection in
            try await body(PostgresAuthTransaction(connection: connection, outbox: outbox, announcements: announcements))
        }
        // After the commit, in memory: a NOTIFY inside the transaction would serialise all commits of the server.
        if announcements.any { outbox.poke() }
        return outcome
    }
}
