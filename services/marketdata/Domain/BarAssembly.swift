import Bars
import Contracts
import Cryptography

/// Puts the chosen days together into the bars that were asked for, as they were known at a moment. Pure: bytes in, bars out.
enum BarAssembly {
    /// Bars with the vector of what they were made of.
    struct Result: Sendable {
        var bars: BarSeries
        var lastIsPartial: Bool
        var isApproximate: Bool
        var vector: [VectorEntry]
    }

    /// One chunk that was read: the revision, and how many of its bars were known.
    struct VectorEntry: Sendable, Hashable {
        var key: ChunkKey
        var edition: Int
        var knownRows: Int
    }

    /// `series` are the decoded chunks of the choices, by key.
    static func assemble(
        plan: BarPlan,
        choices: [DayChoice],
        series: [ChunkKey: BarSeries],
        asOf moment: Int64,
        partial: Bool
    ) throws -> Result {
        var whole: [BarSeries] = []
        var finer: [BarSeries] = []
        var vector: [VectorEntry] = []
        var isApproximate = false
        for choice in choices {
            var sides: [BarSeries] = []
            for info in choice.infos {
                guard let stored = series[info.key] else { throw MarketdataError.damagedChunk("\(info.key.day.text) is missing") }
                let known = PointInTime.known(stored, asOf: moment)
                vector.append(VectorEntry(key: info.key, edition: info.edition, knownRows: known.count))
                sides.append(known)
            }
            if sides.count == 2 { isApproximate = true }
            let rows = sides.count == 2 ? MidPrice.approximate(bid: sides[0], ask: sides[1]) : sides[0]
            if choice.intervalSeconds == plan.interval.seconds { whole.append(rows) } else { finer.append(rows) }
        }
        var kept = try BarSeries.concatenate(whole)
        if let filter = plan.filter, !plan.interval.isDaily { kept = filter.apply(kept) }
        var parts = try BarSeries.concatenate(finer)
        // Rows of a day or more are no part of a session: only shorter ones are held against it.
        if let filter = plan.filter { parts = Self.filter(parts, with: filter) }
        let volumeRule: Resampler.VolumeRule = plan.addsVolumes ? .sum : .last
        let made = PointInTime.complete(Resampler(grid: plan.grid, volumeRule: volumeRule).resample(parts), asOf: moment, partial: partial)
        let merged = try merge(kept, made.series)
        let lastIsPartial = made.lastIsPartial && merged.ends.last == made.series.ends.last
        return Result(bars: merged, lastIsPartial: lastIsPartial, isApproximate: isApproximate, vector: vector)
    }

    private static func filter(_ rows: BarSeries, with filter: SessionFilter) -> BarSeries {
        let long = (0..<rows.count).filter { rows.ends[$0] - rows.starts[$0] > 14_400_000_000 }
        guard !long.isEmpty else { return filter.apply(rows) }
        let kept = Set(filter.apply(rows).starts).union(long.map { rows.starts[$0] })
        return rows.gather((0..<rows.count).filter { kept.contains(rows.starts[$0]) })
    }

    /// The vendor's bars win; one of ours that overlaps one of theirs is left out.
    private static func merge(_ vendor: BarSeries, _ made: BarSeries) throws -> BarSeries {
        if vendor.isEmpty { return made }
        if made.isEmpty { return vendor }
        var kept: [Int] = []
        var at = 0
        for row in 0..<made.count {
            while at < vendor.count, vendor.ends[at] <= made.starts[row] { at += 1 }
            if at == vendor.count || vendor.starts[at] >= made.ends[row] { kept.append(row) }
        }
        let others = made.gather(kept)
        var pieces: [BarSeries] = []
        var left = 0
        var right = 0
        while left < vendor.count || right < others.count {
            if right == others.count || (left < vendor.count && vendor.starts[left] < others.starts[right]) {
                let until = right == others.count ? vendor.count : vendor.firstRow(startingFrom: others.starts[right])
                pieces.append(vendor.slice(left..<until))
                left = until
            } else {
                let until = left == vendor.count ? others.count : others.firstRow(startingFrom: vendor.starts[left])
                pieces.append(others.slice(right..<until))
                right = until
            }
        }
        return try .concatenate(pieces)
    }

    /// The hash that audits replay: instrument, series, day, revision and number of known bars of every chunk, in order of time.
    static func digest(_ vector: [VectorEntry]) -> SHA256Digest {
        var text = ""
        for entry in vector where entry.knownRows > 0 {
            let series = entry.key.series
            text += "\(entry.key.instrumentID) \(series.intervalSeconds) \(series.side.rawValue) \(series.origin.rawValue) "
            text += "\(entry.key.day.text) \(entry.edition) \(entry.knownRows)\n"
        }
        return SHA256.digest(Array(text.utf8))
    }
}
