import Contracts
import Schedules

/// What one look at a schedule brings: each due time up to now with its outcome, and from where the next look goes on.
///
/// The present comes first: the latest due times that can still be run stand before those that are lost.
struct TickPlan: Sendable, Hashable {
    /// A due time, or a row of more than a thousand lost ones.
    struct Entry: Sendable, Hashable {
        let dueAt: Timestamp
        /// The last due time of a range; nil for a single one.
        var rangeTo: Timestamp?
        var count = 1
        let outcome: OccurrenceOutcome
        var reason: String?
    }

    let entries: [Entry]
    /// Every due time up to here has its outcome.
    let cursor: Timestamp
    let nextDueAt: Timestamp?

    /// More lost due times than this share one row.
    static let rangeThreshold = 1_000
    /// How late a run may become claimable and still count as fired.
    static let tolerance = Duration.seconds(1)
    /// More schedules than this that share a second are a crowd.
    static let crowd = 1_000
    /// How late a run of a crowd may become claimable.
    static let crowdedTolerance = Duration.seconds(5)
    /// The least time for which a due time can be caught up.
    static let leastWindow = Duration.seconds(10)

    /// - Parameters:
    ///   - cursor: every due time up to here has its outcome already.
    ///   - hasOpenRun: whether an earlier run has not ended; new ones are skipped then.
    init(grid: ScheduleGrid, cursor: Timestamp, now: Timestamp, hasOpenRun: Bool, isCrowded: Bool = false) {
        nextDueAt = grid.next(after: max(now, cursor))
        self.cursor = max(cursor, now)
        entries = Self.owed(grid, after: cursor, through: now, now: now, hasOpenRun: hasOpenRun, isCrowded: isCrowded, reason: "downtime")
    }

    /// The due times in `(cursor, end]`, each with its outcome at `now`; `reason` is why the lost ones are lost.
    static func owed(
        _ grid: ScheduleGrid,
        after cursor: Timestamp,
        through end: Timestamp,
        now: Timestamp,
        hasOpenRun: Bool,
        isCrowded: Bool = false,
        reason: String
    ) -> [Entry] {
        guard end > cursor, let latest = grid.last(after: cursor, through: end) else { return [] }
        // Within its window: younger than ten seconds, or the latest, whose successor is not due yet.
        var present = grid.points(after: max(cursor, now - leastWindow - .microseconds(1)), through: end, limit: rangeThreshold)
        if present.isEmpty, grid.next(after: latest).map({ $0 > now }) ?? true { present = [latest] }
        var planned: [Entry] = []
        var isOccupied = hasOpenRun
        for due in present.reversed() {
            if isOccupied {
                planned.append(Entry(dueAt: due, outcome: .skipped, reason: "overlap"))
            } else {
                let tolerance = isCrowded ? crowdedTolerance : tolerance
                planned.append(Entry(dueAt: due, outcome: now - due <= tolerance ? .fired : .late))
                isOccupied = true
            }
        }
        return planned + lost(grid, after: cursor, before: present.first ?? end + .microseconds(1), reason: reason)
    }

    /// The due times in `(after, before)` that nobody can run any more.
    static func lost(_ grid: ScheduleGrid, after: Timestamp, before: Timestamp, reason: String) -> [Entry] {
        let end = before - .microseconds(1)
        let count = grid.count(after: after, through: end)
        guard count > 0 else { return [] }
        if count > rangeThreshold {
            guard let first = grid.next(after: after), let last = grid.last(after: after, through: end) else { return [] }
            return [Entry(dueAt: first, rangeTo: last, count: count, outcome: .missed, reason: reason)]
        }
        return grid.points(after: after, through: end, limit: count).map { Entry(dueAt: $0, outcome: .missed, reason: reason) }
    }
}
