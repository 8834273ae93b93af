import Bars

/// Answers of DTN IQFeed's lookup port as they came: ticks, intervals, days, weeks and months, US Eastern time, either order, `!ENDMSG!` last.
enum IQFeedReader {
    static func readTicks(_ source: ImportSource) throws(ImportError) -> ImportedFile {
        let identity = try source.identity(symbol: symbol(source), assetClass: .equity)
        let ticks = try ticks(source)
        let bars = ticks.qualified.bars(grid: EpochGrid(intervalMicroseconds: 1_000_000))
        let coverage = (ticks.first)..<(ticks.last + 1)
        return ImportedFile(
            layout: .iqfeedTicks,
            symbol: identity.symbol,
            assetClass: identity.assetClass,
            calendar: identity.calendar,
            series: [ImportedSeries(intervalSeconds: 1, side: .trade, origin: .derived, bars: bars, coverage: coverage)],
            rows: ticks.rows,
            problems: ticks.problems,
            notes: ["ticks are put together into bars of one second; basis O and empty ticks make no bar"]
        )
    }

    /// Ticks with what the day's oracle needs besides bars.
    struct Ticks {
        /// Ticks that make bars: basis other than O, size above zero.
        var qualified: TickSeries
        /// Ticks of the main session's last price (basis C).
        var lastQualified: TickSeries
        /// The running total volume at each trading date's last tick.
        var totalVolumes: [CivilDay: Int64]
        var rows: Int
        var first: Int64
        var last: Int64
        var problems: RowProblems
    }

    static func ticks(_ source: ImportSource) throws(ImportError) -> Ticks {
        let zone = try source.zone("America/New_York")
        var problems = RowProblems()
        var qualified = TickCollector()
        var basisC = TickCollector()
        var order = TickOrder()
        var totals: [CivilDay: (time: Int64, total: Int64)] = [:]
        var rows = 0
        var first = Int64.max
        var last = Int64.min
        DelimitedText(source.text, separator: 0x2C).forEachRow { row in
            if row.bytes(0).first == 0x21 { return }
            rows += 1
            guard let stamp = TimeText.parse(row.bytes(0)), !stamp.isDateOnly else {
                problems.add(line: row.line, column: "time", reason: "YYYY-MM-DD HH:MM:SS.ffffff would be right", day: nil)
                return
            }
            let seconds = floorDivide(stamp.microseconds, 1_000_000)
            let time = zone.utc(fromLocal: seconds) * 1_000_000 + (stamp.microseconds - seconds * 1_000_000)
            let day = CivilDay(utcMicroseconds: time)
            guard row.count >= 12, let price = row.number(1), let size = row.number(2), let total = row.integer(3) else {
                problems.add(line: row.line, column: "row", reason: "price, size and total volume as numbers would be right", day: day)
                return
            }
            first = min(first, time)
            last = max(last, time)
            let date = CivilDay(number: Int(floorDivide(seconds, 86_400)))
            // Within one microsecond the larger total is the later one; it never falls within a day.
            if let known = totals[date], (known.time, known.total) >= (time, total) {} else { totals[date] = (time, total) }
            let basis = row.bytes(7).first
            if size.isZero { return }
            if basis != 0x4F {
                qualified.append(time: time, price: price, size: size)
                order.append(time: time, line: row.line)
            }
            if basis == 0x43 { basisC.append(time: time, price: price, size: size) }
        }
        guard rows > 0 else { throw .emptyFile }
        guard first <= last else { throw .badRows(problems) }
        let verdict = order.verdict(&problems)
        return Ticks(
            qualified: try qualified.finish(verdict),
            lastQualified: try basisC.finish(verdict),
            totalVolumes: totals.mapValues(\.total),
            rows: rows,
            first: first,
            last: last,
            problems: problems
        )
    }

    static func readBars(_ source: ImportSource) throws(ImportError) -> ImportedFile {
        let identity = try source.identity(symbol: symbol(source), assetClass: .equity)
        let zone = try source.zone("America/New_York")
        let clock = try source.clock(identity.calendar)
        var problems = RowProblems()
        var raw = RawRows()
        var rows = 0
        var dateOnly = false
        DelimitedText(source.text, separator: 0x2C).forEachRow { row in
            if row.bytes(0).first == 0x21 { return }
            rows += 1
            guard let stamp = TimeText.parse(row.bytes(0)) else {
                problems.add(line: row.line, column: "time", reason: "YYYY-MM-DD[ HH:MM:SS] would be right", day: nil)
                return
            }
            dateOnly = stamp.isDateOnly
            let day = stamp.day(in: zone)
            // Intervals end with total volume, period volume, trades; days with volume, open interest.
            let volume = row.number(stamp.isDateOnly ? 5 : 6)
            guard volume != nil else {
                problems.add(line: row.line, column: "volume", reason: "a whole number would be right", day: day)
                return
            }
            raw.append(
                line: row.line,
                stamp: stamp.microseconds,
                open: row.number(3),
                high: row.number(1),
                low: row.number(2),
                close: row.number(4),
                volume: volume,
                day: day,
                problems: &problems
            )
        }
        guard rows > 0 else { throw .emptyFile }
        let made: ImportedSeries
        var notes: [String] = []
        if dateOnly {
            let given = try source.periodOption()
            made = try PeriodPlacement.place(raw, clock: clock, given: given, problems: &problems, notes: &notes)
        } else {
            let rhythm = try RowRhythm(raw, given: source.options.interval, problems: problems)
            made = try rhythm.series(of: raw, problems: &problems, zone: zone)
        }
        return ImportedFile(
            layout: .iqfeedBars,
            symbol: identity.symbol,
            assetClass: identity.assetClass,
            calendar: identity.calendar,
            series: [made],
            rows: rows,
            problems: problems,
            notes: notes
        )
    }

    /// The responses name no symbol; a folder `iqfeed-<symbol>-<year>` does.
    private static func symbol(_ source: ImportSource) -> String? {
        let words = source.name.folder.split(separator: "-")
        return words.count >= 2 && words[0] == "iqfeed" ? String(words[1]) : nil
    }
}
