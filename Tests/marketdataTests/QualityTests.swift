import Bars
import Contracts
import FoundationEssentials
import HTTPServing
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Minutes of a stock on 2014-06-05, each a line of open, high, low, close.
private func stock(_ rows: [(Int, String)]) -> String {
    rows.map { "\($0.0 * 60_000),\($0.1),100" }.joined(separator: "\n") + "\n"
}

/// A whole regular session at a price, in ten-thousandths.
private func session(_ price: Int = 1_000_000, without: Range<Int> = 0..<0) -> [(Int, String)] {
    (570..<960).filter { !without.contains($0) }.map { ($0, "\(price),\(price + 1_000),\(price - 1_000),\(price)") }
}

extension Bench {
    fileprivate func takeStock(_ rows: [(Int, String)], on date: String = "20140605") async throws {
        _ = try await importer.run(
            Array(stock(rows).utf8),
            path: "equity/usa/minute/xyz/\(date)_trade.zip",
            options: ImportOptions()
        )
    }

    fileprivate func report(_ symbol: String = "XYZ", _ start: String? = nil, _ end: String? = nil) async throws -> QualityReport {
        try await quality.report(on: symbol, start: start.map { at($0) }, end: end.map { at($0) })
    }
}

@Suite(.enabled(if: TestServers.hasPostgres)) struct QualityTests {
    @Test(arguments: StoreKind.allCases) func aWholeSessionIsClean(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.takeStock(session())
            try await bench.takeStock(session(), on: "20140606")
            // A split over the weekend, and an opening a fifth higher the day after, are no outliers; nor is the weekend a hole.
            try await bench.takeStock(session(142_857), on: "20140609")
            try await bench.takeStock(session(175_000), on: "20140610")
            let report = try await bench.report()
            #expect(report.isClean, "\(QualityCommand.lines(report))")
            #expect(report.series.map(\.rows) == [4 * 390])
            #expect(report.series.map(\.days) == [4])
            #expect(QualityCommand.lines(report).last == "nothing odd")
        }
    }

    @Test func holesInsideSessionsAreNamed() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        // From 12:00 to 12:30, which is enough; from 14:00 to 14:29, which is not.
        try await bench.takeStock(session(without: 720..<750).filter { !(840..<869).contains($0.0) })
        let holes = try await bench.report().series[0].holes
        #expect(holes.count == 1)
        #expect(holes.places.first?.start == at("2014-06-05T16:00:00Z"))
        #expect(holes.places.first?.end == at("2014-06-05T16:30:00Z"))
        #expect(holes.places.first?.what == "no bar for 30 minutes of a session")
        // The afternoon of one day and the morning of another, with a whole day and a weekend between, are one hole.
        try await bench.takeStock(session(without: 900..<960), on: "20140605")
        try await bench.takeStock(session(without: 570..<700), on: "20140609")
        let long = try await bench.report().series[0].holes
        #expect(long.count == 1)
        #expect(long.places.first?.start == at("2014-06-05T19:00:00Z"))
        #expect(long.places.first?.end == at("2014-06-09T15:40:00Z"))
        #expect(long.places.first?.what == "no bar in 3 sessions, or parts of them")
    }

    /// The session after the last bar counts as far as the file spoke for it.
    @Test func aSeriesThatStopsIsAHole() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.takeStock(session(without: 800..<960))
        let holes = try await bench.report().series[0].holes
        #expect(holes.places.map(\.start) == [at("2014-06-05T17:20:00Z")])
        #expect(holes.places.map(\.end) == [at("2014-06-05T20:00:00Z")])
        // Asked for an hour of it, the report says what lies in that hour.
        let hour = try await bench.report("XYZ", "2014-06-05T18:00:00Z", "2014-06-05T19:00:00Z").series[0]
        #expect(hour.rows == 0)
        #expect(hour.holes.places.map(\.end) == [at("2014-06-05T19:00:00Z")])
    }

    @Test func missingDaysOfADailySeriesAreHoles() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        let rows = ["20140602", "20140603", "20140605", "20140606"].map { "\($0) 00:00,1000000,1000000,1000000,1000000,5" }.joined(separator: "\n")
        _ = try await bench.importer.run(Array(rows.utf8), path: "xyz.csv", options: ImportOptions(assetClass: .equity))
        let report = try await bench.report()
        #expect(report.series[0].holes.places.map(\.start) == [at("2014-06-04T13:30:00Z")])
        #expect(report.series[0].holes.places.map(\.end) == [at("2014-06-04T20:00:00Z")])
    }

    @Test func barsThatCannotBeAreFlagged() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        var rows = session()
        rows[100].1 = "6455700,6455700,922300,924200"
        rows[200].1 = "1000000,1300000,1000000,1000000"
        rows[389].1 = "1000000,1500000,600000,1000000"
        try await bench.takeStock(rows)
        try await bench.takeStock(session(), on: "20140606")
        let series = try await bench.report().series[0]
        #expect(series.outliers.count == 3)
        #expect(series.outliers.places.map(\.start) == [at("2014-06-05T15:10:00Z"), at("2014-06-05T16:50:00Z"), at("2014-06-05T19:59:00Z")])
        #expect(series.outliers.places.first?.what.hasPrefix("645.57 645.57 92.23 92.42") == true)
        #expect(series.notPositive.count == 0)
    }

    @Test func pricesOfZeroAndLessAreNamed() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        let text =
            "time,open,high,low,close,volume\n2020-04-20T18:00:00,10,10,0,1,5\n2020-04-20T18:01:00,1,1,-37.63,-37.63,5\n2020-04-20T18:02:00,1,1,1,1,5\n"
        try await bench.take(text, as: "BTCUSD.csv")
        let series = try await bench.report("BTCUSD").series[0]
        #expect(series.notPositive.count == 2)
        #expect(series.notPositive.places.last?.what == "a price is -37.63")
    }

    @Test func aBidAboveTheAskIsNamed() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        let rows = (0..<60).map { minute in
            let bid = minute == 30 ? "1.3010,1.3010,1.3010,1.3010" : "1.3000,1.3000,1.3000,1.3000"
            return "\(minute * 60_000),\(bid),1,1.3005,1.3005,1.3005,1.3005,1"
        }
        _ = try await bench.importer.run(
            Array((rows.joined(separator: "\n") + "\n").utf8),
            path: "forex/oanda/minute/eurusd/20140507_quote.zip",
            options: ImportOptions()
        )
        let report = try await bench.report("EURUSD")
        #expect(report.negativeSpreads.map(\.interval) == ["1m"])
        #expect(report.negativeSpreads.first?.found.count == 1)
        #expect(report.negativeSpreads.first?.found.places.first?.start == at("2014-05-07T00:30:00Z"))
    }

    @Test(arguments: StoreKind.allCases) func whatImportsSawIsTold(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            let head = "time,open,high,low,close,volume\n"
            func row(_ time: String, _ prices: String = "1,1,1,1") -> String { "2020-04-\(time):00,\(prices),5\n" }
            var text = head
            for minute in 10..<50 { text += row("20T18:\(minute)") }
            // Out of order, but its day can be used.
            text += row("21T18:11") + row("21T18:10") + row("21T18:12")
            // Twice the same minute, and a high below the low: these days are left alone.
            text += row("22T18:10") + row("22T18:11") + row("22T18:11")
            text += row("23T18:10") + row("23T18:11", "1,0.5,2,1")
            let outcome = try await bench.take(text, as: "BTCUSD.csv")
            #expect(outcome.days == .init(added: 2, refused: 2))
            try await bench.take(text, as: "BTCUSD.csv")
            let seen = try await bench.report("BTCUSD", "2020-04-01T00:00:00Z", "2020-05-01T00:00:00Z").imports
            #expect(
                seen.map { "\($0.day) \($0.kind) \($0.rows)" } == ["2020-04-21 out_of_order 1", "2020-04-22 duplicate 1", "2020-04-23 refused 1"]
            )
            #expect(seen.map(\.firstLine) == [43, 47, 49])
            #expect(seen.first?.file == "BTCUSD.csv")
            // A file that is refused whole leaves its trace too.
            await #expect(throws: ImportError.self) {
                try await bench.take(head + row("24T18:10") + row("24T18:11") + row("24T18:11"), as: "BTCUSD.csv")
            }
            let after = try await bench.report("BTCUSD", "2020-04-24T00:00:00Z", "2020-05-01T00:00:00Z").imports
            #expect(after.map { "\($0.day) \($0.kind) \($0.rows)" } == ["2020-04-24 duplicate 1"])
        }
    }

    /// Daily bars come in runs of four hundred days: what lies on a seam is judged once, with its neighbours.
    @Test func runsOfDaysJoin() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        var text = "time,open,high,low,close,volume\n"
        for day in 0..<1_000 {
            let time = (at("2015-01-01T00:00:00Z") + .seconds(86_400 * day)).iso8601.prefix(19)
            let high = [398, 399, 400, 401, 799].contains(day) ? "300" : "101"
            text += "\(time),100,\(high),99,100,5\n"
        }
        try await bench.take(text, as: "BTCUSD.csv")
        let series = try await bench.report("BTCUSD", "2015-01-01T00:00:00Z", "2018-01-01T00:00:00Z").series[0]
        #expect(series.rows == 1_000)
        #expect(series.holes.count == 0)
        #expect(series.outliers.count == 5)
    }

    @Test func whatIsTooLongIsRefusedWithWhatWouldBeRight() async throws {
        try await withDoors { doors in
            let client = doors.client(key: doors.makeKey(scopes: ["bars:read"]))
            let path = "/api/instruments/BTCUSD/quality"
            let report = try await client.get(path)
            #expect(report.status == 200)
            #expect(try report.json()["series"]?[0]?["rows"] == .integer(30))
            #expect(try report.json()["series"]?[0]?["holes"]?["count"] == .integer(0))
            let long = try await client.get(path + "?start=2000-01-01T00:00:00Z&end=2020-01-01T00:00:00Z")
            #expect(long.verdict == "422 range_too_long")
            #expect(long.problemField == "start")
            #expect(try await client.get(path + "?start=2016-10-08T00:00:00Z&end=2016-10-08T00:00:00Z").verdict == "400 invalid_parameter")
            #expect(try await client.get("/api/instruments/NONE/quality").verdict == "404 unknown_instrument")
            // The edges of the years that there are.
            #expect(try await client.get(path + "?start=2400-12-31T23:59:59Z").status < 500)
            #expect(try await client.get(path + "?end=1600-01-01T00:00:00Z").status < 500)
        }
    }

    @Test func theCommandTakesASymbolAndARange() throws {
        let parsed = try QualityCommand.parse(["XYZ", "--start", "2014-06-05T00:00:00Z"])
        #expect(parsed.symbol == "XYZ" && parsed.start == at("2014-06-05T00:00:00Z") && parsed.end == nil)
        for words in [[], ["--start"], ["XYZ", "--start", "soon"], ["XYZ", "ABC"], ["XYZ", "--loud"], ["x y"]] {
            #expect(throws: CommandError.self) { try QualityCommand.parse(words) }
        }
        #expect(throws: CommandError.self) {
            try QualityCommand.parse(["XYZ", "--start", "2014-06-05T00:00:00Z", "--end", "2014-06-05T00:00:00Z"])
        }
    }
}
