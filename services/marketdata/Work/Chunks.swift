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

    init(store: any MarketdataStore, near: any ChunkBytesCache, cpu: CPUPool, maximumBytes: Int) {
        self.store = store
        self.near = near
        self.cpu = cpu
        decoded = DecodedChunks(maximumBytes: maximumBytes)
        _ = StoredDay.damaged
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
            let bytes = await near.chunks(keys)
            // What is damaged there is fetched anew.
            let days = try await decode(Array(bytes.keys), lane) { try? StoredDay($0, in: bytes, of: symbol) }
            for case (let key, let day?) in days { found[key] = day }
            for key in keys { nearLayer.count(found[key] != nil) }
        }
        let missing = keys.filter { found[$0] == nil }
        guard !missing.isEmpty else { return found }
        let bytes = try await store.chunks(missing)
        for (key, day) in try await decode(missing, lane, { try StoredDay($0, in: bytes, of: symbol) }) { found[key] = day }
        // What was damaged there is written over.
        if !isScan { await near.store(bytes) }
        return found
    }

    private func decode<Day: Sendable>(
        _ keys: [ChunkKey],
        _ lane: CPULane,
        _ day: @escaping @Sendable (ChunkKey) throws -> Day
    ) async throws -> [(ChunkKey, Day)] {
        keys.isEmpty ? [] : try await cpu.map(lane: lane, keys) { ($0, try day($0)) }
    }
}
