import Contracts
import Messaging
import Postgres
import Synchronization

/// Reads and writes the rows through one connection, inside one transaction. The statements stand in the extensions, a file a table.
struct PostgresAuthTransaction: AuthTransaction {
    let connection: PostgresConnection
    let outbox: Outbox
    let announcements: AnnouncementCount

    func announce<Event: EventBody>(_ event: Event, version: Int64) async throws {
        _ = try await outbox.append(event, subjectVersion: version, on: connection)
        announcements.add()
    }

    /// `AND locked` for statements that read a row in order to change it.
    func lock(_ locking: Bool) -> SQL { locking ? " FOR UPDATE" : "" }
}

/// Whether a transaction has said anything, so that the relay is woken for those that have.
final class AnnouncementCount: Sendable {
    private let count = Mutex(0)

    func add() { count.withLock { $0 += 1 } }

    var any: Bool { count.withLock { $0 > 0 } }
}
