import Bars

/// Lean's bar files: milliseconds since local midnight or `YYYYMMDD HH:MM`, five trade columns or ten quote columns, no header.
enum LeanBarReader {
    static func read(_ source: ImportSource) throws(ImportError) -> ImportedFile {
        guard let lean = source.name.lean else { throw .unknownLayout("it has no place in Lean's folders") }
        let market = try LeanMarket(lean, source)
        let length: Int64 = lean.resolution == "second" ? 1 : lean.resolution == "minute" ? 60 : lean.resolution == "hour" ? 3_600 : 86_400
        let midnight = try market.midnight(of: lean)
        var problems = RowProblems()
        var sides: [PriceSide: RawRows] = [:]
        var rows = 0
        let isIntraday = lean.resolution == "second" || lean.resolution == "minute"
        DelimitedText(source.text, separator: 0x2C).forEachRow { row in
            rows += 1
            var local: Int64?
            if isIntraday {
                local = row.integer(0).flatMap { $0 < 86_400_000 ? (midnight.seconds * 1_000 + $0) * 1_000 : nil }
            } else {
                local = TimeText.parse(row.bytes(0))?.microseconds
            }
            guard let local else {
                let day = isIntraday ? CivilDay(utcMicroseconds: market.zone.utc(fromLocal: midnight.seconds) * 1_000_000) : nil
                problems.add(line: row.line, column: "time", reason: "milliseconds since midnight or YYYYMMDD HH:MM would be right", day: day)
                return
            }
            // A day's bar may begin on another UTC date than its local midnight: what is refused is the day where it is kept.
            let start = market.span(local: local, length: length)?.lowerBound
            let day = CivilDay(utcMicroseconds: start ?? market.zone.utc(fromLocal: floorDivide(local, 1_000_000)) * 1_000_000)
            guard row.count == 6 || row.count == 11 else {
                problems.add(line: row.line, column: "row", reason: "\(row.count) fields where 6 or 11 would be right", day: day)
                return
            }
            let groups: [(PriceSide, Int)] = row.count == 6 ? [(.trade, 1)] : [(.bid, 1), (.ask, 6)]
            for (side, at) in groups {
                // An empty side is skipped, never zero.
                if row.count == 11, row.bytes(at).isEmpty || row.number(at)?.isZero == true { continue }
                let size = row.number(at + 4)
                if size == nil, !row.bytes(at + 4).isEmpty {
                    problems.add(line: row.line, column: "volume", reason: "a decimal number would be right", day: day)
                    continue
                }
                sides[side, default: RawRows()].append(
                    line: row.line,
                    stamp: local,
                    open: market.price(row.number(at)),
                    high: market.price(row.number(at + 1)),
                    low: market.price(row.number(at + 2)),
                    close: market.price(row.number(at + 3)),
                    volume: side == .trade || size?.isZero == false ? size : nil,
                    day: day,
                    problems: &problems
                )
            }
        }
        guard rows > 0 else { throw .emptyFile }
        var series: [ImportedSeries] = []
        var notes: [String] = []
        for side in [PriceSide.trade, .bid, .ask] {
            guard let raw = sides[side] else { continue }
            let known = !(market.assetClass == .index && raw.hasOnlyZeroVolumes)
            let bars = try raw.series(volumesAreKnown: known, problems: &problems) { market.span(local: $0, length: length) }
            let coverage: Range<Int64>
            if isIntraday {
                coverage = market.zone.utc(fromLocal: midnight.seconds) * 1_000_000..<market.zone.utc(fromLocal: (midnight + 1).seconds) * 1_000_000
            } else {
                coverage = (bars.starts.first ?? 0)..<max(bars.ends.last ?? 1, (bars.starts.first ?? 0) + 1)
            }
            series.append(ImportedSeries(intervalSeconds: Int(length), side: side, origin: .imported, bars: bars, coverage: coverage))
        }
        if market.assetClass == .equity || market.assetClass == .index, !isIntraday { notes.append("bars are cut to the exchange's regular session") }
        return ImportedFile(
            layout: .leanBars,
            symbol: market.symbol,
            assetClass: market.assetClass,
            calendar: market.calendar,
            series: series,
            rows: rows,
            problems: problems,
            notes: notes
        )
    }
}
