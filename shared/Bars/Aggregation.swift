/// Column arithmetic over groups of rows: one tight loop a column, nothing allocated per bar.
struct Aggregation {
    /// First row of each group.
    var lower: [Int] = []
    /// The row after the last of each group.
    var upper: [Int] = []

    mutating func append(_ rows: Range<Int>) {
        lower.append(rows.lowerBound)
        upper.append(rows.upperBound)
    }

    var count: Int { lower.count }

    func first(_ column: ScaledColumn) -> ScaledColumn { column.gather(lower) }

    func last(_ column: ScaledColumn) -> ScaledColumn { column.gather(upper.map { $0 - 1 }) }

    func largest(_ column: ScaledColumn) -> ScaledColumn {
        switch column.storage {
        case .integers(let values, let scale): ScaledColumn(.integers(reduce(values) { max($0, $1) }, scale: scale))
        case .floats(let values): ScaledColumn(.floats(reduce(values) { max($0, $1) }))
        }
    }

    func smallest(_ column: ScaledColumn) -> ScaledColumn {
        switch column.storage {
        case .integers(let values, let scale): ScaledColumn(.integers(reduce(values) { min($0, $1) }, scale: scale))
        case .floats(let values): ScaledColumn(.floats(reduce(values) { min($0, $1) }))
        }
    }

    /// Sums; a group with an unknown value has an unknown sum. Sums that leave 64 bits make the column floating.
    func sum(_ column: ScaledColumn) -> ScaledColumn {
        guard case .integers(let values, let scale) = column.storage else { return ScaledColumn(.floats(reduce(column.doubles()) { $0 + $1 })) }
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
        if !overflowed { return ScaledColumn(.integers(sums, scale: scale)) }
        return ScaledColumn(.floats(reduce(column.doubles()) { $0 + $1 }))
    }

    /// Sums of counts; -1 where one of them is unknown.
    func sum(counts: [Int64]) -> [Int64] {
        (0..<count).map { group in
            var total: Int64 = 0
            for row in lower[group]..<upper[group] {
                if counts[row] < 0 { return -1 }
                total &+= counts[row]
            }
            return total
        }
    }

    private func reduce<Value: Comparable>(_ values: [Value], _ combine: (Value, Value) -> Value) -> [Value] {
        values.withUnsafeBufferPointer { values in
            [Value](unsafeUninitializedCapacity: count) { buffer, filled in
                for group in 0..<count {
                    var result = values[lower[group]]
                    for row in (lower[group] + 1)..<max(upper[group], lower[group] + 1) { result = combine(result, values[row]) }
                    buffer.initializeElement(at: group, to: result)
                }
                filled = count
            }
        }
    }
}
