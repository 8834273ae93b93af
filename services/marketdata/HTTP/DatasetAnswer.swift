import Bars
import Contracts

/// A dataset in a list.
struct DatasetAnswer: Encodable, Sendable {
    let name: String
    let instrument: String
    let assetClass: String
    let interval: String
    let intervalSeconds: Int
    let price: String
    let origin: String
    let firstDay: String
    let lastDay: String
    let start: Timestamp
    let end: Timestamp
    let days: Int
    let rows: Int
    let bytes: Int

    init(_ dataset: StoredDataset) {
        let name = DatasetName(dataset.instrument, dataset.series)
        self.name = name.text
        instrument = name.symbol
        assetClass = name.assetClass.rawValue
        interval = name.interval.text
        intervalSeconds = name.series.intervalSeconds
        price = name.series.side.rawValue
        origin = name.series.origin.rawValue
        firstDay = dataset.firstDay.text
        lastDay = dataset.lastDay.text
        start = Timestamp(microseconds: dataset.firstStart)
        end = Timestamp(microseconds: dataset.lastEnd)
        days = dataset.days
        rows = dataset.rows
        bytes = dataset.bytes
    }
}

/// One dataset with its columns and partitions, as people and jobs read it.
struct DatasetDetailAnswer: Encodable, Sendable {
    let name: String
    let instrument: String
    let instrumentID: InstrumentID
    let assetClass: String
    let feed: FeedKind
    let interval: String
    let intervalSeconds: Int
    let price: String
    let origin: String
    let asOf: Timestamp?
    let start: Timestamp?
    let end: Timestamp?
    let rows: Int
    let bytes: Int
    let dataSHA256: String
    let columns: [Column]
    let partitions: [Partition]

    /// A column, with Arrow's name of its type.
    struct Column: Encodable, Sendable {
        let name: String
        let type: String
        let nullable: Bool
    }

    /// The days of a month or a year.
    struct Partition: Encodable, Sendable {
        let name: String
        let firstDay: String
        let lastDay: String
        let start: Timestamp
        let end: Timestamp
        let days: Int
        let rows: Int
        let bytes: Int
        let dataSHA256: String
    }

    init(_ dataset: Dataset, asOf: Timestamp?) {
        let key = dataset.name.series
        name = dataset.name.text
        instrument = dataset.name.symbol
        instrumentID = dataset.instrument.id
        assetClass = dataset.name.assetClass.rawValue
        feed = dataset.instrument.feed
        interval = dataset.name.interval.text
        intervalSeconds = key.intervalSeconds
        price = key.side.rawValue
        origin = key.origin.rawValue
        self.asOf = asOf
        start = dataset.partitions.first.map { Timestamp(microseconds: $0.firstStart) }
        end = dataset.partitions.last.map { Timestamp(microseconds: $0.lastEnd) }
        rows = dataset.partitions.reduce(0) { $0 + $1.rows }
        bytes = dataset.partitions.reduce(0) { $0 + $1.bytes }
        dataSHA256 = dataset.dataSHA256.hex
        columns = ArrowStream.columns.map { Column(name: $0.name, type: $0.type, nullable: $0.isNullable) }
        partitions = dataset.partitions.map { part in
            Partition(
                name: part.name,
                firstDay: part.firstDay.text,
                lastDay: part.lastDay.text,
                start: Timestamp(microseconds: part.firstStart),
                end: Timestamp(microseconds: part.lastEnd),
                days: part.days,
                rows: part.rows,
                bytes: part.bytes,
                dataSHA256: part.dataSHA256.hex
            )
        }
    }
}
