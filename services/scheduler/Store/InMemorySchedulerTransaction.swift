import Contracts
import Schedules
import Synchronization

/// A copy of the rows that takes the place of the others when its transaction commits.
final class InMemorySchedulerTransaction: SchedulerTransaction {
    let state: Mutex<InMemorySchedulerStore.State>
    let now: Timestamp

    init(_ state: InMemorySchedulerStore.State, now: Timestamp) {
        self.state = Mutex(state)
        self.now = now
    }

    // MARK: Schedules

    func lockedSchedule(of signal: SignalID) async throws -> Schedule? { state.withLock { $0.schedules.values.first { $0.signalID == signal } } }

    func lockedSchedule(_ id: ScheduleID) async throws -> Schedule? { state.withLock { $0.schedules[id] } }

    func setFailures(_ count: Int, of schedule: ScheduleID) async throws {
        state.withLock { $0.schedules[schedule]?.failuresInARow = count }
    }

    func moment() async throws -> Timestamp { now }

    func lockedDueSchedules(at now: Timestamp, besides resting: [RestingSchedule], limit: Int) async throws -> [Schedule] {
        state.withLock { state in
            let due = state.schedules.values.filter { $0.state == .active && ($0.nextDueAt.map { $0 <= now } ?? false) && !resting.hold($0) }
            return Array(due.sorted { ($0.nextDueAt ?? now) < ($1.nextDueAt ?? now) }.prefix(limit))
        }
    }

    func lockedSchedules(waitingFor bars: [WatchedBar]) async throws -> [Schedule] {
        state.withLock { state in
            state.schedules.values.filter { schedule in schedule.watchedBar.map(bars.contains) ?? false }.sorted { $0.id < $1.id }
        }
    }

    func save(_ schedule: Schedule) async throws { state.withLock { $0.schedules[schedule.id] = schedule } }

    func advance(_ schedules: [Schedule], taking counts: [SignalID: Int]) async throws -> [SignalID: Int64] {
        state.withLock { state in
            for schedule in schedules {
                state.schedules[schedule.id]?.cursor = schedule.cursor
                state.schedules[schedule.id]?.nextDueAt = schedule.nextDueAt
            }
        }
        return try await takeEventVersions(counts)
    }

    func begin(_ era: ScheduleEra) async throws {
        state.withLock { state in
            state.eras.removeAll { $0.scheduleID == era.scheduleID && $0.from == era.from }
            state.eras.append(era)
        }
    }

    func beginBarEras(of watches: [WatchedBar]) {
        state.withLock { state in
            for schedule in state.schedules.values {
                guard let bar = schedule.watchedBar, watches.contains(bar), let cadence = schedule.publication?.manifest.schedule,
                    !state.eras.contains(where: { $0.scheduleID == schedule.id && $0.to == nil })
                else { continue }
                let policy = schedule.publication?.manifest.policy ?? SchedulePolicy()
                state.eras.append(ScheduleEra(scheduleID: schedule.id, cadence: cadence, policy: policy, from: max(schedule.cursor, now), to: nil))
            }
        }
    }

    func endEra(of schedule: ScheduleID, at time: Timestamp) async throws {
        state.withLock { state in
            for (index, era) in state.eras.enumerated() where era.scheduleID == schedule && era.to == nil {
                state.eras[index] = ScheduleEra(
                    scheduleID: schedule,
                    cadence: era.cadence,
                    policy: era.policy,
                    from: era.from,
                    to: max(era.from, time)
                )
            }
        }
    }

    func openRuns(among schedules: [ScheduleID], locked: Bool) async throws -> [OpenRun] {
        state.withLock { state in
            state.jobs.values.filter { !$0.state.isTerminal }.sorted { $0.id < $1.id }.compactMap { job in
                guard let schedule = job.scheduleID, schedules.contains(schedule) else { return nil }
                return OpenRun(id: job.id, scheduleID: schedule, standing: job.state == .running ? .running : job.blockedBy > 0 ? .waiting : .pending)
            }
        }
    }

    func cancelRuns(_ jobs: [JobID]) async throws {
        try await endRuns(jobs.filter { id in state.withLock { $0.jobs[id]?.state == .pending } })
        for id in jobs { _ = try await cancel(id) }
    }

    func endRuns(_ jobs: [JobID]) async throws {
        for id in jobs {
            guard let job = state.withLock({ $0.jobs[id] }), !job.state.isTerminal else { continue }
            try await end(JobEnding(job: job, state: .cancelled, errorMessage: JobEnding.forALaterRun))
        }
    }

    func sessions(of markets: Set<String>) async throws -> [String: MarketSessions] {
        state.withLock { state in state.markets.filter { markets.contains($0.key) }.mapValues(\.known.sessions) }
    }

    func heldSessions(of markets: Set<String>) async throws -> [String: MarketSessions] { try await sessions(of: markets) }

    func lockedMarket(_ market: String) async throws -> KnownMarket { state.withLock { $0.markets[market]?.known ?? KnownMarket() } }

    func save(_ sessions: MarketSessions, of market: String, at time: Timestamp, isRearming: Bool) async throws {
        state.withLock { state in
            state.markets[market] = .init(known: KnownMarket(sessions: sessions, refreshedAt: time, rearmingSince: isRearming ? time : nil))
        }
    }

    func finishRearming(_ market: String, since time: Timestamp) async throws {
        state.withLock { state in
            guard let since = state.markets[market]?.known.rearmingSince, since <= time else { return }
            state.markets[market]?.known.rearmingSince = nil
        }
    }

    func lockedSchedules(ofMarket market: String, isUnarmed: Bool, after: ScheduleID?, limit: Int) async throws -> [Schedule] {
        state.withLock { state in
            let own = state.schedules.values.filter { schedule in
                schedule.market == market && schedule.watchedBar == nil && (schedule.nextDueAt == nil || !isUnarmed)
                    && (after.map { schedule.id > $0 } ?? true)
            }
            return Array(own.sorted { $0.id < $1.id }.prefix(limit))
        }
    }

    func countSchedules(dueAt time: Timestamp, limit: Int) async throws -> Int {
        state.withLock { state in min(limit, state.schedules.values.filter { $0.state == .active && $0.pause == nil && $0.nextDueAt == time }.count) }
    }

    func add(_ occurrences: [Occurrence]) async throws -> Set<OccurrenceID> {
        state.withLock { state in
            var added: Set<OccurrenceID> = []
            for occurrence in occurrences {
                let isKnown = state.occurrences.values.contains { known in
                    known.scheduleID == occurrence.scheduleID
                        && (known.dueAt == occurrence.dueAt
                            || (known.barEnd != nil && known.barEnd == occurrence.barEnd && known.barInstrument == occurrence.barInstrument))
                }
                if isKnown { continue }
                state.occurrences[occurrence.id] = occurrence
                added.insert(occurrence.id)
            }
            return added
        }
    }

    func lockedOccurrences(_ ids: [OccurrenceID]) async throws -> [Occurrence] {
        state.withLock { state in Set(ids).sorted().compactMap { state.occurrences[$0] } }
    }

    func update(_ occurrences: [Occurrence]) async throws {
        state.withLock { state in for occurrence in occurrences { state.occurrences[occurrence.id] = occurrence } }
    }

    func takeEventVersions(_ counts: [SignalID: Int]) async throws -> [SignalID: Int64] {
        state.withLock { state in
            var first: [SignalID: Int64] = [:]
            for (signal, count) in counts {
                first[signal] = state.eventVersions[signal, default: 0] + 1
                state.eventVersions[signal, default: 0] += Int64(count)
            }
            return first
        }
    }

    func nextDueTimes(of signals: [SignalID]) async throws -> [SignalID: Timestamp] {
        state.withLock { state in
            var times: [SignalID: Timestamp] = [:]
            for schedule in state.schedules.values where signals.contains(schedule.signalID) { times[schedule.signalID] = schedule.nextRunAt }
            return times
        }
    }

    func say<Body: EventBody>(_ events: [(event: Body, subjectVersion: Int64)]) async throws {
        state.withLock { state in
            for (event, version) in events {
                state.said.append(.init(type: Body.eventType, subject: event.subject, subjectVersion: version, body: event))
            }
        }
    }

    // MARK: Jobs

    func insert(_ jobs: [NewJob]) async throws -> [Insertion] { try await insert(jobs, queueLimits: [:]) }

    func insert(_ jobs: [NewJob], queueLimits: [AccountID: Int]) async throws -> [Insertion] {
        var outcomes: [Insertion] = []
        var ids: [JobID: JobID] = [:]
        var full: [JobID: Int] = [:]
        for new in jobs {
            let outcome = state.withLock { $0.insert(new, queueLimits: queueLimits, renamed: ids, full: full, now: now) }
            if case .queueFull(let most) = outcome { full[new.id] = most }
            if case .existing(let id) = outcome { ids[new.id] = id }
            if case .keyReused(let id) = outcome { ids[new.id] = id }
            outcomes.append(outcome)
            if case .created = outcome {
                let ended = state.withLock { state in
                    Set(state.dependencies[new.id, default: []].compactMap { state.jobs[$0.on] }.filter(\.state.isTerminal))
                }
                for job in ended { try await letGo(of: job) }
            }
        }
        return outcomes
    }

    func claim(_ claim: Claim, limits: AccountLimits, heldBack: inout Set<ResourceClass>) -> [Job] {
        var passed: Set<ResourceClass> = []
        defer { heldBack.formUnion(passed) }
        return state.withLock { state in take(claim, limits, &passed, &state) }
    }

    private func take(_ claim: Claim, _ limits: AccountLimits, _ passed: inout Set<ResourceClass>, _ state: inout InMemorySchedulerStore.State)
        -> [Job]
    {
        var taken = state.leases.filter { $0.value.claimID == claim.id }.compactMap { state.jobs[$0.key] }
        if !taken.isEmpty { return taken }
        for wanted in claim.classes {
            for _ in 0..<max(0, wanted.slots) {
                // Those accounts first that run least; then age.
                let running = state.leases.keys.compactMap { state.jobs[$0] }
                func share(_ job: Job) -> Int { running.count { $0.accountID == job.accountID && $0.resourceClass == wanted.class } }
                func isHeldBack(_ job: Job) -> Bool {
                    if job.accountID == .platform { return false }
                    if share(job) >= limits.runningInClass { return true }
                    return wanted.class != .signal
                        && running.count { $0.accountID == job.accountID && $0.resourceClass != .signal } >= limits.running
                }
                let waiting = state.jobs.values.filter { $0.state == .pending && $0.resourceClass == wanted.class && $0.availableAt <= now }
                let claimable = waiting.filter { !isHeldBack($0) }
                if claimable.count < waiting.count { passed.insert(wanted.class) }
                let best = claimable.min { left, right in
                    (left.priority.ordinal, share(left), left.availableAt, left.id) < (
                        right.priority.ordinal, share(right), right.availableAt, right.id
                    )
                }
                guard var job = best else { break }
                job.state = .running
                job.attempt += 1
                let attemptID = AttemptID.make()
                job.attemptID = attemptID
                job.claimID = claim.id
                job.worker = claim.worker
                job.startedAt = job.startedAt ?? now
                state.jobs[job.id] = job
                state.leases[job.id] = .init(attemptID: attemptID, claimID: claim.id, expiresAt: now + .seconds(JobLimits.leaseSeconds))
                taken.append(job)
            }
        }
        return taken
    }

    func renew(_ leases: [LeaseRenewal]) -> [LeaseStanding] {
        state.withLock { state in
            leases.map { wanted in
                guard state.leases[wanted.jobID]?.attemptID == wanted.attemptID else {
                    return LeaseStanding(jobID: wanted.jobID, attemptID: wanted.attemptID, state: .lost)
                }
                state.leases[wanted.jobID]?.expiresAt = now + .seconds(JobLimits.leaseSeconds)
                if let progress = wanted.progress { state.jobs[wanted.jobID]?.progress = max(0, min(100, progress)) }
                let isCancelled = state.jobs[wanted.jobID]?.cancelRequestedAt != nil
                return LeaseStanding(jobID: wanted.jobID, attemptID: wanted.attemptID, state: isCancelled ? .cancelRequested : .held)
            }
        }
    }

    func finish(_ finished: [FinishedJob]) async throws -> [FinishReceipt] {
        var receipts: [FinishReceipt] = []
        for report in finished {
            let job = state.withLock { $0.jobs[report.jobID] }
            guard let job, job.attemptID == report.attemptID else {
                receipts.append(FinishReceipt(jobID: report.jobID, attemptID: report.attemptID, state: .stale))
                continue
            }
            receipts.append(FinishReceipt(jobID: report.jobID, attemptID: report.attemptID, state: .accepted))
            guard job.state == .running else { continue }
            if let text = report.log {
                state.withLock {
                    $0.logs[job.id] = JobLog(
                        attempt: job.attempt,
                        text: JobLogText.capped(text),
                        isTruncated: report.logTruncated,
                        storedAt: now
                    )
                }
            }
            try await end(.reported(report, job: job))
        }
        return receipts
    }

    func release(_ leases: [LeaseReference]) async throws {
        for lease in leases {
            guard var job = state.withLock({ $0.jobs[lease.jobID] }), job.attemptID == lease.attemptID, job.state == .running else { continue }
            if job.cancelRequestedAt != nil {
                try await end(JobEnding(job: job, state: .cancelled))
                continue
            }
            job.state = .pending
            job.attempt -= 1
            job.attemptID = nil
            job.worker = nil
            job.claimID = nil
            job.progress = 0
            let deadline = now + .seconds(JobLimits.queueTimeoutSeconds(kind: job.kind))
            state.withLock {
                $0.jobs[job.id] = job
                $0.leases[job.id] = nil
                $0.waitDeadlines[job.id] = deadline
            }
        }
    }

    func cancel(_ id: JobID) async throws -> Cancellation {
        guard let job = state.withLock({ $0.jobs[id] }) else { return .unknown }
        switch job.state {
        case .pending:
            try await end(JobEnding(job: job, state: .cancelled))
            return .cancelled
        case .running:
            state.withLock { $0.jobs[id]?.cancelRequestedAt = job.cancelRequestedAt ?? now }
            return .requested
        case .completed, .failed, .cancelled: return .alreadyEnded(job.state)
        }
    }

    func expireLeases(limit: Int) async throws -> Int {
        let lost = state.withLock { state in
            state.leases.filter { $0.value.expiresAt < now }.compactMap { state.jobs[$0.key] }.filter { $0.state == .running }.prefix(limit)
        }
        for job in lost { try await end(.lost(job)) }
        return lost.count
    }

    func expireWaits(limit: Int) async throws -> Int {
        let late = state.withLock { state in
            state.jobs.values.filter { $0.state == .pending && (state.waitDeadlines[$0.id].map { $0 < now } ?? false) }.prefix(limit)
        }
        for job in late { try await end(.waitedTooLong(job)) }
        return late.count
    }

    private func end(_ ending: JobEnding) async throws {
        let job = ending.applied(at: now)
        state.withLock { state in
            state.jobs[job.id] = job
            state.leases[job.id] = nil
            if job.state == .pending { state.waitDeadlines[job.id] = job.availableAt + .seconds(JobLimits.queueTimeoutSeconds(kind: job.kind)) }
        }
        if job.state == .pending { return }
        state.withLock { $0.dependencies[job.id] = nil }
        try await JobSettlement.announce([job], in: self)
        try await letGo(of: job)
    }

    /// What the end of a job means for those that wait for it.
    private func letGo(of ended: Job) async throws {
        let waiting = state.withLock { state in state.dependencies.filter { $0.value.contains { $0.on == ended.id } }.keys.sorted() }
        for id in waiting {
            let unmeetable = state.withLock { $0.settleWait(of: id, for: ended, now: now) }
            if let unmeetable { try await end(.unmeetable(unmeetable, because: ended.id, ended.state)) }
        }
    }
}

extension InMemorySchedulerStore.State {
    /// Writes a job, unless it was there or waits for one that it may not wait for; `renamed` has those that were there under another id, `full` those that
    /// found no room.
    mutating func insert(_ new: NewJob, queueLimits: [AccountID: Int], renamed: [JobID: JobID], full: [JobID: Int], now: Timestamp) -> Insertion {
        let known = jobs.values.first { $0.accountID == new.accountID && $0.kind == new.kind && $0.idempotencyKey == new.idempotencyKey }
        if let known { return known.inputSHA256 == new.inputSHA256 ? .existing(known.id) : .keyReused(known.id) }
        if new.countsAgainstQueue, let most = queueLimits[new.accountID],
            jobs.values.count(where: { $0.accountID == new.accountID && !$0.state.isTerminal }) >= most
        {
            return .queueFull(most: most)
        }
        if let most = new.waitsFor.lazy.compactMap({ full[$0.on] }).first { return .queueFull(most: most) }
        let waits = new.distinctWaits.map { JobDependency(on: renamed[$0.on] ?? $0.on, condition: $0.condition) }
        for wait in waits {
            guard let other = jobs[wait.on], new.mayWait(for: other.accountID) else { return .unknownDependency(wait.on) }
        }
        jobs[new.id] = Job(new, at: now)
        if waits.isEmpty {
            waitDeadlines[new.id] = (new.availableAt ?? now) + .seconds(JobLimits.queueTimeoutSeconds(kind: new.kind))
        } else {
            dependencies[new.id] = waits
            wishes[new.id] = new.availableAt
        }
        return .created(new.id)
    }

    /// Counts an end that a job waited for; gives the job when its condition cannot be met any more.
    fileprivate mutating func settleWait(of id: JobID, for ended: Job, now: Timestamp) -> Job? {
        guard var job = jobs[id], job.state == .pending, let wait = dependencies[id]?.first(where: { $0.on == ended.id }) else { return nil }
        guard wait.isMet(by: ended.state) else { return job }
        dependencies[id]?.removeAll { $0.on == ended.id }
        job.blockedBy -= 1
        if job.blockedBy == 0 {
            dependencies[id] = nil
            job.availableAt = max(wishes[id] ?? now, now)
            waitDeadlines[id] = job.availableAt + .seconds(JobLimits.queueTimeoutSeconds(kind: job.kind))
        }
        jobs[id] = job
        return nil
    }
}

extension Job {
    /// A job that has just been written into the ledger.
    init(_ new: NewJob, at now: Timestamp) {
        self.init(
            id: new.id,
            accountID: new.accountID,
            kind: new.kind,
            resourceClass: new.resourceClass,
            priority: new.priority,
            state: .pending,
            createdAt: now,
            availableAt: new.waitsFor.isEmpty ? new.availableAt ?? now : JobDependency.blockedUntil,
            attempt: 0,
            maximumAttempts: new.maximumAttempts,
            progress: 0,
            parentJobID: new.parentJobID,
            idempotencyKey: new.idempotencyKey,
            inputSHA256: new.inputSHA256,
            spec: new.spec,
            estimatedSeconds: new.estimatedSeconds,
            scheduleID: new.scheduleID,
            occurrenceID: new.occurrenceID,
            traceparent: new.traceparent,
            blockedBy: new.distinctWaits.count,
            waitsFor: new.distinctWaits,
            batchID: new.batchID
        )
    }
}
