import Bars
import Contracts
import HTTPServing
import Postgres
import Redis
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite("Days of bars through the layers") struct ChunkLayerTests {
    private func withRedis(_ body: (RedisClient, String) async throws -> Void) async throws {
        try await withRedisPrefix { prefix in
            let client = try RedisClient(url: TestServers.redisURL, loops: [TestLoop.shared], role: .cache, commandTimeout: .seconds(60))
            try await client.start()
            do {
                try await eventually("a connection to Redis") { await (try? client.set(prefix + "probe", [1])) == true }
                try await body(client, prefix)
                await client.stop()
            } catch {
                await client.stop()
                throw error
            }
        }
    }

    private func keys(_ client: RedisClient, _ prefix: String) async throws -> [String] {
        guard case .array(let found) = try await client.command(["KEYS", RedisArgument(prefix + "chunk:*")]) else { return [] }
        return found.compactMap { if case .bytes(let bytes) = $0 { String(decoding: bytes, as: UTF8.self) } else { nil } }
    }

    @Test("What one replica read, another has from Redis without the database", .enabled(if: TestServers.hasRedis && TestServers.hasPostgres))
    func anotherReplicaReadsFromRedis() async throws {
        try await withRedis { client, prefix in
            try await withPostgresStore { store, _, superuser in
                let near = RedisChunkCache(redis: client, prefix: prefix + "chunk:")
                let first = try Bench(store, chunkBytes: near)
                try await first.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
                let right = try await first.closes("BTCUSD", "20m")
                #expect(try await keys(client, prefix).count == 1)
                try await superuser.execute("UPDATE chunks SET bytes = 'gone'")
                let second = try Bench(store, chunkBytes: near)
                #expect(try await second.closes("BTCUSD", "20m") == right)
                // Decoded once, it needs neither.
                _ = try await client.delete(keys(client, prefix))
                #expect(try await second.closes("BTCUSD", "20m") == right)
            }
        }
    }

    @Test("Damaged bytes in Redis are written over by those of the store", .enabled(if: TestServers.hasRedis && TestServers.hasPostgres))
    func damageInRedisHeals() async throws {
        try await withRedis { client, prefix in
            try await withPostgresStore { store, _ in
                let near = RedisChunkCache(redis: client, prefix: prefix + "chunk:")
                let first = try Bench(store, chunkBytes: near)
                try await first.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
                let right = try await first.closes("BTCUSD", "20m")
                let key = try #require(try await keys(client, prefix).first)
                var bytes = try #require(try await client.get(key))
                let whole = bytes
                bytes[bytes.count / 2] ^= 1
                _ = try await client.set(key, bytes)
                #expect(try await Bench(store, chunkBytes: near).closes("BTCUSD", "20m") == right)
                #expect(try await client.get(key) == whole)
            }
        }
    }

    @Test("With Redis away the store answers") func redisAway() async throws {
        let client = try RedisClient(url: "redis://127.0.0.1:1/0", loops: [TestLoop.shared], role: .cache)
        try await client.start()
        let bench = try Bench(MemoryMarketdataStore(), chunkBytes: RedisChunkCache(redis: client))
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
        #expect(try await bench.closes("BTCUSD", "20m") == ["119.25", "139.25"])
        await client.stop()
    }

    /// Of a figure that begins with its first rise no query sees a rise.
    @Test("Damage has a figure before there is any") func damageIsCountedFromTheStart() throws {
        _ = try Bench(MemoryMarketdataStore())
        #expect(Metrics.shared.render().contains("\nmarketdata_damaged_chunks_total "))
    }

    @Test("A damaged day is named and is never a wrong bar", .enabled(if: TestServers.hasPostgres), arguments: [0, 4, 9, 17, 60, -1])
    func damageInTheStoreIsNamed(byte: Int) async throws {
        try await withPostgresStore { store, _, superuser in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T23:40:00Z", count: 40), as: "BTCUSD.csv")
            let right = try await bench.closes("BTCUSD", "20m")
            try await superuser.execute(
                """
                UPDATE chunks SET bytes = set_byte(bytes, ((length(bytes) + \(byte)) % length(bytes))::int,
                    get_byte(bytes, ((length(bytes) + \(byte)) % length(bytes))::int) # 1)
                WHERE day = '2016-10-09'
                """
            )
            let other = try Bench(store)
            do {
                let closes = try await other.closes("BTCUSD", "20m")
                Issue.record("a damaged day answered \(closes)")
            } catch let error as MarketdataError {
                let problem = error.problem
                #expect(problem.code == "damaged_chunk")
                #expect(problem.detail.contains("BTCUSD") && problem.detail.contains("2016-10-09"), "\(problem)")
            }
            // What the operator is told to do mends it.
            if byte != 4 {
                try await other.take(minutes(from: "2016-10-08T23:40:00Z", count: 40), as: "BTCUSD.csv")
                #expect(try await Bench(store).closes("BTCUSD", "20m") == right)
            }
        }
    }

    @Test("What has no bytes is gone, what has wrong ones is damaged, and both name the instrument") func goneOrDamaged() throws {
        let series = SeriesKey(intervalSeconds: 60, side: .trade, origin: .imported)
        let day = CivilDay(year: 2016, month: 10, day: 9)
        let key = ChunkKey(instrumentID: .make(), series: series, day: day, revision: 3)
        let info = ChunkInfo(key: key, edition: 1, rows: 1, firstEnd: 0, lastEnd: 0, coverage: 0..<1)
        #expect(throws: MarketdataError.daysRemoved(instrument: "BTCUSD")) { try StoredDay(key, in: [:], of: "BTCUSD") }
        #expect(throws: MarketdataError.daysRemoved(instrument: "BTCUSD")) {
            try info.known(in: [:], of: "BTCUSD", recordedBy: .max, cut: .max)
        }
        for read: () throws -> Void in [
            { _ = try StoredDay(key, in: [key: [1, 2, 3]], of: "BTCUSD") },
            { _ = try info.known(in: [key: [1, 2, 3]], of: "BTCUSD", recordedBy: .max, cut: .max) },
        ] {
            let error = #expect(throws: MarketdataError.self) { try read() }
            guard case .damagedChunk("BTCUSD", day, let reason) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(reason.hasPrefix("revision 3: "))
        }
    }

    @Test("Decoded days stay within their bound, the last ones used the longest") func boundedByBytes() throws {
        let cache = DecodedChunks(maximumBytes: 300_000)
        let series = try #require(
            try DayPartition.days(of: FileImporter.read(Array(minutes(from: "2016-10-08T00:00:00Z", count: 1_000).utf8), path: "BTCUSD.csv")).first
        ).bars
        let instrument = InstrumentID.make()
        func key(_ day: Int) -> ChunkKey {
            ChunkKey(
                instrumentID: instrument,
                series: SeriesKey(intervalSeconds: 60, side: .trade, origin: .imported),
                day: CivilDay(number: day),
                revision: 1
            )
        }
        for day in 0..<40 {
            cache.insert(.history(series), for: key(day))
            _ = cache.day(key(0))
        }
        let kept = (0..<40).filter { cache.day(key($0)) != nil }
        #expect(kept.contains(0) && kept.contains(39))
        #expect(kept.count * (series.byteCount + 512) <= 300_000 && kept.count > 3, "\(kept)")
    }
}
