import CBars

/// Finds where a bar's rows end without looking at each of them.
struct RowSearch {
    /// Rising starts of rows.
    let starts: UnsafeBufferPointer<Int64>

    /// The first row after `row` that starts at an instant or later. Rows of one length that do not overlap give the place to begin at: without holes it is
    /// the right one, and each row that is missing puts it one too far.
    func first(notBefore instant: Int64, after row: Int, rowLength: Int64) -> Int {
        let rowsToInstant = (instant &- starts[row] &- 1) / rowLength &+ 1
        let guess = row + Int(min(max(rowsToInstant, 1), Int64(starts.count - row)))
        var step = 1
        if starts[guess - 1] >= instant {
            var high = guess - 1
            while high - step > row, starts[high - step] >= instant {
                high -= step
                step *= 2
            }
            return bisect(instant, max(row + 1, high - step), high)
        }
        var low = guess
        while low + step <= starts.count, starts[low + step - 1] < instant {
            low += step
            step *= 2
        }
        return bisect(instant, low, min(starts.count, low + step - 1))
    }

    /// Has memory brought near where the search will soon look: a bar touches one place of a long column, which no processor foresees.
    @inline(__always) func expect(_ row: Int, _ ends: UnsafeBufferPointer<Int64>) {
        guard row < starts.count, let start = starts.baseAddress, let end = ends.baseAddress else { return }
        auspex_bars_prefetch(start + row)
        auspex_bars_prefetch(end + row)
    }

    /// The first row of `low..<high` that starts at the instant or later, or `high`.
    private func bisect(_ instant: Int64, _ lower: Int, _ upper: Int) -> Int {
        var (low, high) = (lower, upper)
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] < instant { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
