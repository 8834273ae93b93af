import Contracts
import Redis
import ServiceRuntime

/// Answers in the Redis that may forget; with Redis away every question is simply computed again.
struct RedisResultCache: ResultCache {
    private let redis: RedisClient
    private let prefix: String
    private let hits = Metrics.shared.counter("marketdata_result_cache_hits_total", help: "Answers found in Redis.")
    private let misses = Metrics.shared.counter("marketdata_result_cache_misses_total", help: "Answers not found in Redis.")

    init(redis: RedisClient, prefix: String = "marketdata:bars:") {
        self.redis = redis
        self.prefix = prefix
    }

    func value(_ key: SHA256Digest) async -> [UInt8]? {
        let found = try? await redis.get(prefix + key.hex)
        if found == nil { misses.increment() } else { hits.increment() }
        return found
    }

    func store(_ bytes: [UInt8], for key: SHA256Digest) async {
        // The key holds the revisions: nothing has to be taken back, an hour only bounds the memory.
        _ = try? await redis.set(prefix + key.hex, bytes, expireSeconds: 3_600)
    }
}
