import Bars
import ServiceRuntime

extension StoredDay {
    /// Made when the service starts, and not at the first damage: of a figure that begins with its first rise no query sees a rise.
    static let damaged = Metrics.shared.counter(
        "marketdata_damaged_chunks_total",
        help: "Days whose bytes were not what was stored, in any layer."
    )

    /// A day that was looked up, out of the bytes that were found of such days: the one place where bytes become bars that somebody reads.
    ///
    /// A day without bytes has been removed, or sealed anew, since it was looked up; it is neither damaged nor to be passed over. `symbol` is what the
    /// instrument is called in what is said of either.
    init(_ key: ChunkKey, in bytes: [ChunkKey: [UInt8]], of symbol: String) throws {
        guard let found = bytes[key] else { throw MarketdataError.daysRemoved(instrument: symbol) }
        do { self = try StoredDay(decoding: found) } catch {
            Self.damaged.increment()
            throw MarketdataError.damaged(key, of: symbol, error)
        }
    }
}
