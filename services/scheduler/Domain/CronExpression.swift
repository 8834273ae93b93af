internal import Contracts

/// A cron expression of five fields, of six with seconds first, or a word such as `@hourly`.
///
/// Days match when either the day of the month or the weekday does, if both are given (as in Vixie cron). Beyond that: `L` is the last day
/// of the month, `fri#2` its second Friday, `fri#L` its last.
struct CronExpression: Sendable, Hashable {
    let text: String
    private let second: CronField
    private let minute: CronField
    private let hour: CronField
    private let dayOfMonth: CronField
    private let month: CronField
    private let weekday: CronField
    private let lastDayOfMonth: Bool
    private let nthWeekdays: [NthWeekday]
    private let restrictsDay: Bool
    private let restrictsWeekday: Bool

    private struct NthWeekday: Sendable, Hashable {
        let weekday: Int
        /// 1 to 5, or 0 for the last.
        let ordinal: Int
    }

    private static let words = [
        "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
    ]
    private static let months = Dictionary(
        uniqueKeysWithValues: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"].enumerated().map { ($1, $0 + 1) }
    )
    private static let weekdays = Dictionary(uniqueKeysWithValues: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"].enumerated().map { ($1, $0) })

    init(_ text: String) throws(CronError) {
        self.text = text
        var fields = (Self.words[text.lowercased()] ?? text).split(separator: " ")
        if text.hasPrefix("@") && Self.words[text.lowercased()] == nil {
            throw CronError(field: "expression", reason: "'\(text)' is none of \(Self.words.keys.sorted().joined(separator: ", "))")
        }
        if fields.count == 5 { fields.insert("0", at: 0) }
        guard fields.count == 6 else {
            throw CronError(field: "expression", reason: "has \(fields.count) fields, but needs 5 (minute first) or 6 (second first)")
        }
        second = try CronField(fields[0], name: "second", range: 0...59)
        minute = try CronField(fields[1], name: "minute", range: 0...59)
        hour = try CronField(fields[2], name: "hour", range: 0...23)
        month = try CronField(fields[4], name: "month", range: 1...12, names: Self.months)
        (dayOfMonth, lastDayOfMonth) = try Self.days(fields[3])
        (weekday, nthWeekdays) = try Self.weekdays(fields[5])
        restrictsDay = !dayOfMonth.isWildcard || lastDayOfMonth
        restrictsWeekday = !weekday.isWildcard || !nthWeekdays.isEmpty
        guard CivilSearch(expression: self).next(from: 0, withinDays: 366 * 9) != nil else {
            throw CronError(field: "day", reason: "no date ever matches '\(text)'")
        }
    }

    private static func days(_ text: Substring) throws(CronError) -> (CronField, Bool) {
        let items = text.split(separator: ",", omittingEmptySubsequences: false)
        let plain = items.filter { $0 != "L" }
        guard plain.count < items.count else { return (try CronField(text, name: "day", range: 1...31), false) }
        if plain.isEmpty { return (CronField.none, true) }
        return (try CronField(Substring(plain.joined(separator: ",")), name: "day", range: 1...31), true)
    }

    private static func weekdays(_ text: Substring) throws(CronError) -> (CronField, [NthWeekday]) {
        var plain: [Substring] = []
        var ordinals: [NthWeekday] = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = item.split(separator: "#", omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                plain.append(item)
                continue
            }
            guard let day = weekdays[parts[0].lowercased()] ?? Int(parts[0]).flatMap({ (0...7).contains($0) ? $0 % 7 : nil }) else {
                throw CronError(field: "weekday", reason: "'\(parts[0])' is not a weekday")
            }
            if parts[1] == "L" {
                ordinals.append(NthWeekday(weekday: day, ordinal: 0))
            } else if let ordinal = Int(parts[1]), (1...5).contains(ordinal) {
                ordinals.append(NthWeekday(weekday: day, ordinal: ordinal))
            } else {
                throw CronError(field: "weekday", reason: "'\(item)' needs #1 to #5 or #L")
            }
        }
        if plain.isEmpty { return (CronField.none, ordinals) }
        let field = try CronField(Substring(plain.joined(separator: ",")), name: "weekday", range: 0...7, names: weekdays)
        return (field.foldingSunday, ordinals)
    }

    /// Whether hours are written as `*`: then the schedule follows the clock through a change of offset, in both passes of a repeated hour.
    var followsClock: Bool { hour.isWildcard }

    /// The first local time at or after `local` (seconds since 1970 as the local clock shows them) that matches, looking a bounded time ahead.
    func nextLocal(from local: Int64, withinDays days: Int = 366 * 9) -> Int64? {
        CivilSearch(expression: self).next(from: local, withinDays: days)
    }

    private func matchesDate(_ date: CivilDate) -> Bool {
        let (_, monthOfYear, day) = date.fields
        guard month.matches(monthOfYear) else { return false }
        let dayMatches = dayOfMonth.matches(day) || (lastDayOfMonth && CivilDate(daysSince1970: date.daysSince1970 + 1).fields.month != monthOfYear)
        // 1970-01-01 was a Thursday.
        let dayOfWeek = Int(((date.daysSince1970 % 7) + 11) % 7)
        let weekdayMatches =
            weekday.matches(dayOfWeek)
            || nthWeekdays.contains { nth in
                guard nth.weekday == dayOfWeek else { return false }
                if nth.ordinal > 0 { return (day - 1) / 7 + 1 == nth.ordinal }
                return CivilDate(daysSince1970: date.daysSince1970 + 7).fields.month != monthOfYear
            }
        switch (restrictsDay, restrictsWeekday) {
        case (true, true): return dayMatches || weekdayMatches
        case (true, false): return dayMatches
        case (false, true): return weekdayMatches
        case (false, false): return true
        }
    }

    private func nextTime(from secondOfDay: Int) -> Int? {
        var at = secondOfDay
        while at < 86_400 {
            guard let nextHour = hour.next(from: at / 3600) else { return nil }
            if nextHour > at / 3600 { return nextHour * 3600 + minute.first * 60 + second.first }
            let minuteNow = at / 60 % 60
            guard let nextMinute = minute.next(from: minuteNow) else {
                at = (nextHour + 1) * 3600
                continue
            }
            if nextMinute > minuteNow { return nextHour * 3600 + nextMinute * 60 + second.first }
            if let nextSecond = second.next(from: at % 60) { return nextHour * 3600 + nextMinute * 60 + nextSecond }
            at = nextHour * 3600 + (nextMinute + 1) * 60
        }
        return nil
    }

    private struct CivilSearch {
        let expression: CronExpression

        func next(from local: Int64, withinDays days: Int) -> Int64? {
            var date = CivilDate(of: Timestamp(seconds: local))
            var secondOfDay = Int(local - date.daysSince1970 * 86_400)
            for _ in 0...days {
                if expression.matchesDate(date), let time = expression.nextTime(from: secondOfDay) {
                    return date.daysSince1970 * 86_400 + Int64(time)
                }
                date = CivilDate(daysSince1970: date.daysSince1970 + 1)
                secondOfDay = 0
            }
            return nil
        }
    }
}

extension CronField {
    fileprivate static let none = CronField(bits: 0, isWildcard: true)

    private init(bits: UInt64, isWildcard: Bool) {
        self.bits = bits
        self.isWildcard = isWildcard
    }

    /// Sunday may be written as 0 or as 7.
    fileprivate var foldingSunday: CronField {
        CronField(bits: (bits | (bits >> 7)) & 0x7F, isWildcard: isWildcard)
    }
}
