import Bars

/// What an import does to one stored day.
enum DayMerge {
    /// What becomes of the day.
    enum Change: String, Sendable, Equatable {
        /// The first import of the day: it was history already, recorded at no time.
        case added
        /// Rows beyond what earlier imports spoke for: no earlier statement changes.
        case extended
        /// A correction: known from the moment of its recording only.
        case revised
    }

    /// The rows of the day that are stored, and the stretch that they speak for.
    struct Stored: Sendable {
        var bars: BarSeries
        var coverage: Range<Int64>
    }

    /// The day after the import; nothing when the import says what is stored already.
    static func merge(
        stored: Stored?,
        imported: BarSeries,
        coverage: Range<Int64>
    ) throws(BarsError) -> (bars: BarSeries, coverage: Range<Int64>, change: Change)? {
        guard let stored else { return (imported, coverage, .added) }
        let before = stored.bars.firstRow(startingFrom: coverage.lowerBound)
        let after = stored.bars.firstRow(startingFrom: coverage.upperBound)
        let merged = try BarSeries.concatenate([
            stored.bars.slice(0..<before), imported, stored.bars.slice(after..<stored.bars.count),
        ])
        if merged == stored.bars { return nil }
        let hull = min(stored.coverage.lowerBound, coverage.lowerBound)..<max(stored.coverage.upperBound, coverage.upperBound)
        return (merged, hull, stored.coverage.overlaps(coverage) ? .revised : .extended)
    }
}
