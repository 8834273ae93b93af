import Contracts
import Schedules

/// Holds the occurrences of an era against its grid.
enum GridAudit {
    /// Due times in `(from, to]` without an occurrence, and occurrences that no due time asked for, in words.
    static func faults(of era: ScheduleEra, from: Timestamp, to: Timestamp, occurrences: [Occurrence], sessions: MarketSessions = .unknown)
        -> [String]
    {
        guard to > from, let cadence = try? ScheduleGrid(era.cadence) else { return [] }
        var faults = doubled(occurrences).map { "schedule \(era.scheduleID) has more than one occurrence for \($0)" }
        // Bars say when, so there is no grid to count: `auspex audit` counts against the closes that marketdata announced.
        if case .barClose = cadence { return faults }
        let grid = DueTimes(cadence, era.policy, sessions: sessions)
        var expected = from
        for occurrence in occurrences {
            let last = occurrence.rangeTo ?? occurrence.dueAt
            // A range may begin before the part that is looked at.
            let first = occurrence.rangeTo == nil ? occurrence.dueAt : max(occurrence.dueAt, grid.next(after: from) ?? occurrence.dueAt)
            if let due = grid.next(after: expected), due < first { faults.append("schedule \(era.scheduleID) has nothing for \(due)") }
            if grid.next(after: first - .microseconds(1)) != first {
                faults.append("schedule \(era.scheduleID) has an occurrence at \(first), where none was due")
            }
            // A range lies between two changes of the market as a whole.
            let isWrong = grid.isInSession(first) ? occurrence.reason == "calendar" : occurrence.outcome != .skipped
            if isWrong {
                faults.append("occurrence \(occurrence.id), due at \(first), mistakes whether the market was open")
            }
            if occurrence.rangeTo != nil, occurrence.dueAt >= from {
                let due = grid.count(after: occurrence.dueAt - .microseconds(1), through: last)
                if due != occurrence.count { faults.append("occurrence \(occurrence.id) stands for \(occurrence.count) due times, \(due) were due") }
            }
            expected = max(expected, last)
        }
        if let due = grid.next(after: expected), due <= to { faults.append("schedule \(era.scheduleID) has nothing for \(due)") }
        return faults
    }

    /// Due times that an occurrence before had covered already; they come in the order of time.
    private static func doubled(_ occurrences: [Occurrence]) -> [Timestamp] {
        var covered: Timestamp?
        var found: [Timestamp] = []
        for occurrence in occurrences {
            if let covered, occurrence.dueAt <= covered { found.append(occurrence.dueAt) }
            covered = max(covered ?? .distantPast, occurrence.rangeTo ?? occurrence.dueAt)
        }
        return found
    }
}
