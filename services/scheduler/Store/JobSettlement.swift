import Contracts

/// Tells of jobs that have just ended, in the transaction that ended them: the job's own event, and what it means for its due time.
enum JobSettlement {
    static func announce(_ jobs: [Job], in transaction: any SchedulerTransaction) async throws {
        try await transaction.say(jobs.map { (SettledJob(job: $0).completed(at: $0.completedAt ?? $0.createdAt), 1) })
        for job in jobs where job.state != .completed {
            guard let occurrenceID = job.occurrenceID else { continue }
            let reason = job.state == .cancelled ? "cancelled" : job.failureKind?.rawValue ?? "failed"
            let isCodesFault = job.state == .failed && !(job.failureKind ?? .infra).isRetried
            try await fail(occurrenceID, reason: reason, isCodesFault: isCodesFault, in: transaction)
        }
    }

    /// A due time that was fired and did not end well.
    static func fail(_ id: OccurrenceID, reason: String, isCodesFault: Bool, in transaction: any SchedulerTransaction) async throws {
        guard var occurrence = try await transaction.lockedOccurrence(id), occurrence.recordedAt == nil,
            occurrence.outcome == .fired || occurrence.outcome == .late
        else { return }
        occurrence.outcome = .failed
        occurrence.reason = reason
        try await transaction.update(occurrence)
        try await announce([(occurrence, try await transaction.nextDueTime(of: occurrence.signalID))], in: transaction)
        if isCodesFault { try await PauseKeeper.noteFailure(of: occurrence, in: transaction) }
    }

    /// Says what became of due times, those of one signal in the order of time.
    static func announce(_ settled: [(occurrence: Occurrence, nextDueAt: Timestamp?)], in transaction: any SchedulerTransaction) async throws {
        let counts = Dictionary(settled.map { ($0.occurrence.signalID, 1) }, uniquingKeysWith: +)
        var versions = try await transaction.takeEventVersions(counts)
        let events = settled.sorted { $0.occurrence.dueAt < $1.occurrence.dueAt }.map { occurrence, nextDueAt in
            let version = versions[occurrence.signalID] ?? 1
            versions[occurrence.signalID] = version + 1
            let event = OccurrenceSettled(
                signalID: occurrence.signalID,
                scheduleID: occurrence.scheduleID,
                occurrenceID: occurrence.id,
                dueAt: occurrence.dueAt,
                outcome: occurrence.outcome,
                reason: occurrence.reason,
                nextDueAt: nextDueAt,
                rangeTo: occurrence.rangeTo,
                dueCount: occurrence.rangeTo == nil ? nil : occurrence.count
            )
            return (event: event, subjectVersion: version)
        }
        try await transaction.say(events)
    }
}
