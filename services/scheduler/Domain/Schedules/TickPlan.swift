import Contracts
import Schedules

/// What one look at a schedule brings: each due time up to now with its outcome, and from where the next look goes on.
///
/// The present comes first: the latest due times that can still be run stand before those that are lost.
struct TickPlan: Sendable, Hashable {
    /// A due time, or a row of more than a thousand that share an outcome and do not run.
    struct Entry: Sendable, Hashable {
        let dueAt: Timestamp
        /// The last due time of a range; nil for a single one.
        var rangeTo: Timestamp?
        var count = 1
        let outcome: OccurrenceOutcome
        var reason: String?
        /// How the run of a due time that fires meets those that have not ended.
        var start = OverlapPlan.Start.now
        /// How far the run is moved behind the due time.
        var jitter = Duration.zero
    }

    let entries: [Entry]
    /// Every due time up to here has its outcome.
    let cursor: Timestamp
    let nextDueAt: Timestamp?

    /// More due times than this that do not run share one row, and more than this are not made up for.
    static let rangeThreshold = 1_000
    /// How late a run may become claimable and still count as fired.
    static let tolerance = Duration.seconds(1)
    /// More schedules than this that share a second are a crowd.
    static let crowd = 1_000
    /// How late a run of a crowd may become claimable.
    static let crowdedTolerance = Duration.seconds(5)
    /// The least time for which a due time can be caught up.
    static let leastWindow = Duration.seconds(10)

    /// One schedule at one look.
    struct Look: Sendable {
        let due: DueTimes
        var policy = SchedulePolicy()
        /// By which its jitter is drawn.
        var schedule = ""
        /// Every due time up to here has its outcome already.
        let cursor: Timestamp
        let now: Timestamp
        var open = OpenRuns()
        var isCrowded = false
    }

    init(_ look: Look) {
        // What is not known yet of a market is not decided yet.
        let end = min(look.now, look.due.knownThrough)
        cursor = max(look.cursor, end)
        nextDueAt = Self.armed(look.due, after: cursor)
        entries = Self.owed(look, through: end, reason: "downtime")
    }

    /// The next due time of a schedule that is worked off up to `cursor`; nil while it cannot be said what is due.
    static func armed(_ due: DueTimes, after cursor: Timestamp) -> Timestamp? {
        due.next(after: cursor).flatMap { $0 <= due.knownThrough ? $0 : nil }
    }

    /// The due times in `(cursor, end]`, each with its outcome; `reason` is why the lost ones are lost.
    static func owed(_ look: Look, through end: Timestamp, reason: String) -> [Entry] {
        let (due, policy, now) = (look.due, look.policy, look.now)
        let end = min(end, due.knownThrough)
        guard end > look.cursor, let latest = due.last(after: look.cursor, through: end) else { return [] }
        // A run that is moved is late only behind the moment to which it is moved.
        let window = (policy.catchUpSeconds.map { .seconds($0) } ?? leastWindow) + .seconds(policy.jitterSeconds) + .microseconds(1)
        var present = due.lastPoints(after: max(look.cursor, now - window), through: end, limit: rangeThreshold)
        // Without a window of the manifest's own, a due time can be caught up until its successor is due.
        if present.isEmpty, policy.catchUpSeconds == nil, due.next(after: latest).map({ $0 > now }) ?? true { present = [latest] }
        var planned: [Entry] = []
        for decision in OverlapPlan.decide(present.filter(due.isInSession), policy.overlap, look.open) {
            guard let start = decision.start else {
                planned.append(Entry(dueAt: decision.dueAt, outcome: .skipped, reason: decision.reason))
                continue
            }
            let jitter = Jitter.delay(schedule: look.schedule, dueAt: decision.dueAt, maximumSeconds: policy.jitterSeconds)
            let tolerance = look.isCrowded ? crowdedTolerance : tolerance
            let isPunctual = now <= decision.dueAt + jitter + tolerance
            planned.append(
                Entry(
                    dueAt: decision.dueAt,
                    // What waits for the end of another run cannot be claimed when it is due.
                    outcome: isPunctual && !start.waits ? .fired : .late,
                    reason: start.waits ? "buffered" : nil,
                    start: start,
                    jitter: jitter
                )
            )
        }
        for closed in present where !due.isInSession(closed) { planned.append(Entry(dueAt: closed, outcome: .skipped, reason: "calendar")) }
        return planned + lost(due, after: look.cursor, before: present.first ?? end + .microseconds(1), reason: reason)
    }

    /// The due times in `(after, before)` that nobody can run any more, and those that would not have run in any case because a market was closed.
    static func lost(_ due: DueTimes, after: Timestamp, before: Timestamp, reason: String) -> [Entry] {
        let end = before - .microseconds(1)
        guard after < end else { return [] }
        var entries: [Entry] = []
        var position = after
        while position < end {
            // Up to where the market neither opens nor closes, all share one fate.
            let change = due.nextMarketChange(after: position + .microseconds(1)) ?? .distantFuture
            let last = min(end, change - .microseconds(1))
            entries += row(due, after: position, through: last, isOpen: due.isInSession(last), reason: reason)
            position = last
        }
        return entries
    }

    private static func row(_ due: DueTimes, after: Timestamp, through end: Timestamp, isOpen: Bool, reason: String) -> [Entry] {
        let count = due.count(after: after, through: end)
        let (outcome, reason) = isOpen ? (OccurrenceOutcome.missed, reason) : (.skipped, "calendar")
        if count > rangeThreshold, let first = due.next(after: after), let last = due.last(after: after, through: end) {
            return [Entry(dueAt: first, rangeTo: last, count: count, outcome: outcome, reason: reason)]
        }
        return due.points(after: after, through: end, limit: count).map { Entry(dueAt: $0, outcome: outcome, reason: reason) }
    }
}
