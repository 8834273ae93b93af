import Contracts

/// Tells of jobs that have just ended, in the transaction that ended them: the job's own event, and what it means for its due time.
enum JobSettlement {
    static func announce(_ jobs: [Job], in transaction: any SchedulerTransaction) async throws {
        // Together, so that their rows travel to the database in one go.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for job in jobs {
                let event = SettledJob(job: job).completed(at: job.completedAt ?? job.createdAt)
                group.addTask { try await transaction.say(event, subjectVersion: 1) }
            }
            try await group.waitForAll()
        }
        for job in jobs where job.state != .completed {
            guard let occurrenceID = job.occurrenceID else { continue }
            let reason = job.state == .cancelled ? "cancelled" : job.failureKind?.rawValue ?? "failed"
            try await fail(occurrenceID, reason: reason, in: transaction)
        }
    }

    /// A due time that was fired and did not end well.
    static func fail(_ id: OccurrenceID, reason: String, in transaction: any SchedulerTransaction) async throws {
        guard var occurrence = try await transaction.lockedOccurrence(id), occurrence.recordedAt == nil,
            occurrence.outcome == .fired || occurrence.outcome == .late
        else { return }
        occurrence.outcome = .failed
        occurrence.reason = reason
        try await transaction.update(occurrence)
        try await announce(occurrence, nextDueAt: nil, in: transaction)
    }

    static func announce(_ occurrence: Occurrence, nextDueAt: Timestamp?, in transaction: any SchedulerTransaction) async throws {
        let version = try await transaction.nextEventVersion(of: occurrence.signalID)
        var next = nextDueAt
        if next == nil { next = try await transaction.nextDueTime(of: occurrence.signalID) }
        try await transaction.say(
            OccurrenceSettled(
                signalID: occurrence.signalID,
                scheduleID: occurrence.scheduleID,
                occurrenceID: occurrence.id,
                dueAt: occurrence.dueAt,
                outcome: occurrence.outcome,
                reason: occurrence.reason,
                nextDueAt: next
            ),
            subjectVersion: version
        )
    }
}
