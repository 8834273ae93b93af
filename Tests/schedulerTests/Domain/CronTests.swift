import Bars
import Contracts
import Testing

@testable import scheduler

@Suite("Cron")
struct CronTests {
    private func next(_ expression: String, _ zone: String, after: String, count: Int = 1) throws -> [String] {
        let schedule = CronSchedule(expression: try CronExpression(expression), zone: try ZoneRules(identifier: zone))
        var moment = try #require(Timestamp(iso8601: after))
        var times: [String] = []
        for _ in 0..<count {
            guard let due = schedule.next(after: moment) else { break }
            times.append(String(due.iso8601.prefix(19)))
            moment = due
        }
        return times
    }

    @Test(
        "a fixed time that is skipped fires once, at the first instant after the gap",
        arguments: [
            ("Europe/Berlin", "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00", "2026-03-30T00:30:00"]),
            ("America/New_York", "2026-03-07T12:00:00Z", ["2026-03-08T07:00:00", "2026-03-09T06:30:00"]),
        ]
    )
    func skipped(zone: String, after: String, expected: [String]) throws {
        #expect(try next("30 2 * * *", zone, after: after, count: 2) == expected)
    }

    @Test(
        "a fixed time that repeats fires once, the first time",
        arguments: [
            ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", ["2026-10-25T00:30:00", "2026-10-26T01:30:00"]),
            ("America/New_York", "30 1 * * *", "2026-10-31T12:00:00Z", ["2026-11-01T05:30:00", "2026-11-02T06:30:00"]),
            ("America/New_York", "30 2 * * *", "2026-10-31T12:00:00Z", ["2026-11-01T07:30:00", "2026-11-02T07:30:00"]),
        ]
    )
    func repeated(zone: String, expression: String, after: String, expected: [String]) throws {
        #expect(try next(expression, zone, after: after, count: 2) == expected)
    }

    @Test("wildcard hours fire in both passes, and not for times that no clock shows")
    func wildcardHours() throws {
        #expect(
            try next("30 * * * *", "Europe/Berlin", after: "2026-10-24T23:00:00Z", count: 4)
                == ["2026-10-24T23:30:00", "2026-10-25T00:30:00", "2026-10-25T01:30:00", "2026-10-25T02:30:00"]
        )
        #expect(
            try next("30 * * * *", "Europe/Berlin", after: "2026-03-29T00:00:00Z", count: 3)
                == ["2026-03-29T00:30:00", "2026-03-29T01:30:00", "2026-03-29T02:30:00"]
        )
    }

    @Test(
        "lists, ranges, steps, names, the last day, the nth weekday, seconds and words",
        arguments: [
            ("@hourly", "2026-01-01T00:10:00Z", "2026-01-01T01:00:00"),
            ("*/15 9-16 * * mon-fri", "2026-01-02T16:50:00Z", "2026-01-05T09:00:00"),
            ("0 0 L 2 *", "2026-01-01T00:00:00Z", "2026-02-28T00:00:00"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00"),
            ("0 12 * * fri#2", "2026-01-01T00:00:00Z", "2026-01-09T12:00:00"),
            ("0 12 * * fri#L", "2026-01-01T00:00:00Z", "2026-01-30T12:00:00"),
            ("*/10 * * * * *", "2026-01-01T00:00:01Z", "2026-01-01T00:00:10"),
            ("0 0 1,15 * 7", "2026-01-02T00:00:00Z", "2026-01-04T00:00:00"),
            ("5/20 * * * *", "2026-01-01T00:06:00Z", "2026-01-01T00:25:00"),
            ("59 23 31 dec *", "2026-01-01T00:00:00Z", "2026-12-31T23:59:00"),
        ]
    )
    func fields(expression: String, after: String, expected: String) throws {
        #expect(try next(expression, "UTC", after: after) == [expected])
    }

    @Test(
        "what is not an expression is refused, with the field",
        arguments: [
            ("", "expression"), ("* * * *", "expression"), ("60 * * * *", "minute"), ("* 24 * * *", "hour"), ("* * 0 * *", "day"),
            ("* * * 13 *", "month"), ("* * * * 8", "weekday"), ("*/0 * * * *", "minute"), ("5-1 * * * *", "minute"), ("a * * * *", "minute"),
            ("* * * * fri#6", "weekday"), ("@never", "expression"), ("0 0 31 2 *", "day"), (", * * * *", "minute"), ("1-2-3 * * * *", "minute"),
        ]
    )
    func refused(expression: String, field: String) {
        let error = #expect(throws: CronError.self) { try CronExpression(expression) }
        #expect(error?.field == field)
    }

    @Test("a year of a five-minute schedule agrees with counting")
    func manyTimes() throws {
        let schedule = CronSchedule(expression: try CronExpression("*/5 * * * *"), zone: try ZoneRules(identifier: "Europe/Berlin"))
        var moment = try #require(Timestamp(iso8601: "2026-01-01T00:00:00Z"))
        let end = try #require(Timestamp(iso8601: "2027-01-01T00:00:00Z"))
        var count = 0
        while let due = schedule.next(after: moment), due <= end {
            #expect(due - moment == .seconds(300) || count == 0)
            moment = due
            count += 1
        }
        #expect(count == 365 * 288)
    }
}
