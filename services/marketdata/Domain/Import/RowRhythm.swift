import Bars

/// How far apart the rows of a file are: the interval of its bars, and the rows that do not keep to it.
///
/// A row says when its bar began and not when it ended. An interval taken too short makes every bar known before it was over, so it is what most rows
/// say, never what one row says; where they say no one thing the file is refused and the caller has to give it.
struct RowRhythm {
    /// Microseconds from the start of a bar to its end.
    let interval: Int64
    /// Rows that begin where no bar of the file can begin, by index, each with the reason.
    let strays: [Int: String]

    /// The rhythm of rows with a time of day; `given` is the interval that the caller or the file's name says.
    init(_ raw: RawRows, given: BarInterval?, problems: RowProblems) throws(ImportError) {
        let rows = raw.rowsByTime
        let stamps = raw.stamps
        if case .months? = given { throw .badOption(name: "interval", reason: "rows with a time of day are weeks at most") }
        var found = given.map { Int64($0.seconds) * 1_000_000 }
        if found == nil { found = try Self.mostFrequent(raw.distances) }
        guard let interval = found else {
            throw problems.isEmpty ? .intervalRequired("two rows at least are needed") : .badRows(problems)
        }
        guard interval % 1_000_000 == 0 else { throw .intervalRequired("rows are not whole seconds apart") }
        guard interval <= 366 * 86_400_000_000 else { throw .intervalRequired("rows are more than a year apart") }
        // Summer time, a late opening or a lunch break move the grid on; a place on it that few rows share is none.
        var sharing: [Int64: Int] = [:]
        for stamp in stamps { sharing[floorModulo(stamp, interval), default: 0] += 1 }
        let most = sharing.values.max() ?? 0
        var strays: [Int: String] = [:]
        var last: Int64?
        for row in rows {
            let shared = sharing[floorModulo(stamps[row], interval)] ?? 0
            if let last, stamps[row] > last, stamps[row] - last < interval {
                strays[row] = "it begins \(seconds(stamps[row] - last)) after the row before, inside that row's bar of \(seconds(interval))"
            } else if given == nil, shared < most, shared < 3 || shared * 10 < rows.count {
                strays[row] = "it is not a whole number of bars of \(seconds(interval)) from the other rows"
            } else {
                last = stamps[row]
            }
        }
        guard given != nil || rows.isEmpty || strays.count * 2 < rows.count else { throw .intervalRequired("rows keep no one distance") }
        self.interval = interval
        self.strays = strays
    }

    /// The bars of the rows that keep to the rhythm; stamps are on the zone's clock, or UTC without one.
    func series(of raw: RawRows, problems: inout RowProblems, zone: ZoneRules? = nil) throws(ImportError) -> ImportedSeries {
        let bars = try raw.series(volumesAreKnown: true, strays: strays, problems: &problems) { stamp in
            let start = zone.map { $0.utc(fromLocal: floorDivide(stamp, 1_000_000)) * 1_000_000 } ?? stamp
            return start..<(start + interval)
        }
        return ImportedSeries(
            intervalSeconds: Int(interval / 1_000_000),
            side: .trade,
            origin: .imported,
            bars: bars,
            coverage: (bars.starts.first ?? 0)..<(bars.ends.last ?? 1)
        )
    }

    /// The distance that occurs most; nothing where there is none. Two that occur equally often are no answer.
    private static func mostFrequent(_ distances: [Int64]) throws(ImportError) -> Int64? {
        var counts: [Int64: Int] = [:]
        for distance in distances { counts[distance, default: 0] += 1 }
        guard let most = counts.values.max() else { return nil }
        let candidates = counts.filter { $0.value == most }.keys.sorted()
        guard candidates.count == 1 else {
            throw .intervalRequired("rows are \(seconds(candidates[0])) apart as often as \(seconds(candidates[1]))")
        }
        return candidates[0]
    }
}

private func floorModulo(_ value: Int64, _ divisor: Int64) -> Int64 { value - floorDivide(value, divisor) * divisor }

private func seconds(_ microseconds: Int64) -> String {
    microseconds % 1_000_000 == 0 ? "\(microseconds / 1_000_000) s" : "\(microseconds) µs"
}
