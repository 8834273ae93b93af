import Bars
import Contracts
import Postgres
import Redis
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// The source as the last layer of the cache, for several replicas at once and with whatever goes wrong.
@Suite(.serialized, .enabled(if: TestServers.hasPostgres && TestServers.hasRedis), .timeLimit(.minutes(10))) struct FetchFirstTests {
    /// 23 weekdays of five minutes.
    private let march = 115

    private func bothAsk(
        _ bench: AcquisitionBench,
        _ one: AcquisitionBench.Replica,
        _ other: AcquisitionBench.Replica,
        meanwhile: @escaping @Sendable () async throws -> Void = {}
    ) async throws {
        let (simulator, march) = (bench.simulator, march)
        simulator.reply { heldMinutes($0) }
        try await withThrowingTaskGroup(of: (closes: [String], lacking: String?)?.self) { group in
            group.addTask { try await one.readMarch() }
            group.addTask { try await other.readMarch() }
            group.addTask {
                _ = try await simulator.requested.next()
                try await eventually("both wait") { one.fetches.followers == 1 && other.fetches.followers == 1 }
                try await meanwhile()
                await simulator.sendHeld()
                return nil
            }
            for try await answer in group {
                guard let answer else { continue }
                #expect(answer.closes.count == march)
                #expect(answer.lacking == nil)
            }
        }
        #expect(simulator.requested.pendingCount == 0, "there was a second fetch")
        #expect(try await bench.count("imports WHERE source = 'iqfeed'") == 1)
        #expect(try await bench.count("chunks WHERE source = 'iqfeed'") == 23)
        // And nobody asks again.
        #expect(try await one.readMarch().closes.count == march)
        #expect(try await other.readMarch().closes.count == march)
        #expect(simulator.requested.pendingCount == 0)
    }

    @Test func twoReplicasThatWantTheSameMonthFetchItOnce() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            let (one, other) = (try await bench.replica(), try await bench.replica())
            for replica in [one, other] { try await eventually("Redis") { (try? await replica.redis.command(["PING"])) != nil } }
            try await bothAsk(bench, one, other)
            #expect(try await one.redis.command(["KEYS", RedisArgument(bench.prefix + "*")]).array?.isEmpty == true)
        }
    }

    @Test func theyDoWithRedisAway() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            let away = "redis://127.0.0.1:1/0"
            try await bothAsk(bench, try await bench.replica(redisURL: away), try await bench.replica(redisURL: away))
        }
    }

    /// One sees Redis and the other does not.
    @Test func theyDoWithRedisAwayForOneOfThem() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            let one = try await bench.replica()
            try await eventually("Redis") { (try? await one.redis.command(["PING"])) != nil }
            try await bothAsk(bench, one, try await bench.replica(redisURL: "redis://127.0.0.1:1/0"))
        }
    }

    @Test func theyDoWithRedisFlushedInTheMiddle() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            // The gate is set again so rarely that nothing but the database holds the other up.
            let one = try await bench.replica(gateLifetime: .seconds(600))
            let other = try await bench.replica(gateLifetime: .seconds(600))
            for replica in [one, other] { try await eventually("Redis") { (try? await replica.redis.command(["PING"])) != nil } }
            let pattern = RedisArgument(bench.prefix + "*")
            try await bothAsk(bench, one, other) {
                let names = try #require(try await one.redis.command(["KEYS", pattern]).array?.compactMap(\.bytes))
                let name = String(decoding: try #require(names.first), as: UTF8.self)
                let holder = try #require(try await one.redis.get(name))
                try await one.redis.delete([name])
                // The one who waited has come through the gate, and stands before the database's lock.
                try await eventually("the gate is somebody else's") {
                    let now = try await one.redis.get(name)
                    return now != nil && now != holder
                }
            }
        }
    }

    /// Whoever held the lock was killed: its session is gone, and what it left in Redis runs out.
    @Test func theNextOneGoesOnWhenTheHolderIsKilled() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule()
            bench.simulator.reply { iqfeedMinutes($0) }
            let replica = try await bench.replica()
            try await eventually("Redis") { (try? await replica.redis.command(["PING"])) != nil }
            let name = bench.prefix + FetchSlot(of: rule, at: at("2021-03-10T00:00:00Z")).description
            let dead = LockSession(configuration: bench.pool.configuration, loop: TestLoop.shared)
            #expect(try await dead.tryLock(name))
            _ = try await replica.redis.command(["SET", RedisArgument(name), "dead", "PX", "200"])
            async let answer = replica.readMarch()
            try await eventually("it waits") { replica.fetches.followers == 1 }
            // The gate has run out, and the database still says no.
            try await eventually("it is through the gate") {
                let holder = try await replica.redis.get(name)
                return holder != nil && holder != Array("dead".utf8)
            }
            #expect(bench.simulator.requested.pendingCount == 0)
            await dead.close()
            let (closes, lacking) = try await answer
            #expect(closes.count == march)
            #expect(lacking == nil)
            #expect(try await bench.requests() == 1)
        }
    }

    @Test func whoWaitsTooLongIsToldAndTheFetchGoesOn() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            bench.simulator.reply { heldMinutes($0) }
            let hasty = try await bench.replica(redisURL: "redis://127.0.0.1:1/0", patience: .milliseconds(100))
            let late = try await hasty.readMarch()
            #expect(late.closes.isEmpty)
            #expect(late.lacking == "late")
            _ = try await bench.simulator.requested.next()
            await bench.simulator.sendHeld()
            try await eventually("the fetch ends") { try await bench.count("chunks") == 23 }
            let patient = try await bench.replica(redisURL: "redis://127.0.0.1:1/0")
            let whole = try await patient.readMarch()
            #expect(whole.closes.count == march)
            #expect(whole.lacking == nil)
            #expect(try await bench.requests() == 0)
        }
    }

    @Test func anAnswerThatBreaksOffStoresNothingAndIsNotAskedForByEachWhoReads() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            bench.simulator.reply { request in
                guard case .answer(let bytes) = iqfeedMinutes(request) else { return .noData }
                return .cut(bytes, afterLines: 40)
            }
            let replica = try await bench.replica()
            #expect(try await replica.readMarch() == ([], "broken"))
            // The client itself tries three times.
            #expect(try await bench.requests() == 3)
            #expect(try await bench.count("chunks") == 0)
            #expect(try await replica.readMarch() == ([], "broken"))
            #expect(try await bench.requests() == 0)
            bench.simulator.reply { iqfeedMinutes($0) }
            let other = try await bench.replica()
            #expect(try await other.readMarch().closes.count == march)
            #expect(try await replica.readMarch().closes.count == march)
        }
    }

    @Test func aRefusalIsSaid() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            bench.simulator.reply { _ in .error("Unauthorized user ID.") }
            let replica = try await bench.replica()
            #expect(try await replica.readMarch() == ([], "refused"))
            let none = try await bench.replica(isConfigured: false)
            #expect(try await none.readMarch() == ([], "not_configured"))
        }
    }

    @Test func nothingThereIsRemembered() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            bench.simulator.reply { _ in .noData }
            let replica = try await bench.replica()
            #expect(try await replica.readMarch() == ([], nil))
            #expect(try await bench.requests() == 1)
            #expect(try await replica.readMarch() == ([], nil))
            // Nor by one who was not there.
            #expect(try await bench.replica().readMarch() == ([], nil))
            #expect(try await bench.requests() == 0)
        }
    }

    /// A restart of the database ends its sessions: what the import had done is undone, and all of it is done again.
    @Test func aDatabaseThatGoesAwayInAnImportLeavesNothingBehind() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule()
            bench.simulator.reply { iqfeedMinutes($0) }
            let replica = try await bench.replica()
            // The days are written, and the last statement has to wait.
            try await bench.superuser.execute("BEGIN")
            try await bench.superuser.execute("LOCK TABLE imports IN ACCESS EXCLUSIVE MODE")
            async let answer = replica.first.prepare(
                BarRequest(symbol: "NEPT", interval: .seconds(60), start: at("2021-03-01T00:00:00Z"), end: at("2021-04-01T00:00:00Z"))
            )
            try await eventually("the import waits") {
                try await bench.count(
                    """
                    pg_locks WHERE NOT granted AND relation = 'imports'::regclass
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    """
                ) > 0
            }
            _ = try await bench.superuser.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'marketdata_app'"
            )
            try await bench.superuser.execute("COMMIT")
            #expect(try await answer == "failed")
            #expect(try await bench.count("chunks") == 0)
            #expect(try await bench.count("imports") == 0)
            #expect(try await eventuallyValue { try? await bench.rules.rule(rule.id) }.spokenFor.ranges.isEmpty)
            let whole = try await replica.readMarch()
            #expect(whole.closes.count == march)
            #expect(whole.lacking == nil)
            #expect(try await bench.requests() == 2)
        }
    }

    /// What is known here is what a run saw: no run and no question as of a moment brings anything.
    @Test func questionsAsOfAMomentAndOthersFetchNothing() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule(from: at("2021-03-01T00:00:00Z"))
            bench.simulator.reply { iqfeedMinutes($0) }
            let replica = try await bench.replica()
            let (start, end) = (at("2021-03-01T00:00:00Z"), at("2021-04-01T00:00:00Z"))
            var request = BarRequest(symbol: "NEPT", interval: .seconds(60), start: start, end: end)
            #expect(try await replica.bench.reader.read(request, for: .platform).bars.isEmpty)
            request.asOf = at("2022-01-01T00:00:00Z")
            #expect(try await replica.first.prepare(request) == nil)
            request.asOf = nil
            request.revisionsAsOf = at("2022-01-01T00:00:00Z")
            #expect(try await replica.first.prepare(request) == nil)
            // Shorter than what the rule keeps, before it begins, of another instrument.
            let others = [
                BarRequest(symbol: "NEPT", interval: .seconds(30), start: start, end: end),
                BarRequest(symbol: "NEPT", interval: .seconds(60), start: at("2020-01-01T00:00:00Z"), end: start),
                BarRequest(symbol: "AAPL", interval: .seconds(60), start: start, end: end),
            ]
            for other in others { #expect(try await replica.first.prepare(other) == nil) }
            #expect(try await bench.requests() == 0)
            // Longer ones are made of what the rule keeps.
            let hours = try await replica.read("NEPT", "1h", from: "2021-03-01T00:00:00Z", to: "2021-04-01T00:00:00Z")
            #expect(hours.closes.count == 23)
            #expect(try await bench.requests() == 1)
            // What was fetched is history: it was known when it ended.
            let past = try await replica.bench.closes("NEPT", "1m") { $0.asOf = at("2021-03-02T00:00:00Z") }
            #expect(past.count == 5)
        }
    }

    /// What a file has brought is not asked for, and stays.
    @Test func storedDaysAreNotFetchedOver() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            let replica = try await bench.replica()
            var lines = ["time,open,high,low,close,volume"]
            for day in 1...31 {
                for clock in day == 31 ? ["00:00", "00:01", "23:58", "23:59"] : ["00:00", "00:01", "00:02"] {
                    lines.append("2021-03-\(day < 10 ? "0" : "")\(day)T\(clock):00Z,1,1,1,1,1")
                }
            }
            try await replica.bench.take(lines.joined(separator: "\n") + "\n", as: "NEPT.csv", symbol: "NEPT", assetClass: .equity)
            bench.simulator.reply { iqfeedMinutes($0) }
            let (closes, lacking) = try await replica.readMarch()
            #expect(closes.count == 94)
            #expect(lacking == nil)
            #expect(try await bench.requests() == 0)
            // What the file does not speak for is fetched, and only that.
            let both = try await replica.read(from: "2021-03-01T00:00:00Z", to: "2021-04-03T00:00:00Z")
            #expect(both.closes.count == 94 + 10)
            #expect(try await bench.count("chunks WHERE source <> 'file' AND day < '2021-04-01'") == 0)
        }
    }

    /// The feed fetches what it missed by itself; two who record the same bars would correct each other.
    @Test func aDayThatAFeedRecordsIsLeftToIt() async throws {
        try await AcquisitionBench.with { bench in
            let rule = try await bench.rule(from: at("2021-03-01T00:00:00Z"))
            let day = at("2021-03-10T00:00:00Z")..<at("2021-03-11T00:00:00Z")
            #expect(try await bench.rules.missing(rule, in: day, now: Timestamp.now()) == [day])
            _ = try await bench.superuser.query(
                """
                INSERT INTO live_days (instrument_id, interval_seconds, side, origin, day, first_known_at)
                VALUES (\(rule.instrumentID), 60, 'trade', 'imported', '2021-03-10', '2021-03-10T15:00:00Z')
                """
            )
            let morning = day.lowerBound..<at("2021-03-10T15:00:00Z")
            #expect(try await bench.rules.missing(rule, in: day, now: Timestamp.now()) == [morning])
            // It stops in the evening: as long as it is wanted, it fetches the rest by itself.
            let evening = at("2021-03-10T20:00:00Z")..<day.upperBound
            try await bench.superuser.execute("INSERT INTO live_feeds (source, runner, lease_until) VALUES ('iqfeed', 'one', '-infinity')")
            _ = try await bench.superuser.query(
                """
                INSERT INTO live_closed (source, instrument_id, interval_seconds, side, origin, closed_through)
                VALUES ('iqfeed', \(rule.instrumentID), 60, 'trade', 'imported', \(evening.lowerBound))
                """
            )
            _ = try await bench.superuser.query(
                """
                INSERT INTO live_subscriptions (instrument_id, source, source_symbol, bar_seconds, changed_at, state_at)
                VALUES (\(rule.instrumentID), 'iqfeed', 'NEPT', 60, now(), now())
                """
            )
            #expect(try await bench.rules.missing(rule, in: day, now: Timestamp.now()) == [morning])
            try await bench.superuser.execute("DELETE FROM live_subscriptions")
            #expect(try await bench.rules.missing(rule, in: day, now: Timestamp.now()) == [morning, evening])
        }
    }

    @Test func anInstrumentWithoutAnyDataIsAnsweredWithNone() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule("1d", from: at("2015-01-01T00:00:00Z"))
            bench.simulator.reply { _ in .noData }
            let replica = try await bench.replica()
            #expect(try await replica.read("NEPT", "1w", from: "2015-01-01T00:00:00Z", to: "2021-01-01T00:00:00Z") == ([], nil))
            // Decades are fetched twenty years at a time.
            #expect(try await bench.requests() == 2)
            #expect(await replica.keeper.round())
            let rule = try #require(try await bench.rules.rules(after: nil, instrument: nil, limit: 1).first)
            #expect(rule.lastRun?.outcome == "no_data")
        }
    }
}
