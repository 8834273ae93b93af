import Contracts

/// A cron expression of five fields (minute, hour, day of month, month, day of week) or six (seconds first), or a name such as `@hourly`.
///
/// As in every cron, a day matches when either of the two day fields does, if both say something.
struct CronExpression: Sendable, Hashable {
    let seconds: CronField
    let minutes: CronField
    let hours: CronField
    let days: CronField
    let months: CronField
    let weekdays: CronField

    private static let nicknames = [
        "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
    ]
    private static let monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    private static let weekdayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

    init(_ text: String) throws(ScheduleError) {
        guard text.utf8.count <= 200 else { throw .badCron(field: "expression", text: String(text.prefix(20)) + "…") }
        var body = text.lowercased()
        if body.first == "@" {
            guard let expanded = Self.nicknames[body] else { throw .badCron(field: "name", text: text) }
            body = expanded
        }
        var parts = body.split(whereSeparator: { $0 == " " || $0 == "\t" })
        if parts.count == 5 { parts.insert("0", at: 0) }
        guard parts.count == 6 else { throw .badCron(field: "expression", text: text) }
        seconds = try CronField(parts[0], range: 0...59, field: "second")
        minutes = try CronField(parts[1], range: 0...59, field: "minute")
        hours = try CronField(parts[2], range: 0...23, field: "hour")
        days = try CronField(parts[3], range: 1...31, field: "day of month")
        months = try CronField(parts[4], range: 1...12, names: Self.monthNames, field: "month")
        weekdays = try CronField(parts[5], range: 0...7, names: Self.weekdayNames, field: "day of week")
    }

    /// Whether the expression is due on a date at all.
    func matches(_ date: CalendarDate) -> Bool {
        guard months.contains(date.month) else { return false }
        let byDay = days.contains(date.day)
        let weekday = date.weekday
        let byWeekday = weekdays.contains(weekday) || (weekday == 0 && weekdays.contains(7))
        if days.isWildcard || weekdays.isWildcard { return byDay && byWeekday }
        return byDay || byWeekday
    }

    /// The least second of a day from `start` on at which the expression is due.
    func nextSecond(from start: Int) -> Int? {
        guard start < 86_400 else { return nil }
        var hour = start / 3_600
        var minute = start / 60 % 60
        var second = start % 60
        while let dueHour = hours.next(from: hour) {
            if dueHour > hour { (minute, second) = (0, 0) }
            while let dueMinute = minutes.next(from: minute) {
                if dueMinute > minute { second = 0 }
                if let dueSecond = seconds.next(from: second) { return dueHour * 3_600 + dueMinute * 60 + dueSecond }
                (minute, second) = (dueMinute + 1, 0)
            }
            (hour, minute, second) = (dueHour + 1, 0, 0)
        }
        return nil
    }

    /// How often the expression is due on a day without a change of the clocks.
    var timesPerDay: Int { hours.count * minutes.count * seconds.count }
}

/// A date of the Gregorian calendar, counted in days since 1970.
struct CalendarDate: Sendable, Hashable, Comparable {
    let daysSince1970: Int

    static func < (left: CalendarDate, right: CalendarDate) -> Bool { left.daysSince1970 < right.daysSince1970 }

    /// 0 is Sunday.
    var weekday: Int { ((daysSince1970 + 4) % 7 + 7) % 7 }
    var month: Int { civil.month }
    var day: Int { civil.day }

    /// Howard Hinnant's days-to-civil: exact for every year.
    private var civil: (month: Int, day: Int) {
        let shifted = daysSince1970 + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        return (shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}
