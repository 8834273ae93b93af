import Bars
import Postgres
import Redis
import ServiceRuntime
import Synchronization

/// Days as marketdata stored them: fetched from Postgres and from Redis, and decoded, on one core.
struct Stored {
    let database: String
    let redis: String
    let symbol: String

    func measure() async throws {
        let loop = try EventLoop.start(name: "bench")
        try await loop.run {
            let configuration = PostgresConfiguration(
                url: database,
                statementTimeout: .seconds(60),
                schema: "marketdata",
                applicationName: "bars-bench"
            )
            let connection = try await PostgresConnection.connect(configuration, on: loop)
            let cache = try RedisClient(url: redis, loops: [loop], role: .cache)
            try await cache.start()
            // It connects while the database is read.
            try await read(connection, cache)
            await cache.stop()
            await connection.close()
        }
        await loop.stop()
    }

    private func read(_ connection: PostgresConnection, _ cache: RedisClient) async throws {
        let days: SQL =
            "SELECT c.day::text FROM chunks c JOIN instruments i ON i.id = c.instrument_id WHERE i.symbol = \(symbol) AND interval_seconds = 1 ORDER BY c.day"
        let all = try await connection.query(days).map { try $0.column(0, as: String.self) }
        guard let first = all.first, let last = all.last else { throw BenchError("\(symbol) has no seconds") }
        func chunks(_ from: String, _ to: String) async throws -> [[UInt8]] {
            try await connection.query(
                """
                SELECT c.bytes FROM chunks c JOIN instruments i ON i.id = c.instrument_id
                WHERE i.symbol = \(symbol) AND c.interval_seconds = 1 AND c.day BETWEEN \(from)::text::date AND \(to)::text::date ORDER BY c.day
                """
            ).map { try $0.column(0) }
        }
        var rows = 0
        let year = try await medianSeconds(runs: 9) {
            rows = 0
            for bytes in try await chunks(first, last) { rows += try DayChunk.decode(bytes).count }
        }
        var turn = 0
        let day = try await medianSeconds(runs: 60) {
            turn += 37
            for bytes in try await chunks(all[turn % all.count], all[turn % all.count]) { _ = try DayChunk.decode(bytes) }
        }
        let one = try await chunks(first, first)[0]
        guard try await cache.set("bars-bench:day", one) else { throw BenchError("Redis did not take a day") }
        let fromRedis = try await medianSeconds(runs: 200) {
            guard let bytes = try await cache.get("bars-bench:day") else { throw BenchError("Redis forgot a day") }
            _ = try DayChunk.decode(bytes)
        }
        _ = try await cache.delete(["bars-bench:day"])
        // As the process keeps them: under a lock, the least recently used goes first.
        let kept = Mutex(RecentlyUsed<String, BarSeries>(maximumCost: 64 << 20))
        for text in all.suffix(64) {
            let bars = try DayChunk.decode(try await chunks(text, text)[0])
            kept.withLock { _ = $0.insert(bars, cost: bars.byteCount, for: text) }
        }
        let lookups = 10_000
        let fromProcess = try await medianSeconds(runs: 20) {
            var rows = 0
            for number in 0..<lookups {
                let text = all[all.count - 1 - (number &* 37) % min(all.count, 64)]
                rows += kept.withLock { $0.value(text) }?.count ?? 0
            }
            if rows == 0 { throw BenchError("the process forgot its days") }
        }
        print(
            """
            {"bench": "stored", "engine": "auspex", "rows": \(rows), "days": \(all.count), "read_full_s": \(year), "read_day_ms": \(day * 1_000), \
            "read_day_redis_ms": \(fromRedis * 1_000), "read_day_process_ms": \(fromProcess * 1_000 / Double(lookups))}
            """
        )
    }

    private func medianSeconds(runs: Int, _ work: () async throws -> Void) async throws -> Double {
        try await work()
        var seconds: [Double] = []
        for _ in 0..<runs {
            let began = ContinuousClock.now
            try await work()
            seconds.append((.now - began) / .seconds(1))
        }
        return seconds.sorted()[runs / 2]
    }
}
