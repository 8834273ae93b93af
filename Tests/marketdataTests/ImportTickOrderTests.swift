import Bars
import Testing

@testable import marketdata

/// Ticks that are out of order.
@Suite struct ImportTickOrderTests {
    private func trades(_ times: [String]) -> [UInt8] {
        Array((["time,price,amount"] + times.enumerated().map { "\($1),\(100 + $0),1" }).joined(separator: "\n").utf8)
    }

    private func lines(_ file: ImportedFile) -> [Int] { file.problems.kept.map(\.line) }

    private func days(_ file: ImportedFile) -> [String] { DayPartition.days(of: file).map(\.day.text) }

    @Test func oneTickTooEarlyIsNamedByItsLineAndOnlyItsDayIsDropped() throws {
        let times = [
            "2020-01-01 10:00:00", "2020-01-01 11:00:00", "2020-01-02 10:00:00", "2020-01-02 12:00:00", "2020-01-02 11:00:00",
            "2020-01-02 13:00:00", "2020-01-03 10:00:00",
        ]
        let file = try FileImporter.read(trades(times), path: "trades.csv", options: ImportOptions(symbol: "BTCUSD"))
        #expect(lines(file) == [6])
        #expect(days(file) == ["2020-01-01", "2020-01-03"])
        let reversed = try FileImporter.read(trades(times.reversed()), path: "trades.csv", options: ImportOptions(symbol: "BTCUSD"))
        #expect(lines(reversed) == [4])
        #expect(days(reversed) == ["2020-01-01", "2020-01-03"])
    }

    @Test func aTickOfAnotherDayDropsBothDays() throws {
        let times = [
            "2020-01-05 00:00:00", "2020-01-01 10:00:00", "2020-01-02 10:00:00", "2020-01-03 10:00:00", "2020-01-02 11:00:00",
            "2020-01-03 11:00:00", "2020-01-04 11:00:00",
        ]
        let file = try FileImporter.read(trades(times), path: "trades.csv", options: ImportOptions(symbol: "BTCUSD"))
        #expect(lines(file) == [3, 2, 6, 5])
        #expect(days(file) == ["2020-01-04"])
    }

    @Test func linesThatMadeNoTickAreCounted() throws {
        // A row that made no tick stands before the fault.
        let rows = ["0,100,1", "1000,x,1", "2000,100,1", "80000000,100,1", "79000000,100,1"]
        let file = try FileImporter.read(
            Array(rows.joined(separator: "\n").utf8),
            path: "equity/usa/tick/aig/20131007_trade.zip"
        )
        #expect(lines(file).contains(5))
        let quotes = ["0,1.1,1.2", "1000,1.1,1.2", "500,1.1,1.2", "86399000,1.1,1.2"]
        let quoted = try FileImporter.read(
            Array(quotes.joined(separator: "\n").utf8),
            path: "forex/fxcm/tick/eurusd/20140501_quote.zip"
        )
        #expect(lines(quoted) == [3])
        // The file's day on a clock of its own is two UTC dates; only that of the fault is dropped.
        #expect(days(quoted).allSatisfy { $0 == "2014-05-02" })
        #expect(days(quoted).count == 3)
    }
}
