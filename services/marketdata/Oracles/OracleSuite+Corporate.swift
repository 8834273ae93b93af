import Bars
import Contracts

extension OracleSuite {
    // MARK: 6, corporate actions

    /// A factor or map file as the importer reads it.
    private func about(_ path: String) throws -> LeanCorporateFile {
        guard let bytes = data.readFile("\(data.directory)/\(path)") else { throw MissingFile(path: path) }
        guard let file = try LeanCorporateReader.read(bytes, path: path, options: ImportOptions()) else {
            throw ImportError.unknownLayout("it is no factor or map file")
        }
        return file
    }

    private func actions(_ symbol: String) throws -> [CorporateAction] {
        guard case .factors(let file) = try about("lean/equity/usa/factor_files/\(symbol).csv").content else { throw ImportError.emptyFile }
        return file.actions.map { CorporateAction(day: $0.day, ratio: $0.ratio, referencePrice: $0.referencePrice, revision: 1, recordedAt: nil) }
    }

    private func names(_ symbol: String) throws -> [InstrumentName] {
        guard case .names(let names) = try about("lean/equity/usa/map_files/\(symbol).csv").content else { throw ImportError.emptyFile }
        return names
    }

    func corporate(_ report: inout OracleReport) {
        report.check("6a", "AAPL as of 2014-06-06 15:00 unchanged, 06-09 10:00 divided by 7, 06-10 the same") {
            let clock = try TradingClock(CalendarCatalogue.usEquity)
            let actions = try actions("aapl")
            let raw = try data.bars("lean/equity/usa/minute/aapl/20140606_trade.zip")
            func view(_ day: CivilDay, _ seconds: Int, _ kind: Adjustment = .split) -> BarSeries {
                AdjustmentView(kind, actions: actions, clock: clock, cut: clock.instant(day, seconds)).price.apply(raw)
            }
            let friday = CivilDay(year: 2014, month: 6, day: 6)
            let isSame = view(friday, 54_000) == raw && view(friday, 54_000, .full) == raw
            let monday = view(friday + 3, 36_000)
            var divided = 0
            for row in 0..<raw.count {
                let expected = (raw.close.double(at: row) / 7 * 1e8).rounded() / 1e8
                guard let volume = raw.volume, let more = monday.volume else { continue }
                if monday.close.double(at: row) == expected, more.double(at: row) == volume.double(at: row) * 7 { divided += 1 }
            }
            let stays = view(friday + 4, 36_000) == monday && view(friday + 4, 36_000, .full) == monday
            return (isSame && stays && divided == raw.count, "\(divided) of \(raw.count) minutes divided by 7, volumes times 7")
        }
        report.check("6b", "AAPL days: with the factors the step of 2014-06-09 disappears") {
            let clock = try TradingClock(CalendarCatalogue.usEquity)
            let days = try data.bars("lean/equity/usa/daily/aapl.zip")
            let full = AdjustmentView(
                .full,
                actions: try actions("aapl"),
                clock: clock,
                cut: clock.instant(CivilDay(year: 2014, month: 6, day: 10), 0)
            )
            .price.apply(days)
            let at = days.firstRow(startingFrom: clock.instant(CivilDay(year: 2014, month: 6, day: 9), 0))
            guard at > 0, at < days.count else { return (false, "the days are not there") }
            let before = days.close.double(at: at - 1) / days.close.double(at: at)
            let after = full.close.double(at: at - 1) / full.close.double(at: at)
            return (
                abs(before - 7) < 0.2 && abs(after - 1) < 0.03,
                "close to close \((before * 1_000).rounded() / 1_000) raw, \((after * 1_000).rounded() / 1_000) adjusted"
            )
        }
        report.check("6c", "A ticker resolves at a date: FB, AAA, GOOG, QQQQ, SPWRA") {
            var instruments: [(instrument: Instrument, names: [InstrumentName])] = []
            for file in ["fb", "fb.1", "aaa", "aaa.1", "goog", "googl", "gooav", "qqq", "spwr"] {
                instruments.append((Self.listed(file.uppercased()), try names(file)))
            }
            var wrong: [String] = []
            let expected = [
                ("FB", 2001, 5, "FB.1"), ("FB", 2013, 5, "FB"), ("AAA", 2005, 5, "AAA.1"), ("AAA", 2021, 1, "AAA"), ("GOOG", 2010, 1, "GOOGL"),
                ("GOOG", 2015, 1, "GOOG"), ("GOOCV", 2014, 3, "GOOG"), ("GOOGL", 2015, 1, "GOOGL"), ("QQQ", 2003, 1, "QQQ"), ("QQQQ", 2008, 1, "QQQ"),
                ("SPWRA", 2010, 1, "SPWR"), ("SPWR", 2008, 1, "SPWR"), ("FB", 2008, 1, "nobody"), ("QQQ", 2008, 1, "nobody"),
            ]
            for (ticker, year, month, symbol) in expected {
                let day = CivilDay(year: year, month: month, day: 28)
                let bearers = instruments.filter {
                    NameRank.of(symbol: ticker, instrument: $0.instrument, names: $0.names, on: day)?.rank == .bearsIt
                }
                if bearers.map(\.instrument.symbol) != (symbol == "nobody" ? [] : [symbol]) { wrong.append("\(ticker) in \(year)") }
            }
            return (wrong.isEmpty, wrong.isEmpty ? "\(expected.count) names mean whom they should" : "wrong: \(wrong.joined(separator: ", "))")
        }
        report.check("6d", "Days filed as GOOG are GOOGL's up to 2014-04-02 and GOOG's from then on") {
            var holders: [NameHolder] = []
            for file in ["goog", "googl"] {
                let instrument = Self.listed(file.uppercased())
                for name in try names(file) where name.ticker == "GOOG" {
                    holders.append(NameHolder(instrumentID: instrument.id, symbol: instrument.symbol, timeZone: instrument.timeZone, name: name))
                }
            }
            let file = try data.file("lean/equity/usa/daily/goog.zip")
            let parts = try TickerSplit.parts(of: file, holders: holders)
            let counts = parts.map { "\($0.symbol) \($0.file.series[0].bars.count)" }.joined(separator: ", ")
            let clock = try TradingClock(CalendarCatalogue.usEquity)
            let seam = parts.last.flatMap { $0.file.series[0].bars.starts.first }.map { clock.tradingDate(of: $0) }
            let total = parts.reduce(0) { $0 + $1.file.series[0].bars.count }
            let passed =
                parts.map(\.symbol) == ["GOOGL", "GOOG"] && seam == CivilDay(year: 2014, month: 4, day: 3) && total == file.series[0].bars.count
            return (passed, "\(counts), of \(file.rows) rows")
        }
    }

    private static func listed(_ symbol: String) -> Instrument {
        Instrument(
            id: .make(),
            symbol: symbol,
            assetClass: .equity,
            calendar: CalendarCatalogue.usEquity.name,
            timeZone: CalendarCatalogue.usEquity.timeZone,
            tickSize: nil,
            lotSize: nil,
            volumeUnit: .shares,
            baseIntervalSeconds: nil,
            feed: .live,
            replayOf: nil,
            active: true,
            version: 1,
            createdAt: .distantPast
        )
    }

    // MARK: 6 and 8, the quality report

    private func scan(_ parts: [BarSeries], seconds: Int, _ calendar: ExchangeCalendar, _ days: ClosedRange<CivilDay>) throws -> QualityScan {
        let clock = try TradingClock(calendar)
        let bounds = clock.instant(days.lowerBound, 0)..<clock.instant(days.upperBound + 1, 0)
        var scan = QualityScan(intervalSeconds: seconds, clock: clock, bounds: bounds)
        for part in parts { try scan.add(part) }
        scan.finish()
        return scan
    }

    func quality(_ report: inout OracleReport) {
        report.check("6e", "The report flags AAPL 2014-06-09 04:00, and neither split nor opening") {
            let parts = try ["05", "06", "09"].map { try data.bars("lean/equity/usa/minute/aapl/201406\($0)_trade.zip") }
            let day = CivilDay(year: 2014, month: 6, day: 5)
            let minutes = try scan(parts, seconds: 60, CalendarCatalogue.usEquity, day...(day + 4))
            let days = try scan(
                [try data.bars("lean/equity/usa/daily/aapl.zip")],
                seconds: 86_400,
                CalendarCatalogue.usEquity,
                CivilDay(year: 1998, month: 1, day: 2)...CivilDay(year: 2021, month: 3, day: 30)
            )
            let found = minutes.outliers.places
            // Three lows of these days lost a digit; 5,846 others, the splits and the crash of 2000-09-29 among them, are as they should be.
            let slipped = days.outliers.places.map { $0.start.iso8601.prefix(10) } == ["2009-09-21", "2010-08-31", "2011-01-03"]
            let passed = found.count == 1 && found.first?.start == Timestamp(iso8601: "2014-06-09T08:00:00Z") && slipped
            return (
                passed,
                "\(minutes.outliers.count) of \(minutes.rows) minutes (\(found.first?.what ?? "none")), \(days.outliers.count) of \(days.rows) days"
            )
        }
        report.check("8b", "The report names the hole of BTCUSD trades on 2018-04-04 after 16:47") {
            let parts = try ["04", "05", "06"].map { try data.bars("lean/crypto/coinbase/minute/btcusd/201804\($0)_trade.zip") }
            let day = CivilDay(year: 2018, month: 4, day: 4)
            let scan = try scan(parts, seconds: 60, CalendarCatalogue.alwaysOpen, day...(day + 2))
            let first = scan.holes.places.first
            return (
                scan.holes.count == 1 && first?.start == Timestamp(iso8601: "2018-04-04T16:48:00Z"),
                "\(scan.holes.count) holes, the first from \(first.map { "\($0.start) to \($0.end)" } ?? "-")"
            )
        }
    }
}
