import Bars

/// Bars as a file had them, before time zones and intervals are applied: one entry a row, with the line that it came from.
struct RawRows {
    private(set) var lines: [Int] = []
    private(set) var stamps: [Int64] = []
    private(set) var prices: [[DecimalNumber]] = [[], [], [], []]
    private(set) var volumes: [DecimalNumber?] = []
    /// The times of all rows, those refused for a field included: a wrong price says nothing against the row's place.
    private var allStamps: [Int64] = []

    var count: Int { lines.count }

    /// Adds a row whose fields were read; refuses one whose high is not the highest or whose low is not the lowest.
    mutating func append(
        line: Int,
        stamp: Int64,
        open: DecimalNumber?,
        high: DecimalNumber?,
        low: DecimalNumber?,
        close: DecimalNumber?,
        volume: DecimalNumber?,
        day: CivilDay,
        problems: inout RowProblems
    ) {
        allStamps.append(stamp)
        for (name, value) in [("open", open), ("high", high), ("low", low), ("close", close)] where value == nil {
            problems.add(line: line, column: name, reason: "a decimal number would be right", day: day)
            return
        }
        guard let open, let high, let low, let close else { return }
        let highest = high.double
        let lowest = low.double
        if highest < max(open.double, close.double, lowest) {
            problems.add(line: line, column: "high", reason: "\(high.text) is below another price of the bar", day: day)
            return
        }
        if lowest > min(open.double, close.double) {
            problems.add(line: line, column: "low", reason: "\(low.text) is above another price of the bar", day: day)
            return
        }
        if let volume, volume.double < 0 {
            problems.add(line: line, column: "volume", reason: "\(volume.text) is negative", day: day)
            return
        }
        lines.append(line)
        stamps.append(stamp)
        prices[0].append(open)
        prices[1].append(high)
        prices[2].append(low)
        prices[3].append(close)
        volumes.append(volume)
    }

    /// Whether every known volume is zero, which in most layouts means that the vendor has none.
    var hasOnlyZeroVolumes: Bool { volumes.allSatisfy { $0?.isZero ?? true } }

    /// Rows from the earliest on: as they are, turned round, or sorted where a vendor mixed them up.
    var rowsByTime: [Int] { Self.order(stamps) }

    /// The distances from one time of the file to the next, in rising order of time; rows of the same time have none.
    var distances: [Int64] {
        let times = Self.order(allStamps).map { allStamps[$0] }
        return zip(times.dropFirst(), times).map { $0 - $1 }.filter { $0 > 0 }
    }

    /// Remembers the rows that are earlier than one before them (in a file that is newest first, later): they are sorted in, and worth a word.
    private func noteDisorder(_ problems: inout RowProblems, span: (Int64) -> Range<Int64>?) {
        var rises = 0
        var falls = 0
        for (before, stamp) in zip(stamps, stamps.dropFirst()) where stamp != before { if stamp > before { rises += 1 } else { falls += 1 } }
        guard min(rises, falls) > 0 else { return }
        var furthest: Int64?
        for row in falls > rises ? Array(stamps.indices.reversed()) : Array(stamps.indices) {
            if let furthest, stamps[row] < furthest, let start = span(stamps[row])?.lowerBound {
                problems.note(.outOfOrder, line: lines[row], day: CivilDay(utcMicroseconds: start))
            }
            furthest = max(furthest ?? .min, stamps[row])
        }
    }

    private static func order(_ stamps: [Int64]) -> [Int] {
        var rises = true
        var falls = true
        for index in 1..<max(stamps.count, 1) {
            if stamps[index] <= stamps[index - 1] { rises = false }
            if stamps[index] >= stamps[index - 1] { falls = false }
        }
        if rises { return Array(0..<stamps.count) }
        if falls { return Array((0..<stamps.count).reversed()) }
        return (0..<stamps.count).sorted { (stamps[$0], $0) < (stamps[$1], $1) }
    }

    /// The bars, each placed by `span` (stamp → start and end, or nothing to leave the row out), in order of time; strays (by row, with the reason) and
    /// doubled times are problems of the day on which the bar would begin.
    func series(
        volumesAreKnown: Bool,
        strays: [Int: String] = [:],
        problems: inout RowProblems,
        span: (Int64) -> Range<Int64>?
    ) throws(ImportError) -> BarSeries {
        var builder = BarSeriesBuilder()
        builder.reserveCapacity(count)
        noteDisorder(&problems, span: span)
        for row in rowsByTime {
            guard let range = span(stamps[row]) else { continue }
            let day = CivilDay(utcMicroseconds: range.lowerBound)
            if let reason = strays[row] {
                problems.add(line: lines[row], column: "time", reason: reason, day: day)
                continue
            }
            if let last = builder.lastStart, range.lowerBound <= last {
                problems.add(line: lines[row], column: "time", reason: "another row of the file has the same time", day: day, kind: .duplicate)
                continue
            }
            builder.append(
                start: range.lowerBound,
                end: range.upperBound,
                open: prices[0][row],
                high: prices[1][row],
                low: prices[2][row],
                close: prices[3][row],
                volume: volumesAreKnown ? volumes[row] : nil
            )
        }
        do { return try builder.finish() } catch { throw .unknownLayout(error.description) }
    }
}
