import Contracts
import Messaging
import Postgres
import ServiceRuntime

/// Hears which signals are live and keeps their schedules.
struct SignalHandler: EventHandler {
    static let consumerName = "signals"
    static let eventTypes = [SignalPublished.eventType, SignalUnpublished.eventType]

    let outbox: Outbox
    let time: any TimeSource
    /// Called when a schedule that waits for bars has been armed: marketdata has to hear of it at once.
    var onBarsAwaited: @Sendable () -> Void = {}

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        let transaction = PostgresSchedulerTransaction(connection: connection, outbox: outbox)
        var awaitsBars = false
        switch envelope.type {
        case SignalPublished.eventType:
            let event = try envelope.body(as: SignalPublished.self)
            let isNews = try await ScheduleKeeper.publish(event, subjectVersion: envelope.subjectVersion, now: time.now(), in: transaction)
            if case .barClose = event.manifest.schedule { awaitsBars = isNews }
        case SignalUnpublished.eventType:
            let event = try envelope.body(as: SignalUnpublished.self)
            _ = try await ScheduleKeeper.unpublish(
                event,
                subjectVersion: envelope.subjectVersion,
                at: envelope.occurredAt,
                now: time.now(),
                in: transaction
            )
        default: return .deadLetter(reason: "an event of type \(envelope.type) is not for this queue")
        }
        if awaitsBars { await connection.afterCommit(onBarsAwaited) }
        return .done
    }
}
