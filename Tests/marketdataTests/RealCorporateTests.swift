import Bars
import Contracts
import HTTPServing
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Real files through the store and the reader, as a user imports and asks.
@Suite(.enabled(if: SharedData.isPresent && TestServers.hasPostgres, "needs ../shared/data and PostgreSQL")) struct RealCorporateTests {
    private func take(_ paths: [String], _ bench: Bench) async throws {
        let root = try #require(SharedData.root)
        for path in paths {
            let name = "data/lean/equity/usa/\(path)"
            let bytes = try #require(Files.read("\(root)/\(name)"))
            _ = try await bench.importer.run(bytes, path: name, options: ImportOptions())
        }
    }

    @Test func appleAroundItsSplit() async throws {
        try await withStore(.postgres) { store in
            let bench = try Bench(store)
            try await take(["factor_files/aapl.csv", "map_files/aapl.csv"], bench)
            try await take(["05", "06", "09"].map { "minute/aapl/201406\($0)_trade.zip" }, bench)
            func minutes(_ asOf: String, _ adjustment: Adjustment) async throws -> BarAnswer {
                var request = BarRequest(symbol: "AAPL", interval: .seconds(60))
                request.start = at("2014-06-06T13:30:00Z")
                request.end = at("2014-06-06T19:00:00Z")
                request.asOf = at(asOf)
                request.adjustment = adjustment
                return try await bench.reader.read(request)
            }
            let raw = try await minutes("2014-06-06T19:00:00Z", .raw)
            #expect(raw.bars.count == 330)
            for view in [Adjustment.split, .full] {
                #expect(try await minutes("2014-06-06T19:00:00Z", view).bars == raw.bars)
                let monday = try await minutes("2014-06-09T14:00:00Z", view)
                let sevenths = raw.bars.close.doubles().map { ($0 / 7 * 1e8).rounded() / 1e8 }
                #expect(monday.bars.close.doubles() == sevenths)
                #expect(monday.bars.volume?.doubles() == raw.bars.volume?.doubles().map { $0 * 7 })
                let tuesday = try await minutes("2014-06-10T14:00:00Z", view)
                #expect(tuesday.response(.json).bodyBytes == monday.response(.json).bodyBytes)
                #expect(tuesday.dataSHA256 != raw.dataSHA256)
            }
            // The split of 2020 is in the file's factors, and in none of these answers; from then on it counts.
            let later = try await minutes("2020-09-01T14:00:00Z", .split)
            #expect(later.bars.close.double(at: 0) == (raw.bars.close.double(at: 0) / 28 * 1e8).rounded() / 1e8)
            let report = try await bench.report(on: "AAPL")
            #expect(report.series.map(\.outliers.count) == [1])
            #expect(report.series[0].outliers.places.first?.start == at("2014-06-09T08:00:00Z"))
        }
    }

    @Test func namesThatPassedOn() async throws {
        try await withStore(.postgres) { store in
            let bench = try Bench(store)
            let files = ["aaa.1", "aaa", "fb.1", "fb", "goog", "googl", "qqq", "spwr"]
            try await take(files.map { "map_files/\($0).csv" } + ["factor_files/aapl.csv"], bench)
            try await take(["aaa", "fb", "goog", "googl", "goocv", "qqq"].map { "daily/\($0).zip" } + ["hour/spwr.zip", "hour/spwra.zip"], bench)
            func span(_ symbol: String, _ start: String, _ end: String, _ interval: BarInterval = .days(1)) async throws -> (String, Int) {
                var request = BarRequest(symbol: symbol, interval: interval)
                request.start = at("\(start)T00:00:00Z")
                request.end = at("\(end)T00:00:00Z")
                let answer = try await bench.reader.read(request)
                return (answer.instrument.symbol, answer.bars.count)
            }
            #expect(try await span("FB", "2001-05-01", "2001-06-01") == ("FB.1", 19))
            #expect(try await span("FB", "2013-05-01", "2013-06-01") == ("FB", 22))
            #expect(try await span("AAA", "2005-05-01", "2005-06-01").0 == "AAA.1")
            #expect(try await span("AAA", "2021-03-01", "2021-03-31").0 == "AAA")
            #expect(try await span("GOOG", "2014-03-20", "2014-04-03") == ("GOOGL", 10))
            #expect(try await span("GOOG", "2014-03-20", "2014-04-10") == ("GOOG", 10))
            #expect(try await span("GOOCV", "2014-03-20", "2014-04-10") == ("GOOG", 10))
            #expect(try await span("GOOGL", "2014-03-20", "2014-04-10") == ("GOOGL", 15))
            #expect(try await span("QQQQ", "2004-11-01", "2004-12-31") == ("QQQ", 21))
            // Two files, one instrument: the hours of SPWRA lie between those of SPWR.
            let hours = try await span("SPWRA", "2008-09-01", "2008-11-01", .seconds(3_600))
            #expect(hours.0 == "SPWR")
            #expect(hours.1 > 200)
        }
    }
}

extension Bench {
    fileprivate func report(on symbol: String) async throws -> QualityReport { try await quality.report(on: symbol) }
}
