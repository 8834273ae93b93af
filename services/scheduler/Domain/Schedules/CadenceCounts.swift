import Contracts
import Schedules

extension CadenceCounts {
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
