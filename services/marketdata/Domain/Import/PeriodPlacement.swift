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
        var leftOut = false
        let bars = try raw.series(volumesAreKnown: true, problems: &problems) { stamp -> Range<Int64>? in
            let date = CivilDay(number: Int(floorDivide(stamp, 86_400_000_000)))
            if interval == .days(1) {
                return clock.session(on: date, kind: .regular) ?? clock.beginning(of: date)..<clock.beginning(of: date + 1)
            }
            guard case .bucket(let start, let end, _) = grid.slot(at: clock.instant(date, 43_200)) else { return nil }
            let lastDate = clock.tradingDate(of: end - 1)
            if !stampsTheStart, date == latest, date < lastDate {
                leftOut = true
                return nil
            }
            return start..<end
        }
        if leftOut { notes.append("the newest row is left out: its period is not over") }
        let coverage = (bars.starts.first ?? 0)..<(bars.ends.last ?? 1)
        return ImportedSeries(intervalSeconds: interval.seconds, side: .trade, origin: .imported, bars: bars, coverage: coverage)
    }
}
