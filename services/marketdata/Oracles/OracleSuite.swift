import Bars

/// All facts of the data folder's README that the imported formats allow, one verdict each: `auspex test oracles`.
struct OracleSuite {
    let data: OracleData

    /// Runs everything and says one line a verdict.
    func run(say: @escaping (String) -> Void) -> [OracleResult] {
        var report = OracleReport(say: say)
        iqfeed(&report)
        coinbase(&report)
        oanda(&report)
        equities(&report)
        freqtrade(&report)
        oddities(&report)
        corporate(&report)
        quality(&report)
        return report.results
    }

    private func exact(_ made: BarSeries, _ vendor: BarSeries, expected: Int, volumes: Bool = true) -> (Bool, String) {
        let compared = SeriesComparison(made, vendor, volumes: volumes)
        let passed = compared.isExact && made.count == expected
        let place = compared.differing.first.map { ", first difference at \($0) µs" } ?? ""
        return (passed, "\(compared.equal) of \(vendor.count) bars equal, \(expected) expected\(passed ? "" : place)")
    }

    // MARK: 1, IQFeed

    private func iqfeed(_ report: inout OracleReport) {
        func vendor(_ name: String) throws -> BarSeries { try data.bars("iqfeed-nept-2021/\(name).zip") }
        func ticks() throws -> IQFeedReader.Ticks {
            let path = "iqfeed-nept-2021/ticks_oldest.zip"
            guard let bytes = data.readFile("\(data.directory)/\(path)") else { throw MissingFile(path: path) }
            let entry = try Archive.open(bytes, fileName: path)
            return try IQFeedReader.ticks(ImportSource(name: SourceName(path: path), text: entry.bytes, options: ImportOptions()))
        }
        report.check("1a", "IQFeed ticks → 1 s") { exact(try vendor("ticks_oldest"), try vendor("intervals_1s_oldest"), expected: 7_949) }
        report.check("1b", "IQFeed ticks → 5 s") {
            let made = try ticks().qualified.bars(grid: EpochGrid(intervalMicroseconds: 5_000_000))
            return exact(made, try vendor("intervals_5s_oldest"), expected: 5_878)
        }
        report.check("1c", "IQFeed 1 s → 5 s") {
            exact(data.resample(try vendor("intervals_1s_oldest"), seconds: 5), try vendor("intervals_5s_oldest"), expected: 5_878)
        }
        report.check("1d", "IQFeed newest first is the reverse of oldest first") {
            var equal = 0
            for name in ["ticks", "intervals_1s", "intervals_5s", "dailies", "weeklies", "monthlies"]
            where try vendor("\(name)_newest") == vendor("\(name)_oldest") { equal += 1 }
            return (equal == 6, "\(equal) of 6 files equal")
        }
        report.check("1e", "IQFeed longest hole between 1-s bars of a day") {
            let bars = try vendor("intervals_1s_oldest")
            var hole: Int64 = 0
            for row in 1..<bars.count where bars.starts[row] - bars.starts[row - 1] < 28_800_000_000 {
                hole = max(hole, bars.starts[row] - bars.starts[row - 1])
            }
            return (hole == 2_356_000_000, "\(hole / 1_000_000) s, 2356 expected")
        }
        report.check("1f", "IQFeed 1 d → 1 w, volume included") {
            let clock = try TradingClock(CalendarCatalogue.usEquity)
            let weeks = Resampler(grid: PeriodGrid(clock: clock, kind: .regular, interval: .weeks(1))).resample(try vendor("dailies_oldest"))
            let all = try vendor("weeklies_oldest")
            return exact(weeks, all.slice(all.firstRow(startingFrom: weeks.starts.first ?? 0)..<all.count), expected: 5)
        }
        report.check("1g", "IQFeed day = basis-C ticks, volume = last total") {
            let ticks = try ticks()
            let clock = try TradingClock(CalendarCatalogue.usEquity)
            let days = ticks.lastQualified.bars(grid: PeriodGrid(clock: clock, kind: .all, interval: .days(1)))
            let vendorDays = try vendor("dailies_oldest")
            var equal = 0
            for row in 0..<days.count {
                let date = clock.tradingDate(of: days.starts[row])
                guard let at = (0..<vendorDays.count).first(where: { clock.tradingDate(of: vendorDays.starts[$0]) == date }) else { continue }
                let prices = [\BarSeries.open, \.high, \.low, \.close].allSatisfy {
                    days[keyPath: $0].text(at: row) == vendorDays[keyPath: $0].text(at: at)
                }
                if prices, ticks.totalVolumes[date].map(String.init) == vendorDays.volume?.text(at: at) { equal += 1 }
            }
            return (equal == 3 && days.count == 3, "\(equal) of \(days.count) days equal, 3 expected")
        }
        report.check("1h", "IQFeed months: only the newest row is partial") {
            let file = try data.file("iqfeed-nept-2021/monthlies_oldest.zip")
            let count = file.series.first?.bars.count ?? 0
            return (file.rows == 25 && count == 24, "\(count) of \(file.rows) rows are whole months, 24 of 25 expected")
        }
    }

    // MARK: 2, Coinbase

    private func coinbase(_ report: inout OracleReport) {
        for (date, minutes, seconds) in [("20161007", 1_419, 4_063), ("20161008", 1_400, 3_453), ("20161009", 1_397, 4_004)] {
            report.check("2", "Coinbase BTCUSD 1 s → 1 m \(date)") {
                let bars = try data.bars("lean/crypto/coinbase/second/btcusd/\(date)_trade.zip")
                let vendor = try data.bars("lean/crypto/coinbase/minute/btcusd/\(date)_trade.zip")
                let (passed, detail) = exact(data.resample(bars, seconds: 60), vendor, expected: minutes)
                return (passed && bars.count == seconds, "\(detail), of \(bars.count) seconds")
            }
        }
    }

    // MARK: 3, Oanda

    private func oanda(_ report: inout OracleReport) {
        let days = ["01", "02", "04", "05", "06", "07", "08", "09", "11", "12", "13", "14", "15"].map { "201405\($0)" }
        for side in [PriceSide.bid, .ask] {
            for (date, count) in [("20140504", 638), ("20140505", 12_396)] {
                report.check("3a", "Oanda EURUSD ticks → 1 s \(side.rawValue) \(date)") {
                    let made = try data.bars("lean/forex/oanda/tick/eurusd/\(date)_quote.zip", side: side)
                    return exact(made, try data.bars("lean/forex/oanda/second/eurusd/\(date)_quote.zip", side: side), expected: count)
                }
            }
            report.check("3b", "Oanda EURUSD 1 s → 1 m \(side.rawValue), 13 days") {
                var seconds: [BarSeries] = []
                var minutes: [BarSeries] = []
                for date in days {
                    seconds.append(try data.bars("lean/forex/oanda/second/eurusd/\(date)_quote.zip", side: side))
                    minutes.append(try data.bars("lean/forex/oanda/minute/eurusd/\(date)_quote.zip", side: side))
                }
                return exact(data.resample(try .concatenate(seconds), seconds: 60, volumeRule: .last), try .concatenate(minutes), expected: 15_366)
            }
            report.check("3c", "Oanda EURUSD 1 h → 1 d \(side.rawValue), UTC days") {
                let hours = try data.bars("lean/forex/oanda/hour/eurusd.zip", side: side)
                let vendor = try data.bars("lean/forex/oanda/daily/eurusd.zip", side: side)
                let (passed, detail) = exact(data.resample(hours, seconds: 86_400, volumeRule: .last), vendor, expected: 3_738)
                return (passed && hours.count == 74_439, "\(detail), of \(hours.count) hours")
            }
        }
    }

    // MARK: 4, US equities

    private func equities(_ report: inout OracleReport) {
        for symbol in ["aig", "spy"] {
            report.check("4a", "\(symbol.uppercased()) 1 h → 1 d, regular session") {
                let clock = try TradingClock(CalendarCatalogue.usEquity)
                // By trading date: on half days the vendor's hours run past the official close, and its days count them.
                let byDate = Resampler(grid: PeriodGrid(clock: clock, kind: .all, interval: .days(1)))
                let vendor = byDate.resample(try data.bars("lean/equity/usa/daily/\(symbol).zip"))
                return exact(byDate.resample(try data.bars("lean/equity/usa/hour/\(symbol).zip")), vendor, expected: 5_849)
            }
        }
        for (symbol, dates) in [("aig", ["04", "07", "08", "09", "10", "11"]), ("spy", ["07", "08", "09", "10", "11"])] {
            report.check("4b", "\(symbol.uppercased()) 1 s → 1 m, OHLC, at most 2 minutes a day differ") {
                var worst = 0
                var compared = 0
                var complete = true
                for date in dates {
                    let made = data.resample(try data.bars("lean/equity/usa/second/\(symbol)/201310\(date)_trade.zip"), seconds: 60)
                    let vendor = try data.bars("lean/equity/usa/minute/\(symbol)/201310\(date)_trade.zip")
                    let result = SeriesComparison(made, vendor, volumes: false)
                    worst = max(worst, result.differing.count)
                    compared += vendor.count
                    complete = complete && result.onlyLeft == 0 && result.onlyRight == 0
                }
                return (worst <= 2 && complete, "\(compared) minutes on \(dates.count) days, at most \(worst) differ")
            }
        }
        for (symbol, dates) in [("aig", ["07", "08", "09", "10", "11"]), ("spy", ["07"])] {
            for date in dates {
                report.check("4c", "\(symbol.uppercased()) ticks → 1 s, OHLC, 201310\(date), at least 99.8 %") {
                    let made = try data.bars("lean/equity/usa/tick/\(symbol)/201310\(date)_trade.zip")
                    let vendor = try data.bars("lean/equity/usa/second/\(symbol)/201310\(date)_trade.zip")
                    let result = SeriesComparison(made, vendor, volumes: false)
                    let all = vendor.count + result.onlyLeft
                    return (result.equal * 1_000 >= all * 998, "\(result.equal) of \(all) seconds equal")
                }
            }
        }
    }

    // MARK: 5, freqtrade

    private func freqtrade(_ report: inout OracleReport) {
        report.check("5", "XRP_ETH trades → 1 m → 5 m") {
            let seconds = try data.bars("freqtrade/XRP_ETH-trades.json.gz")
            let minutes = data.resample(seconds, seconds: 60)
            let fives = data.resample(minutes, seconds: 300)
            let direct = exact(fives, data.resample(seconds, seconds: 300), expected: 706)
            return (direct.0 && minutes.count == 2_469, "\(minutes.count) and \(fives.count) bars, 2469 and 706 expected; in two steps as at once")
        }
    }

    // MARK: 6 and 8

    private func oddities(_ report: inout OracleReport) {
        report.check("6", "AAPL 7:1 split step and the bad bar after it") {
            func closing(_ date: String) throws -> BarSeries {
                let clock = try TradingClock(CalendarCatalogue.usEquity)
                return SessionFilter(clock: clock, kind: .regular).apply(try data.bars("lean/equity/usa/minute/aapl/\(date)_trade.zip"))
            }
            let before = try closing("20140606")
            let after = try closing("20140609")
            let ratio = before.close.double(at: before.count - 1) / after.close.double(at: after.count - 1)
            let first = try data.bars("lean/equity/usa/minute/aapl/20140609_trade.zip")
            let suspects = BarQuality.suspects(first)
            let passed = abs(ratio - 7) < 0.2 && first.open.text(at: 0) == "645.57" && first.low.text(at: 0) == "92.23" && suspects == [0]
            return (passed, "ratio \((ratio * 1_000).rounded() / 1_000), suspect bars at rows \(suspects)")
        }
        report.check("8", "BTCUSD trades of 2018-04-04 stop at 16:47 while quotes go on") {
            let trades = try data.bars("lean/crypto/coinbase/minute/btcusd/20180404_trade.zip")
            let quotes = try data.bars("lean/crypto/coinbase/minute/btcusd/20180404_quote.zip", side: .bid)
            let last = (trades.starts.last ?? 0) / 60_000_000 % 1_440
            let lastQuote = (quotes.starts.last ?? 0) / 60_000_000 % 1_440
            return (
                last == 16 * 60 + 47 && lastQuote > 23 * 60,
                "last trade minute \(last / 60):\(last % 60), last quote minute \(lastQuote / 60):\(lastQuote % 60)"
            )
        }
    }
}
