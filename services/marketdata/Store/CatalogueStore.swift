import Bars
import Contracts

/// What the catalogue asks of the store: what there is, without reading a bar.
protocol CatalogueStore: Sendable {
    /// Calendars that were saved here, in order of name, those after one.
    func calendars(after name: String?, limit: Int) async throws -> [ExchangeCalendar]
    /// Stored series in order of symbol (by its bytes), interval, price and origin.
    func datasets(_ query: DatasetQuery) async throws -> [StoredDataset]
    /// The days of a series of which a feed has told something.
    func liveDays(of instrument: InstrumentID, _ series: SeriesKey) async throws -> [CivilDay]
    /// The days of a series that hold a bar known at a moment (both in microseconds since 1970), each in its highest revision recorded by another, in order.
    func datasetDays(
        of instrument: InstrumentID,
        _ series: SeriesKey,
        days: ClosedRange<CivilDay>?,
        recordedBy: Int64,
        knownBy: Int64
    ) async throws -> [DatasetDay]
    /// The slots (`DaySlots`) of stored days; those that were stored before slots were are absent.
    func slots(of keys: [ChunkKey]) async throws -> [ChunkKey: [UInt8]]
    /// Remembers slots of stored days, which never change.
    func save(_ slots: [ChunkKey: [UInt8]]) async throws
}
