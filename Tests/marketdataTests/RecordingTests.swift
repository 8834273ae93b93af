import Bars
import Contracts
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// When a correction, or a release of a replay, counts as known: stamped last, in the order of commits, and waited for by those who read.
@Suite(.serialized, .enabled(if: TestServers.hasPostgres)) struct RecordingTests {
    /// A store with the owner's connection beside it, which can hold up what the store does.
    private struct World {
        let bench: Bench
        let store: PostgresMarketdataStore
        let pool: PostgresPool
        let owner: PostgresConnection

        /// How many sessions of the database wait for a lock.
        func waiting() async throws -> Int {
            try await pool.query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
                .first?.column(0) ?? 0
        }

        /// The time of the database.
        func clock() async throws -> Timestamp {
            try #require(try await pool.query("SELECT clock_timestamp()").first).column(0)
        }

        /// The stamps of all revisions of the one day, in order.
        func stamps() async throws -> [Timestamp] {
            try await pool.query("SELECT recorded_at FROM chunks WHERE revision > 1 ORDER BY revision").map { try $0.column(0) }
        }

        /// Imports three minutes that begin with a price.
        func take(first: Int) async throws { try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 3, first: first), as: "BTCUSD.csv") }
    }

    private func withWorld(_ body: (World) async throws -> Void) async throws {
        try await withDatabase(service: "marketdata", catalogue: try Migrations.catalogue()) { database in
            try await database.withPool(maximumConnections: 6) { pool in
                let cpu = try CPUPool(threads: 1)
                defer { cpu.stop() }
                let store = PostgresMarketdataStore(pool: pool, outbox: Outbox(schema: "marketdata"), cpu: cpu)
                let owner = try await PostgresConnection.connect(database.owner, on: TestLoop.shared)
                do {
                    try await body(World(bench: try Bench(store), store: store, pool: pool, owner: owner))
                    await owner.close()
                } catch {
                    await owner.close()
                    throw error
                }
            }
        }
    }

    @Test func aCorrectionIsStampedAfterTheLocksItWaitedFor() async throws {
        try await withWorld { world in
            try await world.take(first: 100)
            try await world.owner.execute("BEGIN")
            try await world.owner.execute("UPDATE instruments SET active = true")
            async let corrected: Void = world.take(first: 200)
            try await eventually("the import waits") { try await world.waiting() == 1 }
            let before = try await world.clock()
            try await world.owner.execute("COMMIT")
            try await corrected
            let stamps = try await world.stamps()
            #expect(stamps.count == 1)
            #expect(stamps.allSatisfy { $0 > before })
        }
    }

    @Test func whoReadsAsOfAMomentWaitsForTheCorrectionThatIsStampedBeforeIt() async throws {
        try await withWorld { world in
            try await world.take(first: 100)
            // The correction has its stamp, and cannot commit.
            try await world.owner.execute("BEGIN")
            try await world.owner.execute("LOCK TABLE imports IN SHARE MODE")
            async let corrected: Void = world.take(first: 200)
            try await eventually("the import waits") { try await world.waiting() == 1 }
            let moment = try await world.clock()
            let isRead = Mutex(false)
            async let first = {
                let closes = try await world.bench.closes("BTCUSD", "1m") { $0.revisionsAsOf = moment }
                isRead.withLock { $0 = true }
                return closes
            }()
            try await eventually("the reader waits too") { try await world.waiting() == 2 || isRead.withLock { $0 } }
            #expect(!isRead.withLock { $0 })
            try await world.owner.execute("COMMIT")
            try await corrected
            #expect(try await world.stamps().allSatisfy { $0 < moment })
            let answer = try await first
            #expect(answer == ["200.25", "201.25", "202.25"])
            // The same moment, asked for again later: the same answer.
            #expect(try await world.bench.closes("BTCUSD", "1m") { $0.revisionsAsOf = moment } == answer)
        }
    }

    @Test func stampsRiseInTheOrderOfCommits() async throws {
        try await withWorld { world in
            try await world.take(first: 100)
            try await world.owner.execute("BEGIN")
            try await world.owner.execute("LOCK TABLE imports IN SHARE MODE")
            async let second: Void = world.take(first: 200)
            try await eventually("the first correction waits") { try await world.waiting() == 1 }
            async let third: Void = world.take(first: 300)
            try await eventually("the second one waits for it") { try await world.waiting() == 2 }
            let between = try await world.clock()
            try await world.owner.execute("COMMIT")
            _ = try await (second, third)
            let stamps = try await world.stamps()
            #expect(stamps.count == 2)
            #expect(stamps.first ?? .distantFuture < between)
            #expect(stamps.last ?? .distantPast > between)
            #expect(try await world.bench.closes("BTCUSD", "1m") { $0.revisionsAsOf = between }.first == "200.25")
            #expect(try await world.bench.closes("BTCUSD", "1m").first == "300.25")
        }
    }

    @Test func aClockThatWasSetBackDoesNotTurnTheOrderRound() async throws {
        try await withWorld { world in
            try await world.take(first: 100)
            let ahead = try await world.clock() + .seconds(3_600)
            try await world.owner.execute("UPDATE instruments SET last_correction_at = \(ahead)")
            try await world.take(first: 200)
            try await world.take(first: 300)
            #expect(try await world.stamps() == [ahead + .microseconds(1), ahead + .microseconds(2)])
        }
    }

    @Test func aStampNeverChanges() async throws {
        try await withWorld { world in
            try await world.take(first: 100)
            try await world.take(first: 200)
            await #expect(throws: PostgresError.self) {
                try await world.pool.execute("UPDATE chunks SET recorded_at = clock_timestamp() WHERE revision = 1")
            }
            await #expect(throws: PostgresError.self) {
                try await world.pool.execute("UPDATE chunks SET recorded_at = clock_timestamp() WHERE revision = 2")
            }
            await #expect(throws: PostgresError.self) { try await world.pool.execute("UPDATE chunks SET rows = 1") }
            #expect(try await world.stamps().count == 1)
        }
    }

    @Test func aReplaySeesTheCorrectionsThatWereStampedBeforeItsBeginning() async throws {
        try await withWorld { world in
            try await world.take(first: 100)
            let source = try #require(try await world.store.instrument(symbol: "BTCUSD"))
            try await world.owner.execute("BEGIN")
            try await world.owner.execute("LOCK TABLE imports IN SHARE MODE")
            async let corrected: Void = world.take(first: 200)
            try await eventually("the import waits") { try await world.waiting() == 1 }
            async let begun = world.store.createReplay(ReplayDraft.minutes(of: source.id), within: ReplayLimits())
            try await eventually("the replay waits for it") { try await world.waiting() == 2 }
            try await world.owner.execute("COMMIT")
            try await corrected
            let replay = try await begun
            #expect(try await world.stamps().allSatisfy { $0 <= replay.revisionsAsOf })
        }
    }

    @Test("Who reads a replay, named or by its instrument, waits for the release that is stamped", arguments: [false, true])
    func whoReadsAReplayWaitsForTheReleaseThatIsStamped(byInstrument: Bool) async throws {
        try await withWorld { world in
            try await world.store.create(coin("BTCUSD"))
            let source = try #require(try await world.store.instrument(symbol: "BTCUSD"))
            let replay = try await world.store.createReplay(ReplayDraft.minutes(of: source.id), within: ReplayLimits())
            _ = try await world.store.claimReplays(runner: "a", leaseSeconds: 60)
            try await world.owner.execute("BEGIN")
            try await world.owner.execute("LOCK TABLE replay_releases IN SHARE MODE")
            let step = ReplayStep(replayID: replay.id, from: replay.startsAt, through: replay.startsAt + .seconds(60), bars: 1, closes: [])
            async let released = world.store.release(step, runner: "a")
            try await eventually("the release waits") { try await world.waiting() == 1 }
            let moment = try await world.clock()
            let isRead = Mutex(false)
            async let known = {
                let through =
                    byInstrument
                    ? try await world.store.replayed(by: replay.instrumentID, at: moment)?.through
                    : try await world.store.releasedThrough(replay.id, at: moment)
                isRead.withLock { $0 = true }
                return through
            }()
            try await eventually("the reader waits too") { try await world.waiting() == 2 || isRead.withLock { $0 } }
            try await world.owner.execute("COMMIT")
            let knownAt = try #require(try await released)
            #expect(knownAt < moment)
            #expect(try await known == step.through)
        }
    }
}
