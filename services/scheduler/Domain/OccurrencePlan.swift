internal import Contracts

/// What is to happen with the due times that have come since a schedule was last looked at.
///
/// The present comes first: after downtime the newest due time that is still worth running leads, the others follow by age. What lies
/// beyond the catch-up window is missed, one row a due time, or one row for a whole range when there are very many.
struct OccurrencePlan: Sendable, Hashable {
    /// What one due time becomes.
    struct Point: Sendable, Hashable {
        let dueAt: Timestamp
        let outcome: OccurrenceOutcome
        let reason: String?
    }

    /// More due times of one outcome than rows are made for.
    struct Range: Sendable, Hashable {
        let firstDueAt: Timestamp
        let lastDueAt: Timestamp
        let count: Int
        let outcome: OccurrenceOutcome
        let reason: String
    }

    /// Rows, those that run first: newest of them first, then the rest by age.
    let points: [Point]
    let ranges: [Range]
    /// Up to where the grid has been looked at.
    let cursor: Timestamp

    /// A due time is `fired` when it is claimable within this time of being due.
    static let punctualSeconds = 1.0
    /// From this many due times of one schedule on, missed and paused ones become one range row.
    static let rowsPerRange = 1_000

    /// Looks at the grid from `cursor` to `now`.
    ///
    /// - Parameters:
    ///   - catchUpWindow: how late a run may still start; nil for one interval, at least 10 s.
    ///   - paused: all due times are skipped.
    init(grid: DueGrid, cursor: Timestamp, now: Timestamp, catchUpWindow: Duration?, paused: Bool) {
        var runs: [Point] = []
        var rest: [Timestamp] = []
        var ranges: [Range] = []
        var last = cursor
        // Bounded work a look: a year of seconds is taken in several looks, each of which moves the cursor.
        let due = grid.points(after: cursor, through: now, limit: 100_000)
        for point in due {
            last = point
            let window = catchUpWindow ?? max(.seconds(10), grid.step(at: point))
            if !paused && now - point <= window {
                let punctual = now - point <= .seconds(Self.punctualSeconds)
                runs.append(Point(dueAt: point, outcome: punctual ? .fired : .late, reason: punctual ? nil : "caught_up"))
            } else {
                rest.append(point)
            }
        }
        let outcome: OccurrenceOutcome = paused ? .skipped : .missed
        let reason = paused ? "paused" : "beyond_catch_up_window"
        var points = Array(runs.reversed())
        if rest.count > Self.rowsPerRange, let first = rest.first, let final = rest.last {
            ranges.append(Range(firstDueAt: first, lastDueAt: final, count: rest.count, outcome: outcome, reason: reason))
        } else {
            points += rest.map { Point(dueAt: $0, outcome: outcome, reason: reason) }
        }
        self.points = points
        self.ranges = ranges
        // Between due times nothing happened: the cursor rests on the last one, so that an edit of the schedule takes effect at once.
        self.cursor = due.count == 100_000 ? last : max(last, cursor)
    }
}
