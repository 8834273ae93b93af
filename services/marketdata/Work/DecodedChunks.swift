import Bars
import ServiceRuntime
import Synchronization

/// Decoded days, the most recently used first, up to a bound on memory. Chunks never change, so nothing is ever stale.
final class DecodedChunks: Sendable {
    private struct Entry {
        var day: StoredDay
        var usedAt: ContinuousClock.Instant
    }

    private struct State {
        var entries: [ChunkKey: Entry] = [:]
        var bytes = 0
    }

    private let state = Mutex(State())
    private let maximumBytes: Int
    private let layer = CacheLayer(name: "process")
    private let size = Metrics.shared.gauge("marketdata_decoded_chunks_bytes", help: "Memory that decoded days take.")
    private let age = Metrics.shared.gauge(
        "marketdata_decoded_chunks_evicted_age_seconds",
        help: "How long the last decoded day that had to go was not asked for."
    )

    /// Beside its columns each day takes about `overheadBytes`.
    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    private static let overheadBytes = 512

    func day(_ key: ChunkKey) -> StoredDay? {
        let found = state.withLock { state -> StoredDay? in
            guard let entry = state.entries[key] else { return nil }
            state.entries[key]?.usedAt = .now
            return entry.day
        }
        layer.count(found != nil)
        return found
    }

    func insert(_ day: StoredDay, for key: ChunkKey) {
        let (bytes, evictedAge) = state.withLock { state -> (Int, Duration?) in
            guard state.entries.updateValue(Entry(day: day, usedAt: .now), forKey: key) == nil else { return (state.bytes, nil) }
            state.bytes += day.byteCount + Self.overheadBytes
            guard state.bytes > maximumBytes else { return (state.bytes, nil) }
            // Half goes at once: sorting for each insertion would cost more than it saves.
            var lastUse = ContinuousClock.now
            for (oldest, entry) in state.entries.sorted(by: { $0.value.usedAt < $1.value.usedAt }) where state.bytes > maximumBytes / 2 {
                state.entries[oldest] = nil
                state.bytes -= entry.day.byteCount + Self.overheadBytes
                lastUse = entry.usedAt
            }
            return (state.bytes, .now - lastUse)
        }
        size.set(Double(bytes))
        if let evictedAge { age.set(evictedAge / .seconds(1)) }
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
