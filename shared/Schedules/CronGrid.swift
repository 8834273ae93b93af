import Contracts

/// The due times of a cron expression in a zone.
///
/// Where clocks change: a local time that is skipped is due once, at the first instant after the gap; a time that repeats is due once, the first
/// time; but an expression whose hour is `*` follows the clock, so it is due in both hours that repeat and not at all in one that is skipped.
public struct CronGrid: Sendable, Hashable {
    let expression: CronExpression
    let zone: Zone

    /// Past this many days without a match the expression has none (29 February on a Sunday comes every 28 years, and 40 at 2100).
    private static let horizonDays = 366 * 41

    /// The first due time after `instant`, in seconds since 1970.
    func next(after instant: Int) -> Int? {
        let offset = zone.offset(at: instant)
        let near = zone.transition(around: instant)
        let followsClock = expression.hours.isWildcard
        var start = instant + offset + 1
        if let near, near.instant <= instant, !followsClock, near.repeated.contains(start) {
            // The second time round; it was due the first.
            start = near.repeated.upperBound
        }
        guard let local = nextLocal(from: start) else { return nil }
        if let near, followsClock, near.instant > instant, !near.repeated.isEmpty, local >= near.repeated.upperBound,
            let again = nextLocal(from: near.repeated.lowerBound), again < near.repeated.upperBound
        {
            return again - near.after
        }
        guard let there = zone.transition(around: local - offset) else { return local - zone.offset(at: local - offset) }
        if there.gap.contains(local) {
            guard followsClock else { return there.instant }
            return nextLocal(from: there.gap.upperBound).map { $0 - zone.offset(at: $0 - there.after) }
        }
        if there.repeated.contains(local) { return local - (instant >= there.instant ? there.after : there.before) }
        return local - (local < there.instant + there.before ? there.before : there.after)
    }

    /// How many due times lie in `(after, through]`. Counts no further than the day on which it comes to `enough`.
    func count(after: Int, through: Int, enough: Int = .max) -> Int {
        var total = 0
        var position = after
        while position < through, total < enough {
            let offset = zone.offset(at: position)
            // The day that the next second belongs to.
            let day = floorDivide(position + 1 + offset, 86_400)
            let midnight = day * 86_400
            let lastSecond = midnight + 86_399 - offset
            if lastSecond <= through, zone.transition(around: midnight + 43_200 - offset) == nil {
                if expression.matches(CalendarDate(daysSince1970: day)) { total += countSeconds(from: position + 1 + offset - midnight) }
                position = lastSecond
            } else {
                guard let due = next(after: position), due <= through else { return total }
                total += 1
                position = due
            }
        }
        return total
    }

    private func countSeconds(from start: Int) -> Int {
        if start <= 0 { return expression.timesPerDay }
        var total = 0
        var second = start
        while let due = expression.nextSecond(from: second) {
            total += 1
            second = due + 1
        }
        return total
    }

    /// The first local time from `start` on that the expression names, whether or not clocks ever show it.
    private func nextLocal(from start: Int) -> Int? {
        var day = floorDivide(start, 86_400)
        var second = start - day * 86_400
        let last = day + Self.horizonDays
        while day <= last {
            if expression.matches(CalendarDate(daysSince1970: day)), let due = expression.nextSecond(from: second) { return day * 86_400 + due }
            day += 1
            second = 0
        }
        return nil
    }

    private func floorDivide(_ value: Int, _ divisor: Int) -> Int {
        let quotient = value / divisor
        return value % divisor < 0 ? quotient - 1 : quotient
    }
}
