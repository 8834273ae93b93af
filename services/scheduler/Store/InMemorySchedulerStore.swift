import Contracts
import Schedules
import Synchronization

/// The store in memory, for tests of what stands on it: one transaction at a time.
final class InMemorySchedulerStore: SchedulerStore {
    struct State: Sendable {
        var schedules: [ScheduleID: Schedule] = [:]
        var eras: [ScheduleEra] = []
        var occurrences: [OccurrenceID: Occurrence] = [:]
        var jobs: [JobID: Job] = [:]
        var leases: [JobID: Lease] = [:]
        var logs: [JobID: JobLog] = [:]
        var waitDeadlines: [JobID: Timestamp] = [:]
        /// The ends that each job still waits for.
        var dependencies: [JobID: [JobDependency]] = [:]
        /// The moments that were wished for jobs that wait for others.
        var wishes: [JobID: Timestamp] = [:]
        var eventVersions: [SignalID: Int64] = [:]
        var said: [Said] = []
        var markets: [String: Market] = [:]
    }

    /// What is known of a market.
    struct Market: Sendable {
        var known = KnownMarket()
        var fault: String?
    }

    struct Lease: Sendable {
        var attemptID: AttemptID
        var claimID: ClaimID
        var expiresAt: Timestamp
    }

    /// An event that was said.
    struct Said: Sendable {
        let type: String
        let subject: String
        let subjectVersion: Int64
        let body: any EventBody
    }

    private let state = Mutex(State())
    private let turn = AsyncTurn()
    /// Stands in for the database's clock.
    private let clock: @Sendable () -> Timestamp

    private let limits: AccountLimits

    init(limits: AccountLimits = AccountLimits(), clock: @escaping @Sendable () -> Timestamp = { .now() }) {
        self.limits = limits
        self.clock = clock
    }

    /// All eras of all schedules.
    var eras: [ScheduleEra] { state.withLock { $0.eras } }

    /// All events said so far.
    var said: [Said] { state.withLock { $0.said } }

    func transaction<Outcome: Sendable>(_ body: @Sendable (any SchedulerTransaction) async throws -> Outcome) async throws -> Outcome {
        try await change { transaction in try await body(transaction) }
    }

    private func change<Outcome: Sendable>(_ body: @Sendable (InMemorySchedulerTransaction) async throws -> Outcome) async throws -> Outcome {
        await turn.take()
        let transaction = InMemorySchedulerTransaction(state.withLock { $0 }, now: clock())
        do {
            let outcome = try await body(transaction)
            state.withLock { state in
                var changed = transaction.state.withLock { $0 }
                for (id, job) in changed.jobs {
                    if let before = state.jobs[id], job.looksOther(than: before) { changed.jobs[id]?.version = before.version + 1 }
                }
                state = changed
            }
            turn.give()
            return outcome
        } catch {
            turn.give()
            throw error
        }
    }

    private func read<Outcome: Sendable>(_ body: (State) throws -> Outcome) rethrows -> Outcome { try state.withLock { try body($0) } }

    // MARK: Schedules

    func earliestDueTime(besides resting: [RestingSchedule]) async throws -> Timestamp? {
        read { $0.schedules.values.filter { $0.state == .active && !resting.hold($0) }.compactMap(\.nextDueAt).min() }
    }

    func watchedBars() async throws -> [WatchedBar] {
        Array(Set(read { $0.schedules.values.compactMap(\.watchedBar) })).sorted {
            ($0.instrument, $0.intervalSeconds) < ($1.instrument, $1.intervalSeconds)
        }
    }

    func beginBarEras(of watches: [WatchedBar]) async throws {
        try await change { transaction in transaction.beginBarEras(of: watches) }
    }

    func schedules(of account: AccountID, after: ScheduleID?, limit: Int) async throws -> [Schedule] {
        read { state in
            let own = state.schedules.values.filter { schedule in
                guard let after else { return schedule.accountID == account }
                return schedule.accountID == account && schedule.id > after
            }
            return Array(own.sorted { $0.id < $1.id }.prefix(limit))
        }
    }

    func schedule(_ id: ScheduleID) async throws -> Schedule? { read { $0.schedules[id] } }

    func schedule(of signal: SignalID) async throws -> Schedule? { read { $0.schedules.values.first { $0.signalID == signal } } }

    func markets(unansweredSince time: Timestamp) async throws -> [String] {
        read { state in
            Set(state.schedules.values.compactMap(\.market)).filter { market in (state.markets[market]?.known.refreshedAt).map { $0 < time } ?? true }
                .sorted()
        }
    }

    func note(fault: String, ofMarket market: String) async throws { state.withLock { $0.markets[market, default: Market()].fault = fault } }

    func market(_ market: String) async throws -> (sessions: MarketSessions, fault: String?)? {
        read { $0.markets[market].map { ($0.known.sessions, $0.fault) } }
    }

    func occurrences(of schedule: ScheduleID, before: Timestamp?, limit: Int) async throws -> [Occurrence] {
        read { state in
            let own = state.occurrences.values.filter { $0.scheduleID == schedule && $0.dueAt < before ?? .distantFuture }
            return Array(own.sorted { $0.dueAt > $1.dueAt }.prefix(limit))
        }
    }

    // MARK: Jobs

    func insert(_ jobs: [NewJob], queueLimits: [AccountID: Int]) async throws -> [Insertion] {
        try await change { try await $0.insert(jobs, queueLimits: queueLimits) }
    }

    func queueStandings(of accounts: [AccountID]) async throws -> [AccountID: QueueStanding] {
        read { state in
            let open = state.jobs.values.filter { !$0.state.isTerminal }
            return Dictionary(
                accounts.map { account in
                    (account, QueueStanding(open: open.count { $0.accountID == account }, most: limits.open, priorityCap: nil))
                }
            ) { first, _ in first }
        }
    }

    func claim(_ claims: [Claim]) async throws -> ClaimAnswers {
        try await change { [limits] transaction in
            var answers = ClaimAnswers(jobs: [:], heldBack: [])
            for claim in claims { answers.jobs[claim.id] = transaction.claim(claim, limits: limits, heldBack: &answers.heldBack) }
            return answers
        }
    }

    func renew(_ leases: [LeaseRenewal]) async throws -> [LeaseStanding] { try await change { $0.renew(leases) } }

    func finish(_ finished: [FinishedJob]) async throws -> [FinishReceipt] { try await change { try await $0.finish(finished) } }

    func release(_ leases: [LeaseReference]) async throws { try await change { try await $0.release(leases) } }

    func cancel(_ id: JobID) async throws -> Cancellation { try await change { try await $0.cancel(id) } }

    func expireLeases(limit: Int) async throws -> Int { try await change { try await $0.expireLeases(limit: limit) } }

    func expireWaits(limit: Int) async throws -> Int { try await change { try await $0.expireWaits(limit: limit) } }

    /// An end lets all of them go at once.
    func unblockLeftOver(limit: Int) async throws -> Int { 0 }

    /// Ranks by priority alone: the time that a test takes raises nothing.
    func raiseWaiting(limit _: Int) async throws -> Int { 0 }

    func claimableClasses() async throws -> [ResourceClass] {
        let now = clock()
        let claimable = read { Set($0.jobs.values.filter { $0.state == .pending && $0.availableAt <= now }.map(\.resourceClass)) }
        return ResourceClass.allCases.filter(claimable.contains)
    }

    func job(_ id: JobID) async throws -> Job? { read { $0.jobs[id] } }

    func jobs(_ filter: JobFilter) async throws -> [Job] {
        read { state in
            let found = state.jobs.values.filter { job in
                (filter.accountID.map { $0 == job.accountID } ?? true) && (filter.state.map { $0 == job.state } ?? true)
                    && (filter.kinds.map { $0.contains(job.kind) } ?? true)
                    && (filter.signalID.map { $0.description == job.spec["signal_id"]?.string } ?? true)
                    && (filter.parentJobID.map { $0 == job.parentJobID } ?? true) && (filter.batchID.map { $0 == job.batchID } ?? true)
                    && (filter.createdFrom.map { job.createdAt >= $0 } ?? true) && (filter.createdTo.map { job.createdAt < $0 } ?? true)
                    && (filter.beyond.map { filter.isOldestFirst ? job.id > $0 : job.id < $0 } ?? true)
            }
            return Array(found.sorted { filter.isOldestFirst ? $0.id < $1.id : $0.id > $1.id }.prefix(filter.limit))
        }
    }

    func log(of id: JobID) async throws -> JobLog? { read { $0.logs[id] } }

    func namedResults(among digests: [SHA256Digest]) async throws -> Set<SHA256Digest> {
        read { Set($0.jobs.values.compactMap(\.resultSHA256)).intersection(digests) }
    }
}

/// One at a time, in order of arrival.
private final class AsyncTurn: Sendable {
    private let state = Mutex<(taken: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

    func take() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state -> Bool in
                if !state.taken {
                    state.taken = true
                    return true
                }
                state.waiting.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    func give() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.waiting.isEmpty {
                state.taken = false
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}

extension Job {
    /// Whether something has changed that can be seen, as the trigger in Postgres decides it.
    fileprivate func looksOther(than other: Job) -> Bool {
        state != other.state || progress != other.progress || attempt != other.attempt || blockedBy != other.blockedBy
            || availableAt != other.availableAt || cancelRequestedAt != other.cancelRequestedAt
    }
}

extension Schedule {
    /// The bars whose closes it waits for, if it does.
    var watchedBar: WatchedBar? {
        guard state == .active, let cadence = publication?.manifest.schedule, case .barClose(let instrument, let interval) = cadence,
            let seconds = try? BarLength.seconds(of: interval)
        else { return nil }
        return WatchedBar(instrument: instrument, intervalSeconds: seconds)
    }
}
