import Contracts
import Testing

@testable import Schedules

struct CronTests {
    private func grid(_ expression: String, _ zone: String = "UTC") throws -> ScheduleGrid {
        try ScheduleGrid(.cron(expression: expression, zone: zone))
    }

    private func time(_ text: String) throws -> Timestamp { try #require(Timestamp(iso8601: text)) }

    private func due(_ expression: String, _ zone: String, from: String, count: Int) throws -> [String] {
        let grid = try grid(expression, zone)
        var position = try time(from)
        var found: [String] = []
        for _ in 0..<count {
            guard let next = grid.next(after: position) else { break }
            found.append(String(next.iso8601.prefix(16)))
            position = next
        }
        return found
    }

    @Test func fieldsListsRangesAndSteps() throws {
        #expect(
            try due("*/20 * * * *", "UTC", from: "2026-01-01T00:00:00.000000Z", count: 3) == [
                "2026-01-01T00:20", "2026-01-01T00:40", "2026-01-01T01:00",
            ]
        )
        #expect(
            try due("0 9-11/2 * * *", "UTC", from: "2026-01-01T00:00:00.000000Z", count: 3) == [
                "2026-01-01T09:00", "2026-01-01T11:00", "2026-01-02T09:00",
            ]
        )
        #expect(
            try due("15,45 6 * * mon-fri", "UTC", from: "2026-01-02T06:20:00.000000Z", count: 3) == [
                "2026-01-02T06:45", "2026-01-05T06:15", "2026-01-05T06:45",
            ]
        )
        #expect(try due("0 0 1 jan,jul *", "UTC", from: "2026-01-01T00:00:00.000000Z", count: 2) == ["2026-07-01T00:00", "2027-01-01T00:00"])
        #expect(try due("0 0 * * 7", "UTC", from: "2026-01-01T00:00:00.000000Z", count: 1) == ["2026-01-04T00:00"])
    }

    @Test func eitherDayFieldMatches() throws {
        #expect(
            try due("0 0 13 * 5", "UTC", from: "2026-02-01T00:00:00.000000Z", count: 3) == [
                "2026-02-06T00:00", "2026-02-13T00:00", "2026-02-20T00:00",
            ]
        )
    }

    @Test func secondsAndNames() throws {
        let grid = try grid("*/30 * * * * *")
        #expect(grid.next(after: try time("2026-01-01T00:00:00.500000Z")) == (try time("2026-01-01T00:00:30.000000Z")))
        #expect(try due("@hourly", "UTC", from: "2026-01-01T00:00:00.000000Z", count: 1) == ["2026-01-01T01:00"])
        #expect(try due("@daily", "Europe/Berlin", from: "2026-01-01T00:00:00.000000Z", count: 1) == ["2026-01-01T23:00"])
        #expect(try due("@weekly", "UTC", from: "2026-01-01T00:00:00.000000Z", count: 1) == ["2026-01-04T00:00"])
        #expect(try due("0 0 29 2 *", "UTC", from: "2026-01-01T00:00:00.000000Z", count: 1) == ["2028-02-29T00:00"])
    }

    @Test(arguments: [
        // Spring forward: 02:30 does not exist; it is due once, at 03:00 local, the first instant after the gap.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00.000000Z", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00:00.000000Z", ["2026-03-08T07:00", "2026-03-09T06:30"]),
        // Fall back: 02:30 (01:30 in New York) comes twice; it is due the first time only.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00.000000Z", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00:00.000000Z", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        ("30 2 * * *", "America/New_York", "2026-10-31T12:00:00.000000Z", ["2026-11-01T07:30", "2026-11-02T07:30"]),
        // Several skipped times of one gap are one due time.
        ("*/15 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00.000000Z", ["2026-03-29T01:00", "2026-03-30T00:00"]),
        // An hour that says nothing follows the clock: both repeated hours, no extra time after a gap.
        (
            "30 * * * *", "Europe/Berlin", "2026-10-24T23:00:00.000000Z",
            ["2026-10-24T23:30", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]
        ),
        ("30 * * * *", "Europe/Berlin", "2026-03-28T23:45:00.000000Z", ["2026-03-29T00:30", "2026-03-29T01:30", "2026-03-29T02:30"]),
        // A half-hour change, and a zone whose day begins in a gap.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00.000000Z", ["2026-10-03T15:30", "2026-10-04T15:15"]),
        ("30 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00.000000Z", ["2026-04-23T22:00", "2026-04-24T21:30"]),
    ]) func clocksThatChange(expression: String, zone: String, from: String, expected: [String]) throws {
        #expect(try due(expression, zone, from: from, count: expected.count) == expected)
    }

    @Test(arguments: [
        "", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *", "@reboot",
        "1,,2 * * * *",
        "0 0 30 2 *", "-1 * * * *", "1/ * * * *", "* * * * * * *", "99999999999999999999 * * * *",
    ]) func badExpressionsAreRefused(expression: String) {
        #expect(throws: ScheduleError.self) { try grid(expression) }
    }

    @Test(arguments: ["", "Mars/Olympus", "CEST", "GMT+2", "../../etc/passwd"]) func badZonesAreRefused(zone: String) {
        #expect(throws: ScheduleError.self) { try grid("@daily", zone) }
    }

    @Test func countingIsTheSameAsListing() throws {
        let from = try time("2026-03-20T07:13:00.000000Z")
        let to = try time("2026-04-05T19:00:00.000000Z")
        for expression in ["*/7 3-5 * * *", "30 2 * * *", "0 * * * *", "0 0 * * 1", "*/10 */5 * * * *"] {
            for zone in ["UTC", "Europe/Berlin", "America/New_York"] {
                let grid = try grid(expression, zone)
                #expect(grid.count(after: from, through: to) == grid.points(after: from, through: to, limit: 100_000).count, "\(expression) \(zone)")
            }
        }
    }

    @Test func countingStopsWhereItIsTold() throws {
        let from = try time("2026-03-20T07:13:00.000000Z")
        for (expression, zone) in [("* * * * *", "UTC"), ("*/7 3-5 * * *", "Europe/Berlin")] {
            let grid = try grid(expression, zone)
            #expect(grid.count(after: from, through: try time("9999-01-01T00:00:00.000000Z"), most: 1_001) == 1_001)
            #expect(
                grid.count(after: from, through: try time("2026-03-21T07:13:00.000000Z"), most: 10_000)
                    == grid.count(after: from, through: try time("2026-03-21T07:13:00.000000Z"))
            )
        }
    }

    @Test func intervalsStandOnAbsoluteTime() throws {
        let grid = try ScheduleGrid(.interval(seconds: 3_600))
        #expect(grid.next(after: try time("2026-01-01T00:59:59.999999Z")) == (try time("2026-01-01T01:00:00.000000Z")))
        #expect(grid.next(after: try time("2026-01-01T01:00:00.000000Z")) == (try time("2026-01-01T02:00:00.000000Z")))
        #expect(grid.last(after: .distantPast, through: try time("2026-01-01T01:30:00.000000Z")) == (try time("2026-01-01T01:00:00.000000Z")))
        #expect(throws: ScheduleError.self) { try ScheduleGrid(.interval(seconds: 0)) }
        #expect(throws: ScheduleError.self) { try ScheduleGrid(.barClose(instrument: "X", interval: "1y")) }
    }
}
