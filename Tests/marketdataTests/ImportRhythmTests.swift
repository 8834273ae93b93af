import Bars
import Contracts
import Testing

@testable import marketdata

/// How long the bars of a file are, told by its rows alone: a row out of place must never shorten the others.
@Suite struct ImportRhythmTests {
    private func read(_ rows: [String], _ path: String = "BTCUSD.csv", _ options: ImportOptions = ImportOptions()) throws -> ImportedFile {
        let lines = rows.map { "\($0),1,2,0.5,1.5,10" }
        return try FileImporter.read(Array((["time,open,high,low,close,volume"] + lines).joined(separator: "\n").utf8), path: path, options: options)
    }

    private func refusal(_ rows: [String], _ path: String = "BTCUSD.csv", _ options: ImportOptions = ImportOptions()) throws -> String {
        try #require(#expect(throws: ImportError.self) { try read(rows, path, options) }).detail
    }

    private func hours(_ day: String, _ range: Range<Int>) -> [String] { range.map { "\(day) \($0 < 10 ? "0" : "")\($0):00:00" } }

    private func starts(_ file: ImportedFile) -> [Timestamp] { file.series[0].bars.starts.map { Timestamp(microseconds: $0) } }

    @Test(arguments: [
        (stray: "2020-01-02 10:30:00", after: 10), (stray: "2020-01-02 00:00:01", after: 0), (stray: "2020-01-02 23:17:33", after: 23),
        (stray: "2020-01-02 09:59:59", after: 9),
    ])
    func oneStrayRowIsNamedAndTheHoursStayHours(stray: String, after hour: Int) throws {
        var rows = hours("2020-01-01", 0..<24) + hours("2020-01-02", 0..<24) + hours("2020-01-03", 0..<24)
        rows.insert(stray, at: 24 + hour + 1)
        for (order, line) in [(rows, 24 + hour + 3), (rows.reversed(), rows.count - 24 - hour)] {
            let file = try read(order)
            #expect(file.series[0].intervalSeconds == 3_600)
            #expect(file.problems.kept.map(\.line) == [line])
            let days = DayPartition.days(of: file)
            #expect(days.map(\.day.text) == ["2020-01-01", "2020-01-03"])
            for day in days {
                let bars = day.bars
                #expect((0..<bars.count).allSatisfy { bars.ends[$0] - bars.starts[$0] == 3_600_000_000 })
            }
        }
    }

    @Test func aStrayRowMakesNoHourKnownBeforeItsEnd() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        var rows = hours("2020-01-01", 0..<24) + hours("2020-01-02", 0..<24)
        rows.insert("2020-01-02 10:30:00", at: 35)
        try await bench.take(
            (["time,open,high,low,close,volume"] + rows.map { "\($0),1,2,0.5,1.5,10" }).joined(separator: "\n"),
            as: "BTCUSD.csv"
        )
        #expect(try await bench.closes("BTCUSD", "1h") { $0.asOf = at("2020-01-01T05:59:59Z") }.count == 5)
        #expect(try await bench.closes("BTCUSD", "1h") { $0.asOf = at("2020-01-01T06:00:00Z") }.count == 6)
    }

    @Test func secondsWithGapsAreSeconds() throws {
        let seconds = [0, 1, 2, 5, 6, 9, 10, 11, 20, 21, 25, 58]
        let file = try read(seconds.map { "2020-01-01 00:00:\($0 < 10 ? "0" : "")\($0)" })
        #expect(file.problems.isEmpty)
        #expect(file.series[0].intervalSeconds == 1)
        #expect(file.series[0].bars.count == seconds.count)
    }

    @Test func anOffsetThatManyRowsShareIsAPlaceOnTheGrid() throws {
        // An exchange with a break at noon: hours from 9:30 and from 13:00.
        let times = ["09:30:00", "10:30:00", "11:30:00", "13:00:00", "14:00:00", "15:00:00"]
        let file = try read((1...4).flatMap { day in times.map { "2020-01-0\(day) \($0)" } })
        #expect(file.problems.isEmpty)
        #expect(file.series[0].intervalSeconds == 3_600)
        #expect(file.series[0].bars.count == 24)
    }

    @Test func rowsWithoutOneDistanceAreRefusedUntilTheIntervalIsGiven() throws {
        let rows = ["2020-01-01 09:00:00", "2020-01-01 10:00:00", "2020-01-01 11:00:00", "2020-01-01 11:30:00", "2020-01-01 12:00:00"]
        #expect(try refusal(rows).contains("give it with `interval`"))
        #expect(try refusal(["2020-01-01 09:00:00"]).contains("`interval`"))
        let given = try read(rows, "BTCUSD.csv", ImportOptions(interval: .seconds(3_600)))
        #expect(given.series[0].intervalSeconds == 3_600)
        #expect(given.series[0].bars.count == 4)
        #expect(given.problems.kept.map(\.line) == [5])
        #expect(try read(["2020-01-01 09:00:00"], "BTCUSD.csv", ImportOptions(interval: .seconds(60))).series[0].intervalSeconds == 60)
        #expect(try refusal(rows, "BTCUSD.csv", ImportOptions(interval: .months(1))).hasPrefix("interval:"))
    }

    @Test func rowsWithABadPriceStillSayHowFarApartRowsAre() throws {
        let text =
            "time,open,high,low,close\n2020-01-01 00:00:00,1,1,1,1\n2020-01-01 01:00:00,x,1,1,1\n2020-01-01 02:00:00,1,1,1,1\n"
            + "2020-01-01 03:00:00,x,1,1,1\n2020-01-01 04:00:00,1,1,1,1\n"
        #expect(try FileImporter.read(Array(text.utf8), path: "BTCUSD.csv").series[0].intervalSeconds == 3_600)
    }

    @Test func freqtradeFilesWithoutAnIntervalInTheirName() throws {
        let minutes = (0..<10).map { 1_509_836_520_000 + $0 * 60_000 } + [1_509_837_090_000]
        let text = "[" + minutes.map { "[\($0),1,1,1,1,5]" }.joined(separator: ",") + "]"
        let file = try FileImporter.read(Array(text.utf8), path: "UNITTEST_BTC.json")
        #expect(file.series[0].intervalSeconds == 60)
        #expect(file.problems.kept.map(\.line) == [11])
    }

    @Test func monthsStampedAtTheirStartAndADownloadDateAreMonths() throws {
        let file = try read(["2012-01-01", "2012-02-01", "2012-03-01", "2012-04-01", "2012-04-17"])
        #expect(file.series[0].intervalSeconds == 2_592_000)
        #expect(starts(file) == [at("2012-01-01T00:00:00Z"), at("2012-02-01T00:00:00Z"), at("2012-03-01T00:00:00Z"), at("2012-04-01T00:00:00Z")])
        #expect(file.problems.kept.map(\.line) == [6])
        #expect(file.notes == [])
        // The month that the row spoils is left alone, not the date that it carries.
        #expect(file.problems.days.map(\.text) == ["2012-04-01"])
        #expect(DayPartition.days(of: file).map(\.day.text) == ["2012-01-01", "2012-02-01", "2012-03-01"])
    }

    @Test(arguments: [3, 4, 5])
    func weeksStampedAtTheirEndLeaveOutTheRunningOne(days: Int) throws {
        let fridays = ["2015-01-02", "2015-01-09", "2015-01-16", "2015-01-23"]
        let file = try read(fridays + ["2015-01-\(23 + days)"], "GOOG.csv")
        #expect(file.series[0].intervalSeconds == 604_800)
        #expect(file.series[0].bars.count == 4)
        #expect(file.problems.isEmpty)
        #expect(file.notes.count == 2)
    }

    @Test func weeksStampedAtTheirStartAndARowInMidWeekAreWeeks() throws {
        let file = try read(["2020-01-06", "2020-01-13", "2020-01-20", "2020-01-27", "2020-01-29"])
        #expect(file.series[0].intervalSeconds == 604_800)
        #expect(file.problems.kept.map(\.line) == [6])
        #expect(DayPartition.days(of: file).map(\.day.text) == ["2020-01-06", "2020-01-13", "2020-01-20"])
    }

    @Test func quartersAreNotTakenForMonths() throws {
        let quarters = ["2019-03-31", "2019-06-30", "2019-09-30", "2019-12-31"]
        #expect(try refusal(quarters).contains("`interval`"))
        #expect(try refusal(["2020-01-01"]).contains("`interval`"))
        #expect(try read(["2020-01-01"], "BTCUSD.csv", ImportOptions(interval: .days(1))).series[0].bars.count == 1)
        let month = try read(["2020-02-01"], "BTCUSD.csv", ImportOptions(interval: .months(1)))
        #expect(starts(month) == [at("2020-02-01T00:00:00Z")])
        #expect(try refusal(["2020-01-01"], "BTCUSD.csv", ImportOptions(interval: .seconds(60))).hasPrefix("interval:"))
    }
}
