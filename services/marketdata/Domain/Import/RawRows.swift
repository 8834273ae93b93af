import Bars

/// Bars as a file had them, before time zones and intervals are applied: columns with an entry a row, and the line that each came from.
struct RawRows {
    private(set) var stamps: [Int64] = []
    /// Open, high, low and close.
    private var prices = [ScaledColumnBuilder](repeating: ScaledColumnBuilder(), count: 4)
    private var volume = ScaledColumnBuilder()
    private var hasVolume = false
    private(set) var hasOnlyZeroVolumes = true
    private var lines: [Int] = []
    /// The times of all rows, those refused for a field included: a wrong price says nothing against the row's place.
    private var allStamps: [Int64] = []
    /// The columns of a file that was read at once, instead of the builders.
    private var plain: PlainBarText?
    private var firstLine = 1

    var count: Int { stamps.count }

    init() {}

    /// All rows of a plain file, whose first one is on the given line.
    init(_ plain: PlainBarText, firstLine: Int) {
        self.plain = plain
        self.firstLine = firstLine
        stamps = plain.stamps
        allStamps = plain.stamps
        hasVolume = plain.volumes != nil
        hasOnlyZeroVolumes = plain.volumes?.isAllZero ?? true
    }

    /// Adds a row whose fields were read; refuses one whose high is not the highest or whose low is not the lowest.
    mutating func append(
        line: Int,
        stamp: Int64,
        open: DecimalNumber?,
        high: DecimalNumber?,
        low: DecimalNumber?,
        close: DecimalNumber?,
        volume amount: DecimalNumber?,
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
        if let amount, amount.double < 0 {
            problems.add(line: line, column: "volume", reason: "\(amount.text) is negative", day: day)
            return
        }
        lines.append(line)
        stamps.append(stamp)
        for (column, price) in [open, high, low, close].enumerated() { prices[column].append(price) }
        volume.append(amount)
        if let amount {
            hasVolume = true
            hasOnlyZeroVolumes = hasOnlyZeroVolumes && amount.isZero
        }
    }

    private func line(_ row: Int) -> Int { plain == nil ? lines[row] : firstLine + row }

    /// Rows from the earliest on: as they are, turned round, or sorted where a vendor mixed them up.
    var rowsByTime: RowOrder { RowOrder(stamps) }

    /// Calls the body with the distance from each time of the file to the next, in rising order of time; rows of the same time have none.
    func forEachDistance(_ body: (Int64) -> Void) {
        let order = RowOrder(allStamps)
        for place in 1..<max(order.count, 1) {
            let distance = allStamps[order[place]] - allStamps[order[place - 1]]
            if distance > 0 { body(distance) }
        }
    }

    /// Remembers the rows that are earlier than one before them (in a file that is newest first, later): they are sorted in, and worth a word.
    private func noteDisorder(_ problems: inout RowProblems, span: (Int64) -> Range<Int64>?) {
        var (rises, falls) = (0, 0)
        for (before, stamp) in zip(stamps, stamps.dropFirst()) where stamp != before { if stamp > before { rises += 1 } else { falls += 1 } }
        guard min(rises, falls) > 0 else { return }
        var furthest: Int64?
        for place in stamps.indices {
            let row = falls > rises ? stamps.count - 1 - place : place
            if let furthest, stamps[row] < furthest, let start = span(stamps[row])?.lowerBound {
                problems.note(.outOfOrder, line: line(row), day: CivilDay(utcMicroseconds: start))
            }
            furthest = max(furthest ?? .min, stamps[row])
        }
    }

    /// The bars, each placed by `span` (stamp → start and end, or nothing to leave the row out), in order of time; strays (by row, with the reason) and
    /// doubled times are problems of the day on which the bar would begin.
    func series(
        volumesAreKnown: Bool,
        strays: [Int: String] = [:],
        problems: inout RowProblems,
        span: (Int64) -> Range<Int64>?
    ) throws(ImportError) -> BarSeries {
        let order = rowsByTime
        if case .sorted = order { noteDisorder(&problems, span: span) }
        // Of most files all rows are kept as they are.
        var kept: [Int]? = order.isAsItIs ? nil : []
        var starts: [Int64] = []
        var ends: [Int64] = []
        starts.reserveCapacity(count)
        ends.reserveCapacity(count)
        for place in 0..<order.count {
            let row = order[place]
            let range = span(stamps[row])
            if let range, strays.isEmpty || strays[row] == nil, range.lowerBound > starts.last ?? .min {
                starts.append(range.lowerBound)
                ends.append(range.upperBound)
                kept?.append(row)
                continue
            }
            if kept == nil { kept = Array(0..<row) }
            guard let range else { continue }
            let reason = strays[row] ?? "another row of the file has the same time"
            problems.add(
                line: line(row),
                column: "time",
                reason: reason,
                day: CivilDay(utcMicroseconds: range.lowerBound),
                kind: strays[row] == nil ? .duplicate : .refused
            )
        }
        let columns = columns(of: kept)
        do {
            return try BarSeries(
                starts: starts,
                ends: ends,
                open: columns.prices[0],
                high: columns.prices[1],
                low: columns.prices[2],
                close: columns.prices[3],
                volume: volumesAreKnown ? columns.volume : nil
            )
        } catch { throw .unknownLayout(error.description) }
    }

    /// The columns of the given rows, or of all; the four prices share one scale.
    private func columns(of kept: [Int]?) -> (prices: [ScaledColumn], volume: ScaledColumn?) {
        var columns: [ScaledColumn]
        var amounts: ScaledColumn?
        if let plain {
            columns = plain.prices.map(\.column)
            amounts = plain.volumes?.column
        } else {
            let scale = prices.reduce(0) { max($0, $1.scale) }
            columns = prices.map { $0.finish(atLeastScale: scale) }
            amounts = hasVolume ? volume.finish() : nil
        }
        if let kept {
            columns = columns.map { $0.gather(kept) }
            amounts = amounts?.gather(kept)
        }
        return (columns, amounts)
    }
}

/// The rows of a file in order of time.
enum RowOrder {
    case asTheyAre(Int)
    case turnedRound(Int)
    case sorted([Int])

    init(_ stamps: [Int64]) {
        var (rises, falls) = (true, true)
        for row in 1..<max(stamps.count, 1) where rises || falls {
            if stamps[row] <= stamps[row - 1] { rises = false }
            if stamps[row] >= stamps[row - 1] { falls = false }
        }
        self =
            if rises { .asTheyAre(stamps.count) } else if falls { .turnedRound(stamps.count) } else {
                .sorted((0..<stamps.count).sorted { (stamps[$0], $0) < (stamps[$1], $1) })
            }
    }

    var isAsItIs: Bool { if case .asTheyAre = self { true } else { false } }

    var count: Int {
        switch self {
        case .asTheyAre(let count), .turnedRound(let count): count
        case .sorted(let rows): rows.count
        }
    }

    subscript(place: Int) -> Int {
        switch self {
        case .asTheyAre: place
        case .turnedRound(let count): count - 1 - place
        case .sorted(let rows): rows[place]
        }
    }
}
