import Contracts
import Messaging
import Postgres
import ServiceRuntime

/// Hears that bars have closed and makes the runs that wait for them.
struct BarsClosedHandler: EventHandler {
    static let consumerName = "bars"
    static let eventTypes = [BarsClosed.eventType]

    let outbox: Outbox
    let time: any TimeSource
    let hint: @Sendable (ResourceClass) -> Void
    var news = JobNews()

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        let event = try envelope.body(as: BarsClosed.self)
        let transaction = PostgresSchedulerTransaction(connection: connection, outbox: outbox, news: news)
        let jobs = try await BarCloseKeeper.apply(event, now: time.now(), in: transaction)
        if jobs > 0 { await connection.afterCommit { hint(.signal) } }
        return .done
    }
}
