import Contracts
import Messaging
import Postgres

/// Hears what became of a run's rows: only a recorded run counts as on time, a rejected one has failed.
struct RunHandler: EventHandler {
    static let consumerName = "runs"
    static let eventTypes = [RunRecorded.eventType, RunRejected.eventType]

    let outbox: Outbox

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        let transaction = PostgresSchedulerTransaction(connection: connection, outbox: outbox)
        switch envelope.type {
        case RunRecorded.eventType: try await Self.apply(try envelope.body(as: RunRecorded.self), in: transaction)
        case RunRejected.eventType: try await Self.apply(try envelope.body(as: RunRejected.self), in: transaction)
        default: return .deadLetter(reason: "an event of type \(envelope.type) is not for this queue")
        }
        return .done
    }

    static func apply(_ event: RunRecorded, in transaction: any SchedulerTransaction) async throws {
        guard let id = event.occurrenceID, var occurrence = try await transaction.lockedOccurrence(id), occurrence.jobID == event.jobID,
            occurrence.recordedAt == nil, occurrence.outcome == .fired || occurrence.outcome == .late
        else { return }
        occurrence.recordedAt = event.recordedAt
        occurrence.isRecordedLate = event.late
        // The schedule before the outcome, as with ends of jobs: to write the outcome may mark a day that another holds who waits for the schedule.
        try await transaction.setFailures(0, of: occurrence.scheduleID)
        try await transaction.update(occurrence)
    }

    static func apply(_ event: RunRejected, in transaction: any SchedulerTransaction) async throws {
        guard let id = event.occurrenceID, let occurrence = try await transaction.lockedOccurrence(id), occurrence.jobID == event.jobID else {
            return
        }
        let row = event.row.map { "row \($0): " } ?? ""
        let failure = JobSettlement.Failure(reason: "rejected: \(row)\(event.reason.prefix(500))", isCodesFault: true)
        try await JobSettlement.fail([id: failure], in: transaction)
    }
}
