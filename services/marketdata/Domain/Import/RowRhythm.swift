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
        let order = raw.rowsByTime
        let stamps = raw.stamps
        if case .months? = given { throw .badOption(name: "interval", reason: "rows with a time of day are weeks at most") }
        var found = given.map { Int64($0.seconds) * 1_000_000 }
        if found == nil { found = try Self.mostFrequent(raw) }
        guard let interval = found else {
            throw problems.isEmpty ? .intervalRequired("two rows at least are needed") : .badRows(problems)
        }
        guard interval % 1_000_000 == 0 else { throw .intervalRequired("rows are not whole seconds apart") }
        // Summer time, a late opening or a lunch break move the grid on; a place on it that few rows share is none.
        var sharing = Tally()
        for stamp in stamps { sharing.add(floorModulo(stamp, interval)) }
        sharing.finish()
        let most = sharing.largest
        var strays: [Int: String] = [:]
        var last: Int64?
        var (place, shared) = (Int64.min, 0)
        for index in 0..<order.count {
            let row = order[index]
            let own = floorModulo(stamps[row], interval)
            if own != place { (place, shared) = (own, sharing.counts[own] ?? 0) }
            if let last, stamps[row] > last, stamps[row] - last < interval {
                strays[row] = "it begins \(seconds(stamps[row] - last)) after the row before, inside that row's bar of \(seconds(interval))"
            } else if given == nil, shared < most, shared < 3 || shared * 10 < order.count {
                strays[row] = "it is not a whole number of bars of \(seconds(interval)) from the other rows"
            } else {
                last = stamps[row]
            }
        }
        guard given != nil || order.count == 0 || strays.count * 2 < order.count else { throw .intervalRequired("rows keep no one distance") }
        self.interval = interval
        self.strays = strays
    }

    /// The bars of the rows that keep to the rhythm; stamps are on the zone's clock, or UTC without one.
    func series(of raw: RawRows, problems: inout RowProblems, zone: ZoneRules? = nil) throws(ImportError) -> ImportedSeries {
        let local = zone.flatMap { $0.isUTC ? nil : $0 }
        let bars = try raw.series(volumesAreKnown: true, strays: strays, problems: &problems) { stamp in
            let start = local.map { $0.utc(fromLocal: floorDivide(stamp, 1_000_000)) * 1_000_000 } ?? stamp
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
    private static func mostFrequent(_ raw: RawRows) throws(ImportError) -> Int64? {
        var tally = Tally()
        raw.forEachDistance { tally.add($0) }
        tally.finish()
        if tally.counts.isEmpty { return nil }
        let most = tally.largest
        let candidates = tally.counts.filter { $0.value == most }.keys.sorted()
        guard candidates.count == 1 else {
            throw .intervalRequired("rows are \(seconds(candidates[0])) apart as often as \(seconds(candidates[1]))")
        }
        return candidates[0]
    }
}

/// How often each number occurs; the same one many times in a row costs next to nothing.
private struct Tally {
    private(set) var counts: [Int64: Int] = [:]

    private var current = Int64.min
    private var run = 0

    @inline(__always) mutating func add(_ number: Int64) {
        if number != current {
            finish()
            current = number
        }
        run += 1
    }

    /// Counts what came last.
    mutating func finish() {
        if run > 0 { counts[current, default: 0] += run }
        run = 0
    }

    var largest: Int { counts.values.max() ?? 0 }
}

private func floorModulo(_ value: Int64, _ divisor: Int64) -> Int64 { value - floorDivide(value, divisor) * divisor }

private func seconds(_ microseconds: Int64) -> String {
    microseconds % 1_000_000 == 0 ? "\(microseconds / 1_000_000) s" : "\(microseconds) µs"
}
