/// One day of a series as a feed told it: what was closed, and when that became known.
///
/// Rows lie in layers. The base is history, known at its own end; the first layer holds the first row that was known of each interval, the next one the
/// second, and so on: each layer is a series with the moment of each row beside it. What counts at a moment is, for each interval, the row of the highest
/// layer that was known by then. Markers are intervals that were over without a bar.
///
/// Rows are added in the order in which they became known, so that a day put together at once and one put together piece by piece are equal.
public struct LiveDay: Sendable, Equatable {
    /// One closed interval; without prices a marker.
    public struct Row: Sendable, Equatable {
        /// Exact numbers of an interval.
        public struct Prices: Sendable, Equatable {
            /// The first price.
            public var open: DecimalNumber
            /// The highest price.
            public var high: DecimalNumber
            /// The lowest price.
            public var low: DecimalNumber
            /// The last price.
            public var close: DecimalNumber
            /// The volume where it is known.
            public var volume: DecimalNumber?
            /// The number of trades where it is known.
            public var trades: Int64?

            /// All numbers.
            public init(
                open: DecimalNumber,
                high: DecimalNumber,
                low: DecimalNumber,
                close: DecimalNumber,
                volume: DecimalNumber?,
                trades: Int64?
            ) {
                (self.open, self.high, self.low, self.close, self.volume, self.trades) = (open, high, low, close, volume, trades)
            }
        }

        /// Microseconds since 1970, as all times here.
        public var start: Int64
        /// When the interval is over.
        public var end: Int64
        /// 0 for the close, 1 and more for what late ticks made of it.
        public var version: Int
        /// When the row became known.
        public var knownAt: Int64
        /// Nothing for a marker.
        public var prices: Prices?

        /// All fields.
        public init(start: Int64, end: Int64, version: Int, knownAt: Int64, prices: Prices?) {
            (self.start, self.end, self.version, self.knownAt, self.prices) = (start, end, version, knownAt, prices)
        }
    }

    /// Rows of different intervals, each with its moment.
    struct Layer: Sendable, Equatable {
        var bars: BarSeries
        var knownAt: [Int64]
        /// Above 0 where the row changed what had been said before.
        var versions: [Int64]

        static let empty = Layer(bars: .empty, knownAt: [], versions: [])
    }

    /// What is history already: each row is known at its end.
    public private(set) var base: BarSeries
    /// Through here the base is all there was, whether or not its last row reaches so far; `Int64.min` for none.
    public private(set) var settledThrough: Int64
    private(set) var layers: [Layer] = []
    /// Intervals that were over without a bar, in the order in which that became known.
    private(set) var markers = Markers()

    struct Markers: Sendable, Equatable {
        var starts: [Int64] = []
        var ends: [Int64] = []
        var knownAt: [Int64] = []
    }

    /// A day of which nothing but history is known.
    public init(base: BarSeries = .empty, settledThrough: Int64 = .min) {
        self.base = base
        self.settledThrough = settledThrough
    }

    // MARK: Putting together

    /// Takes rows that became known later than all that are here.
    public mutating func add(_ rows: [Row]) throws(BarsError) {
        let ordered = rows.sorted { ($0.knownAt, $0.version, $0.start, $0.end) < ($1.knownAt, $1.version, $1.start, $1.end) }
        var fresh: [[Row]] = []
        var depths: [Int64: Int] = [:]
        for row in ordered {
            guard row.prices != nil else {
                markers.starts.append(row.start)
                markers.ends.append(row.end)
                markers.knownAt.append(row.knownAt)
                continue
            }
            let depth = depths[row.start] ?? layers.count { Self.holds($0.bars, row.start) }
            depths[row.start] = depth + 1
            while fresh.count <= depth { fresh.append([]) }
            var row = row
            if depth > 0 || Self.holds(base, row.start) { row.version = max(1, row.version) }
            fresh[depth].append(row)
        }
        for (depth, rows) in fresh.enumerated() where !rows.isEmpty {
            let layer = try Self.layer(rows.sorted { $0.start < $1.start })
            if depth == layers.count { layers.append(layer) } else { layers[depth] = try Self.join(layers[depth], layer) }
        }
    }

    private static func holds(_ bars: BarSeries, _ start: Int64) -> Bool {
        let row = bars.firstRow(startingFrom: start)
        return row < bars.count && bars.starts[row] == start
    }

    private static func layer(_ rows: [Row]) throws(BarsError) -> Layer {
        var builder = BarSeriesBuilder()
        var layer = Layer.empty
        for row in rows {
            guard let prices = row.prices else { continue }
            builder.append(
                start: row.start,
                end: row.end,
                open: prices.open,
                high: prices.high,
                low: prices.low,
                close: prices.close,
                volume: prices.volume,
                trades: prices.trades
            )
            layer.knownAt.append(row.knownAt)
            layer.versions.append(Int64(row.version))
        }
        layer.bars = try builder.finish()
        return layer
    }

    /// Two layers of different intervals as one.
    private static func join(_ one: Layer, _ other: Layer) throws(BarsError) -> Layer {
        var bars: [BarSeries] = []
        var joined = Layer.empty
        for piece in pieces(one.bars.starts, other.bars.starts) {
            let source = piece.isFirst ? one : other
            bars.append(source.bars.slice(piece.rows))
            joined.knownAt += source.knownAt[piece.rows]
            joined.versions += source.versions[piece.rows]
        }
        joined.bars = try .concatenate(bars)
        return joined
    }

    /// In which order the rows of two series follow one another.
    private static func pieces(_ one: [Int64], _ other: [Int64]) -> [(isFirst: Bool, rows: Range<Int>)] {
        var pieces: [(isFirst: Bool, rows: Range<Int>)] = []
        var (left, right) = (0, 0)
        while left < one.count || right < other.count {
            var end = left
            while end < one.count, right == other.count || one[end] < other[right] {
                if right == other.count { end = one.count } else { end += 1 }
            }
            if end > left { pieces.append((true, left..<end)) }
            left = end
            end = right
            while end < other.count, left == one.count || other[end] <= one[left] {
                if left == one.count { end = other.count } else { end += 1 }
            }
            if end > right { pieces.append((false, right..<end)) }
            right = end
        }
        return pieces
    }

    /// The day after an import that was recorded later than everything here: its rows stand for all of a stretch, and nothing else changes.
    public func replaced(by imported: BarSeries, in stretch: Range<Int64>, settledThrough through: Int64) throws(BarsError) -> LiveDay {
        let bars = PointInTime.known(self, recordedBy: .max, cut: .max).bars
        let before = bars.slice(0..<bars.firstRow(startingFrom: stretch.lowerBound))
        let after = bars.slice(bars.firstRow(startingFrom: stretch.upperBound)..<bars.count)
        var day = LiveDay(base: try .concatenate([before, imported, after]), settledThrough: max(settledThrough, through))
        day.markers = markers
        return day
    }

    // MARK: What it holds

    /// Rows of all layers, markers included.
    public var rowCount: Int { base.count + layers.reduce(0) { $0 + $1.bars.count } + markers.ends.count }

    /// At how many moments something was changed that had been said before.
    public var revisionCount: Int { PointInTime.known(self, recordedBy: .max, cut: .max).revisions }

    /// When the first and the last row became known that was not history.
    public var knownAt: ClosedRange<Int64>? {
        let moments = layers.map(\.knownAt) + [markers.knownAt]
        guard let first = moments.compactMap({ $0.min() }).min(), let last = moments.compactMap({ $0.max() }).max() else { return nil }
        return first...last
    }

    /// For each of these instants, which rise: when it was known first that everything up to there is over. The instant itself where history says so, nil where
    /// nothing of the day does.
    public func moments(through ends: [Int64]) -> [Int64?] {
        var told = layers.flatMap { zip($0.bars.ends, $0.knownAt) } + zip(markers.ends, markers.knownAt)
        told.sort { $0.0 < $1.0 }
        let settled = max(settledThrough, base.ends.last ?? .min)
        var moments = [Int64?](repeating: nil, count: ends.count)
        var first: Int64?
        // What ends later says so as well: from the last one back.
        for index in ends.indices.reversed() {
            while let (end, knownAt) = told.last, end >= ends[index] {
                first = min(first ?? knownAt, knownAt)
                told.removeLast()
            }
            moments[index] = ends[index] <= settled ? ends[index] : first
        }
        return moments
    }

    /// The stretch between the first start and the last end of anything here.
    public var span: (firstStart: Int64, firstEnd: Int64, lastEnd: Int64)? {
        let all = [base] + layers.map(\.bars)
        let starts = all.compactMap(\.starts.first) + [markers.starts.min()].compactMap { $0 }
        let firstEnds = all.compactMap(\.ends.first) + [markers.ends.min()].compactMap { $0 }
        let lastEnds = all.compactMap(\.ends.last) + [markers.ends.max()].compactMap { $0 }
        guard let start = starts.min(), let firstEnd = firstEnds.min(), let lastEnd = lastEnds.max() else { return nil }
        return (start, firstEnd, lastEnd)
    }

    /// Memory that the columns take.
    public var byteCount: Int {
        base.byteCount + layers.reduce(0) { $0 + $1.bars.byteCount + $1.bars.count * 16 } + markers.ends.count * 24
    }

    /// The rows of `over` in place of those of the same start, and beside the others.
    fileprivate static func overlay(_ over: BarSeries, on bars: BarSeries) throws(BarsError) -> BarSeries {
        if over.isEmpty { return bars }
        if bars.isEmpty { return over }
        if let last = bars.starts.last, over.starts[0] > last { return try .concatenate([bars, over]) }
        let replaced = Set(over.starts)
        let left = bars.gather((0..<bars.count).filter { !replaced.contains(bars.starts[$0]) })
        return try .concatenate(pieces(left.starts, over.starts).map { $0.isFirst ? left.slice($0.rows) : over.slice($0.rows) })
    }
}

extension LiveDay.Layer {
    /// The rows that were known.
    fileprivate func known(recordedBy: Int64, cut: Int64) -> [Int]? {
        if knownAt.allSatisfy({ $0 <= recordedBy }), bars.ends.last ?? .min <= cut { return nil }
        return (0..<bars.count).filter { knownAt[$0] <= recordedBy && bars.ends[$0] <= cut }
    }
}

extension PointInTime {
    /// A live day as it was known at a moment.
    public struct KnownDay: Sendable, Equatable {
        /// For each interval the row that counted.
        public var bars: BarSeries
        /// Rows of all layers that were known, markers included.
        public var rows: Int
        /// At how many moments something had been changed that was said before.
        public var revisions: Int
        /// Everything that ends by here was known: the last end of a row or marker.
        public var through: Int64
    }

    /// A day of history as it was known at a moment.
    public static func known(history bars: BarSeries, cut: Int64) -> KnownDay {
        let bars = known(bars, asOf: cut)
        return KnownDay(bars: bars, rows: bars.count, revisions: 0, through: .max)
    }

    /// The rows that became known by `recordedBy` and ended by `cut`; of history, those that ended by `cut`.
    public static func known(_ day: LiveDay, recordedBy: Int64, cut: Int64) -> KnownDay {
        var known = KnownDay(bars: known(day.base, asOf: cut), rows: 0, revisions: 0, through: min(day.settledThrough, cut))
        known.rows = known.bars.count
        known.through = max(known.through, known.bars.ends.last ?? .min)
        var moments: Set<Int64> = []
        for layer in day.layers {
            let rows = layer.known(recordedBy: recordedBy, cut: cut)
            let bars = rows.map { layer.bars.gather($0) } ?? layer.bars
            for row in rows ?? Array(0..<layer.bars.count) where layer.versions[row] > 0 { moments.insert(layer.knownAt[row]) }
            known.rows += bars.count
            known.through = max(known.through, bars.ends.last ?? .min)
            // Rows of different starts: they cannot fail to rise.
            if let joined = try? LiveDay.overlay(bars, on: known.bars) { known.bars = joined }
        }
        for row in 0..<day.markers.ends.count where day.markers.knownAt[row] <= recordedBy && day.markers.ends[row] <= cut {
            known.rows += 1
            known.through = max(known.through, day.markers.ends[row])
        }
        known.revisions = moments.count
        return known
    }
}

// MARK: The stored form

/// Layout, little-endian: `AULD`, codec version (2 bytes), zero (2), checksum (8: XXH3 of all that follows it), settled through (8), number of layers (4), number
/// of markers (4), then the base and each layer as length (4) and `DayChunk`, then per layer the moments (as what they are after the end) and the versions, then
/// starts, lengths and moments of the markers, as `BytePlanes` writes them.
extension LiveDay {
    /// The version that this build writes and reads.
    public static let codecVersion = 1
    private static let headerLength = 32
    private static let checksumPlace = 8..<16
    private static let maximumRows = 10_000_000

    /// Whether bytes claim to be a live day, and not a chunk of history.
    public static func isLive(_ bytes: [UInt8]) -> Bool { bytes.count >= 4 && bytes[0..<4].elementsEqual("AULD".utf8) }

    /// The day as bytes.
    public func encoded() -> [UInt8] {
        let compressor = Zstandard.Compressor(level: 3)
        var bytes: [UInt8] = Array("AULD".utf8)
        LittleEndian.append(UInt64(Self.codecVersion), width: 4, to: &bytes)
        LittleEndian.append(0, width: Self.checksumPlace.count, to: &bytes)
        LittleEndian.append(UInt64(bitPattern: settledThrough), width: 8, to: &bytes)
        LittleEndian.append(UInt64(layers.count), width: 4, to: &bytes)
        LittleEndian.append(UInt64(markers.ends.count), width: 4, to: &bytes)
        for bars in [base] + layers.map(\.bars) {
            let chunk = DayChunk.encode(bars)
            LittleEndian.append(UInt64(chunk.count), width: 4, to: &bytes)
            bytes += chunk
        }
        for layer in layers {
            BytePlanes.append(Self.differences(layer.knownAt, layer.bars.ends), nature: .wandering, compressor: compressor, to: &bytes)
            BytePlanes.append(layer.versions, nature: .amounts, compressor: compressor, to: &bytes)
        }
        BytePlanes.append(markers.starts, nature: .wandering, compressor: compressor, to: &bytes)
        BytePlanes.append(Self.differences(markers.ends, markers.starts), nature: .amounts, compressor: compressor, to: &bytes)
        BytePlanes.append(Self.differences(markers.knownAt, markers.ends), nature: .wandering, compressor: compressor, to: &bytes)
        var checksum = DayChunk.checksum(bytes)
        for index in Self.checksumPlace {
            bytes[index] = UInt8(truncatingIfNeeded: checksum)
            checksum >>= 8
        }
        return bytes
    }

    private static func differences(_ values: [Int64], _ others: [Int64]) -> [Int64] { values.indices.map { values[$0] &- others[$0] } }

    /// Reads a day back; a damaged or unknown one is a typed error and never a wrong number.
    public init(decoding bytes: [UInt8]) throws(BarsError) {
        guard Self.isLive(bytes), bytes.count >= Self.headerLength else { throw .damagedChunk(reason: "it does not begin as a live day does") }
        let version = Int(LittleEndian.number(bytes, 4, width: 2))
        guard version == Self.codecVersion else { throw .unknownCodecVersion(version) }
        guard LittleEndian.number(bytes, 6, width: 2) == 0,
            DayChunk.checksum(bytes) == LittleEndian.number(bytes, Self.checksumPlace.lowerBound, width: 8)
        else { throw .damagedChunk(reason: "the checksum of the live day does not match") }
        let settled = Int64(bitPattern: LittleEndian.number(bytes, 16, width: 8))
        let layerCount = Int(LittleEndian.number(bytes, 24, width: 4))
        let markerCount = Int(LittleEndian.number(bytes, 28, width: 4))
        guard markerCount <= Self.maximumRows, layerCount <= bytes.count else { throw .damagedChunk(reason: "its header says what no build wrote") }
        var at = Self.headerLength
        var parts: [BarSeries] = []
        for part in 0...layerCount {
            guard bytes.count - at >= 4 else { throw .damagedChunk(reason: "layer \(part) is cut off") }
            let length = Int(LittleEndian.number(bytes, at, width: 4))
            at += 4
            guard length <= bytes.count - at else { throw .damagedChunk(reason: "layer \(part) is cut off") }
            parts.append(try DayChunk.decode(Array(bytes[at..<at + length])))
            at += length
        }
        self.init(base: parts[0], settledThrough: settled)
        var reader = BytePlanesReader(bytes, from: at)
        for bars in parts.dropFirst() {
            var moments = try reader.integers(count: bars.count)
            for row in moments.indices { moments[row] &+= bars.ends[row] }
            layers.append(Layer(bars: bars, knownAt: moments, versions: try reader.integers(count: bars.count)))
        }
        markers.starts = try reader.integers(count: markerCount)
        markers.ends = try reader.integers(count: markerCount)
        markers.knownAt = try reader.integers(count: markerCount)
        for row in 0..<markerCount {
            markers.ends[row] &+= markers.starts[row]
            markers.knownAt[row] &+= markers.ends[row]
        }
        guard reader.isAtEnd else { throw .damagedChunk(reason: "bytes follow the markers") }
    }
}

/// What is stored of a day: history, or what a feed told.
public enum StoredDay: Sendable, Equatable {
    /// Each row is known at its end.
    case history(BarSeries)
    /// Each row is known from its own moment on.
    case live(LiveDay)

    /// Reads either form.
    public init(decoding bytes: [UInt8]) throws(BarsError) {
        self = LiveDay.isLive(bytes) ? .live(try LiveDay(decoding: bytes)) : .history(try DayChunk.decode(bytes))
    }

    /// The bars as they are known now.
    public var bars: BarSeries {
        switch self {
        case .history(let bars): bars
        case .live(let day): PointInTime.known(day, recordedBy: .max, cut: .max).bars
        }
    }

    /// Memory that the columns take.
    public var byteCount: Int {
        switch self {
        case .history(let bars): bars.byteCount
        case .live(let day): day.byteCount
        }
    }
}
