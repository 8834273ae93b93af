import Bars

/// Bars as a file had them, before time zones and intervals are applied: one entry a row, with the line that it came from.
struct RawRows {
    private(set) var lines: [Int] = []
    private(set) var stamps: [Int64] = []
    private(set) var prices: [[DecimalNumber]] = [[], [], [], []]
    private(set) var volumes: [DecimalNumber?] = []

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
    private var rowsByTime: [Int] {
        var rises = true
        var falls = true
        for index in 1..<max(count, 1) {
            if stamps[index] <= stamps[index - 1] { rises = false }
            if stamps[index] >= stamps[index - 1] { falls = false }
        }
        if rises { return Array(0..<count) }
        if falls { return Array((0..<count).reversed()) }
        return (0..<count).sorted { (stamps[$0], $0) < (stamps[$1], $1) }
    }

    /// The least distance between stamps in microseconds; nothing for fewer than two rows.
    var leastSpacing: Int64? {
        var least: Int64?
        for index in 1..<max(count, 1) {
            let distance = abs(stamps[index] - stamps[index - 1])
            if distance > 0 { least = min(least ?? distance, distance) }
        }
        return least
    }

    /// The bars, each placed by `span` (stamp → start and end, or nothing to leave the row out), in order of time; doubled times are problems.
    func series(
        volumesAreKnown: Bool,
        problems: inout RowProblems,
        span: (Int64) -> Range<Int64>?
    ) throws(ImportError) -> BarSeries {
        var builder = BarSeriesBuilder()
        builder.reserveCapacity(count)
        for row in rowsByTime {
            guard let range = span(stamps[row]) else { continue }
            let day = CivilDay(utcMicroseconds: range.lowerBound)
            if let last = builder.lastStart, range.lowerBound <= last {
                problems.add(line: lines[row], column: "time", reason: "another row of the file has the same time", day: day)
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
