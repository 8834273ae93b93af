import Contracts
import Schedules
import ServiceRuntime
import Synchronization

/// Makes occurrences and their jobs of what is due; any number of replicas may do so at once, because each works on the rows that it could lock.
struct OccurrenceMaker: Sendable {
    let store: any SchedulerStore
    private let grids = GridCache()
    private let crowd = Crowd()

    /// How many schedules one transaction works off: what the first of a crowd wait for, and the loop with them.
    static let batch = 500

    init(store: any SchedulerStore) { self.store = store }

    /// Works off schedules that are due; gives how many there were, and how many jobs were made.
    ///
    /// The clock is read when the transaction begins, and again when it is tried again: a run that waited for a connection is not on time.
    func makeDue(at clock: @autoclosure @escaping @Sendable () -> Timestamp) async throws -> (schedules: Int, jobs: Int) {
        try await store.transaction { transaction in try await makeDue(at: clock(), in: transaction) }
    }

    /// The same within a transaction.
    func makeDue(at now: Timestamp, in transaction: any SchedulerTransaction) async throws -> (schedules: Int, jobs: Int) {
        var schedules = try await transaction.lockedDueSchedules(at: now, limit: Self.batch)
        if schedules.isEmpty { return (0, 0) }
        // Those count as well that another replica works off at this moment.
        if let second = Crowd.busiest(schedules.compactMap(\.nextDueAt)),
            try await transaction.countSchedules(dueAt: second, limit: TickPlan.crowd + 1) > TickPlan.crowd
        {
            crowd.note(second)
        }
        let open = try await transaction.openRuns(of: schedules)
        let sessions = try await transaction.sessions(of: schedules)
        var made: [Made] = []
        for (index, schedule) in schedules.enumerated() {
            guard let manifest = schedule.publication?.manifest, let grid = try? grids.grid(manifest.schedule) else { continue }
            let due = DueTimes(grid, manifest.policy, sessions: schedule.market.flatMap { sessions[$0] } ?? .unknown)
            if schedule.pause != nil {
                let end = max(schedule.cursor, min(now, due.knownThrough))
                schedules[index].cursor = end
                schedules[index].nextDueAt = PausePlan.nextLook(due, after: end)
                made += PausePlan.skipped(due, after: schedule.cursor, through: end).compactMap { Made($0, of: schedule, at: now, nextDueAt: nil) }
                continue
            }
            let look = TickPlan.Look(
                due: due,
                policy: manifest.policy,
                schedule: schedule.id.description,
                cursor: schedule.cursor,
                now: now,
                open: OpenRuns(open[schedule.id] ?? []),
                isCrowded: crowd.contains(schedule.nextDueAt)
            )
            let plan = TickPlan(look)
            schedules[index].cursor = plan.cursor
            schedules[index].nextDueAt = plan.nextDueAt
            made += plan.entries.compactMap { Made($0, of: schedule, at: now, nextDueAt: plan.nextDueAt) }
        }
        return (schedules.count, try await Self.write(made, meeting: open, advancing: schedules, in: transaction))
    }

    /// An occurrence with what its job and its event need.
    struct Made: Sendable {
        let occurrence: Occurrence
        let publication: SignalPublished
        let nextDueAt: Timestamp?
        /// How its run meets those that have not ended.
        var start = OverlapPlan.Start.now
        /// When its run may be claimed; nil is at once.
        var availableAt: Timestamp?
    }

    /// Writes occurrences, the jobs of those that run, and the events; what was there already is left alone. Gives how many jobs were made.
    ///
    /// - Parameters:
    ///   - open: the runs of these schedules that have not ended.
    ///   - schedules: all that these are due times of, if they are held here and have been worked off further.
    static func write(
        _ made: [Made],
        meeting open: [ScheduleID: [OpenRun]],
        advancing schedules: [Schedule] = [],
        in transaction: any SchedulerTransaction
    ) async throws -> Int {
        let added = try await transaction.add(made.map(\.occurrence))
        let new = made.filter { added.contains($0.occurrence.id) }
        let runs = new.filter { $0.occurrence.jobID != nil }
        let meeting = RunMeeting(runs, open)
        if !meeting.cancelled.isEmpty { try await transaction.cancelRuns(meeting.cancelled) }
        if !meeting.ended.isEmpty { try await transaction.endRuns(meeting.ended) }
        let trace = RequestContext.current?.trace.traceparent
        let jobs = try runs.map { made in
            try RunJob.make(
                made.occurrence,
                of: made.publication,
                availableAt: made.availableAt,
                after: made.occurrence.jobID.flatMap { meeting.waits[$0] } ?? [],
                traceparent: trace
            )
        }
        _ = try await transaction.insert(jobs)
        try await JobSettlement.announce(new.map { ($0.occurrence, $0.nextDueAt) }, advancing: schedules, in: transaction)
        return jobs.count
    }
}

extension OccurrenceMaker.Made {
    /// A due time of a grid; nil without anything published.
    init?(_ entry: TickPlan.Entry, of schedule: Schedule, at now: Timestamp, nextDueAt: Timestamp?) {
        guard let publication = schedule.publication else { return nil }
        let moved = entry.dueAt + entry.jitter
        self.init(
            occurrence: Occurrence(entry, of: schedule, at: now),
            publication: publication,
            nextDueAt: nextDueAt,
            start: entry.start,
            availableAt: moved > now ? moved : nil
        )
    }
}

extension Occurrence {
    /// A due time of a grid with its outcome.
    init(_ entry: TickPlan.Entry, of schedule: Schedule, at now: Timestamp) {
        let runs = entry.outcome == .fired || entry.outcome == .late
        self.init(
            id: .make(),
            scheduleID: schedule.id,
            signalID: schedule.signalID,
            accountID: schedule.accountID,
            dueAt: entry.dueAt,
            rangeTo: entry.rangeTo,
            count: entry.count,
            asOf: entry.dueAt,
            outcome: entry.outcome,
            reason: entry.reason,
            jobID: runs ? .make() : nil,
            madeAt: now
        )
    }
}

/// The latest second that more than a thousand schedules shared: those that a later transaction works off belong to the same crowd.
private final class Crowd: Sendable {
    private let second = Mutex<Timestamp?>(nil)

    /// The due time that most of these share.
    static func busiest(_ dueTimes: [Timestamp]) -> Timestamp? {
        Dictionary(dueTimes.map { ($0, 1) }, uniquingKeysWith: +).max { ($0.value, $0.key) < ($1.value, $1.key) }?.key
    }

    func note(_ crowded: Timestamp) { second.withLock { $0 = crowded } }

    func contains(_ dueAt: Timestamp?) -> Bool { dueAt.map { due in second.withLock { $0 == due } } ?? false }
}

/// Grids by their definition: parsing an expression and finding a zone is not done at each look.
private final class GridCache: Sendable {
    private let grids = Mutex<[Cadence: ScheduleGrid]>([:])

    func grid(_ cadence: Cadence) throws -> ScheduleGrid {
        if let known = grids.withLock({ $0[cadence] }) { return known }
        let grid = try ScheduleGrid(cadence)
        grids.withLock { grids in
            if grids.count > 10_000 { grids = [:] }
            grids[cadence] = grid
        }
        return grid
    }
}
