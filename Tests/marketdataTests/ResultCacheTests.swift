import Bars
import Contracts
import Cryptography
import Redis
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite struct ResultCacheTests {
    private func withRedis(_ url: String, _ body: (RedisClient) async throws -> Void) async throws {
        let client = try RedisClient(url: url, loops: [TestLoop.shared], role: .cache, commandTimeout: .seconds(60))
        try await client.start()
        do {
            try await body(client)
            await client.stop()
        } catch {
            await client.stop()
            throw error
        }
    }

    @Test(.enabled(if: TestServers.hasRedis)) func answersComeBackFromRedis() async throws {
        try await withRedisPrefix { prefix in
            try await withRedis(TestServers.redisURL) { client in
                let cache = RedisResultCache(redis: client, prefix: prefix)
                let bench = try Bench(MemoryMarketdataStore(), results: cache)
                try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
                try await eventually("a connection to Redis") {
                    await cache.store([1, 2, 3], for: SHA256.digest(Array("probe".utf8)))
                    return await cache.value(SHA256.digest(Array("probe".utf8))) == [1, 2, 3]
                }
                let request = BarRequest(symbol: "BTCUSD", interval: .seconds(300), countback: 5)
                let first = try await bench.reader.read(request)
                let second = try await bench.reader.read(request)
                #expect(first.bars == second.bars)
                #expect(first.dataSHA256 == second.dataSHA256)
                #expect(first.bars.count == 5)
                let keys = try await client.command(["KEYS", RedisArgument(prefix + "*")])
                guard case .array(let found) = keys else {
                    Issue.record("KEYS answered \(keys)")
                    return
                }
                #expect(found.count == 2)
            }
        }
    }

    @Test("What a run reads of few rows is made on the spot and not remembered; what is read ahead, or takes long, is", arguments: [40, 39])
    func whatIsAskedOnceIsNotRemembered(lightRows: Int) async throws {
        let cache = CountingCache()
        var limits = ReadLimits()
        limits.lightRows = lightRows
        let bench = try Bench(MemoryMarketdataStore(), results: cache, limits: limits)
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
        let request = BarRequest(symbol: "BTCUSD", interval: .seconds(300), countback: 5)
        let run = try await bench.reader.read(request, for: .platform)
        #expect(cache.count == (lightRows < 40 ? 1 : 0))
        let ahead = try await bench.reader.read(request, for: .platform, isAhead: true)
        #expect(cache.count == 1)
        let people = try await bench.reader.read(request)
        #expect(cache.hits == (lightRows < 40 ? 2 : 1))
        for other in [ahead, people] { #expect(other.bars == run.bars && other.dataSHA256 == run.dataSHA256 && run.bars.count == 5) }
    }

    @Test("A few rows of many days are not few: each day costs something of its own", arguments: [2, 1])
    func whatIsOfManyDaysIsNotMadeOnTheSpot(lightChunks: Int) async throws {
        let cache = CountingCache()
        var limits = ReadLimits()
        limits.lightChunks = lightChunks
        let bench = try Bench(MemoryMarketdataStore(), results: cache, limits: limits)
        try await bench.take(minutes(from: "2016-10-08T23:40:00Z", count: 40), as: "BTCUSD.csv")
        let run = try await bench.reader.read(BarRequest(symbol: "BTCUSD", interval: .seconds(60), countback: 30), for: .platform)
        #expect(run.bars.count == 30 && cache.count == (lightChunks < 2 ? 1 : 0))
    }

    @Test func withRedisAwayAnswersAreComputedAgain() async throws {
        try await withRedis("redis://127.0.0.1:1/0") { client in
            let bench = try Bench(MemoryMarketdataStore(), results: RedisResultCache(redis: client))
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
            #expect(try await bench.closes("BTCUSD", "20m") == ["119.25", "139.25"])
        }
    }

    @Test func aDamagedAnswerIsMadeAgain() async throws {
        let cache = CountingCache()
        let bench = try Bench(MemoryMarketdataStore(), results: cache)
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
        let right = try await bench.closes("BTCUSD", "20m")
        cache.spoil()
        #expect(try await bench.closes("BTCUSD", "20m") == right)
    }
}
