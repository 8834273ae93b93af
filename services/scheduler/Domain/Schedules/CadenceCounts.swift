import Contracts
import Schedules

/// What became of the due times of a stretch of time.
struct CadenceCounts: Sendable, Hashable {
    var onTime: Int64 = 0
    var late: Int64 = 0
    var missed: Int64 = 0
    var failed: Int64 = 0
    /// Fired, and not recorded so far.
    var unrecorded: Int64 = 0
    var skippedByReason: [String: Int64] = [:]

    var skipped: Int64 { skippedByReason.values.reduce(0, +) }
    var due: Int64 { onTime + late + missed + failed + unrecorded + skipped }

    /// The part of the due times that was recorded in time, of those at which there was something to predict: while a market is closed, or when nobody traded,
    /// nothing could be. Nil when there were none.
    var shareOnTime: Double? {
        let possible = due - skippedByReason["calendar", default: 0] - skippedByReason["no_bar", default: 0]
        return possible == 0 ? nil : Double(onTime) / Double(possible)
    }

    mutating func add(_ outcome: OccurrenceOutcome, reason: String?, isRecorded: Bool, isRecordedLate: Bool, count: Int64) {
        switch outcome {
        case .fired, .late:
            if !isRecorded { unrecorded += count } else if outcome == .late || isRecordedLate { late += count } else { onTime += count }
        case .missed: missed += count
        case .failed: failed += count
        // Reasons are words of ours, but for what stands behind a colon.
        case .skipped: skippedByReason[String((reason ?? "other").prefix { $0 != ":" }), default: 0] += count
        }
    }

    static func += (left: inout CadenceCounts, right: CadenceCounts) {
        left.onTime += right.onTime
        left.late += right.late
        left.missed += right.missed
        left.failed += right.failed
        left.unrecorded += right.unrecorded
        left.skippedByReason.merge(right.skippedByReason, uniquingKeysWith: +)
    }

    /// How a row of many due times divides among UTC days: by the grid, and what the grid does not explain belongs to the last day.
    static func divided(from first: Timestamp, to last: Timestamp, count: Int64, cadence: Cadence?) -> [CivilDate: Int64] {
        let grid = cadence.flatMap { try? ScheduleGrid($0) }
        var parts: [CivilDate: Int64] = [:]
        var left = count
        var day = CivilDate(of: first)
        let lastDay = CivilDate(of: last)
        while day < lastDay {
            let next = CivilDate(daysSince1970: day.daysSince1970 + 1)
            let start = max(first, day.startUTC) - .microseconds(1)
            let due = min(left, Int64(grid?.count(after: start, through: next.startUTC - .microseconds(1)) ?? 0))
            parts[day] = due
            left -= due
            day = next
        }
        parts[lastDay] = left
        return parts
    }
}

/// How a schedule did on a day.
struct CadenceDay: Sendable, Hashable {
    let day: CivilDate
    var counts: CadenceCounts
    /// 0 while the day is not over.
    var version: Int
}
