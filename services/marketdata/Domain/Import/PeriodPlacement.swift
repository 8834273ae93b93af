import Bars

/// Places bars that carry a date only: days on their session, weeks and months on their period, whichever end the vendor stamps.
enum PeriodPlacement {
    static func place(
        _ raw: RawRows,
        clock: TradingClock,
        given: BarInterval?,
        problems: inout RowProblems,
        notes: inout [String]
    ) throws(ImportError) -> ImportedSeries {
        let interval: BarInterval
        if let given { interval = given } else { interval = try found(in: raw, problems) }
        let grid = PeriodGrid(clock: clock, kind: .regular, interval: interval)
        func span(of date: CivilDay) -> Range<Int64>? {
            if interval == .days(1) {
                return clock.session(on: date, kind: .regular) ?? clock.beginning(of: date)..<clock.beginning(of: date + 1)
            }
            guard case .bucket(let start, let end, _) = grid.slot(at: clock.instant(date, 43_200)) else { return nil }
            return start..<end
        }
        // A trading day may begin on the evening before its date: what is refused is the day where its bars are kept.
        problems.moveDays { date in span(of: date).map { CivilDay(utcMicroseconds: $0.lowerBound) } ?? date }

        let order = raw.rowsByTime
        let rows = (0..<order.count).map { order[$0] }
        let dates = raw.stamps.map(date(of:))
        // The newest row may be of a period that still runs, or carry the day of the download; the others say what is stamped.
        let judged = rows.count > 1 ? rows.dropLast() : rows[...]
        let starting = judged.count { grid.period(of: dates[$0]).first == dates[$0] }
        let stampsTheStart = interval == .days(1) || starting * 2 > judged.count
        if !stampsTheStart {
            notes.append("rows were stamped at the end of their \(interval == .weeks(1) ? "week" : "month") and are shifted to its start")
        }
        var unfinished: Int64?
        if !stampsTheStart, let newest = rows.last, let end = span(of: dates[newest])?.upperBound, dates[newest] < clock.tradingDate(of: end - 1) {
            unfinished = raw.stamps[newest]
            notes.append("the newest row is left out: its period is not over")
        }
        var strays: [Int: String] = [:]
        var last: CivilDay?
        for row in rows {
            let days = last.map { dates[row].number - $0.number } ?? 0
            if days > 0, !fits(days: days, interval) {
                strays[row] = "it is \(days) days after the row before, no whole number of \(interval == .weeks(1) ? "weeks" : "months")"
            } else {
                last = dates[row]
            }
        }
        let bars = try raw.series(volumesAreKnown: true, strays: strays, problems: &problems) { stamp in
            stamp == unfinished ? nil : span(of: date(of: stamp))
        }
        let coverage = (bars.starts.first ?? 0)..<(bars.ends.last ?? 1)
        return ImportedSeries(intervalSeconds: interval.seconds, side: .trade, origin: .imported, bars: bars, coverage: coverage)
    }

    /// Days, weeks or months: what the most distances between rows can be, and no other as often.
    private static func found(in raw: RawRows, _ problems: RowProblems) throws(ImportError) -> BarInterval {
        var days = 0
        var weeks = 0
        var months = 0
        var others = 0
        raw.forEachDistance { distance in
            switch distance / 86_400_000_000 {
            case 1...4: days += 1
            case 5...9: weeks += 1
            case 27...34: months += 1
            default: others += 1
            }
        }
        guard days + weeks + months + others > 0 else {
            throw problems.isEmpty ? .intervalRequired("two rows at least are needed") : .badRows(problems)
        }
        if days > max(weeks, months, others) { return .days(1) }
        if weeks > max(days, months, others) { return .weeks(1) }
        if months > max(days, weeks, others) { return .months(1) }
        throw .intervalRequired("rows are neither days nor weeks nor months apart")
    }

    /// Whether two rows of an interval can be so many days apart; holidays move the stamp of a week by two days, that of a month by four.
    private static func fits(days: Int, _ interval: BarInterval) -> Bool {
        switch interval {
        case .weeks: days >= 5 && (days % 7 <= 2 || days % 7 >= 5)
        case .months: days >= 27 && abs(days * 12 - (days * 12 + 182) / 365 * 365) <= 4 * 12
        default: true
        }
    }

    private static func date(of stamp: Int64) -> CivilDay { CivilDay(number: Int(floorDivide(stamp, 86_400_000_000))) }
}
