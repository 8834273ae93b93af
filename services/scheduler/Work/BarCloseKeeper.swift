import Contracts

/// Makes occurrences of bars that have closed.
enum BarCloseKeeper {
    /// Applies an event; gives how many jobs were made.
    static func apply(_ event: BarsClosed, now: Timestamp, in transaction: any SchedulerTransaction) async throws -> Int {
        let bars = Dictionary(event.bars.map { ($0.symbol, $0) }) { first, _ in first }
        let watched = bars.keys.map { WatchedBar(instrument: $0, intervalSeconds: event.intervalSeconds) }
        let schedules = try await transaction.lockedSchedules(waitingFor: watched)
        if schedules.isEmpty { return 0 }
        let open = try await transaction.openRuns(of: schedules)
        var made: [OccurrenceMaker.Made] = []
        for schedule in schedules {
            guard let publication = schedule.publication, let instrument = schedule.watchedBar?.instrument, let bar = bars[instrument] else {
                continue
            }
            let policy = publication.manifest.policy
            let plan = BarClosePlan(
                schedule: schedule.id.description,
                policy: policy,
                closeAt: event.closeAt,
                knownAt: event.knownAt,
                intervalSeconds: event.intervalSeconds,
                hasBar: bar.bar != nil,
                isReplay: bar.feed == .replay,
                now: now,
                open: OpenRuns(open[schedule.id] ?? [])
            )
            // What was known before the version went live is none of its due times.
            guard event.knownAt > schedule.cursor, policy.contains(plan.dueAt) else { continue }
            let (outcome, reason) = schedule.sparing(plan, knownAt: event.knownAt)
            let runs = outcome == .fired || outcome == .late
            let occurrence = Occurrence(
                id: .make(),
                scheduleID: schedule.id,
                signalID: schedule.signalID,
                accountID: schedule.accountID,
                dueAt: plan.dueAt,
                asOf: plan.asOf,
                barInstrument: instrument,
                barEnd: event.closeAt,
                outcome: outcome,
                reason: reason,
                jobID: runs ? .make() : nil,
                madeAt: now
            )
            made.append(.init(occurrence: occurrence, publication: publication, nextDueAt: nil, start: plan.start, availableAt: plan.availableAt))
        }
        return try await OccurrenceMaker.write(made, meeting: open, in: transaction)
    }
}
