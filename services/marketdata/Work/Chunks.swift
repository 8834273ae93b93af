import Bars
import ServiceRuntime

/// The bytes of days nearer than the store; forgetting one costs time and nothing else.
protocol ChunkBytesCache: Sendable {
    /// Those of the keys that are there.
    func chunks(_ keys: [ChunkKey]) async -> [ChunkKey: [UInt8]]
    func store(_ chunks: [ChunkKey: [UInt8]]) async
}

/// Keeps nothing.
struct NoChunkBytesCache: ChunkBytesCache {
    func chunks(_ keys: [ChunkKey]) async -> [ChunkKey: [UInt8]] { [:] }
    func store(_ chunks: [ChunkKey: [UInt8]]) async {}
}

/// Days of bars through the layers: decoded in this process, as bytes in Redis, in the store. A day that several need at once is fetched and decoded once.
final class Chunks: Sendable {
    private let store: any MarketdataStore
    private let near: any ChunkBytesCache
    private let cpu: CPUPool
    private let decoded: DecodedChunks
    private let decoding = SingleFlight<ChunkKey, StoredDay>()
    private let nearLayer = CacheLayer(name: "redis")
    private let damaged = Metrics.shared.counter("marketdata_damaged_chunks_total", help: "Days whose bytes were not what was stored, in any layer.")

    init(store: any MarketdataStore, near: any ChunkBytesCache, cpu: CPUPool, maximumBytes: Int) {
        self.store = store
        self.near = near
        self.cpu = cpu
        decoded = DecodedChunks(maximumBytes: maximumBytes)
    }

    /// The days of one instrument, called `symbol` in what is said of damage. A scan of years (`isScan`) leaves no trace in the layers: it would only drive out
    /// what others come back to.
    func days(_ keys: [ChunkKey], of symbol: String, isScan: Bool, lane: CPULane) async throws -> [ChunkKey: StoredDay] {
        var found: [ChunkKey: StoredDay] = [:]
        var missing: [ChunkKey] = []
        for key in keys {
            if let day = decoded.day(key) { found[key] = day } else { missing.append(key) }
        }
        guard !missing.isEmpty else { return found }
        let fresh = try await decoding.values(for: missing) { keys in
            let days = try await fetch(keys, of: symbol, isScan: isScan, lane: lane)
            if !isScan { for (key, one) in days { decoded.insert(one, for: key) } }
            return days
        }
        found.merge(fresh) { $1 }
        return found
    }

    private func fetch(_ keys: [ChunkKey], of symbol: String, isScan: Bool, lane: CPULane) async throws -> [ChunkKey: StoredDay] {
        var found: [ChunkKey: StoredDay] = [:]
        if !isScan {
            for (key, result) in try await decode(await near.chunks(keys), lane) {
                if case .success(let day) = result { found[key] = day } else { damaged.increment() }
            }
            for key in keys { nearLayer.count(found[key] != nil) }
        }
        let missing = keys.filter { found[$0] == nil }
        guard !missing.isEmpty else { return found }
        let bytes = try await store.chunks(missing)
        for (key, result) in try await decode(bytes, lane) {
            switch result {
            case .success(let day): found[key] = day
            case .failure(let error):
                damaged.increment()
                throw MarketdataError.damagedChunk(instrument: symbol, day: key.day, reason: "revision \(key.revision): \(error)")
            }
        }
        // A day that was looked up and has no bytes has been removed since; it is neither damaged nor to be passed over.
        guard keys.allSatisfy({ found[$0] != nil }) else { throw MarketdataError.daysRemoved(instrument: symbol) }
        // What was damaged there is written over.
        if !isScan { await near.store(bytes) }
        return found
    }

    private func decode(_ bytes: [ChunkKey: [UInt8]], _ lane: CPULane) async throws -> [(ChunkKey, Result<StoredDay, BarsError>)] {
        if bytes.isEmpty { return [] }
        return try await cpu.map(lane: lane, Array(bytes)) { key, bytes in
            (key, Result { () throws(BarsError) in try StoredDay(decoding: bytes) })
        }
    }
}
