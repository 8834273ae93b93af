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
}
