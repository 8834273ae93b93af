import Bars

/// Collects ticks row by row.
struct TickCollector {
    private var times: [Int64] = []
    private var prices = ScaledColumnBuilder()
    private var sizes = ScaledColumnBuilder()
    private var hasSizes = false

    var count: Int { times.count }

    mutating func append(time: Int64, price: DecimalNumber?, size: DecimalNumber?) {
        times.append(time)
        prices.append(price)
        sizes.append(size)
        if size != nil { hasSizes = true }
    }

    /// The ticks in rising order, without those of refused days; files that are newest first are turned round.
    func finish(_ verdict: TickOrder.Verdict) throws(ImportError) -> TickSeries {
        var times = self.times
        var prices = self.prices.finish()
        var sizes = hasSizes ? self.sizes.finish() : nil
        if verdict.isNewestFirst {
            times.reverse()
            prices = prices.reversed()
            sizes = sizes?.reversed()
        }
        if !verdict.refusedDays.isEmpty {
            let kept = times.map { !verdict.refusedDays.contains(CivilDay(utcMicroseconds: $0)) }
            var stretches: [Range<Int>] = []
            for row in times.indices where kept[row] {
                if stretches.last?.upperBound == row {
                    stretches[stretches.count - 1] = stretches[stretches.count - 1].lowerBound..<row + 1
                } else {
                    stretches.append(row..<row + 1)
                }
            }
            times = stretches.flatMap { times[$0] }
            prices = .concatenate(stretches.map { prices.slice($0) })
            sizes = sizes.map { sizes in .concatenate(stretches.map { sizes.slice($0) }) }
        }
        do { return try TickSeries(times: times, prices: prices, sizes: sizes) } catch { throw .unknownLayout(error.description) }
    }
}

/// The times of a file's ticks with their lines: says which ticks are out of order, and which days cannot be used for it.
struct TickOrder {
    /// What the times of a file say.
    struct Verdict {
        var isNewestFirst: Bool
        var refusedDays: Set<CivilDay>
    }

    private var times: [Int64] = []
    private var lines: [Int] = []
    private var rises = 0
    private var falls = 0

    mutating func append(time: Int64, line: Int) {
        if let last = times.last, last != time { if last < time { rises += 1 } else { falls += 1 } }
        times.append(time)
        lines.append(line)
    }

    /// Names the ticks that are earlier than the one before them. Where the two are of different days either may be the wrong one, so neither day is used.
    func verdict(_ problems: inout RowProblems) -> Verdict {
        let isNewestFirst = falls > rises
        var rows = isNewestFirst ? Array(times.indices.reversed()) : Array(times.indices)
        var refused: Set<CivilDay> = []
        while true {
            var found: Set<CivilDay> = []
            for (before, row) in zip(rows, rows.dropFirst()) where times[row] < times[before] {
                let day = CivilDay(utcMicroseconds: times[row])
                let other = CivilDay(utcMicroseconds: times[before])
                problems.add(
                    line: lines[row],
                    column: "time",
                    reason: "it is earlier than the tick of line \(lines[before]) before it",
                    day: day,
                    kind: .outOfOrder
                )
                if other != day {
                    problems.add(line: lines[before], column: "time", reason: "it is later than the tick of line \(lines[row]) after it", day: other)
                }
                found.formUnion([day, other])
            }
            if found.isEmpty { return Verdict(isNewestFirst: isNewestFirst, refusedDays: refused) }
            refused.formUnion(found)
            // What is left may be out of order where the refused days stood between.
            rows.removeAll { found.contains(CivilDay(utcMicroseconds: times[$0])) }
        }
    }
}
