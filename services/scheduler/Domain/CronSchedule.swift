internal import Bars
internal import Contracts

/// A cron expression on the clocks of a zone, with these rules where the offset changes:
///
/// - a fixed time that is skipped fires once, at the first instant after the gap; one that repeats fires once, the first time;
/// - with a wildcard hour the schedule follows the clock: nothing fires for times that no clock shows, and both passes of a repeated hour fire.
struct CronSchedule: Sendable {
    let expression: CronExpression
    let zone: ZoneRules

    /// The first due time after `moment`, to the second; nil when none comes within nine years.
    func next(after moment: Timestamp) -> Timestamp? {
        var from = moment.seconds + 1
        var offset = zone.offset(atUTC: from)
        // Each turn handles one stretch of constant offset; there are two a year at most, but for history.
        for _ in 0..<64 {
            let candidate = expression.nextLocal(from: from + Int64(offset)).map { $0 - Int64(offset) }
            let horizon = candidate ?? from + 9 * 366 * 86_400
            guard let change = zone.firstChange(after: from, through: horizon) else { return candidate.map(Timestamp.init(seconds:)) }
            if let candidate, candidate < change { return Timestamp(seconds: candidate) }
            let after = zone.offset(atUTC: change)
            if after > offset {
                if firesForSkipped(change: change, before: offset, after: after) { return Timestamp(seconds: change) }
                from = change
            } else {
                // The first pass is over; a fixed time has had its turn in it.
                from = expression.followsClock ? change : change + Int64(offset - after)
            }
            offset = after
        }
        return nil
    }

    private func firesForSkipped(change: Int64, before: Int, after: Int) -> Bool {
        guard !expression.followsClock else { return false }
        guard let local = expression.nextLocal(from: change + Int64(before), withinDays: 2) else { return false }
        return local < change + Int64(after)
    }
}

extension ZoneRules {
    /// The first instant after `start`, up to `end`, at which the offset differs from the one at `start`.
    fileprivate func firstChange(after start: Int64, through end: Int64) -> Int64? {
        let offsetAtStart = offset(atUTC: start)
        var low = start
        while low < end {
            let high = min(low + 86_400, end)
            if offset(atUTC: high) != offsetAtStart {
                var (same, changed) = (low, high)
                while changed - same > 1 {
                    let middle = (same + changed) / 2
                    if offset(atUTC: middle) == offsetAtStart { same = middle } else { changed = middle }
                }
                return changed
            }
            low = high
        }
        return nil
    }
}
