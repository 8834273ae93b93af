import Bars
import Redis
import ServiceRuntime

/// Days as they are stored, in the Redis that may forget: what a replica decoded, another finds without the database. With Redis away there is the database.
struct RedisChunkCache: ChunkBytesCache {
    private let redis: RedisClient
    private let prefix: String
    /// A day's chunk never changes: the time only bounds what a scan of Redis would find of days that nobody asks for.
    private static let lifetimeSeconds = 6 * 3_600
    /// A longer one would keep a loop from its other answers.
    private static let maximumBytes = 1 << 20

    init(redis: RedisClient, prefix: String = "marketdata:chunk2:") {
        self.redis = redis
        self.prefix = prefix
    }

    func chunks(_ keys: [ChunkKey]) async -> [ChunkKey: [UInt8]] {
        guard let found = try? await redis.mget(keys.map(name)) else { return [:] }
        return Dictionary(uniqueKeysWithValues: zip(keys, found).compactMap { key, bytes in bytes.map { (key, $0) } })
    }

    func store(_ chunks: [ChunkKey: [UInt8]]) async {
        for (key, bytes) in chunks where bytes.count <= Self.maximumBytes {
            // The first failure says that Redis is away: the rest would only wait for the same answer.
            guard (try? await redis.set(name(key), bytes, expireSeconds: Self.lifetimeSeconds)) != nil else { return }
        }
    }

    private func name(_ key: ChunkKey) -> String {
        let series = key.series
        return
            "\(prefix)\(key.instrumentID):\(series.intervalSeconds):\(series.side.rawValue):\(series.origin.rawValue):\(key.day.number):\(key.revision)"
    }
}
