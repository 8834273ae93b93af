import Bars
import ServiceRuntime
import Synchronization

/// Decoded days, the most recently used first, up to a bound on memory. Chunks never change, so nothing is ever stale.
final class DecodedChunks: Sendable {
    private struct Entry {
        var day: StoredDay
        var askedAt: ContinuousClock.Instant
    }

    private let entries: Mutex<RecentlyUsed<ChunkKey, Entry>>
    private let layer = CacheLayer(name: "process")
    private let size = Metrics.shared.gauge("marketdata_decoded_chunks_bytes", help: "Memory that decoded days take.")
    private let age = Metrics.shared.gauge(
        "marketdata_decoded_chunks_evicted_age_seconds",
        help: "How long the last decoded day that had to go was not asked for."
    )

    /// Beside its columns each day takes about `overheadBytes`.
    init(maximumBytes: Int) { entries = Mutex(RecentlyUsed(maximumCost: maximumBytes)) }

    private static let overheadBytes = 512

    func day(_ key: ChunkKey) -> StoredDay? {
        let found = entries.withLock { $0.value(key) { $0.askedAt = .now } }
        layer.count(found != nil)
        return found?.day
    }

    func insert(_ day: StoredDay, for key: ChunkKey) {
        let (bytes, gone) = entries.withLock { entries in
            let gone = entries.insert(Entry(day: day, askedAt: .now), cost: day.byteCount + Self.overheadBytes, for: key)
            return (entries.cost, gone)
        }
        size.set(Double(bytes))
        if let last = gone.last { age.set((ContinuousClock.now - last.askedAt) / .seconds(1)) }
    }
}

/// How often a layer of the cache had what was asked of it.
struct CacheLayer: Sendable {
    private let hits: Counter
    private let misses: Counter

    init(name: String) {
        hits = Metrics.shared.counter("marketdata_chunk_hits_total", help: "Days of bars found, by layer.", labels: ["layer": name])
        misses = Metrics.shared.counter("marketdata_chunk_misses_total", help: "Days of bars not found, by layer.", labels: ["layer": name])
    }

    func count(_ found: Bool) { (found ? hits : misses).increment() }
}
