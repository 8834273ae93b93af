import CBars

/// Column arithmetic over groups of rows: one tight loop a column, nothing allocated per bar.
struct Aggregation {
    /// First row of each group.
    private(set) var lower: [Int] = []
    /// The row after the last of each group; every group has a row.
    private(set) var upper: [Int] = []

    mutating func append(_ rows: Range<Int>) {
        lower.append(rows.lowerBound)
        upper.append(rows.upperBound)
    }

    mutating func removeLast() {
        _ = lower.popLast()
        _ = upper.popLast()
    }

    /// The rows of the last group.
    var last: Range<Int>? {
        guard let first = lower.last, let end = upper.last else { return nil }
        return first..<end
    }

    var count: Int { lower.count }

    func first(_ column: ScaledColumn) -> ScaledColumn { column.gather(lower) }

    func last(_ column: ScaledColumn) -> ScaledColumn { column.gather(upper.map { $0 - 1 }) }

    func largest(_ column: ScaledColumn) -> ScaledColumn {
        switch column.storage {
        case .narrow(let values, let scale): ScaledColumn(.narrow(reduce(values, auspex_bars_largest_i32), scale: scale))
        case .integers(let values, let scale): ScaledColumn(.integers(reduce(values, auspex_bars_largest_i64), scale: scale))
        case .floats(let values): ScaledColumn(.floats(reduce(values, auspex_bars_largest_f64)))
        }
    }

    func smallest(_ column: ScaledColumn) -> ScaledColumn {
        switch column.storage {
        case .narrow(let values, let scale): ScaledColumn(.narrow(reduce(values, auspex_bars_smallest_i32), scale: scale))
        case .integers(let values, let scale): ScaledColumn(.integers(reduce(values, auspex_bars_smallest_i64), scale: scale))
        case .floats(let values): ScaledColumn(.floats(reduce(values, auspex_bars_smallest_f64)))
        }
    }

    /// Sums; a group with an unknown value has an unknown sum. Sums that leave 64 bits make the column floating.
    func sum(_ column: ScaledColumn) -> ScaledColumn {
        switch column.storage {
        case .narrow(let values, let scale): return ScaledColumn(.integers(reduce(values, auspex_bars_sum_i32), scale: scale))
        case .integers(let values, let scale):
            if let sums = exactSums(values) { return ScaledColumn(.integers(sums, scale: scale)) }
            return ScaledColumn(.floats(floatingSums(column.doubles())))
        case .floats(let values): return ScaledColumn(.floats(floatingSums(values)))
        }
    }

    /// Sums of counts; -1 where one of them is unknown.
    func sum(counts: [Int64]) -> [Int64] {
        counts.withUnsafeBufferPointer { counts in
            (0..<count).map { group in
                var total: Int64 = 0
                var least: Int64 = 0
                for row in lower[group]..<upper[group] {
                    total &+= counts[row]
                    least = min(least, counts[row])
                }
                return least < 0 ? -1 : total
            }
        }
    }

    private func exactSums(_ values: [Int64]) -> [Int64]? {
        var sums = [Int64](repeating: 0, count: count)
        var overflowed = false
        values.withUnsafeBufferPointer { values in
            for group in 0..<count {
                var total: Int64 = 0
                var unknown = false
                for row in lower[group]..<upper[group] {
                    let (next, overflow) = total.addingReportingOverflow(values[row])
                    total = next
                    if values[row] == ScaledColumn.missing { unknown = true } else if overflow { overflowed = true }
                }
                sums[group] = unknown ? ScaledColumn.missing : total
            }
        }
        return overflowed ? nil : sums
    }

    /// In order of the rows, so that the sum of the same bars is the same number each time.
    private func floatingSums(_ values: [Double]) -> [Double] {
        values.withUnsafeBufferPointer { values in (0..<count).map { group in values[lower[group]..<upper[group]].reduce(0, +) } }
    }

    private typealias Reduction<Value, Result> = (
        UnsafePointer<Value>?, UnsafePointer<Int64>?, UnsafePointer<Int64>?, Int64, UnsafeMutablePointer<Result>?
    ) -> Void

    private func reduce<Value, Result>(_ values: [Value], _ reduction: Reduction<Value, Result>) -> [Result] {
        [Result](unsafeUninitializedCapacity: count) { buffer, filled in
            values.withUnsafeBufferPointer { values in
                lower.withUnsafeBytes { lower in
                    upper.withUnsafeBytes { upper in
                        reduction(
                            values.baseAddress,
                            lower.baseAddress?.assumingMemoryBound(to: Int64.self),
                            upper.baseAddress?.assumingMemoryBound(to: Int64.self),
                            Int64(count),
                            buffer.baseAddress
                        )
                    }
                }
            }
            filled = count
        }
    }
}
