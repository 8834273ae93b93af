public import Contracts

/// A due time as clocks show it where the schedule says.
public struct LocalTime: Sendable, Hashable {
    /// The IANA zone.
    public let zone: String
    /// `2026-03-29T03:00:00+02:00`.
    public let text: String
    /// What clocks do on that day, when they do something.
    public let note: String?
}

extension ScheduleGrid {
    /// A due time in the zone of the schedule; absolute intervals and bars are shown in UTC.
    public func localTime(of due: Timestamp) -> LocalTime {
        guard case .cron(let grid) = self else { return LocalTime(zone: "UTC", text: Self.text(due.seconds, offset: 0), note: nil) }
        let instant = Int(due.seconds)
        let offset = grid.zone.offset(at: instant)
        return LocalTime(zone: grid.zone.name, text: Self.text(due.seconds, offset: offset), note: grid.note(on: instant, offset: offset))
    }

    private static func text(_ seconds: Int64, offset: Int) -> String {
        let clock = String(Timestamp(seconds: seconds + Int64(offset)).iso8601.prefix(19))
        let minutes = abs(offset) / 60
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(clock)\(offset < 0 ? "-" : "+")\(two(minutes / 60)):\(two(minutes % 60))"
    }
}

extension CronGrid {
    /// What to know of a due time on a day on which clocks change.
    fileprivate func note(on instant: Int, offset: Int) -> String? {
        guard let change = zone.transition(around: instant) else { return nil }
        let local = instant + offset
        let minutes = abs(change.after - change.before) / 60
        if change.instant == instant, !change.gap.isEmpty, !names(local) {
            return
                "clocks go forward by \(minutes) minutes: the time that the expression names does not exist, so it is due at the first moment after"
        }
        if change.repeated.contains(local) {
            return expression.hours.isWildcard
                ? "clocks go back by \(minutes) minutes: this time comes twice, and it is due both times"
                : "clocks go back by \(minutes) minutes: this time comes twice, and it is due the first time"
        }
        // Only on the day itself: local times are counted as if they were UTC.
        let day = (local - ((local % 86_400) + 86_400) % 86_400) / 86_400
        let changed = change.instant + max(change.before, change.after)
        guard (changed - ((changed % 86_400) + 86_400) % 86_400) / 86_400 == day else { return nil }
        return "clocks go \(change.after > change.before ? "forward" : "back") by \(minutes) minutes on this day"
    }

    /// Whether the expression names this local time.
    private func names(_ local: Int) -> Bool {
        let second = ((local % 86_400) + 86_400) % 86_400
        return expression.matches(CalendarDate(daysSince1970: (local - second) / 86_400)) && expression.nextSecond(from: second) == second
    }
}
