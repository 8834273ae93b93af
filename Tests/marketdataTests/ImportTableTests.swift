import Bars
import Contracts
import HTTPServing
import TestSupport
import Testing

@testable import marketdata

/// Tables of any layout: whatever they look like, the bars are the same.
@Suite struct ImportTableTests {
    private func read(_ text: String, _ path: String = "SPY.csv", _ options: ImportOptions = ImportOptions()) throws -> ImportedFile {
        try FileImporter.read(Array(text.utf8), path: path, options: options)
    }

    private func lines(_ file: ImportedFile) -> [String] {
        file.series.flatMap { series in
            (0..<series.bars.count).map { row in
                let bars = series.bars
                let prices = [bars.open, bars.high, bars.low, bars.close].map { $0.text(at: row) ?? "-" }.joined(separator: " ")
                let time = Timestamp(microseconds: bars.starts[row]).iso8601
                return
                    "\(series.side.rawValue) \(time) \((bars.ends[row] - bars.starts[row]) / 1_000_000) \(prices) \(bars.volume?.text(at: row) ?? "-")"
            }
        }
    }

    private let expected = [
        "trade 2017-01-13T14:30:00.000000Z 60 1.05 1.07 1.04 1.06 1200", "trade 2017-01-13T14:31:00.000000Z 60 1.06 1.08 1.05 1.07 1300",
        "trade 2017-01-13T14:33:00.000000Z 60 1.07 1.09 1.06 1.08 1400.5",
    ]

    /// One and the same three bars, as many programs write them.
    @Test(arguments: [
        "time,open,high,low,close,volume\n2017-01-13 14:30:00,1.05,1.07,1.04,1.06,1200\n2017-01-13 14:31:00,1.06,1.08,1.05,1.07,1300\n2017-01-13 14:33:00,1.07,1.09,1.06,1.08,1400.5\n",
        "volume;close;low;high;open;datetime\n1200;1,06;1,04;1,07;1,05;2017-01-13T14:30:00Z\n1300;1,07;1,05;1,08;1,06;2017-01-13T14:31:00Z\n1400,5;1,08;1,06;1,09;1,07;2017-01-13T14:33:00Z\n",
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n2017.01.13\t14:30\t1.05\t1.07\t1.04\t1.06\t1200\n2017.01.13\t14:31\t1.06\t1.08\t1.05\t1.07\t1300\n2017.01.13\t14:33\t1.07\t1.09\t1.06\t1.08\t1400.5\n",
        "2017.01.13,14:30,1.05,1.07,1.04,1.06,1200\n2017.01.13,14:31,1.06,1.08,1.05,1.07,1300\n2017.01.13,14:33,1.07,1.09,1.06,1.08,1400.5\n",
        "\"Date\",\"Time\",\"Open\",\"High\",\"Low\",\"Close\",\"Vol\"\r\n\"01/13/2017\",\"0930\",\"1.05\",\"1.07\",\"1.04\",\"1.06\",\"1,200\"\r\n\"01/13/2017\",\"0931\",\"1.06\",\"1.08\",\"1.05\",\"1.07\",\"1,300\"\r\n\"01/13/2017\",\"0933\",\"1.07\",\"1.09\",\"1.06\",\"1.08\",\"1,400.5\"\r\n@@America/New_York",
        "timestamp|o|h|l|c|v\n1484317800000000000|1.05|1.07|1.04|1.06|1200\n1484317860000000000|1.06|1.08|1.05|1.07|1300\n1484317980000000000|1.07|1.09|1.06|1.08|1400.5\n",
        "unix,open,high,low,close,volume\n1484317800.0,1.05,1.07,1.04,1.06,1200\n1484317860.0,1.06,1.08,1.05,1.07,1300\n1484317980.0,1.07,1.09,1.06,1.08,1400.5\n",
        "13-Jan-17 9:30 AM;1.05;1.07;1.04;1.06;1200\n13-Jan-17 9:31 AM;1.06;1.08;1.05;1.07;1300\n13-Jan-17 9:33 AM;1.07;1.09;1.06;1.08;1400.5\n@@America/New_York",
        "Gmt time,Open,High,Low,Close,Volume\n13.01.2017 15:30:00.000 GMT+0100,1.05,1.07,1.04,1.06,1200\n13.01.2017 15:31:00.000 GMT+0100,1.06,1.08,1.05,1.07,1300\n13.01.2017 15:33:00.000 GMT+0100,1.07,1.09,1.06,1.08,1400.5\n",
        "time,open,high,low,close,volume\n2017-01-13T09:30:00-05:00,1.05,1.07,1.04,1.06,1200\n2017-01-13T09:31:00-05:00,1.06,1.08,1.05,1.07,1300\n2017-01-13T09:33:00-05:00,1.07,1.09,1.06,1.08,1400.5\n",
        "# exported by somebody\n# times are America/New_York\nDate,Time,Open,High,Low,Close,Volume\n20170113,93300,1.07,1.09,1.06,1.08,1400.5\n20170113,93100,1.06,1.08,1.05,1.07,1300\n20170113,93000,1.05,1.07,1.04,1.06,1200\n",
        "Datum;Zeit;Eröffnung;Hoch;Tief;Schluss;Volumen\n13.01.2017;14:30;1,05;1,07;1,04;1,06;1.200\n13.01.2017;14:31;1,06;1,08;1,05;1,07;1.300\n13.01.2017;14:33;1,07;1,09;1,06;1,08;1.400,5\n",
        "SPY,20170113143000,1.05,1.07,1.04,1.06,1200\nSPY,20170113143100,1.06,1.08,1.05,1.07,1300\nSPY,20170113143300,1.07,1.09,1.06,1.08,1400.5\n",
        // A stamp that is none, and a comma at the end of each row.
        "Date,Timestamp,Open,High,Low,Close,Volume\n20170113,14:30:00,1.05,1.07,1.04,1.06,1200,\n20170113,14:31:00,1.06,1.08,1.05,1.07,1300,\n20170113,14:33:00,1.07,1.09,1.06,1.08,1400.5,\n",
        "timestamp,date,open,high,low,close,volume\n1484317800,2017-01-13 14:30:00,1.05,1.07,1.04,1.06,1200\n1484317860,2017-01-13 14:31:00,1.06,1.08,1.05,1.07,1300\n1484317980,2017-01-13 14:33:00,1.07,1.09,1.06,1.08,1400.5\n",
        // Highest and lowest first, as some terminals have it.
        "2017-01-13 14:30:00\t1.07\t1.04\t1.05\t1.06\t1200\n2017-01-13 14:31:00\t1.08\t1.05\t1.06\t1.07\t1300\n2017-01-13 14:33:00\t1.09\t1.06\t1.07\t1.08\t1400.5\n",
        "Date (America/New_York),Open,High,Low,Close,Volume\n2017-01-13 09:30,1.05,1.07,1.04,1.06,1.2K\n2017-01-13 09:31,1.06,1.08,1.05,1.07,1.3K\n2017-01-13 09:33,1.07,1.09,1.06,1.08,1.4005K\n",
    ])
    func theSameBarsWhateverTheLayout(text: String) throws {
        // What stands behind the file is the zone that the caller names.
        let parts = text.split(separator: "@@")
        var options = ImportOptions(interval: .seconds(60))
        if parts.count == 2 { options.timeZone = String(parts[1]) }
        let file = try read(String(parts[0]), "SPY.csv", options)
        #expect(file.problems.isEmpty, "\(file.problems.summary)")
        #expect(file.symbol == "SPY")
        #expect(lines(file) == expected)
    }

    @Test func datesThatCanBeReadInTwoWaysAreRefusedWithWhatDecides() throws {
        func text(_ dates: [String]) -> String {
            "Date,Open,High,Low,Close,Volume\n" + dates.map { "\($0),1,2,0.5,1.5,10\n" }.joined()
        }
        let doubtful = text(["03/04/2017", "04/04/2017", "05/04/2017"])
        let refused = try #require(#expect(throws: ImportError.self) { try read(doubtful, "GOOG.csv") })
        #expect(refused.code == "ambiguous_dates")
        #expect(refused.detail.contains("03/04/2017") && refused.detail.contains("date_order"))
        #expect(refused.problem.field == "date_order")
        func days(_ text: String, _ order: DateOrder?) throws -> [String] {
            let bars = try read(text, "GOOG.csv", ImportOptions(interval: .days(1), dateOrder: order)).series[0].bars
            return bars.starts.map { String(Timestamp(microseconds: $0).iso8601.prefix(10)) }
        }
        #expect(try days(doubtful, .dayMonthYear) == ["2017-04-03", "2017-04-04", "2017-04-05"])
        #expect(try days(doubtful, .monthDayYear) == ["2017-03-04", "2017-04-04", "2017-05-04"])
        // One number above twelve anywhere decides for all rows.
        #expect(try days(text(["10/03/2017", "13/03/2017", "14/03/2017"]), nil) == ["2017-03-10", "2017-03-13", "2017-03-14"])
        #expect(try days(text(["03/10/2017", "03/13/2017", "03/14/2017"]), nil) == ["2017-03-10", "2017-03-13", "2017-03-14"])
    }

    @Test func stampsAtTheEndAreShiftedAndSaidSo() throws {
        let text = "time,open,high,low,close\n2017-01-13 14:31:00,1,2,0.5,1.5\n2017-01-13 14:32:00,1,2,0.5,1.5\n2017-01-14 00:00:00,1,2,0.5,x\n"
        var options = ImportOptions(interval: .seconds(60))
        options.stamps = .end
        let file = try read(text, "BTCUSD.csv", options)
        #expect(lines(file).map { String($0.prefix(33)) } == ["trade 2017-01-13T14:30:00.000000Z", "trade 2017-01-13T14:31:00.000000Z"])
        #expect(file.notes.contains { $0.contains("stamped at the end") })
        // Its bar would have begun on the day before, and that day is left alone.
        #expect(file.problems.kept.map(\.line) == [4])
        #expect(file.problems.days == [CivilDay(year: 2017, month: 1, day: 13)])
        // Who only has a column for the end says so by its name.
        let named = try read("end,open,high,low,close\n2017-01-13 14:31:00,1,2,0.5,1.5\n2017-01-13 14:32:00,1,2,0.5,1.5\n", "BTCUSD.csv")
        #expect(lines(named).first?.hasPrefix("trade 2017-01-13T14:30:00.000000Z 60") == true)
        options.stamps = .start
        let lean = "36000000,1000000,1000000,1000000,1000000,100\n"
        #expect(throws: ImportError.badOption(name: "stamps", reason: "lean-bars files say it themselves")) {
            try FileImporter.read(Array(lean.utf8), path: "equity/usa/minute/aig/20131007_trade.zip", options: options)
        }
    }

    @Test func badRowsAreNamedByLine() throws {
        let text = """
            Times are UTC
            Date;Time;Open;High;Low;Close;Volume
            13.01.2017;14:30;1,05;1,07;1,04;1,06;10
            13.01.2017;14:31;1,05;1,04;1,04;1,06;10

            14.01.2017;14:30;1,05;1,07;1,04;1,06;ten
            15.01.2017;14:30;1,05;1,07;1,04
            16.01.2017;14:30;1,05;1,07;1,04;1,06;
            16.01.2017;14:31;1,05;1,07;1,04;1,06;null
            """
        let file = try read(text, "EURUSD.csv", ImportOptions(interval: .seconds(60)))
        #expect(file.problems.kept.map(\.line) == [4, 6, 7])
        #expect(file.problems.kept.map(\.column) == ["high", "volume", "row"])
        #expect(DayPartition.days(of: file).map(\.day.text) == ["2017-01-16"])
        #expect(file.series[0].bars.volume?.text(at: 2) == nil)
        let unreadable = text + "\n17.13.2017;14:30;1,05;1,07;1,04;1,06;1\n"
        #expect(try read(unreadable, "EURUSD.csv", ImportOptions(interval: .seconds(60))).problems.hasUnreadableTime)
    }

    @Test func bidAndAskColumnsAreQuotes() throws {
        let bars = try read(
            """
            time,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close
            2017-01-13 14:30:00,1.05,1.07,1.04,1.06,1.06,1.08,1.05,1.07
            2017-01-13 14:31:00,1.05,1.07,1.04,1.06,,,,
            """,
            "EURUSD.csv",
            ImportOptions(interval: .seconds(60))
        )
        #expect(bars.series.map(\.side) == [.bid, .ask])
        #expect(bars.series.map(\.bars.count) == [2, 1])
        #expect(bars.series[1].bars.close.text(at: 0) == "1.07")
        let ticks = try read(
            "timestamp,bid,ask,bid_size,ask_size\n1484317800100,1.05,1.06,10,20\n1484317800900,1.07,1.08,30,40\n1484317801000,0,1.09,,50\n",
            "EURUSD.csv"
        )
        #expect(ticks.layout == .csvQuotes)
        #expect(ticks.series.map(\.side) == [.bid, .ask, .mid])
        #expect(ticks.series.map(\.bars.count) == [1, 2, 1])
        #expect(ticks.series[0].bars.volume?.text(at: 0) == "30")
        #expect(ticks.series[2].bars.close.text(at: 0) == "1.075")
    }

    @Test func tradesAreFoundByNameAndByContent() throws {
        let named = try read("ts;px;qty\n1484317800100000;1,05;2\n1484317800900000;1,07;3\n1484317801000000;1,06;4\n", "ETHUSD.csv")
        let bare = try read("1484317800,1.05,2\n1484317800,1.07,3\n1484317801,1.06,4\n", "ETHUSD.csv")
        for file in [named, bare] {
            #expect(file.layout == .csvTrades)
            #expect(file.series[0].origin == .derived)
            #expect(file.series[0].bars.trades == [2, 1])
            #expect(file.series[0].bars.volume?.text(at: 0) == "5")
            #expect(file.series[0].bars.close.text(at: 0) == "1.07")
        }
    }

    /// What exchanges and vendors hand out without a header.
    @Test(arguments: [
        // A quote feed: the pair, the time, bid and ask.
        ("EUR/USD,20170113 14:30:00.123,1.06,1.0601\nEUR/USD,20170113 14:30:01.456,1.0602,1.0603\n", "ticks.csv", "EURUSD bid ask mid"),
        ("20170113 093000123,1.06,1.0601,0\n20170113 093001456,1.0602,1.0603,0\n", "DAT_ASCII_EURUSD_T_201701.csv", "EURUSD bid ask mid"),
        // The number of a trade looks like seconds since 1970: what comes behind it is no time, and no row says what it is.
        ("3000000000,16541.77,0.0034,56.2,1484317800100,True\n3000000001,16541.78,0.0035,56.3,1484317800200,True\n", "BTCUSDT-trades.csv", "-"),
        ("1484317800,122.0,122.5,121.0,122.0,0.1,1\n1484317860,122.0,122.5,121.0,122.0,0.1,2\n", "XBTUSD_1.csv", "XBTUSD trade"),
        (
            "1484317800000,4261.48,4313.62,4261.32,4308.83,47.18,1484317859999,202366.13,171,35.16,150952.47,0\n"
                + "1484317860000,4308.83,4328.69,4291.37,4315.32,23.23,1484317919999,100304.82,102,21.44,92608.27,0\n", "ETHUSDT-1m-2017-01.csv",
            "ETHUSDT trade"
        ), ("2017.01.13,09:30,1.06,1.07,1.05,1.06,0\n2017.01.13,09:31,1.06,1.07,1.05,1.06,0\n", "DAT_MT_EURUSD_M1_201701.csv", "EURUSD bid"),
    ])
    func whatComesWithoutAHeader(text: String, name: String, expected: String) throws {
        let options = ImportOptions(interval: .seconds(60))
        guard expected != "-" else {
            #expect(throws: ImportError.self) { try read(text, name, options) }
            return
        }
        let file = try read(text, name, options)
        #expect(([file.symbol] + file.series.map(\.side.rawValue)).joined(separator: " ") == expected)
        #expect(file.series[0].bars.starts.first == at("2017-01-13T14:30:00Z").microseconds)
    }

    @Test(arguments: [
        ("EURUSD_Candlestick_1_M_BID_01.01.2017-31.12.2017.csv", "EURUSD"), ("EURUSD_M1.csv", "EURUSD"), ("GOOG.csv", "GOOG"),
        ("STOCKS_GOOGL.csv", "GOOGL"), ("Binance_ETHUSDT_1h.csv", "ETHUSDT"), ("AAPL_H4.csv", "AAPL"), ("M1.csv", "M1"),
    ])
    func namesOfFilesSayWhatTheyAreOf(name: String, symbol: String) throws {
        let text = "time,open,high,low,close\n2017-01-13 14:30:00,1,2,0.5,1.5\n2017-01-13 14:31:00,1,2,0.5,1.5\n"
        #expect(try read(text, name, ImportOptions(interval: .seconds(60))).symbol == symbol)
    }

    @Test func whatSpreadsheetsAndPagesExport() throws {
        let page = try read(
            "\"Date\",\"Price\",\"Open\",\"High\",\"Low\",\"Vol.\",\"Change %\"\n\"Jan 13, 2017\",\"1,234.5\",\"1,230.0\",\"1,240.0\",\"1,225.0\",\"1.23M\",\"0.5%\"\n"
                + "\"Jan 12, 2017\",\"1,230.0\",\"1,220.0\",\"1,235.0\",\"1,215.0\",\"-\",\"0.1%\"\n",
            "SPY.csv",
            ImportOptions(interval: .days(1))
        )
        let bars = page.series[0].bars
        #expect((0..<2).map { bars.close.text(at: $0) } == ["1230", "1234.5"])
        #expect((0..<2).map { bars.volume?.text(at: $0) } == [nil, "1230000"])
        // Two bytes a letter, as some Windows programs write.
        let text =
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\r\n2017.01.13\t14:30:00\t1\t2\t0.5\t1.5\r\n2017.01.13\t14:31:00\t1\t2\t0.5\t1.5\r\n"
        var wide: [UInt8] = [0xFF, 0xFE]
        for letter in text.utf16 { wide += [UInt8(truncatingIfNeeded: letter), UInt8(letter >> 8)] }
        #expect(try FileImporter.read(wide, path: "EURUSD.csv").series[0].bars.count == 2)
        let pair = try read(
            "date,symbol,open,high,low,close\n2017-01-13 14:30:00,BTC/USD,1,2,0.5,1.5\n2017-01-13 14:31:00,BTC/USD,1,2,0.5,1.5\n",
            "x.csv"
        )
        #expect(pair.symbol == "BTCUSD")
    }

    @Test func aFileOfSeveralInstrumentsNeedsAName() throws {
        let text =
            "time,symbol,open,high,low,close\n2017-01-13 14:30:00,SPY,1,2,0.5,1.5\n2017-01-13 14:30:00,AIG,5,6,4,5\n2017-01-13 14:31:00,SPY,1,2,0.5,1.5\n"
        let refused = try #require(#expect(throws: ImportError.self) { try read(text, "all.csv", ImportOptions(interval: .seconds(60))) })
        #expect(refused.detail.contains("SPY") && refused.detail.contains("AIG"))
        let one = try read(text, "all.csv", ImportOptions(symbol: "spy", interval: .seconds(60)))
        #expect(one.symbol == "SPY")
        #expect(one.series[0].bars.count == 2)
        #expect(one.notes.contains("1 rows of other instruments are passed over"))
    }

    @Test func packedTablesAreUnpacked() throws {
        let text = "Date;Time;Open;High;Low;Close\n13.01.2017;14:30;1,05;1,07;1,04;1,06\n13.01.2017;14:31;1,05;1,07;1,04;1,06\n"
        let file = try FileImporter.read(stored(text, as: "anything.csv"), path: "EURUSD.zip")
        #expect(file.series[0].bars.count == 2)
    }

    /// Whatever happens to a table on its way, reading it ends in bars or in a refusal.
    @Test func spoiltTablesNeverCrash() {
        let whole = [
            "Date;Time;Open;High;Low;Close;Vol\n13.01.2017;14:30;1,05;1,07;1,04;1,06;10\n14.01.2017;14:31;1,05;1,07;1,04;1,06;10\n",
            "ts,bid,ask,bid_size,ask_size\n1484317800100,1.05,1.06,10,20\n1484317800900,1.07,1.08,30,40\n",
            "EUR/USD,20170113 14:30:00.123,1.06,1.0601\nEUR/USD,20170113 14:30:01.456,1.0602,1.0603\n",
            "\"Jan 13, 2017 9:30 AM\"|1|2|0.5|1.5|1.2K\n\"Jan 13, 2017 9:31 AM\"|1|2|0.5|1.5|1.2K\n",
        ].map { Array($0.utf8) }
        var state: UInt64 = 88_172_645_463_325_252
        func random(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        let signs = Array("0123456789.,;|\t\n\r\"-+:/ TZeENnKMapm\u{0}".utf8) + [0xFF, 0xEF]
        var taken = 0
        for round in 0..<6_000 {
            var bytes = whole[round % whole.count]
            for _ in 0...random(4) {
                let place = random(bytes.count)
                switch random(4) {
                case 0: bytes[place] = signs[random(signs.count)]
                case 1: bytes.insert(signs[random(signs.count)], at: place)
                case 2: bytes.remove(at: place)
                default: bytes.removeLast(min(bytes.count - 1, random(9)))
                }
            }
            let options = ImportOptions(symbol: "EURUSD", interval: round % 3 == 0 ? .seconds(60) : nil)
            guard let file = try? FileImporter.read(bytes, path: "spoilt.csv", options: options) else { continue }
            taken += 1
            for series in file.series { #expect(zip(series.bars.starts, series.bars.ends).allSatisfy { $0 < $1 }) }
        }
        #expect(taken > 500)
    }

    /// Rows that are no bars must not become any, however many numbers they have.
    @Test(arguments: [
        "19980102,0.8613657,0.00892857,1\n20000620,0.8613657,0.00892857,101\n20050225,0.8613657,0.01785710,88.97\n",
        "19980102,aapl,Q\n20501231,aapl,Q\n", "date,rate\n2017-01-13,1.5\n2017-01-14,1.6\n",
        "2017-01-13,1,2,3,4\n2017-01-14,2,1,4,3\n2017-01-15,4,3,2,1\n2017-01-16,3,4,1,2\n",
        "a;b;c;d;e;f\n2017-01-13;1;2;0;1;5\n2017-01-14;1;2;0;1;5\n",
        "name,price\nx,1\ny,2\n", "{\"a\": 1, \"open\": 2, \"high\": 3, \"low\": 4, \"close\": 5}\n",
    ])
    func tablesOfOtherThingsAreRefused(text: String) {
        #expect(throws: ImportError.self) { try read(text, "SPY.csv", ImportOptions(interval: .days(1))) }
    }

    @Test(arguments: [
        ("2017-01-13T14:30:00.123456789Z", "2017-01-13T14:30:00.123456Z"), ("2017-01-13T14:30:00+0530", "2017-01-13T09:00:00.000000Z"),
        ("20170113T143000Z", "2017-01-13T14:30:00.000000Z"), ("Fri, 13 Jan 2017 14:30:00 GMT", "2017-01-13T14:30:00.000000Z"),
        ("Jan 13, 2017 2:30 PM", "2017-01-13T14:30:00.000000Z"), ("13 January 2017 12:05 am", "2017-01-13T00:05:00.000000Z"),
        ("2017/01/13 14:30", "2017-01-13T14:30:00.000000Z"), ("1484317800", "2017-01-13T14:30:00.000000Z"),
        ("1484317800.25", "2017-01-13T14:30:00.250000Z"), ("1484317800123", "2017-01-13T14:30:00.123000Z"),
        ("1484317800123456789", "2017-01-13T14:30:00.123456Z"), ("20170113 24:00", "2017-01-14T00:00:00.000000Z"),
        ("201701131430", "2017-01-13T14:30:00.000000Z"),
    ])
    func timesAreReadAsPeopleWriteThem(text: String, expected: String) throws {
        var text = text
        let moment = try #require(text.withUTF8 { MomentText($0) })
        let local = try #require(moment.microseconds(.dayMonthYear))
        #expect(Timestamp(microseconds: local - Int64(moment.offset ?? 0) * 1_000_000).iso8601 == expected)
    }

    @Test(arguments: [
        "", "yesterday", "2017-13-01", "2017-02-30", "25:00", "2017-01-13 25:00", "2017-01-13 14:61", "2017-01-13 14:30 XYZ", "1.05", "99999-10-09",
        "32/01/2017 x", "12345678901234567890",
    ])
    func whatIsNoTimeIsNone(text: String) {
        var text = text
        #expect(text.withUTF8 { MomentText($0)?.microseconds(.dayMonthYear) } == nil)
    }
}
