import Bars
import Contracts
import TestSupport
import Testing

@testable import marketdata

@Suite struct FileImporterTests {
    private func read(_ text: String, _ path: String, _ options: ImportOptions = ImportOptions()) throws -> ImportedFile {
        try FileImporter.read(Array(text.utf8), path: path, options: options)
    }

    @Test func badRowsAreNamedByLineAndTheirDaysLeftAlone() throws {
        let text = """
            Time,Open,High,Low,Close,Volume
            2020-01-01 22:00:00,1,2,0.5,1.5,10
            2020-01-01 23:00:00,1,0.9,0.5,0.7,10
            2020-01-02 00:00:00,1,2,0.5,1.5,10
            2020-01-02 01:00:00,1,2,x,1.5,10
            2020-01-03 00:00:00,1,2,0.5,1.5,10
            2020-01-03 00:00:00,1,2,0.5,1.6,10
            2020-01-04 00:00:00,1,2,0.5,1.5,-3
            2020-01-05 00:00:00,1,2,0.5,1.5,10
            """
        let file = try read(text, "BTCUSD.csv")
        #expect(file.problems.kept.map(\.line) == [3, 5, 8, 7])
        #expect(file.problems.kept.map(\.column) == ["high", "low", "volume", "time"])
        #expect(file.problems.days.count == 4)
        #expect(DayPartition.days(of: file).map(\.day.text) == ["2020-01-05"])
    }

    @Test func aRowWithoutReadableTimeRefusesTheFile() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        await #expect(throws: ImportError.self) {
            try await bench.take("time,open,high,low,close\n2020-01-01 00:00:00,1,1,1,1\nyesterday,1,1,1,1\n", as: "BTCUSD.csv")
        }
        await #expect(throws: ImportError.self) { try await bench.take("time,open,high,low,close\n2020-01-01,1,1,1,1,1,1\n", as: "BTCUSD.csv") }
        #expect(try await bench.store.instrument(symbol: "BTCUSD") == nil)
    }

    @Test func lostFoldersAndOtherSpellings() throws {
        let hours = try read(
            "20131129 09:00,1813400,1815900,1812200,1815600,6488297\n20131129 12:00,1815900,1816600,1808000,1809300,19936481\n",
            "spy.zip"
        )
        #expect(hours.symbol == "SPY")
        #expect(hours.series[0].intervalSeconds == 3_600)
        #expect(hours.series[0].bars.starts.first.map { Timestamp(microseconds: $0) } == at("2013-11-29T14:30:00Z"))
        #expect(hours.series[0].bars.ends.last.map { Timestamp(microseconds: $0) } == at("2013-11-29T18:00:00Z"))
        let days = try read("20140501 00:00,1.1,1.2,1,1.1,0,1.2,1.3,1.1,1.2,0\n", "eurusd.zip")
        #expect(days.assetClass == .forex)
        #expect(days.series.map(\.intervalSeconds) == [86_400, 86_400])
        let frame = try read(
            "timestamp,open,high,low,close,volume\n2020-01-01 00:00:00+00:00,1,1,1,1,5\n2020-01-01 00:01:00+00:00,1,1,1,1,5\n",
            "ETHUSDT.csv"
        )
        #expect(frame.series[0].bars.starts.first.map { Timestamp(microseconds: $0) } == at("2020-01-01T00:00:00Z"))
        let exported = try read(
            "Unix Timestamp,Date,Symbol,Open,High,Low,Close,Volume ETH,Volume USD\n1600000000,2020-09-13 12-PM,ETHUSD,1,1,1,1,5,500\n"
                + "1599996400,2020-09-13 11-AM,ETHUSD,1,1,1,1,6,600\n",
            "Gemini_ETHUSD_1h.csv"
        )
        #expect(exported.series[0].bars.volume?.text(at: 0) == "6")
        let quotes = try read(
            "36000000,1000000,200,1000200,300,P,0,0\n36000001,0,0,1000300,100,P,0,0\n36000500,1000100,100,1000300,100,P,0,0\n",
            "equity/usa/tick/aig/20131007_quote.zip"
        )
        #expect(quotes.series.map(\.side) == [.bid, .ask, .mid])
        #expect(quotes.series[0].bars.trades == [2])
        #expect(quotes.series[1].bars.trades == [3])
        #expect(quotes.series[2].bars.close.text(at: 0) == "100.02")
        let fxcm = try read("0,1.1,1.1,1.1,1.1,0,1.2,1.2,1.2,1.2,0\n", "forex/fxcm/minute/eurusd/20140501_quote.zip")
        #expect(fxcm.symbol == "EURUSD.FXCM")
        #expect(fxcm.series[0].bars.starts.first.map { Timestamp(microseconds: $0) } == at("2014-05-01T05:00:00Z"))
    }

    @Test func anInstrumentsOwnCalendarPlacesItsDays() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        var instrument = coin("NIFTY")
        instrument.assetClass = .index
        instrument.calendar = "india"
        try await bench.store.create(instrument)
        try await bench.take("Date,Open,High,Low,Close\n2019-01-01,1,1,1,1\n2019-01-02,2,2,2,2\n", as: "NIFTY.csv")
        let answer = try await bench.reader.read(BarRequest(symbol: "NIFTY", interval: .days(1), countback: 5))
        #expect(answer.bars.starts.map { Timestamp(microseconds: $0) } == [at("2019-01-01T03:45:00Z"), at("2019-01-02T03:45:00Z")])
        #expect(answer.instrument.id == instrument.id)
    }

    @Test(arguments: [
        "", "\n\n", "hello", "a,b,c\n1,2,3\n", "{}", "[[1,2],", "[]", "open,high,low,close\n", "PK\u{3}\u{4}rubbish",
        "\u{1F}\u{8B}rubbish", "[[1,[2]]]",
    ])
    func strangeFilesAreRefusedAndNeverCrash(text: String) {
        #expect(throws: ImportError.self) { try read(text, "strange.bin", ImportOptions(assetClass: nil)) }
    }

    @Test func aLongFileOfRubbishIsRefused() {
        var state: UInt64 = 88_172_645_463_325_252
        for _ in 0..<60 {
            var bytes: [UInt8] = []
            for _ in 0..<2_000 {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                bytes.append(UInt8(truncatingIfNeeded: state))
            }
            #expect(throws: ImportError.self) { try FileImporter.read(bytes, path: "x.csv") }
            #expect(throws: ImportError.self) { try FileImporter.read([0x50, 0x4B, 3, 4] + bytes, path: "x.zip") }
            #expect(throws: ImportError.self) { try FileImporter.read([0x1F, 0x8B, 8, 0] + bytes, path: "x.gz") }
        }
    }

    @Test func histDataIsNewYorkTimeAndNinjaTraderStampsTheEnd() throws {
        let winter = try read("20170310 170000;1.05;1.06;1.04;1.05;0\n20170313 170000;1.05;1.06;1.04;1.05;0\n", "DAT_ASCII_EURUSD_M1_201703.csv")
        #expect(winter.symbol == "EURUSD")
        #expect(winter.series[0].side == .bid)
        #expect(winter.series[0].bars.volume == nil)
        #expect(winter.series[0].bars.starts.map { Timestamp(microseconds: $0) } == [at("2017-03-10T22:00:00Z"), at("2017-03-13T21:00:00Z")])
        let ninja = try read(
            "20110103 090100;126.35;126.39;126.35;126.39;1579\r\n20110103 090200;126.45;126.45;126.45;126.45;300\r\n",
            "nt-spy-minute.csv"
        )
        #expect(ninja.symbol == "SPY")
        #expect(Timestamp(microseconds: ninja.series[0].bars.starts[0]) == at("2011-01-03T09:00:00Z"))
        #expect(ninja.series[0].bars.volume?.text(at: 0) == "1579")
    }

    @Test func daysOfAnEquityLieOnItsSession() throws {
        let file = try read("Date,Open,High,Low,Close,Volume\n2015-12-23,1,1,1,1,5\n2015-12-24,2,2,2,2,6\n", "GOOG.csv")
        let bars = file.series[0].bars
        #expect(bars.starts.map { Timestamp(microseconds: $0) } == [at("2015-12-23T14:30:00Z"), at("2015-12-24T14:30:00Z")])
        #expect(bars.ends.map { Timestamp(microseconds: $0) } == [at("2015-12-23T21:00:00Z"), at("2015-12-24T18:00:00Z")])
    }

    @Test func monthsStampedAtTheirEndAreShifted() throws {
        let file = try read(",Open,High,Low,Close,Volume\n2012-01-31,4,7,3,5,1.5\n2012-02-29,5,6,3,4,2\n2012-03-28,5,6,3,4,2\n", "BTCUSD.csv")
        let bars = file.series[0].bars
        #expect(file.series[0].intervalSeconds == 2_592_000)
        // March is not over on its 28th: that row is no bar yet.
        #expect(bars.starts.map { Timestamp(microseconds: $0) } == [at("2012-01-01T00:00:00Z"), at("2012-02-01T00:00:00Z")])
        #expect(bars.ends.last.map { Timestamp(microseconds: $0) } == at("2012-03-01T00:00:00Z"))
        #expect(file.notes.count == 2)
    }

    @Test func bannersAndNewestFirstAreUnderstood() throws {
        let text =
            "Times are UTC,https://example.org\r\ndate,symbol,open,high,low,close,volume_btc,volume\r\n"
            + "2019-10-17 12-PM,BTCUSD,3,3,3,3,61.25,1\r\n2019-10-17 11-AM,BTCUSD,2,2,2,2,6,1\r\n"
            + "2019-10-17 10-AM,BTCUSD,2,2,2,2,5,1\r\n2019-10-17 12-AM,BTCUSD,1,1,1,1,7,1\r\n"
        let file = try read(text, "Coinbase_BTCUSD_1h.csv")
        #expect(file.problems.isEmpty)
        #expect(file.series[0].intervalSeconds == 3_600)
        #expect((0..<4).map { file.series[0].bars.volume?.text(at: $0) } == ["7", "5", "6", "61.25"])
        #expect(file.series[0].bars.starts.last.map { Timestamp(microseconds: $0) } == at("2019-10-17T12:00:00Z"))
    }

    @Test func freqtradeRowsAndTrades() throws {
        let bars = try read(
            "[[1509836520000, 0.00162008, 0.00162008, 1.6e-3, 0.00162008, 108.14853839],[1509836580000,1,1,1,1,0]]",
            "UNITTEST_BTC-1m.json"
        )
        #expect(bars.symbol == "UNITTEST_BTC")
        #expect(bars.series[0].bars.low.text(at: 0) == "0.0016")
        let trades = try read(
            "[[1570752011620,\"13519807\",null,\"sell\",0.00141342,23.0,0.03],[1570752011620,\"1\",null,\"buy\",0.0015,1,0.1]]",
            "XRP_ETH-trades.json"
        )
        #expect(trades.series[0].origin == .derived)
        #expect(trades.series[0].bars.count == 1)
        #expect(trades.series[0].bars.volume?.text(at: 0) == "24")
        #expect(throws: ImportError.self) { try read("[[1570752011620,\"13519807\",null,\"sell\"", "XRP_ETH-trades.json") }
    }

    @Test func symbolsAndOptionsAreChecked() {
        let iqfeed = "2021-03-01 04:00:00,1.5200,1.5200,1.5200,1.5200,1000,1000,0,\r\n2021-03-01 04:00:01,1,1,1,1,1000,1000,0,\r\n!ENDMSG!,\r\n"
        #expect(throws: ImportError.symbolRequired) { try read(iqfeed, "intervals.csv") }
        #expect(throws: ImportError.self) { try read(iqfeed, "x.csv", ImportOptions(symbol: "a b")) }
        #expect(throws: ImportError.self) { try read(iqfeed, "x.csv", ImportOptions(symbol: "NEPT", timeZone: "Mars/Olympus")) }
        #expect(throws: Never.self) { try read(iqfeed, "x.csv", ImportOptions(symbol: "nept")) }
    }
}

@Suite(.enabled(if: SharedData.isPresent)) struct RealFileTests {
    @Test func everyOracleHolds() throws {
        let root = try #require(SharedData.root)
        var failed: [String] = []
        let results = OracleSuite(data: OracleData(directory: "\(root)/data", readFile: Files.read)).run { _ in }
        for result in results where result.passed != true { failed.append(result.line) }
        #expect(failed.isEmpty)
        #expect(results.count >= 30)
    }

    @Test func exchangeCalendarsAreRead() throws {
        let (calendars, leftOut) = try MarketHoursReader.read(try SharedData.bytes("data/lean/market-hours/market-hours-database.json"))
        #expect(calendars.count + leftOut == 549)
        #expect(calendars.count > 500)
        let byName = Dictionary(uniqueKeysWithValues: calendars.map { ($0.name, $0) })
        #expect(byName["crypto-coinbase"]?.isAlwaysOpen == true)
        #expect(byName["index-india"]?.regular[0] == SessionHours(open: 33_300, close: 55_800))
        let globex = try #require(byName["future-cme-6e"])
        #expect(globex.boundarySeconds == -25_200)
        #expect(globex.extended[0]?.open == -25_200)
        let equity = try #require(byName["equity-usa"])
        #expect(equity.regular == CalendarCatalogue.usEquity.regular)
        // Our rules and the vendor's list agree on every holiday and half day of a quarter of a century.
        var day = CivilDay(year: 1999, month: 1, day: 1)
        while day < CivilDay(year: 2026, month: 1, day: 1) {
            if day.weekday < 5 {
                #expect(equity.holidays.contains(day) == CalendarCatalogue.usEquity.holidays.contains(day), "\(day.text)")
                #expect(equity.earlyCloses[day] == CalendarCatalogue.usEquity.earlyCloses[day], "\(day.text)")
            }
            day = day + 1
        }
    }

    @Test(arguments: [
        "lean/crypto/coinbase/minute/btcusd/20180404_quote.zip", "lean/crypto/coinbase/daily/btcusd_trade.zip",
        "lean/crypto/bitfinex/hour/btcusd_trade.zip", "lean/forex/oanda/daily/eurusd.zip", "lean/index/india/minute/nifty50/20190102_trade.zip",
    ])
    func everyNumberOfAFileComesBackFromItsChunk(path: String) throws {
        let bytes = try SharedData.bytes("data/\(path)")
        let file = try FileImporter.read(bytes, path: path)
        let text = try Archive.open(bytes, fileName: path).bytes
        let isQuote = file.series.count == 2
        let stored = try file.series.map { try DayChunk.decode(DayChunk.encode($0.bars)) }
        var row = 0
        var differing = 0
        DelimitedText(text, separator: 0x2C).forEachRow { line in
            for (side, at) in isQuote ? [(0, 1), (1, 6)] : [(0, 1)] {
                let columns = [stored[side].open, stored[side].high, stored[side].low, stored[side].close]
                for (index, column) in columns.enumerated() where column.text(at: row) != line.number(at + index)?.text { differing += 1 }
                if let volume = stored[side].volume?.text(at: row), DecimalNumber(volume)?.double != line.number(at + 4)?.double { differing += 1 }
            }
            row += 1
        }
        #expect(row == stored[0].count)
        #expect(differing == 0)
    }
}
