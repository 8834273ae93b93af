import Bars
import Contracts

/// Which stored series a chunk belongs to.
struct SeriesKey: Sendable, Hashable {
    var intervalSeconds: Int
    var side: PriceSide
    var origin: SeriesOrigin
}

/// One day of one series in one revision.
struct ChunkKey: Sendable, Hashable {
    var instrumentID: InstrumentID
    var series: SeriesKey
    var day: CivilDay
    var revision: Int
}

/// What is known of a stored chunk without reading its bars.
struct ChunkInfo: Sendable, Equatable {
    var key: ChunkKey
    /// 1, and one more for each correction: what readers call the revision.
    var edition: Int
    var rows: Int
    /// When the first bar became known (microseconds since 1970).
    var firstEnd: Int64
    /// When the last bar became known.
    var lastEnd: Int64
    /// The stretch that the imports of the day spoke for.
    var coverage: Range<Int64>
    /// What a feed told of the day by the moment that is asked for; nothing for history.
    var live: LivePart?
    /// Whether the chunk holds what a feed told, and nothing of that was known yet: then the day is its history.
    var isBeforeFeed = false

    /// What of a day is, or was until it was sealed, in the tail.
    struct LivePart: Sendable, Equatable {
        /// Rows that became known by then are part of the chunk; nothing when there is no chunk, or one of history only.
        var sealedThrough: Int64?
        /// Rows that became known after that, in that order.
        var tail: [LiveDay.Row]
        /// Whether something of a later day was known: then nothing more can be missing of this one.
        var isFollowed: Bool

        /// When the last row became known that was looked up.
        var lastKnownAt: Int64 { tail.last?.knownAt ?? sealedThrough ?? .min }
    }

    /// Whether there is a chunk, and not only a tail.
    var isStored: Bool { key.revision > 0 }

    /// Whether the chunk is all there is of the day, and all of it was known.
    func isWhole(recordedBy: Int64, cut: Int64) -> Bool {
        isStored && !isBeforeFeed && lastEnd <= cut && (live.map { $0.tail.isEmpty && $0.sealedThrough ?? .max <= recordedBy } ?? true)
    }

    /// What a key has to hold of a chunk: the revision of its day, and of a live day how much of it was told.
    var text: String {
        let series = key.series
        let tail = live.map { "+\($0.tail.count)@\($0.lastKnownAt)\($0.isFollowed ? "." : "")" } ?? ""
        return "\(key.day.number):\(series.intervalSeconds):\(series.side.rawValue):\(series.origin.rawValue):\(key.revision)\(tail)"
    }

    /// The day as it was known, out of the bytes of the chunks that are stored; what cannot be read is damage that names the day of the instrument `symbol`.
    func known(in chunks: [ChunkKey: [UInt8]], of symbol: String, recordedBy: Int64, cut: Int64) throws -> PointInTime.KnownDay {
        let stored = try isStored ? StoredDay(key, in: chunks, of: symbol) : nil
        do { return try known(stored, recordedBy: recordedBy, cut: cut) } catch { throw MarketdataError.damaged(key, of: symbol, error) }
    }

    /// The day as it was known: rows that became known by `recordedBy` and ended by `cut`.
    func known(_ stored: StoredDay?, recordedBy: Int64, cut: Int64) throws(BarsError) -> PointInTime.KnownDay {
        var day: LiveDay
        switch stored {
        case .history(let bars):
            guard live != nil else { return PointInTime.known(history: bars, cut: cut) }
            day = LiveDay(base: bars, settledThrough: coverage.upperBound)
        case .live(let known):
            // As of a moment before the feed's first row the day was history, whenever it was sealed.
            guard live != nil else { return PointInTime.known(history: known.base, cut: cut) }
            day = known
        case nil: day = LiveDay()
        }
        if let live { try day.add(live.tail) }
        return PointInTime.known(day, recordedBy: recordedBy, cut: cut)
    }
}

/// One series of an instrument: what exists, without counting chunks.
struct StoredSeries: Sendable, Equatable {
    var key: SeriesKey
    var firstDay: CivilDay
    var lastDay: CivilDay
    /// When the first bar of the series became known (microseconds since 1970).
    var firstEnd: Int64
}

/// Which chunks to look up: the highest revision of each day that was recorded by a moment.
struct ChunkQuery: Sendable {
    var instrumentID: InstrumentID
    var series: [SeriesKey]
    var days: ClosedRange<CivilDay>
    /// Revisions recorded later than this (microseconds since 1970) do not exist for the caller.
    var recordedBy: Int64
    /// Bars that end later do not exist for the caller.
    var knownBy = Int64.max
}
