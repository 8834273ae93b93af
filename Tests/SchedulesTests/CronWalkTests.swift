import Contracts
import Foundation
import Testing

@testable import Schedules

/// The grid held against a walk through every minute, which knows nothing of grids: Foundation's calendar and clocks, and the fields as text.
struct CronWalkTests {
    static let zones = [
        "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/St_Johns", "Asia/Kathmandu", "Antarctica/Troll",
        "Africa/Casablanca", "Pacific/Chatham",
    ]
    static let expressions = [
        "30 2 * * *", "*/20 1-3 * * *", "0 * * * *", "17 */5 * * mon-fri", "5 0 L * *", "45 23 L-2 * *", "0 12 15W * *", "10 2 LW * *", "30 2 * * 5L",
        "0 3 * * MON#2", "0 0 1,L * sat-sun", "15 2 1W jan,mar-apr,oct,nov SUN#1,SUNL",
    ]

    @Test("A year of due times is what a walk through its minutes finds", arguments: zones) func years(zone: String) throws {
        let zoneOf = try #require(TimeZone(identifier: zone))
        // Enough of both changes of the clocks of every zone, and a leap year.
        let from = try #require(Timestamp(iso8601: "2027-12-31T12:00:00Z"))
        let walk = Walk(zone: zoneOf, from: Int(from.seconds), minutes: 366 * 1_440)
        for expression in Self.expressions {
            let grid = try ScheduleGrid(.cron(expression: expression, zone: zone))
            let end = from + .seconds(366 * 86_400 - 60)
            let found = grid.points(after: from, through: end, limit: 1_000_000).map { Int($0.seconds) }
            let expected = walk.dueTimes(expression)
            #expect(found == expected, "\(expression) in \(zone): \(Set(found).symmetricDifference(expected).sorted().prefix(5))")
            #expect(grid.count(after: from, through: end) == expected.count, "\(expression) in \(zone)")
            #expect(!expected.isEmpty)
        }
    }

    @Test("Moved days over ten years are those of Foundation's calendar", arguments: ["L", "L-30", "31W", "1W", "LW", "30W", "15W,L", "29,L-1"])
    func daysOfMonth(field: String) throws { try holdDays("0 0 \(field) * *") }

    @Test(
        "Weekdays of a month over ten years are those of Foundation's calendar",
        arguments: ["MON#1", "5#5", "0L", "7#4,THUL", "satL", "tue,fri#3"]
    )
    func daysOfWeek(field: String) throws { try holdDays("0 0 * * \(field)") }

    private func holdDays(_ expression: String) throws {
        let from = try #require(Timestamp(iso8601: "2023-12-31T12:00:00Z"))
        let grid = try ScheduleGrid(.cron(expression: expression, zone: "UTC"))
        let end = from + .seconds(3_653 * 86_400)
        let found = grid.points(after: from, through: end, limit: 10_000).map { Int($0.seconds) }
        let fields = CronText(expression)
        var expected: [Int] = []
        for day in 0..<3_653 {
            let midnight = Int(from.seconds) + 43_200 + day * 86_400
            if fields.matchesDate(day: midnight / 86_400) { expected.append(midnight) }
        }
        #expect(found == expected, "\(Set(found).symmetricDifference(expected).sorted().prefix(5))")
    }

    @Test(arguments: [
        "0 0 L-31 * *", "0 0 L-0 * *", "0 0 32W * *", "0 0 W * *", "0 0 0W * *", "0 0 * * L", "0 0 * * 8L", "0 0 * * MON#6", "0 0 * * MON#0",
        "0 0 * * #2",
        "0 0 * * 1#", "0 0 * * 1#2#3", "0 0 1-5W * *", "0 0 LL * *", "0 0 L,,1 * *", "0 0 * * sun-sat#2", "L * * * *", "0 0 L/2 * *",
    ]) func badMovedDaysAreRefused(expression: String) {
        #expect(throws: ScheduleError.self) { try ScheduleGrid(.cron(expression: expression, zone: "UTC")) }
    }
}

/// Every minute of a stretch with the local time that clocks show.
private struct Walk {
    let start: Int
    let locals: [Int]

    /// From the minute after `from` on.
    init(zone: TimeZone, from: Int, minutes: Int) {
        start = from
        var locals: [Int] = []
        locals.reserveCapacity(minutes)
        for minute in 0..<minutes {
            let instant = from + minute * 60
            // Clocks change on whole minutes; a quarter of an hour has one offset unless they change within it.
            locals.append(instant + zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(instant))))
        }
        self.locals = locals
    }

    /// The rules as they are written down, a minute at a time: what is skipped comes once at the first instant after the gap, a repeated time counts
    /// the first time only, and an hour that says nothing follows the clock.
    func dueTimes(_ expression: String) -> [Int] {
        let fields = CronText(expression)
        var due: [Int] = []
        var furthest = locals[0]
        var dates: [Int: Bool] = [:]
        func matches(_ local: Int) -> Bool {
            guard fields.minutes.contains(local / 60 % 60), fields.hours.contains(local / 3_600 % 24) else { return false }
            let day = local / 86_400
            if let known = dates[day] { return known }
            dates[day] = fields.matchesDate(day: day)
            return dates[day] ?? false
        }
        for index in 1..<locals.count {
            let local = locals[index]
            var isDue = false
            if fields.followsClock {
                isDue = matches(local)
            } else if local > furthest {
                isDue = stride(from: furthest + 60, through: local, by: 60).contains(where: matches)
            }
            furthest = max(furthest, local)
            if isDue { due.append(start + index * 60) }
        }
        return due
    }
}

/// The five fields of an expression, read as plainly as can be.
private struct CronText {
    let minutes: Set<Int>
    let hours: Set<Int>
    let followsClock: Bool
    private let days: [String]
    private let months: Set<Int>
    private let weekdays: [String]
    private static let calendar: Calendar = {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        return calendar
    }()
    private static let weekdayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    private static let monthNames = ["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

    init(_ text: String) {
        let fields = text.lowercased().split(separator: " ").map(String.init)
        minutes = Self.values(fields[0], 0, 59)
        hours = Self.values(fields[1], 0, 23)
        followsClock = fields[1] == "*"
        days = fields[2].split(separator: ",").map(String.init)
        months = Self.values(fields[3], 1, 12, names: Self.monthNames)
        weekdays = fields[4].split(separator: ",").map(String.init)
    }

    private static func values(_ text: String, _ low: Int, _ high: Int, names: [String] = []) -> Set<Int> {
        func number(_ text: Substring) -> Int { names.firstIndex(of: String(text)) ?? Int(text) ?? -1 }
        var found: Set<Int> = []
        for part in text.split(separator: ",") {
            let halves = part.split(separator: "/")
            let step = halves.count == 2 ? number(halves[1]) : 1
            let ends = halves[0] == "*" ? [low, high] : halves[0].split(separator: "-").map(number)
            var last = ends.last ?? low
            if last < ends[0] { last += 7 }
            for value in stride(from: ends[0], through: last, by: step) { found.insert(value) }
        }
        return found
    }

    func matchesDate(day: Int) -> Bool {
        let date = Date(timeIntervalSince1970: TimeInterval(day * 86_400))
        let parts = Self.calendar.dateComponents([.month, .day, .weekday], from: date)
        guard let month = parts.month, let number = parts.day, let weekday = parts.weekday, months.contains(month) else { return false }
        let length = Self.calendar.range(of: .day, in: .month, for: date)?.count ?? 0
        func weekdayOf(_ other: Int) -> Int {
            Self.calendar.component(.weekday, from: Date(timeIntervalSince1970: TimeInterval((day - number + other) * 86_400)))
        }
        func nearest(_ wanted: Int) -> Int? {
            guard wanted <= length else { return nil }
            // By distance: the day itself, the one before, the one after, and so on, inside the month.
            for candidate in [wanted, wanted - 1, wanted + 1, wanted - 2, wanted + 2] where (1...length).contains(candidate) {
                if (2...6).contains(weekdayOf(candidate)) { return candidate }
            }
            return nil
        }
        let byDay = days.contains { word in
            if word == "*" { return true }
            if word == "l" { return number == length }
            if word == "lw" { return number == (1...length).last { (2...6).contains(weekdayOf($0)) } }
            if word.hasPrefix("l-") { return number == length - (Int(word.dropFirst(2)) ?? 0) }
            if word.hasSuffix("w") { return number == nearest(Int(word.dropLast()) ?? 0) }
            return Self.values(word, 1, 31).contains(number)
        }
        let byWeekday = weekdays.contains { word in
            func index(_ text: Substring) -> Int { (Self.weekdayNames.firstIndex(of: String(text)) ?? Int(text) ?? -1) % 7 }
            if word == "*" { return true }
            if word.hasSuffix("l") { return weekday - 1 == index(word.dropLast()) && number > length - 7 }
            if let sign = word.firstIndex(of: "#") {
                let nth = (1...number).count { weekdayOf($0) == weekday }
                return weekday - 1 == index(word[..<sign]) && nth == Int(word[word.index(after: sign)...])
            }
            return Set(Self.values(word, 0, 6, names: Self.weekdayNames).map { $0 % 7 }).contains(weekday - 1)
        }
        return days == ["*"] || weekdays == ["*"] ? byDay && byWeekday : byDay || byWeekday
    }
}
