import Bars
import Contracts
import HTTPServing
import Postgres
import TestSupport
import Testing

@testable import marketdata

/// When markets are open and when bars close, as the scheduler is told.
struct MarketHoursTests {
    private func at(_ text: String) throws -> Int64 { try #require(Timestamp(iso8601: text)).microseconds }

    private func text(_ sessions: [Range<Int64>]) -> [String] {
        sessions.map {
            "\(Timestamp(microseconds: $0.lowerBound).iso8601.prefix(16)) \(Timestamp(microseconds: $0.upperBound).iso8601.dropFirst(11).prefix(5))"
        }
    }

    @Test func holidaysAndHalfDays() throws {
        let hours = MarketHours(try TradingClock(CalendarCatalogue.usEquity))
        let thanksgiving = hours.sessions(from: try at("2026-11-25T00:00:00Z"), through: try at("2026-11-30T14:30:00Z"))
        #expect(text(thanksgiving) == ["2026-11-25T14:30 21:00", "2026-11-27T14:30 18:00", "2026-11-30T14:30 21:00"])
        // Both bounds are about the open.
        let none = hours.sessions(from: try at("2026-11-25T14:30:00.000001Z"), through: try at("2026-11-27T14:29:59Z"))
        #expect(none.isEmpty)
        // The clocks change, the bell does not.
        let spring = hours.sessions(from: try at("2026-03-06T00:00:00Z"), through: try at("2026-03-09T23:00:00Z"))
        #expect(text(spring) == ["2026-03-06T14:30 21:00", "2026-03-09T13:30 20:00"])
    }

    @Test func daysThatBeginTheEveningBefore() throws {
        let hours = MarketHours(try TradingClock(CalendarCatalogue.forex))
        let found = hours.sessions(from: try at("2026-01-04T00:00:00Z"), through: try at("2026-01-06T00:00:00Z"))
        #expect(text(found) == ["2026-01-04T22:00 22:00", "2026-01-05T22:00 22:00"])
    }

    @Test func aPauseDividesASession() throws {
        var calendar = CalendarCatalogue.eurex
        calendar.breaks = (0..<7).map { $0 < 5 ? SessionHours(open: 43_200, close: 46_800) : nil }
        let found = MarketHours(try TradingClock(calendar)).sessions(from: try at("2026-01-05T00:00:00Z"), through: try at("2026-01-05T23:00:00Z"))
        #expect(text(found) == ["2026-01-05T08:00 11:00", "2026-01-05T12:00 16:30"])
    }

    @Test func barsOfSessionsAndOfEverAndEver() throws {
        let hour: Int64 = 3_600_000_000
        let grid = SessionGrid(clock: try TradingClock(CalendarCatalogue.usEquity), kind: .regular, intervalMicroseconds: hour)
        let found = ExpectedCloses.stretches(of: grid, after: try at("2026-11-25T16:00:00Z"), through: try at("2026-11-27T16:40:00Z"))
        #expect(
            found.map { "\($0.startsAt.iso8601.prefix(16)) \($0.endsAt.iso8601.prefix(16))" } == [
                "2026-11-25T15:30 2026-11-25T21:00", "2026-11-27T14:30 2026-11-27T16:30",
            ]
        )
        let endless = ExpectedCloses.stretches(of: EpochGrid(intervalMicroseconds: hour), after: 30 * 60_000_000, through: 4 * hour + 5)
        #expect(endless == [.init(startsAt: Timestamp(seconds: 0), endsAt: Timestamp(seconds: 4 * 3_600), barMicroseconds: hour)])
        #expect(ExpectedCloses.stretches(of: EpochGrid(intervalMicroseconds: hour), after: 5, through: 6).isEmpty)
        let days = PeriodGrid(clock: try TradingClock(CalendarCatalogue.usEquity), kind: .regular, interval: .days(1))
        let closes = ExpectedCloses.stretches(of: days, after: try at("2026-11-25T16:00:00Z"), through: try at("2026-11-30T20:59:00Z"))
        #expect(closes.map { String($0.endsAt.iso8601.prefix(16)) } == ["2026-11-25T21:00", "2026-11-27T18:00"])
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func theSchedulerIsTold() async throws {
        try await withDoors { doors in
            let scheduler = try doors.service("scheduler")
            let path = "/internal/v1/instruments/BTCUSD/sessions?from=2026-01-01T00:00:00Z&through=2026-01-02T00:00:00Z"
            let answer = try await scheduler.get(path).json()
            #expect(answer["calendar"] == "always-open" && answer["sessions"]?.array?.count == 2)
            #expect(answer["sessions"]?.array?.first == ["opens_at": "2026-01-01T00:00:00.000000Z", "closes_at": "2026-01-02T00:00:00.000000Z"])
            #expect(try await doors.service("executor").get(path).status == 403)
            #expect(try await scheduler.get(path.replacing("BTCUSD", with: "NONE")).verdict.hasPrefix("404 unknown_instrument"))
            for bad in ["", "?from=2026-01-01T00:00:00Z", "?from=2026-01-02T00:00:00Z&through=2026-01-01T00:00:00Z", "?from=x&through=y"] {
                #expect(try await scheduler.get("/internal/v1/instruments/BTCUSD/sessions\(bad)").status == 400)
                #expect(try await scheduler.get("/internal/v1/instruments/BTCUSD/closes\(bad)").status == 400)
            }
            // Nothing is expected of an instrument that no feed tells of.
            let closes = "/internal/v1/instruments/BTCUSD/closes?interval_seconds=60&from=2026-01-01T00:00:00Z&through=2026-01-01T01:00:00Z"
            let silent = try await scheduler.get(closes).json()
            #expect(silent["live_since"] == nil && silent["stretches"]?.array?.isEmpty == true && silent["silence"] == "not_live")
            let instrument = try #require(try await doors.store.description(of: "BTCUSD", on: .moment(.now()))).instrument.id
            _ = try await LiveSubscriptionStore(pool: doors.pool).put(instrument, source: "test", symbol: "BTCUSD", barSeconds: 60)
            let live = try await scheduler.get(closes).json()
            #expect(live["live_since"]?.string != nil && live["silence"] == nil)
            #expect(
                live["stretches"]?.array == [
                    ["starts_at": "2026-01-01T00:00:00.000000Z", "ends_at": "2026-01-01T01:00:00.000000Z", "bar_microseconds": 60_000_000]
                ]
            )
            // Bars that cannot be made of what is stored never close.
            let never = try await scheduler.get(closes.replacing("interval_seconds=60", with: "interval_seconds=7")).json()
            #expect(never["live_since"] == nil && never["silence"] == "not_made")
            #expect(try await doors.service("signals").get(closes).status == 403)
            let subscription = try #require(try await LiveSubscriptionStore(pool: doors.pool).subscription(of: instrument))
            try await LiveSubscriptionStore(pool: doors.pool).note(.refused, "no such symbol", of: subscription)
            let refused = try await scheduler.get(closes).json()
            #expect(refused["live_since"] == nil && refused["silence"] == "refused")
        }
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func theSchedulerIsToldWhatClosedInThePast() async throws {
        try await withDoors { doors in
            let scheduler = try doors.service("scheduler")
            let path = "/internal/v1/instruments/BTCUSD/past-closes"
            // There are the minutes from midnight to half past.
            func closes(_ query: String) async throws -> JSONValue { try await scheduler.get("\(path)?\(query)").json() }
            func ends(_ answer: JSONValue) -> [String] { (answer["closes"]?.array ?? []).compactMap { $0["end"]?.string } }
            let tens = try await closes("interval_seconds=600&from=2016-10-07T00:00:00Z&through=2016-10-08T00:20:00Z")
            #expect(ends(tens) == ["2016-10-08T00:10:00.000000Z", "2016-10-08T00:20:00.000000Z"] && tens["has_more"] == false)
            // Of history a bar is known at its end.
            #expect(tens["closes"]?.array?.allSatisfy { $0["known_at"] == $0["end"] } == true)
            // Behind `from`, and up to and with `through`.
            let minutes = try await closes("interval_seconds=60&from=2016-10-08T00:10:00Z&through=2016-10-08T00:12:00Z")
            #expect(ends(minutes) == ["2016-10-08T00:11:00.000000Z", "2016-10-08T00:12:00.000000Z"])
            let some = try await closes("interval_seconds=60&from=2016-10-08T00:00:00Z&through=2016-10-09T00:00:00Z&limit=3")
            #expect(some["closes"]?.array?.count == 3 && some["has_more"] == true)
            #expect(try await closes("interval_seconds=60&from=1900-01-01T00:00:00Z&through=2016-10-07T00:00:00Z")["closes"] == [])
            // A month of 31 days began before the 30 that it counts as.
            let month = try await closes("interval_seconds=2592000&from=2016-10-31T12:00:00Z&through=2016-11-02T00:00:00Z")
            #expect(ends(month) == ["2016-11-01T00:00:00.000000Z"])
            // Bars of which there are none close nowhere.
            #expect(try await closes("interval_seconds=60&from=2016-10-08T00:30:00Z&through=2016-10-08T01:00:00Z")["closes"] == [])
            let query = "?interval_seconds=60&from=2016-10-08T00:00:00Z&through=2016-10-08T00:20:00Z"
            #expect(try await doors.service("executor").get(path + query).status == 403)
            #expect(try await scheduler.get(path.replacing("BTCUSD", with: "NONE") + query).verdict.hasPrefix("404 unknown_instrument"))
            #expect(try await scheduler.get(path + query.replacing("=60", with: "=7")).verdict.hasPrefix("422 interval_not_available"))
            for bad in ["", "?from=x&through=y", query.replacing("00:00:00Z", with: "23:00:00Z"), query + "&x=1", query + "&limit=0"] {
                #expect(try await scheduler.get(path + bad).status == 400, "\(bad)")
            }
        }
    }

    /// A database that does not answer is no reason to expect nothing.
    @Test(.enabled(if: TestServers.hasPostgres)) func whatCannotBeLookedUpIsNotNothing() async throws {
        try await withPostgresStore { store, pool, superuser in
            let doors = try await Doors(store, pool)
            let closes = "/internal/v1/instruments/BTCUSD/closes?interval_seconds=60&from=2026-01-01T00:00:00Z&through=2026-01-01T01:00:00Z"
            let instrument = try #require(try await store.description(of: "BTCUSD", on: .moment(.now()))).instrument.id
            _ = try await LiveSubscriptionStore(pool: pool).put(instrument, source: "test", symbol: "BTCUSD", barSeconds: 60)
            // A calendar that no reader has in its memory, and whose table is away.
            try await superuser.execute("UPDATE instruments SET calendar = 'us-equity'")
            try await superuser.execute("ALTER TABLE calendars RENAME TO calendars_away")
            #expect(try await doors.service("scheduler").get(closes).status >= 500)
            try await superuser.execute("ALTER TABLE calendars_away RENAME TO calendars")
            #expect(try await doors.service("scheduler").get(closes).json()["live_since"]?.string != nil)
            // A calendar that there is not is a fault of ours as well, and no word of the market's.
            try await superuser.execute("UPDATE instruments SET calendar = 'none'")
            #expect(try await doors.service("scheduler").get(closes).status >= 400)
            await doors.clear()
        }
    }
}
