import Bars

/// Places bars that carry a date only: days on their session, weeks and months on their period, whichever end the vendor stamps.
enum PeriodPlacement {
    static func place(
        _ raw: RawRows,
        clock: TradingClock,
        problems: inout RowProblems,
        notes: inout [String]
    ) throws(ImportError) -> ImportedSeries {
        let days = (raw.leastSpacing ?? 86_400_000_000) / 86_400_000_000
        let interval: BarInterval = days >= 26 ? .months(1) : days >= 5 ? .weeks(1) : .days(1)
        let dates = raw.stamps.map { CivilDay(number: Int(floorDivide($0, 86_400_000_000))) }
        let grid = PeriodGrid(clock: clock, kind: .regular, interval: interval)
        let latest = dates.max()
        let stampsTheStart = interval == .days(1) || dates.allSatisfy { grid.period(of: $0).first == $0 }
        if !stampsTheStart {
            notes.append("rows were stamped at the end of their \(interval == .weeks(1) ? "week" : "month") and are shifted to its start")
        }
        func span(of date: CivilDay) -> Range<Int64>? {
            if interval == .days(1) {
                return clock.session(on: date, kind: .regular) ?? clock.beginning(of: date)..<clock.beginning(of: date + 1)
            }
            guard case .bucket(let start, let end, _) = grid.slot(at: clock.instant(date, 43_200)) else { return nil }
            return start..<end
        }
        // A trading day may begin on the evening before its date: what is refused is the day where its bars are kept.
        problems.moveDays { date in span(of: date).map { CivilDay(utcMicroseconds: $0.lowerBound) } ?? date }
        var leftOut = false
        let bars = try raw.series(volumesAreKnown: true, problems: &problems) { stamp in
            let date = CivilDay(number: Int(floorDivide(stamp, 86_400_000_000)))
            guard let span = span(of: date) else { return nil }
            if !stampsTheStart, date == latest, date < clock.tradingDate(of: span.upperBound - 1) {
                leftOut = true
                return nil
            }
            return span
        }
        if leftOut { notes.append("the newest row is left out: its period is not over") }
        let coverage = (bars.starts.first ?? 0)..<(bars.ends.last ?? 1)
        return ImportedSeries(intervalSeconds: interval.seconds, side: .trade, origin: .imported, bars: bars, coverage: coverage)
    }
}
