import Bars
import Contracts
import Cryptography

/// Puts the chosen days together into the bars that were asked for, as they were known at a moment. Pure: rows in, bars out.
///
/// Days come in runs, in order of time. Between two runs only the bars made so far are held, and one row of the bar that still grows.
struct BarAssembly: Sendable {
    /// Bars with the vector of what they were made of.
    struct Result: Sendable {
        var bars: BarSeries
        var lastIsPartial: Bool
        var vector: [VectorEntry]
        /// Of live days: everything that ends by here was known. Nothing where the days are history.
        var through: Int64?
    }

    /// One chunk that was read: the revision, and how many of its bars were known.
    struct VectorEntry: Sendable, Hashable {
        var key: ChunkKey
        var edition: Int
        var knownRows: Int
        /// Whether it is one side of a middle that was made field by field.
        var isHalfOfMiddle: Bool
    }

    private let plan: BarPlan
    private let moment: Int64
    /// Rows that a feed told later are not known.
    private let recordedBy: Int64
    /// Makes rows comparable before they are put together, so that a bar over a split is made of rows of one kind.
    private let adjustment: PriceAdjustment?
    /// Rows that start outside belong to a neighbour: a piece that was, or will be, put together apart.
    private let reach: Range<Int64>
    private var running: Resampler.InPieces
    /// Stored bars of the asked length.
    private var kept: [BarSeries] = []
    /// Bars made of shorter ones.
    private var made: [BarSeries] = []
    private var vector: [VectorEntry] = []
    /// Everything that ends by here was known, as far as the last day tells; nothing before the first day.
    private var through: Int64?

    /// Nothing yet, as of a moment (microseconds since 1970). `reach` begins and ends where bars of the plan's grid do.
    init(
        _ plan: BarPlan,
        asOf moment: Int64,
        recordedBy: Int64 = .max,
        adjustment: PriceAdjustment? = nil,
        reach: Range<Int64> = Int64.min..<Int64.max
    ) {
        self.plan = plan
        self.adjustment = adjustment
        self.moment = moment
        self.recordedBy = recordedBy
        self.reach = reach
        running = Resampler.InPieces(Resampler(grid: plan.grid, volumeRule: plan.addsVolumes ? .sum : .last))
    }

    /// Takes the next days; `stored` are their decoded chunks, by key.
    mutating func add(_ choices: [DayChoice], stored: [ChunkKey: StoredDay]) throws {
        for choice in choices {
            var known: [PointInTime.KnownDay] = []
            for info in choice.infos {
                let day = stored[info.key]
                guard day != nil || !info.isStored else {
                    throw MarketdataError.damagedChunk(instrument: "\(info.key.instrumentID)", day: info.key.day, reason: "it is missing")
                }
                let one = try info.known(day, recordedBy: recordedBy, cut: moment)
                let edition = info.edition + one.revisions
                vector.append(VectorEntry(key: info.key, edition: edition, knownRows: one.rows, isHalfOfMiddle: choice.isMiddle))
                known.append(one)
            }
            let sides = known.map { adjustment?.apply($0.bars) ?? $0.bars }
            switch choice {
            case .one: try add(sides[0], choice.intervalSeconds)
            case .middle: try add(MidPrice.approximate(bid: sides[0], ask: sides[1]), choice.intervalSeconds)
            case .continued(_, let live):
                // The vendor's rows as far as they go, then those of the feed.
                try add(sides[0], choice.intervalSeconds)
                let seam = known[0].bars.ends.last ?? .min
                try add(sides[1].slice(sides[1].firstRow(startingFrom: seam)..<sides[1].count), live.key.series.intervalSeconds)
            }
            through = Self.through(choice, known)
        }
    }

    /// Everything of the day that ends by here was known. A feed that stalls, or a part of a middle that does, must not make half a bar look whole.
    private static func through(_ choice: DayChoice, _ known: [PointInTime.KnownDay]) -> Int64 {
        func through(_ info: ChunkInfo, _ day: PointInTime.KnownDay) -> Int64 { info.live?.isFollowed ?? true ? .max : day.through }
        switch choice {
        case .one(let info): return through(info, known[0])
        case .middle(let bid, let ask): return min(through(bid, known[0]), through(ask, known[1]))
        case .continued(_, let live): return max(through(live, known[1]), known[0].bars.ends.last ?? .min)
        }
    }

    private mutating func add(_ all: BarSeries, _ intervalSeconds: Int) throws {
        let rows = all.slice(all.firstRow(startingFrom: reach.lowerBound)..<all.firstRow(startingFrom: reach.upperBound))
        if intervalSeconds != plan.interval.seconds {
            // Rows of a day or more are no part of a session: only shorter ones are held against it.
            let bars = try running.add(plan.filter.map { Self.filter(rows, with: $0) } ?? rows)
            if !bars.isEmpty { made.append(bars) }
        } else if let filter = plan.filter, !plan.interval.isDaily {
            kept.append(filter.apply(rows))
        } else {
            kept.append(rows)
        }
    }

    /// After the last day: the bar that still grows is one too.
    mutating func finish() {
        let last = running.finish()
        if !last.isEmpty { made.append(last) }
    }

    /// The same with what was put together of earlier days, whose reach ends where this one's begins.
    func preceded(by earlier: BarAssembly) -> BarAssembly {
        var joined = self
        joined.kept = earlier.kept + kept
        joined.made = earlier.made + made
        joined.vector = earlier.vector + vector
        joined.through = through ?? earlier.through
        return joined
    }

    /// How many bars there are at most from an instant on: some of ours may yet give way to the vendor's.
    func count(from instant: Int64) -> Int {
        var count = 0
        for part in kept { count += part.count - part.firstRow(startingFrom: instant) }
        for part in made { count += part.count - part.firstRow(startingFrom: instant) }
        return count
    }

    /// The bars so far.
    func result(partial: Bool) throws -> Result {
        let through = through.flatMap { $0 == .max ? nil : $0 }
        let all = PointInTime.complete(try .concatenate(made), asOf: min(moment, through ?? .max), partial: partial)
        let bars = try Self.merge(try .concatenate(kept), all.series)
        // A day on the seam of two pieces was read for both.
        var seen: Set<ChunkKey> = []
        func unsealed(_ key: ChunkKey) -> ChunkKey { ChunkKey(instrumentID: key.instrumentID, series: key.series, day: key.day, revision: 0) }
        return Result(
            bars: bars,
            lastIsPartial: all.lastIsPartial && bars.ends.last == all.series.ends.last,
            // Of a day that was sealed, or revised, between two looks one entry stands for both.
            vector: vector.filter { seen.insert(unsealed($0.key)).inserted },
            through: through
        )
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
