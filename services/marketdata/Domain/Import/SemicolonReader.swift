import Bars

/// `YYYYMMDD HHMMSS;open;high;low;close;volume` minutes: HistData's (New York clock, bid, no volume) and NinjaTrader's (UTC, stamped at the end).
enum SemicolonReader {
    static func read(_ source: ImportSource, layout: ImportLayout) throws(ImportError) -> ImportedFile {
        let isHistData = layout == .histData
        let words = source.name.stem.uppercased().split { $0 == "_" || $0 == "-" }.map(String.init)
        let guessed = isHistData ? words.first { $0.count == 6 && $0.allSatisfy(\.isLetter) && $0 != "ASCII" } : words.dropFirst().first
        let identity = try source.identity(symbol: guessed, assetClass: isHistData ? .forex : nil)
        // Measured against UTC sources: HistData follows New York's summer time, though the vendor says it does not.
        let zone = try source.zone(isHistData ? "America/New_York" : "UTC")
        var problems = RowProblems()
        var raw = RawRows()
        var rows = 0
        DelimitedText(source.text, separator: 0x3B).forEachRow { row in
            rows += 1
            guard let stamp = TimeText.parse(row.bytes(0)), !stamp.isDateOnly else {
                problems.add(line: row.line, column: "time", reason: "YYYYMMDD HHMMSS would be right", day: nil)
                return
            }
            let start = zone.utc(fromLocal: floorDivide(stamp.microseconds, 1_000_000)) * 1_000_000 - (isHistData ? 0 : 60_000_000)
            let day = CivilDay(utcMicroseconds: start)
            guard row.count == 6, let volume = row.number(5) else {
                problems.add(line: row.line, column: "volume", reason: "six fields that end with a number would be right", day: day)
                return
            }
            raw.append(
                line: row.line,
                stamp: start,
                open: row.number(1),
                high: row.number(2),
                low: row.number(3),
                close: row.number(4),
                volume: volume,
                day: day,
                problems: &problems
            )
        }
        guard rows > 0 else { throw .emptyFile }
        let bars = try raw.series(volumesAreKnown: !raw.hasOnlyZeroVolumes, problems: &problems) { $0..<($0 + 60_000_000) }
        let series = ImportedSeries(
            intervalSeconds: 60,
            side: source.options.side ?? (isHistData ? .bid : .trade),
            origin: .imported,
            bars: bars,
            coverage: (bars.starts.first ?? 0)..<(bars.ends.last ?? 1)
        )
        return ImportedFile(
            layout: layout,
            symbol: identity.symbol,
            assetClass: identity.assetClass,
            calendar: identity.calendar,
            series: [series],
            rows: rows,
            problems: problems,
            notes: [
                isHistData ? "times are read as New York local time" : "rows were stamped at the end of their minute and are shifted to its start"
            ]
        )
    }
}
