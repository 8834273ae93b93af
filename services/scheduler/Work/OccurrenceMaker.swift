import Contracts
import Schedules
import ServiceRuntime
import Synchronization

/// Makes occurrences and their jobs of what is due; any number of replicas may do so at once, because each works on the rows that it could lock.
struct OccurrenceMaker: Sendable {
    let store: any SchedulerStore
    private let grids = GridCache()
    private let crowds = Crowds()
    private let unreadable = Unreadable()

    /// How many schedules one transaction works off: what the first of a crowd wait for, and the loop with them.
    static let batch = 500
    /// When this replica looks again at a schedule whose grid it cannot read, such as one in a time zone that its machine does not know.
    static let retryAfter = Duration.seconds(60)
    private let logger = Logger("schedules")

    init(store: any SchedulerStore) { self.store = store }

    /// What one transaction worked off.
    struct Round: Sendable {
        var schedules = 0
        var jobs = 0
        /// How long before it the first of them was due.
        var lag = Duration.zero
    }

    /// Works off schedules that are due.
    ///
    /// The clock is read when the transaction begins, and again when it is tried again: a run that waited for a connection is not on time.
    func makeDue(at clock: @autoclosure @escaping @Sendable () -> Timestamp) async throws -> Round {
        try await store.transaction { transaction in try await makeDue(at: clock(), in: transaction) }
    }

    /// The same within a transaction.
    func makeDue(at now: Timestamp, in transaction: any SchedulerTransaction) async throws -> Round {
        let locked = try await transaction.lockedDueSchedules(at: now, besides: resting(at: now), limit: Self.batch)
        let readable = locked.compactMap { schedule in grid(of: schedule, at: now).map { (schedule: schedule, grid: $0.grid, policy: $0.policy) } }
        if readable.isEmpty { return Round(schedules: locked.count) }
        var schedules = readable.map(\.schedule)
        let dueTimes = schedules.compactMap(\.nextDueAt)
        // Decided here for all of these: what others note while this waits for the database changes nothing.
        let crowded = try await crowdedSeconds(among: dueTimes, in: transaction)
        let open = try await transaction.openRuns(of: schedules)
        let sessions = try await transaction.sessions(of: schedules)
        var made: [Made] = []
        for (index, (schedule, grid, policy)) in readable.enumerated() {
            let due = DueTimes(grid, policy, sessions: schedule.market.flatMap { sessions[$0] } ?? .unknown)
            if schedule.pause != nil {
                let end = max(schedule.cursor, min(now, due.knownThrough))
                schedules[index].cursor = end
                schedules[index].nextDueAt = PausePlan.nextLook(due, after: end)
                made += PausePlan.skipped(due, after: schedule.cursor, through: end).compactMap { Made($0, of: schedule, at: now, nextDueAt: nil) }
                continue
            }
            let look = TickPlan.Look(
                due: due,
                policy: policy,
                schedule: schedule.id.description,
                cursor: schedule.cursor,
                now: now,
                open: OpenRuns(open[schedule.id] ?? []),
                isCrowded: schedule.nextDueAt.map(crowded.contains) ?? false
            )
            let plan = TickPlan(look)
            schedules[index].cursor = plan.cursor
            schedules[index].nextDueAt = plan.nextDueAt
            made += plan.entries.compactMap { Made($0, of: schedule, at: now, nextDueAt: plan.nextDueAt) }
        }
        let jobs = try await Self.write(made, meeting: open, advancing: schedules, in: transaction)
        return Round(schedules: locked.count, jobs: jobs, lag: dueTimes.min().map { now - $0 } ?? .zero)
    }

    /// Schedules whose grids this replica could not read at its last look.
    ///
    /// That is this machine's ignorance and stands in no row: another replica, with the zones of another year, may run them, and their due time stays what it is.
    func resting(at now: Timestamp) -> [RestingSchedule] { unreadable.resting(at: now) }

    private func grid(of schedule: Schedule, at now: Timestamp) -> (grid: ScheduleGrid, policy: SchedulePolicy)? {
        if let manifest = schedule.publication?.manifest, let grid = try? grids.grid(manifest.schedule) { return (grid, manifest.policy) }
        // It must neither be looked at again at once nor stand before those that can be worked off. Nothing of it is lost.
        if let dueAt = schedule.nextDueAt { unreadable.note(RestingSchedule(id: schedule.id, dueAt: dueAt), until: now + Self.retryAfter) }
        logger.error("a schedule's grid cannot be read; trying again in a while", ["schedule_id": .string(schedule.id.description)])
        return nil
    }

    /// The seconds that are known to be shared by a crowd; of those that are not known yet, the one that most of these due times share is looked at.
    private func crowdedSeconds(among dueTimes: [Timestamp], in transaction: any SchedulerTransaction) async throws -> [Timestamp] {
        let known = crowds.known
        guard let busiest = Crowds.busiest(dueTimes.filter { !known.contains($0) }) else { return known }
        // Those count as well that another replica works off at this moment.
        let count = try await transaction.countSchedules(dueAt: busiest, limit: TickPlan.crowd + 1)
        return count > TickPlan.crowd ? crowds.note(busiest) : crowds.known
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

/// Seconds that more than a thousand schedules shared: those that a later transaction works off belong to the same crowd.
private final class Crowds: Sendable {
    /// So many are remembered, those that were noted last; all that are worked off at once are far fewer.
    private static let most = 16
    private let seconds = Mutex<[Timestamp]>([])

    /// The due time that most of these share.
    static func busiest(_ dueTimes: [Timestamp]) -> Timestamp? {
        Dictionary(dueTimes.map { ($0, 1) }, uniquingKeysWith: +).max { ($0.value, $0.key) < ($1.value, $1.key) }?.key
    }

    var known: [Timestamp] { seconds.withLock { $0 } }

    /// Remembers one more; gives all that are known.
    func note(_ crowded: Timestamp) -> [Timestamp] {
        seconds.withLock { seconds in
            seconds = (seconds.filter { $0 != crowded } + [crowded]).suffix(Self.most)
            return seconds
        }
    }
}

/// Schedules whose grids could not be read, and until when they are left alone.
private final class Unreadable: Sendable {
    private let ends = Mutex<[RestingSchedule: Timestamp]>([:])

    func note(_ schedule: RestingSchedule, until end: Timestamp) { ends.withLock { $0[schedule] = end } }

    /// A clock that was set back makes no rest longer.
    func resting(at now: Timestamp) -> [RestingSchedule] {
        ends.withLock { ends in
            if !ends.isEmpty { ends = ends.filter { now < $0.value && $0.value <= now + OccurrenceMaker.retryAfter } }
            return Array(ends.keys)
        }
    }
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
