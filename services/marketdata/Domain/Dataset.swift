import Bars
import Contracts
import Cryptography

/// Which datasets somebody looks for.
struct DatasetQuery: Sendable {
    /// The last one of the page before: symbol and series.
    var after: (symbol: String, series: SeriesKey)?
    /// A part of the symbol.
    var containing: String?
    var assetClass: AssetClass?
    var limit: Int
}

/// A stored series with what it adds up to.
struct StoredDataset: Sendable {
    var instrument: Instrument
    var series: SeriesKey
    var firstDay: CivilDay
    var lastDay: CivilDay
    /// UTC days that hold rows.
    var days: Int
    var rows: Int
    /// As they are stored, compressed.
    var bytes: Int
    /// Start of the first and end of the last row (microseconds since 1970).
    var firstStart: Int64
    var lastEnd: Int64
}

/// One stored day of a dataset, in the revision that counts.
struct DatasetDay: Sendable, Equatable {
    var day: CivilDay
    var revision: Int
    var edition: Int
    var rows: Int
    var bytes: Int
    var firstStart: Int64
    var lastEnd: Int64
}

/// A dataset as it was known at a moment, cut into months, or into years where its bars are days and longer.
struct Dataset: Sendable {
    /// The days of a month or a year.
    struct Partition: Sendable {
        /// `2016-10` or `2016`.
        var name: String
        var firstDay: CivilDay
        var lastDay: CivilDay
        var days: Int
        var rows: Int
        var bytes: Int
        var firstStart: Int64
        var lastEnd: Int64
        /// Hash over instrument, series, day, revision and rows of each day, as in answers of bars.
        var dataSHA256: SHA256Digest
    }

    var name: DatasetName
    var instrument: Instrument
    var partitions: [Partition]
    var dataSHA256: SHA256Digest

    init(_ name: DatasetName, _ instrument: Instrument, source: InstrumentID, days: [DatasetDay]) {
        self.name = name
        self.instrument = instrument
        func vector(_ days: ArraySlice<DatasetDay>) -> [BarAssembly.VectorEntry] {
            days.map { day in
                BarAssembly.VectorEntry(
                    key: ChunkKey(instrumentID: source, series: name.series, day: day.day, revision: day.revision),
                    edition: day.edition,
                    knownRows: day.rows,
                    isHalfOfMiddle: false
                )
            }
        }
        let nameLength = name.interval.isDaily ? 4 : 7
        var partitions: [Partition] = []
        var first = 0
        while first < days.count {
            let part = String(days[first].day.text.prefix(nameLength))
            var end = first
            while end < days.count, days[end].day.text.hasPrefix(part) { end += 1 }
            let all = days[first..<end]
            partitions.append(
                Partition(
                    name: part,
                    firstDay: days[first].day,
                    lastDay: days[end - 1].day,
                    days: all.count,
                    rows: all.reduce(0) { $0 + $1.rows },
                    bytes: all.reduce(0) { $0 + $1.bytes },
                    firstStart: days[first].firstStart,
                    lastEnd: days[end - 1].lastEnd,
                    dataSHA256: BarAssembly.digest(vector(all))
                )
            )
            first = end
        }
        self.partitions = partitions
        dataSHA256 = BarAssembly.digest(vector(days[...]))
    }
}
