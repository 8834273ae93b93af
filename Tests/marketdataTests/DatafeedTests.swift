import Bars
import Contracts
import FoundationEssentials
import HTTPServing
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Seconds since 1970.
private func seconds(_ text: String) -> Int64 { at(text).seconds }

/// The times of an answer as text, so that a failure can be read.
private func shown(_ answer: JSONValue) -> [String] {
    guard case .array(let times)? = answer["t"] else { return [] }
    return times.map { String(Timestamp(seconds: $0.integer ?? 0).iso8601.prefix(16)) }
}

@Suite(.enabled(if: TestServers.hasPostgres)) struct DatafeedTests {
    /// SPY by the half hour on the days around Thanksgiving 2018: Wednesday, the short Friday, and Monday.
    private func thanksgiving(_ doors: ChartDoors) async throws {
        try await doors.store.create(listed("SPY", .equity, CalendarCatalogue.usEquity, tick: "0.01"))
        var bars = times(from: "2018-11-21T14:30:00Z", to: "2018-11-21T21:00:00Z", every: 1_800)
        bars += times(from: "2018-11-23T14:30:00Z", to: "2018-11-23T18:00:00Z", every: 1_800)
        bars += times(from: "2018-11-26T14:30:00Z", to: "2018-11-26T21:00:00Z", every: 1_800)
        try await doors.bench.take(rows(at: bars), as: "SPY.csv")
    }

    private func history(_ doors: ChartDoors, _ symbol: String, _ resolution: String, from: String, to: String, countback: Int? = nil) async throws
        -> JSONValue
    {
        let more = countback.map { "&countback=\($0)" } ?? ""
        return try await doors.udf("history?symbol=\(symbol)&resolution=\(resolution)&from=\(seconds(from))&to=\(seconds(to))\(more)")
    }

    @Test func countbackGoesOverAWeekendAndAHoliday() async throws {
        try await withChartDoors { doors in
            try await thanksgiving(doors)
            // Monday has 2 bars by then; the short Friday had 7, Thursday none.
            let answer = try await history(
                doors,
                "SPY",
                "30",
                from: "2018-11-26T14:30:00Z",
                to: "2018-11-26T15:30:00Z",
                countback: 11
            )
            #expect(answer["s"]?.string == "ok")
            #expect(
                shown(answer) == [
                    "2018-11-21T20:00", "2018-11-21T20:30", "2018-11-23T14:30", "2018-11-23T15:00", "2018-11-23T15:30", "2018-11-23T16:00",
                    "2018-11-23T16:30", "2018-11-23T17:00", "2018-11-23T17:30", "2018-11-26T14:30", "2018-11-26T15:00",
                ]
            )
            // Days: Wednesday, Friday, Monday, at midnight UTC of their trading dates.
            let days = try await history(doors, "SPY", "D", from: "2018-11-26T00:00:00Z", to: "2018-11-27T00:00:00Z", countback: 3)
            #expect(shown(days) == ["2018-11-21T00:00", "2018-11-23T00:00", "2018-11-26T00:00"])
            // More than there is: what there is, and then nothing older.
            let all = try await history(doors, "SPY", "D", from: "2018-11-26T00:00:00Z", to: "2018-11-27T00:00:00Z", countback: 300)
            #expect(shown(all).count == 3)
            #expect(
                try await history(doors, "SPY", "D", from: "2018-11-20T00:00:00Z", to: "2018-11-21T00:00:00Z", countback: 300)
                    == .object(["s": .string("no_data")])
            )
        }
    }

    @Test func anEmptyRangeNamesTheNearestEarlierBarOrNone() async throws {
        try await withChartDoors { doors in
            try await thanksgiving(doors)
            let saturday = try await history(doors, "SPY", "30", from: "2018-11-24T00:00:00Z", to: "2018-11-25T00:00:00Z")
            #expect(saturday == .object(["s": .string("no_data"), "nextTime": .integer(seconds("2018-11-23T17:30:00Z"))]))
            let weekend = try await history(doors, "SPY", "1D", from: "2018-11-24T00:00:00Z", to: "2018-11-26T00:00:00Z")
            #expect(weekend == .object(["s": .string("no_data"), "nextTime": .integer(seconds("2018-11-23T00:00:00Z"))]))
            let before = try await history(doors, "SPY", "30", from: "2018-11-01T00:00:00Z", to: "2018-11-02T00:00:00Z")
            #expect(before == .object(["s": .string("no_data")]))
            let nothing = try await history(doors, "SPY", "30", from: "2018-11-23T17:30:00Z", to: "2018-11-23T17:30:00Z")
            #expect(nothing["nextTime"]?.integer == seconds("2018-11-23T17:00:00Z"))
            // The start counts, the end does not.
            let edge = try await history(doors, "SPY", "30", from: "2018-11-23T17:00:00Z", to: "2018-11-23T17:30:00Z")
            #expect(shown(edge) == ["2018-11-23T17:00"])
        }
    }

    @Test func aSymbolIsWhatTheLibraryHasToKnow() async throws {
        try await withChartDoors { doors in
            try await thanksgiving(doors)
            let spy = try await doors.udf("symbols?symbol=SPY")
            #expect(spy["name"]?.string == "SPY" && spy["ticker"]?.string == "SPY" && spy["type"]?.string == "stock")
            #expect(spy["timezone"]?.string == "America/New_York")
            #expect(spy["session"]?.string == "0930-1600")
            #expect(spy["session_holidays"]?.string?.contains("20181122") == true)
            #expect(spy["corrections"]?.string?.split(separator: ";").contains("0930-1300:20181123") == true)
            #expect(spy["minmov"] == .integer(1) && spy["pricescale"] == .integer(100))
            #expect(spy["has_seconds"] == .bool(false) && spy["has_intraday"] == .bool(true) && spy["has_daily"] == .bool(true))
            #expect(spy["supported_resolutions"] == .array(["30", "60", "120", "180", "240", "1D", "1W", "1M"].map { .string($0) }))
            #expect(spy["intraday_multipliers"] == .array(["30", "60", "120", "180", "240"].map { .string($0) }))
            #expect(spy["data_status"]?.string == "endofday")
            #expect(spy["visible_plots_set"]?.string == "ohlcv")
            // By its whole name, in any case.
            #expect(try await doors.udf("symbols?symbol=us-equity:spy")["ticker"]?.string == "SPY")
            #expect(try await doors.udf("symbols?symbol=LSE:SPY")["errmsg"]?.string == "unknown_symbol")
            try await doors.bench.take(rows(at: times(from: "2016-10-10T10:00:00Z", to: "2016-10-10T10:01:00Z", every: 1)), as: "EURUSD.csv")
            let euro = try await doors.udf("symbols?symbol=EURUSD")
            #expect(euro["session"]?.string == "1700-1700" && euro["timezone"]?.string == "America/New_York")
            #expect(euro["has_seconds"] == .bool(true))
            #expect(euro["seconds_multipliers"] == .array(["1", "5", "10", "15", "30"].map { .string($0) }))
            // Nobody said what its tick is: the stored prices do, with a quarter at most.
            #expect(euro["pricescale"] == .integer(100))
            try await doors.store.create(listed("TICK", .future, CalendarCatalogue.cme, tick: "0.25"))
            let future = try await doors.udf("symbols?symbol=TICK")
            #expect(future["minmov"] == .integer(25) && future["pricescale"] == .integer(100) && future["session"]?.string == "1700-1600")
            try await doors.store.create(coin("BTCUSD"))
            let coin = try await doors.udf("symbols?symbol=BTCUSD")
            #expect(coin["session"]?.string == "24x7" && coin["timezone"]?.string == "Etc/UTC")
        }
    }

    @Test func daysOfThreeMarketsAcrossTheChangeOfClocks() async throws {
        try await withChartDoors { doors in
            try await doors.store.create(listed("SPY", .equity, CalendarCatalogue.usEquity))
            var stocks = times(from: "2017-03-09T14:30:00Z", to: "2017-03-09T21:00:00Z", every: 1_800)
            stocks += times(from: "2017-03-10T14:30:00Z", to: "2017-03-10T21:00:00Z", every: 1_800)
            stocks += times(from: "2017-03-13T13:30:00Z", to: "2017-03-13T20:00:00Z", every: 1_800)
            try await doors.bench.take(rows(at: stocks), as: "SPY.csv")
            let bars = try await history(doors, "SPY", "60", from: "2017-03-10T20:00:00Z", to: "2017-03-13T15:00:00Z")
            // Hours count from the opening; the last of Friday is cut at the close.
            #expect(shown(bars) == ["2017-03-10T20:30", "2017-03-13T13:30", "2017-03-13T14:30"])
            #expect(
                shown(try await history(doors, "SPY", "1D", from: "2017-03-10T00:00:00Z", to: "2017-03-14T00:00:00Z")) == [
                    "2017-03-10T00:00", "2017-03-13T00:00",
                ]
            )
            // Foreign exchange: days from 17:00 to 17:00 in New York, an hour earlier in UTC from Sunday the 12th on.
            try await doors.store.create(listed("EURUSD", .forex, CalendarCatalogue.forex))
            var hours = times(from: "2017-03-08T22:00:00Z", to: "2017-03-10T22:00:00Z", every: 3_600)
            hours += times(from: "2017-03-12T21:00:00Z", to: "2017-03-14T21:00:00Z", every: 3_600)
            try await doors.bench.take(rows(at: hours), as: "EURUSD.csv")
            let days = try await history(doors, "EURUSD", "1D", from: "2017-03-09T00:00:00Z", to: "2017-03-15T00:00:00Z")
            #expect(shown(days) == ["2017-03-09T00:00", "2017-03-10T00:00", "2017-03-13T00:00", "2017-03-14T00:00"])
            guard case .array(let closes)? = days["c"] else { throw TestSupportError("no closes") }
            // 24 hours each: the last of Thursday is the 24th row, of Friday the 48th …
            #expect(closes.map { String(decoding: WireJSON.encode($0), as: UTF8.self) } == ["123.25", "147.25", "171.25", "195.25"])
            // Weeks and months bear the first trading date.
            #expect(
                shown(try await history(doors, "EURUSD", "1W", from: "2017-03-01T00:00:00Z", to: "2017-03-20T00:00:00Z")) == [
                    "2017-03-06T00:00", "2017-03-13T00:00",
                ]
            )
            #expect(shown(try await history(doors, "SPY", "1M", from: "2017-03-01T00:00:00Z", to: "2017-04-01T00:00:00Z")) == ["2017-03-01T00:00"])
        }
    }

    @Test func aMonthBeginsOnItsFirstTradingDay() async throws {
        try await withChartDoors { doors in
            try await doors.store.create(listed("SPY", .equity, CalendarCatalogue.usEquity))
            // July 2017 began on a Saturday; the 3rd was a short Monday.
            try await doors.bench.take(rows(at: times(from: "2017-07-05T13:30:00Z", to: "2017-07-05T20:00:00Z", every: 1_800)), as: "SPY.csv")
            #expect(shown(try await history(doors, "SPY", "M", from: "2017-07-01T00:00:00Z", to: "2017-08-01T00:00:00Z")) == ["2017-07-03T00:00"])
            #expect(shown(try await history(doors, "SPY", "M", from: "2017-07-04T00:00:00Z", to: "2017-08-01T00:00:00Z")) == [])
        }
    }

    @Test func secondsAreNumbersAsTheyAreStored() async throws {
        try await withChartDoors { doors in
            let file =
                "time,open,high,low,close,volume\n2016-10-08T00:00:00,1.10,1.2000,1,1.15,0.5\n2016-10-08T00:00:01,1.15,1.3,1.1,1.25,7\n"
                + "2016-10-08T00:00:02,1.15,1.3,1.1,1.25,7\n"
            try await doors.bench.take(file, as: "BTCUSD.csv")
            let text = try await doors.client(doors.person)
                .get("/udf/history?symbol=BTCUSD&resolution=1S&from=\(seconds("2016-10-08T00:00:00Z"))&to=\(seconds("2016-10-08T00:00:02Z"))").text
            #expect(text == #"{"s":"ok","t":[1475884800,1475884801],"o":[1.1,1.15],"h":[1.2,1.3],"l":[1,1.1],"c":[1.15,1.25],"v":[0.5,7]}"#)
        }
    }

    @Test func aPauseAtNoonIsInTheSessionAndInTheBars() async throws {
        try await withChartDoors { doors in
            var tokyo = ExchangeCalendar(
                name: "tokyo",
                timeZone: "Asia/Tokyo",
                regular: (0..<7).map { $0 < 5 ? SessionHours(open: 32_400, close: 54_000) : nil },
                breaks: (0..<7).map { $0 < 5 ? SessionHours(open: 41_400, close: 45_000) : nil }
            )
            tokyo.earlyCloses = [CivilDay(year: 2016, month: 12, day: 30): 41_400]
            try await doors.store.save([tokyo])
            try await doors.store.create(listed("TOPIX", .index, tokyo))
            // 09:00–11:30 and 12:30–15:00 in Tokyo, and a print at noon that is none of the session.
            var bars = times(from: "2016-10-11T00:00:00Z", to: "2016-10-11T02:30:00Z", every: 300)
            bars.append(at("2016-10-11T03:00:00Z"))
            bars += times(from: "2016-10-11T03:30:00Z", to: "2016-10-11T06:00:00Z", every: 300)
            try await doors.bench.take(rows(at: bars), as: "TOPIX.csv")
            let symbol = try await doors.udf("symbols?symbol=TOPIX")
            #expect(symbol["session"]?.string == "0900-1130,1230-1500")
            #expect(symbol["corrections"]?.string == "0900-1130:20161230")
            let hours = try await history(doors, "TOPIX", "60", from: "2016-10-11T00:00:00Z", to: "2016-10-12T00:00:00Z")
            #expect(
                shown(hours) == [
                    "2016-10-11T00:00", "2016-10-11T01:00", "2016-10-11T02:00", "2016-10-11T03:30", "2016-10-11T04:30", "2016-10-11T05:30",
                ]
            )
            let five = try await history(doors, "TOPIX", "5", from: "2016-10-11T02:20:00Z", to: "2016-10-11T03:40:00Z")
            #expect(shown(five) == ["2016-10-11T02:20", "2016-10-11T02:25", "2016-10-11T03:30", "2016-10-11T03:35"])
            let day = try await history(doors, "TOPIX", "1D", from: "2016-10-11T00:00:00Z", to: "2016-10-12T00:00:00Z")
            #expect(shown(day) == ["2016-10-11T00:00"])
        }
    }

    @Test(arguments: ["30", "60", "1D"]) func answersAreTheSameWhateverWayTheRangeIsCut(resolution: String) async throws {
        try await withChartDoors { doors in
            try await thanksgiving(doors)
            let (from, to) = ("2018-11-20T00:00:00Z", "2018-11-28T00:00:00Z")
            let whole = try await history(doors, "SPY", resolution, from: from, to: to)
            for step in [1_800, 5_000, 43_200, 86_400, 200_000] {
                var cut: [String: [JSONValue]] = [:]
                var start = at(from)
                while start < at(to) {
                    let end = min(start + .seconds(step), at(to))
                    let part = try await history(doors, "SPY", resolution, from: start.iso8601, to: end.iso8601)
                    for name in ["t", "o", "h", "l", "c", "v"] { if case .array(let values)? = part[name] { cut[name, default: []] += values } }
                    start = end
                }
                for name in ["t", "o", "h", "l", "c", "v"] { #expect(whole[name] == .array(cut[name] ?? []), "\(name) by \(step) s") }
            }
            // Backward as well, as the library scrolls.
            var back: [JSONValue] = []
            var end = to
            while true {
                let part = try await history(doors, "SPY", resolution, from: from, to: end, countback: 3)
                guard case .array(let values)? = part["t"], let first = values.first?.integer else { break }
                back = values + back
                end = Timestamp(seconds: first).iso8601
            }
            #expect(whole["t"] == .array(back))
        }
    }

    @Test func theRunningBarStandsAtTheRightEdge() async throws {
        try await withChartDoors { doors in
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 1_440), as: "BTCUSD.csv")
            let client = try doors.client(Person(roles: ["provider"]))
            #expect(try await client.post("/api/replays", json: ["instrument": "BTCUSD"]).status == 201)
            let history = "history?symbol=BTCUSD%40REPLAY-1&resolution=5&from=0&to=\(Timestamp.now().seconds)&countback=5"
            // Nothing is released yet.
            #expect(try await doors.udf(history) == .object(["s": .string("no_data")]))
            let replay = try #require(try await doors.store.claimReplays(runner: "me", leaseSeconds: 60).first)
            let step = ReplayStep(replayID: replay.id, from: replay.releasedThrough, through: at("2016-10-08T00:07:00Z"), bars: 7, closes: [])
            #expect(try await doors.store.release(step, runner: "me") != nil)
            // Of the second bar two minutes are known.
            let answer = try await doors.udf(history)
            #expect(shown(answer) == ["2016-10-08T00:00", "2016-10-08T00:05"])
            #expect(answer["c"] == .array([104.25, 106.25]))
            let chart = try await doors.historical(try await doors.token(), "BTCUSD@replay-1", "5m", "2016-10-08", "2016-10-08").json()
            #expect(chart["count"] == .integer(1))
            #expect(try await doors.udf("symbols?symbol=BTCUSD@replay-1")["data_status"]?.string == "streaming")
        }
    }

    @Test func searchFindsByTextTypeAndExchange() async throws {
        try await withChartDoors { doors in
            for symbol in ["BTCUSD", "ETHUSD", "BTCEUR"] { try await doors.store.create(coin(symbol)) }
            try await doors.store.create(listed("USDX", .index, CalendarCatalogue.usEquity))
            func found(_ query: String) async throws -> [String] {
                guard case .array(let items) = try await doors.udf("search?\(query)") else { return ["?"] }
                return items.map { $0["symbol"]?.string ?? "-" }
            }
            #expect(try await found("query=USD") == ["BTCUSD", "ETHUSD", "USDX"])
            #expect(try await found("query=usd&type=crypto&exchange=&limit=1") == ["BTCUSD"])
            #expect(try await found("query=&type=index") == ["USDX"])
            #expect(try await found("query=USD&exchange=US-EQUITY") == ["USDX"])
            #expect(try await found("query=ALWAYS-OPEN:BTC") == ["BTCEUR", "BTCUSD"])
            for hostile in ["NONE", "%27%3B+DROP+TABLE+instruments", "%25", String(repeating: "A", count: 500), "%F0%9F%92%A5"] {
                #expect(try await found("query=\(hostile)") == [], "\(hostile)")
            }
            let whole = try await doors.udf("search?query=BTCUSD")[0]
            #expect(whole?["full_name"]?.string == "ALWAYS-OPEN:BTCUSD" && whole?["type"]?.string == "crypto")
        }
    }

    @Test(arguments: [
        ("symbols?symbol=NONE", 404, "unknown_instrument"), ("symbols?symbol=%27%3B+DROP+TABLE", 404, "unknown_instrument"),
        ("symbols?symbol=" + String(repeating: "A", count: 4_000), 404, "unknown_instrument"),
        ("symbols?symbol=:", 404, "unknown_instrument"), ("symbols?symbol=::BTCUSD", 404, "unknown_instrument"),
        ("symbols", 400, "missing_parameter"),
        ("history?symbol=NONE&resolution=1&from=0&to=1", 404, "unknown_instrument"),
        ("history?symbol=BTCUSD&resolution=1&from=2&to=1", 400, "invalid_parameter"),
        ("history?symbol=BTCUSD&resolution=1&from=2&to=1&countback=2", 400, "invalid_parameter"),
        ("history?symbol=BTCUSD&resolution=1&from=x&to=1", 400, "invalid_parameter"),
        ("history?symbol=BTCUSD&resolution=1&to=1", 400, "missing_parameter"),
        ("history?symbol=BTCUSD&resolution=1&from=1", 400, "missing_parameter"),
        ("history?symbol=BTCUSD&resolution=1&from=0&to=1&countback=1000000000", 400, "invalid_parameter"),
        ("history?symbol=BTCUSD&resolution=1S&from=0&to=1", 422, "interval_not_available"),
        ("history?symbol=BTCUSD&resolution=90S&from=0&to=1", 422, "interval_not_available"),
        ("history?symbol=BTCUSD&resolution=1h&from=0&to=1", 400, "invalid_resolution"),
        ("history?symbol=BTCUSD&resolution=1T&from=0&to=1", 400, "invalid_resolution"),
        ("history?symbol=BTCUSD&resolution=0&from=0&to=1", 400, "invalid_resolution"),
        ("history?symbol=BTCUSD&resolution=99999M&from=0&to=1", 400, "invalid_resolution"),
        ("history?symbol=BTCUSD&resolution=&from=0&to=1", 400, "missing_parameter"), ("marks?symbol=NONE", 404, "unknown_instrument"),
    ])
    func refusalsAreInTheLibrarysWords(path: String, status: Int, code: String) async throws {
        try await withChartDoors { doors in
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
            let answer = try await doors.client(doors.person).get("/udf/\(path)")
            let json = try answer.json()
            #expect(answer.status == status && json["s"]?.string == "error" && json["code"]?.string == code, "\(answer.text)")
            if status == 404 { #expect(json["errmsg"]?.string == "unknown_symbol") }
            #expect(answer.headers["content-type"] == "application/json")
        }
    }

    @Test func aBillionBarsAreRefusedWithTheLimit() async throws {
        try await withChartDoors { doors in
            for day in 1..<4 {
                let all = times(from: "2016-10-0\(day)T00:00:00Z", to: "2016-10-0\(day + 1)T00:00:00Z", every: 4)
                try await doors.bench.take(rows(at: all), as: "BTCUSD.csv")
            }
            let answer = try await doors.client(doors.person).get("/udf/history?symbol=BTCUSD&resolution=4S&from=0&to=1000000000000")
            #expect(answer.status == 422)
            let json = try answer.json()
            #expect(json["s"]?.string == "error" && json["code"]?.string == "too_many_bars" && json["maximum_bars"] == .integer(50_000))
            #expect(json["errmsg"]?.string?.contains("50000") == true)
            let some = try await doors.udf("history?symbol=BTCUSD&resolution=4S&from=-9000000000000&to=1000000000000&countback=50000")
            #expect(shown(some).count == 50_000)
        }
    }

    @Test func theRestIsThereByHeaderAndByTokenInThePath() async throws {
        let time = ManualTimeSource(at("2026-11-29T10:00:00Z"))
        try await withChartDoors(time: time) { doors in
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
            let key = doors.credentials.apiKeys.make(roles: ["subscriber"], scopes: ["bars:read"])
            let token = try await doors.token(doors.client(key: key))
            for (client, base) in [(doors.client(key: key), "/udf"), (doors.stranger, "/udf/session/\(token)")] {
                let configuration = try await client.get("\(base)/config").json()
                #expect(configuration["supports_search"] == .bool(true) && configuration["supports_group_request"] == .bool(false))
                #expect(configuration["supports_time"] == .bool(true))
                #expect(configuration["exchanges"]?[0]?["value"]?.string == "")
                #expect(configuration["symbols_types"]?[0]?["name"] != nil)
                guard case .array(let resolutions)? = configuration["supported_resolutions"] else { throw TestSupportError("none") }
                #expect(Set(["1S", "1", "60", "1D", "1W", "1M"]).isSubset(of: Set(resolutions.compactMap(\.string))))
                let now = try await client.get("\(base)/time")
                #expect(now.text == "\(time.now().seconds)" && now.headers["content-type"]?.hasPrefix("text/plain") == true)
                let marks = try await client.get("\(base)/marks?symbol=BTCUSD&from=0&to=1&resolution=1").json()
                #expect(marks["id"] == .array([]) && marks["labelFontColor"] == .array([]) && marks["minSize"] == .array([]))
                #expect(try await client.get("\(base)/history?symbol=BTCUSD&resolution=1&from=0&to=1475884860").json()["s"]?.string == "ok")
                #expect(try await client.get("\(base)/search?query=BTC").json()[0]?["ticker"]?.string == "BTCUSD")
                #expect(try await client.get("\(base)/symbols?symbol=BTCUSD").json()["name"]?.string == "BTCUSD")
            }
            #expect(try await doors.stranger.get("/udf/config?session_token=\(token)").status == 200)
            for path in ["/udf/config", "/udf/session/x/config", "/udf/time", "/udf/history?symbol=BTCUSD"] {
                let refused = try await doors.stranger.get(path)
                #expect(refused.status == 401, "\(path)")
                #expect(try refused.json()["s"]?.string == "error", "\(path)")
            }
            let other = doors.credentials.apiKeys.make(roles: ["subscriber"], scopes: ["jobs:write"])
            #expect(try await doors.client(key: other).get("/udf/config").status == 403)
        }
    }

    @Test func hoursAreSpelledAsTheLibraryReadsThem() {
        func spelled(_ regular: [SessionHours?], _ change: (inout ExchangeCalendar) -> Void = { _ in }) -> UDFSession {
            var calendar = ExchangeCalendar(name: "x", timeZone: "UTC", regular: regular)
            change(&calendar)
            return UDFSession(calendar)
        }
        let day = SessionHours(open: 34_200, close: 57_600)
        let short = SessionHours(open: 34_200, close: 46_800)
        #expect(spelled([day, day, day, day, short, nil, nil]).session == "0930-1600:2345|0930-1300:6")
        #expect(spelled([nil, nil, nil, nil, nil, day, day]).session == "0930-1600:17")
        #expect(spelled([day, day, day, day, day, nil, nil]).session == "0930-1600")
        let evening = SessionHours(open: -3_600, close: 84_600)
        #expect(spelled([evening, evening, evening, evening, evening, nil, nil]).session == "2300F1-2330")
        #expect(spelled([SessionHours?](repeating: SessionHours(open: 0, close: 86_400), count: 7)).session == "24x7")
        let late = spelled([day, day, day, day, day, nil, nil]) {
            $0.lateOpens = [CivilDay(year: 2024, month: 1, day: 2): 36_000]
            $0.earlyCloses = [CivilDay(year: 2024, month: 1, day: 2): 46_800, CivilDay(year: 2024, month: 1, day: 6): 46_800]
            $0.holidays = [CivilDay(year: 2024, month: 1, day: 3), CivilDay(year: 2023, month: 12, day: 25)]
        }
        #expect(late.corrections == "1000-1300:20240102")
        #expect(late.holidays == "20231225,20240103")
    }

    @Test(
        arguments: [("0.01", 1, 100), ("0.25", 25, 100), ("5", 5, 1), ("0.00001", 1, 100_000), ("0.0125", 125, 10_000), ("1", 1, 1), ("10", 10, 1)]
            as [(String, Int64, Int64)]
    )
    func aTickIsMovesOfAScale(tick: String, move: Int64, scale: Int64) throws {
        let found = try #require(DecimalText(tick).flatMap(UDFPriceScale.init(tick:)))
        #expect(found.minimumMove == move && found.scale == scale)
    }
}
