import Bars
import Contracts
import Testing

@testable import marketdata

/// On which day a bad row is.
@Suite struct ImportBadDayTests {
    @Test func aBadDayOfForeignExchangeRefusesTheDayThatItBeginsOn() throws {
        let text = """
            Date,Open,High,Low,Close
            2020-01-07,1,2,0.5,1.5
            2020-01-08,1,2,0.5,1.5
            2020-01-09,1,2,x,1.5
            2020-01-10,1,2,0.5,1.5
            """
        for zone in [nil, "Asia/Tokyo"] {
            let file = try FileImporter.read(
                Array(text.utf8),
                path: "EURUSD.csv",
                options: ImportOptions(symbol: "EURUSD", timeZone: zone, assetClass: .forex)
            )
            #expect(file.problems.kept.map(\.line) == [4])
            // 9 January began at 17:00 in New York on the 8th.
            #expect(file.problems.kept[0].day?.text == "2020-01-08")
            let days = DayPartition.days(of: file)
            #expect(days.map(\.day.text) == ["2020-01-06", "2020-01-07", "2020-01-09"])
            #expect(days.last.map { Timestamp(microseconds: $0.bars.starts[0]) } == at("2020-01-09T22:00:00Z"))
        }
    }

    @Test func aBadDayOfAnIndexRefusesTheDateOfItsSession() throws {
        // Midnight in Kolkata is on the UTC date before, the session on the date itself.
        let text = "20190101 00:00,1,2,0.5,1.5,0\n20190102 00:00,1,2,x,1.5,0\n20190103 00:00,1,2,0.5,1.5,0\n"
        let file = try FileImporter.read(Array(text.utf8), path: "index/india/daily/nifty50.zip")
        #expect(file.problems.kept.map(\.line) == [2])
        #expect(DayPartition.days(of: file).map(\.day.text) == ["2019-01-01", "2019-01-03"])
    }
}
