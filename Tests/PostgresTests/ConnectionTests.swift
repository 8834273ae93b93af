import Contracts
import FoundationEssentials
import ServiceRuntime
import TestSupport
import Testing

@testable import Postgres

@Suite(.enabled(if: TestServers.hasPostgres))
struct ConnectionTests {
    /// No statement ends for another reason than the one that a test is about.
    private static let patient = PostgresConfiguration(url: TestServers.postgresURL, statementTimeout: .seconds(300), connectTimeout: .seconds(60))

    private func connected<Outcome: Sendable>(_ body: @escaping @Sendable (PostgresConnection) async throws -> Outcome) async throws -> Outcome {
        try await withLoop { loop in
            let connection = try await PostgresConnection.connect(Self.patient, on: loop)
            do {
                let outcome = try await body(connection)
                await connection.close()
                return outcome
            } catch {
                await connection.close()
                throw error
            }
        }
    }

    @Test func everyTypeComesBackAsItWent() async throws {
        try await connected { connection in
            let id = SignalID.make()
            let time = try #require(Timestamp(iso8601: "2016-10-08T12:01:00.123456Z"))
            let digest = try #require(SHA256Digest(bytes: (0..<32).map { UInt8($0) }))
            let decimal = try #require(DecimalText("-616.530001"))
            let json = try PostgresJSON(encoding: ["a": [1, 2]])
            let missing: String? = nil
            let row = try #require(
                try await connection.query(
                    """
                    SELECT \(true), \(Int16(-7)), \(Int32(70_000)), \(Int64.max), \(3.25), \("grüße 'x'"), \(id), \(time), \([0, 255] as [UInt8]),
                           \(digest), \(decimal), \(json), \(missing), \("")
                    """
                ).first
            )
            let values = try row.decode(
                Bool.self,
                Int16.self,
                Int32.self,
                Int64.self,
                Double.self,
                String.self,
                SignalID.self,
                Timestamp.self,
                [UInt8].self,
                SHA256Digest.self,
                DecimalText.self,
                PostgresJSON.self,
                String?.self,
                String.self
            )
            #expect(values.0 && values.1 == -7 && values.2 == 70_000 && values.3 == .max && values.4 == 3.25 && values.5 == "grüße 'x'")
            #expect(values.6 == id && values.7 == time && values.8 == [0, 255] && values.9 == digest && values.10 == decimal)
            #expect(try values.11.decode([String: [Int]].self) == ["a": [1, 2]])
            #expect(values.12 == nil && values.13 == "")
        }
    }

    @Test func arraysComeBackAsTheyWent() async throws {
        try await connected { connection in
            let ids = (0..<3).map { _ in JobID.make() }
            let digests: [[UInt8]] = [[1, 2], [], [3]]
            let decimals = ["1.5", "-2"].compactMap { DecimalText($0) }
            let row = try #require(
                try await connection.query(
                    "SELECT \(ids), \(["a", "", "ü"]), \([1, 2, 3]), \([1, nil, 3] as [Int?]), \([] as [String]), \(digests), \(decimals), \([true, false])"
                ).first
            )
            let values = try row.decode(
                [JobID].self,
                [String].self,
                [Int].self,
                [Int?].self,
                [String].self,
                [[UInt8]].self,
                [DecimalText].self,
                [Bool].self
            )
            #expect(values.0 == ids && values.1 == ["a", "", "ü"] && values.2 == [1, 2, 3] && values.3 == [1, nil, 3] && values.4.isEmpty)
            #expect(values.5 == digests && values.6 == decimals && values.7 == [true, false])
        }
    }

    @Test func numericFromTheServerIsExact() async throws {
        try await connected { connection in
            let row = try #require(try await connection.query("SELECT 12345678901234567890.000100::numeric, 'NaN'::numeric").first)
            #expect(try row.column(0, as: DecimalText.self) == DecimalText("12345678901234567890.0001"))
            #expect(throws: PostgresError.self) { try row.column(1, as: DecimalText.self) }
        }
    }

    @Test func wrongTypesAndNullsAreErrorsNotCrashes() async throws {
        try await connected { connection in
            let row = try #require(try await connection.query("SELECT 1::int8, NULL::text, 99999::int8 AS big").first)
            #expect(throws: PostgresError.self) { try row.column(0, as: String.self) }
            #expect(throws: PostgresError.self) { try row.column(1, as: String.self) }
            #expect(throws: PostgresError.self) { try row.column("big", as: Int16.self) }
            #expect(throws: PostgresError.self) { try row.column(7, as: Int.self) }
            #expect(throws: PostgresError.self) { try row.column("absent", as: Int.self) }
        }
    }

    @Test func anErrorLeavesTheConnectionUsable() async throws {
        try await connected { connection in
            await #expect(throws: PostgresError.self) { try await connection.query("SELECT nonsense FROM nowhere") }
            await #expect(throws: PostgresError.self) { try await connection.query("SELECT 1/\(0)") }
            try #require(try await connection.query("SELECT \(41) + 1").first?.column(0, as: Int.self) == 42)
        }
    }

    @Test func aPipelineIsOneTransaction() async throws {
        try await connected { connection in
            try await connection.simple("CREATE TEMP TABLE t (n int PRIMARY KEY)")
            await #expect(throws: PostgresError.self) {
                try await connection.pipeline(["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)"])
            }
            try #require(try await connection.query("SELECT count(*) FROM t").first?.column(0, as: Int.self) == 0)
            let results = try await connection.pipeline(["INSERT INTO t VALUES (1) RETURNING n", "SELECT n FROM t"])
            #expect(try results.map { try $0.map { try $0.column(0, as: Int.self) } } == [[1], [1]])
        }
    }

    @Test func manyStatementsAreUnderWayAtOnce() async throws {
        try await connected { connection in
            let sum = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<500 {
                    group.addTask { try await connection.query("SELECT \(number)::int8").first?.column(0, as: Int.self) ?? -1 }
                }
                return try await group.reduce(0, +)
            }
            #expect(sum == 500 * 499 / 2)
        }
    }

    @Test func theStatementCacheStaysBounded() async throws {
        try await withLoop { loop in
            var configuration = Self.patient
            configuration.maximumPreparedStatements = 8
            let connection = try await PostgresConnection.connect(configuration, on: loop)
            for number in 0..<50 { _ = try await connection.query(SQL(unsafe: "SELECT \(number)")) }
            let prepared = try await connection.query("SELECT count(*) FROM pg_prepared_statements").first?.column(0, as: Int.self)
            #expect((prepared ?? 100) <= 10)
            await connection.close()
        }
    }

    @Test func aStalePlanIsMadeAnew() async throws {
        try await connected { connection in
            try await connection.simple("CREATE TEMP TABLE t (n int); INSERT INTO t VALUES (1)")
            try #require(try await connection.query("SELECT * FROM t").count == 1)
            try await connection.simple("ALTER TABLE t ADD COLUMN m text DEFAULT 'x'")
            try #require(try await connection.query("SELECT * FROM t").first?.column("m", as: String.self) == "x")
            try await connection.simple("DEALLOCATE ALL")
            try #require(try await connection.query("SELECT * FROM t").count == 1)
        }
    }

    @Test func cancellingComesBackAtOnceAndHitsNothingElse() async throws {
        try await connected { connection in
            let started = ContinuousClock.now
            for _ in 0..<20 {
                let sleeper = Task { try await connection.query("SELECT pg_sleep(120)") }
                try await eventually { await connection.underWay > 0 }
                sleeper.cancel()
                await #expect(throws: CancellationError.self) { try await sleeper.value }
                // Sent while the cancel may still be on its way: it must survive.
                try #require(try await connection.query("SELECT \(7)").first?.column(0, as: Int.self) == 7)
            }
            // All of them together end before one of them would by itself.
            #expect(ContinuousClock.now - started < .seconds(110))
            await connection.drained()
            #expect(await connection.isClean)
        }
    }

    @Test func anOperationBehindAnotherIsCancelledWhenItsTurnComes() async throws {
        try await connected { connection in
            // The first goes on for as long as this other session holds the lock.
            let holder = try await PostgresConnection.connect(Self.patient, on: connection.loop)
            let lock = Int64.random(in: 1...Int64.max)
            _ = try await holder.query("SELECT pg_advisory_lock(\(lock))")
            let first = Task { try await connection.query("SELECT pg_advisory_lock(\(lock))").count }
            try await eventually { await connection.underWay == 1 }
            let second = Task { try await connection.query("SELECT pg_sleep(120)") }
            try await eventually { await connection.underWay == 2 }
            let started = ContinuousClock.now
            second.cancel()
            await #expect(throws: CancellationError.self) { try await second.value }
            await holder.close()
            let rows = try await first.value
            let answer = try await connection.query("SELECT \(7)").first?.column(0, as: Int.self)
            #expect(rows == 1 && answer == 7 && ContinuousClock.now - started < .seconds(110))
        }
    }

    @Test func aStatementThatTakesTooLongEnds() async throws {
        try await withLoop { loop in
            var configuration = Self.patient
            configuration.statementTimeout = .seconds(1)
            let connection = try await PostgresConnection.connect(configuration, on: loop)
            do {
                _ = try await connection.query("SELECT pg_sleep(60)")
                Issue.record("it ran to its end")
            } catch let error as PostgresError { #expect(error.code == .timeout) }
            // A second is short enough for a server that stands still to use it up once more.
            try await eventually { (try? await connection.query("SELECT 1").count) == 1 }
            await connection.close()
        }
    }

    @Test func aKilledSessionFailsWhatWaitsAndSaysSo() async throws {
        try await connected { victim in
            let pid = try #require(try await victim.query("SELECT pg_backend_pid()").first?.column(0, as: Int32.self))
            let closed = TestSignal<Bool>()
            await victim.whenClosed { _ in closed.signal(true) }
            let waiting = Task { try await victim.query("SELECT pg_sleep(120)") }
            let killer = try await PostgresConnection.connect(Self.patient, on: victim.loop)
            try await eventually {
                try await killer.query("SELECT state FROM pg_stat_activity WHERE pid = \(pid) AND state = 'active'").count == 1
            }
            try await killer.execute("SELECT pg_terminate_backend(\(pid))")
            await #expect(throws: PostgresError.self) { try await waiting.value }
            _ = try await closed.next()
            await #expect(throws: PostgresError.self) { try await victim.query("SELECT 1") }
            await killer.close()
        }
    }

    @Test func aServerThatIsNotThereIsAnError() async throws {
        try await withLoop { loop in
            let configuration = PostgresConfiguration(url: "postgresql://postgres@127.0.0.1:1/postgres")
            do {
                _ = try await PostgresConnection.connect(configuration, on: loop)
                Issue.record("connected to nothing")
            } catch let error as PostgresError { #expect(error.code == .cannotConnect) }
            do {
                _ = try await PostgresConnection.connect(PostgresConfiguration(url: "postgresql://nobody@no-such-host.invalid/x"), on: loop)
                Issue.record("connected to nothing")
            } catch let error as PostgresError { #expect(error.code == .cannotConnect) }
        }
    }

    @Test func copyInAndOut() async throws {
        try await connected { connection in
            try await connection.simple("CREATE TEMP TABLE points (n int8, name text, at timestamptz)")
            let rows = (0..<50_000).lazy.map { PostgresCopyRow($0, $0 % 7 == 0 ? nil : "point \($0)", Timestamp(seconds: Int64($0))) }
            let written = try await connection.copyIn("points", columns: ["n", "name", "at"], rows: Array(rows))
            #expect(written == 50_000)
            try #require(try await connection.query("SELECT sum(n), count(name) FROM points").first?.column(1, as: Int.self) == 50_000 - 7_143)
            let sum = TestSignal<Int>()
            try await connection.copyOut("SELECT n, name FROM points WHERE n < 1000 ORDER BY n") { row in
                sum.signal(try row.column(0, as: Int.self))
            }
            #expect(sum.pendingCount == 1000)
            await #expect(throws: PostgresError.self) { try await connection.copyOut("SELECT nonsense") { _ in } }
            try #require(try await connection.query("SELECT 1").count == 1)
        }
    }

    @Test func aRefusedCopyLeavesTheConnectionUsable() async throws {
        try await connected { connection in
            try await connection.simple("CREATE TEMP TABLE t (n int8 PRIMARY KEY)")
            await #expect(throws: PostgresError.self) {
                try await connection.copyIn("t", columns: ["n"], rows: [PostgresCopyRow(1), PostgresCopyRow(1)])
            }
            await #expect(throws: PostgresError.self) { try await connection.copyIn("t", columns: ["n"], rows: [PostgresCopyRow(1, 2)]) }
            try #require(try await connection.query("SELECT count(*) FROM t").first?.column(0, as: Int.self) == 0)
        }
    }
}
