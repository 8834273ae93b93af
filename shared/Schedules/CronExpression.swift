import Contracts

/// A cron expression of five fields (minute, hour, day of month, month, day of week) or six (seconds first), or a name such as `@hourly`.
///
/// As in every cron, a day matches when either of the two day fields does, if both say something. Both know days that each month places anew,
/// see ``MovingDays``.
struct CronExpression: Sendable, Hashable {
    let seconds: CronField
    let minutes: CronField
    let hours: CronField
    let days: CronField
    let months: CronField
    let weekdays: CronField
    let moving: MovingDays

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
        months = try CronField(parts[4], range: 1...12, names: Self.monthNames, field: "month")
        var moving = MovingDays()
        let plainDays = moving.takeDays(from: parts[3])
        let plainWeekdays = moving.takeWeekdays(from: parts[5], names: Self.weekdayNames)
        days = try plainDays.map { text throws(ScheduleError) in try CronField(text, range: 1...31, field: "day of month") } ?? CronField()
        weekdays =
            try plainWeekdays.map { text throws(ScheduleError) in
                try CronField(text, range: 0...7, names: Self.weekdayNames, field: "day of week")
            } ?? CronField()
        self.moving = moving
    }

    /// Whether the expression is due on a date at all.
    func matches(_ date: CalendarDate) -> Bool {
        guard months.contains(date.month) else { return false }
        let byDay = days.contains(date.day) || moving.matchesDay(date)
        let weekday = date.weekday
        let byWeekday = weekdays.contains(weekday) || (weekday == 0 && weekdays.contains(7)) || moving.matchesWeekday(date)
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
