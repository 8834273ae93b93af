import Contracts
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import Postgres

@Suite(.enabled(if: TestServers.hasPostgres))
struct PoolTests {
    private static let table = migration(
        "v001_create_counters",
        sql: "CREATE TABLE counters (name text PRIMARY KEY, value int8 NOT NULL); GRANT SELECT, INSERT, UPDATE, DELETE ON counters TO test_app"
    )

    @Test func aTransactionCommitsOrLeavesNothing() async throws {
        try await withDatabase(migrations: [Self.table]) { database in
            try await database.withPool { pool in
                try await pool.withTransaction { try await $0.execute("INSERT INTO counters (name, value) VALUES ('a', 1)") }
                struct Stop: Error {}
                await #expect(throws: Stop.self) {
                    try await pool.withTransaction { connection in
                        try await connection.execute("INSERT INTO counters (name, value) VALUES ('b', 1)")
                        throw Stop()
                    }
                }
                try #require(try await pool.query("SELECT name FROM counters").count == 1)
            }
        }
    }

    @Test func aPipelineThatIsTheVictimOfADeadlockIsTriedAgain() async throws {
        try await withDatabase(migrations: [Self.table]) { database in
            try await database.withPool { pool in
                try await pool.execute("INSERT INTO counters (name, value) VALUES ('a', 0), ('b', 0)")
                // The other side never looks for deadlocks, so that the pipeline is the one that is ended.
                var configuration = pool.configuration
                configuration.url = database.superuserURL
                let other = try await PostgresConnection.connect(configuration, on: TestLoop.shared)
                try await other.execute("SET deadlock_timeout = '1h'")
                try await other.execute("BEGIN")
                try await other.execute("UPDATE counters SET value = value + 1 WHERE name = 'a'")
                let pipeline = Task {
                    try await pool.pipeline([
                        "UPDATE counters SET value = value + 10 WHERE name = 'b'", "UPDATE counters SET value = value + 10 WHERE name = 'a'",
                    ])
                }
                try await eventually("the pipeline waiting") {
                    try await pool.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").count == 1
                }
                try await other.execute("UPDATE counters SET value = value + 1 WHERE name = 'b'")
                try await other.execute("COMMIT")
                _ = try await pipeline.value
                await other.close()
                let values = try await pool.query("SELECT value FROM counters ORDER BY name").map { try $0.column(0, as: Int.self) }
                #expect(values == [11, 11])
            }
        }
    }

    @Test func afterTheCommitAndNeverAfterARollback() async throws {
        try await withDatabase(migrations: [Self.table]) { database in
            try await database.withPool { pool in
                let told = TestSignal<Int>()
                struct Stop: Error {}
                await #expect(throws: Stop.self) {
                    try await pool.withTransaction { connection in
                        await connection.afterCommit { told.signal(1) }
                        try await connection.execute("INSERT INTO counters (name, value) VALUES ('a', 1)")
                        throw Stop()
                    }
                }
                try await pool.withTransaction { connection in
                    await connection.afterCommit { told.signal(2) }
                    try await connection.execute("INSERT INTO counters (name, value) VALUES ('b', 1)")
                    #expect(told.pendingCount == 0)
                }
                let first = try await told.next()
                #expect(first == 2 && told.pendingCount == 0)
            }
        }
    }

    @Test func aSwallowedErrorDoesNotCommitQuietly() async throws {
        try await withDatabase(migrations: [Self.table]) { database in
            try await database.withPool { pool in
                await #expect(throws: PostgresError.self) {
                    try await pool.withTransaction { connection in
                        try await connection.execute("INSERT INTO counters (name, value) VALUES ('a', 1)")
                        _ = try? await connection.execute("SELECT 1/0")
                    }
                }
                try #require(try await pool.query("SELECT name FROM counters").isEmpty)
            }
        }
    }

    @Test func serializationFailuresAreTriedAgain() async throws {
        try await withDatabase(migrations: [Self.table]) { database in
            try await database.withPool(maximumConnections: 4) { pool in
                try await pool.execute("INSERT INTO counters (name, value) VALUES ('a', 0)")
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<4 {
                        group.addTask {
                            try await pool.withTransaction(isolation: .repeatableRead) { connection in
                                let value =
                                    try await connection.query("SELECT value FROM counters WHERE name = 'a'").first?.column(0, as: Int.self) ?? 0
                                try await connection.execute("UPDATE counters SET value = \(value + 1) WHERE name = 'a'")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try #require(try await pool.query("SELECT value FROM counters").first?.column(0, as: Int.self) == 4)
            }
        }
    }

    @Test func waitingIsBounded() async throws {
        try await withDatabase { database in
            var configuration = database.configuration(maximumConnections: 1)
            configuration.waitTimeout = .milliseconds(500)
            let pool = PostgresPool(configuration: configuration, loops: [TestLoop.shared])
            try await pool.start()
            try await eventually("the pool has a connection") { (try? await pool.query("SELECT 1").count) == 1 }
            try await pool.withConnection { _ in
                do {
                    _ = try await pool.query("SELECT 1")
                    Issue.record("a second connection came from nowhere")
                } catch let error as PostgresError { #expect(error.code == .poolExhausted) }
            }
            try #require(try await pool.query("SELECT 1").count == 1)
            await pool.stop()
            await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
        }
    }

    @Test func aCancelledBorrowerLeavesNoTransactionBehind() async throws {
        try await withDatabase(migrations: [Self.table]) { database in
            try await database.withPool(maximumConnections: 1) { pool in
                let started = TestSignal<Void>()
                let borrower = Task {
                    try await pool.withTransaction { connection in
                        try await connection.execute("INSERT INTO counters (name, value) VALUES ('gone', 1)")
                        started.signal()
                        _ = try await connection.query("SELECT pg_sleep(60)")
                    }
                }
                try await started.next()
                borrower.cancel()
                await #expect(throws: CancellationError.self) { try await borrower.value }
                try #require(try await pool.query("SELECT name FROM counters").isEmpty)
            }
        }
    }

    @Test func thePoolHealsAfterItsSessionsWereKilled() async throws {
        try await withDatabase { database in
            try await database.withPool(maximumConnections: 2) { pool in
                _ = try await pool.query("SELECT 1")
                let killer = try await PostgresConnection.connect(database.superuser, on: TestLoop.shared)
                try await killer.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = \(database.name) AND pid <> pg_backend_pid()"
                )
                await killer.close()
                try await eventually { (try? await pool.query("SELECT 1").count) == 1 }
            }
        }
    }

    @Test func startingWithoutADatabaseDoesNotFail() async throws {
        let readiness = Readiness()
        var configuration = PostgresConfiguration(url: "postgresql://postgres@127.0.0.1:1/postgres")
        configuration.waitTimeout = .milliseconds(50)
        let pool = PostgresPool(configuration: configuration, loops: [TestLoop.shared], readiness: readiness)
        try await pool.start()
        do {
            _ = try await pool.query("SELECT 1")
            Issue.record("no database answered")
        } catch let error as PostgresError { #expect(error.isUnavailable) }
        #expect(!readiness.report().ready)
        await pool.stop()
    }

    @Test func eachLoopHasItsOwnConnections() async throws {
        try await withDatabase { database in
            let loops = [try EventLoop.start(name: "one"), try EventLoop.start(name: "two")]
            let pool = PostgresPool(configuration: database.configuration(maximumConnections: 4), loops: loops)
            try await pool.start()
            for loop in loops {
                let isLocal = try await loop.run { try await pool.withConnection { $0.loop === loop && loop.inLoop } }
                #expect(isLocal)
            }
            await pool.stop()
            for loop in loops { await loop.stop() }
        }
    }

    @Test func theListenerHearsAndComesBack() async throws {
        try await withDatabase { database in
            let heard = TestSignal<PostgresListener.Event>()
            let listener = PostgresListener(configuration: database.configuration(), loop: TestLoop.shared, channels: ["news"]) { heard.signal($0) }
            try await listener.start()
            try #require(try await heard.next() == .connected)
            try await database.withPool { pool in
                try await pool.execute("SELECT pg_notify('news', 'one')")
                try #require(try await heard.next() == .notification(channel: "news", payload: "one"))
                let killer = try await PostgresConnection.connect(database.superuser, on: TestLoop.shared)
                try await killer.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = \(database.name)"
                )
                await killer.close()
                try #require(try await heard.next() == .connected)
                try await pool.execute("SELECT pg_notify('news', 'two')")
                try #require(try await heard.next() == .notification(channel: "news", payload: "two"))
            }
            await listener.stop()
        }
    }

    @Test func manyPointReadsAtOnce() async throws {
        try await withDatabase(migrations: [Self.table]) { database in
            try await withLoop { loop in
                try await database.withPool(maximumConnections: 4, loop: loop) { pool in
                    try await pool.execute("INSERT INTO counters (name, value) VALUES ('a', 5)")
                    let started = ContinuousClock.now
                    let each = 500
                    let found = try await withThrowingTaskGroup(of: Int.self) { group in
                        for _ in 0..<16 {
                            group.addTask(executorPreference: loop) {
                                var right = 0
                                for _ in 0..<each {
                                    let value = try await pool.query("SELECT value FROM counters WHERE name = \("a")").first?.column(0, as: Int.self)
                                    if value == 5 { right += 1 }
                                }
                                return right
                            }
                        }
                        return try await group.reduce(0, +)
                    }
                    let seconds = (ContinuousClock.now - started) / .seconds(1)
                    print("point reads: \(Int(Double(each * 16) / seconds))/s")
                    #expect(found == each * 16)
                }
            }
        }
    }
}

private func migration(_ name: String, sql: String) -> Migration {
    do { return try Migration(named: name, sql: sql) } catch { fatalError("\(error)") }
}

/// Short reads that go out on one connection behind one another.
@Suite(.enabled(if: TestServers.hasPostgres))
struct SharedReadTests {
    private func onLoop<Outcome: Sendable>(_ body: @escaping @Sendable () async throws -> Outcome) async throws -> Outcome {
        try await TestLoop.shared.run(body)
    }

    /// A pool of one connection at which nobody can wait for one: what finds none idle has to share.
    private func withNoWaiting(_ body: (PostgresPool) async throws -> Void) async throws {
        try await withDatabase { database in
            var configuration = database.configuration(maximumConnections: 1)
            configuration.maximumWaiters = 0
            let pool = PostgresPool(configuration: configuration, loops: [TestLoop.shared])
            try await pool.start()
            do {
                try await eventually("the connection is there") { (try? await pool.execute("SELECT 1")) != nil }
                try await body(pool)
                await pool.stop()
            } catch {
                await pool.stop()
                throw error
            }
        }
    }

    @Test func readsShareAConnectionAndGetEachTheirOwnRows() async throws {
        try await withNoWaiting { pool in
            let answers = try await onLoop {
                try await withThrowingTaskGroup(of: (Int, [Int]).self) { group in
                    for number in 0..<16 {
                        group.addTask {
                            let rows = try await pool.read("SELECT \(number) FROM generate_series(1, \(number % 3 + 1))")
                            return (number, try rows.map { try $0.column(0) })
                        }
                    }
                    return try await group.reduce(into: [(Int, [Int])]()) { $0.append($1) }
                }
            }
            #expect(answers.count == 16)
            for (number, rows) in answers { #expect(rows == Array(repeating: number, count: number % 3 + 1)) }
            // It is lent to one alone again afterwards.
            let seven = try await pool.withTransaction { try await $0.query("SELECT 7").first?.column(0, as: Int.self) }
            #expect(seven == 7)
        }
    }

    @Test func aReadThatFailsIsNobodyElsesTrouble() async throws {
        try await withNoWaiting { pool in
            let outcomes = try await onLoop {
                await withTaskGroup(of: (Int, Int?).self) { group in
                    for number in 0..<9 { group.addTask { (number, try? await pool.read("SELECT 12 / \(number % 3)").first?.column(0)) } }
                    return await group.reduce(into: [(Int, Int?)]()) { $0.append($1) }
                }
            }
            for (number, value) in outcomes { #expect(value == (number % 3 == 0 ? nil : 12 / (number % 3))) }
        }
    }

    @Test func whoWaitsForAConnectionOfHisOwnIsNotOvertakenForEver() async throws {
        try await withDatabase { database in
            try await database.withPool(maximumConnections: 1) { pool in
                try await pool.execute("SELECT 1")
                let barrier = try await Barrier(database)
                let order = try await onLoop {
                    try await withThrowingTaskGroup(of: String.self) { group in
                        let order = Noted()
                        group.addTask {
                            _ = try await pool.read(Barrier.wait)
                            order.add("first read")
                            return ""
                        }
                        // The read is on its way when the transaction asks, and the later reads come after it.
                        await Task.yield()
                        group.addTask {
                            try await pool.withTransaction { _ = try await $0.query("SELECT 1") }
                            order.add("transaction")
                            return ""
                        }
                        await Task.yield()
                        for _ in 0..<20 {
                            group.addTask {
                                _ = try await pool.read("SELECT 1")
                                order.add("read")
                                return ""
                            }
                        }
                        // A round trip: by its end all of them have asked.
                        try await barrier.lift()
                        try await group.waitForAll()
                        return order.all
                    }
                }
                #expect(order.count == 22)
                #expect(order.firstIndex(of: "transaction").map { $0 <= 1 } == true, "\(order)")
            }
        }
    }

    @Test func aCancelledReadLeavesTheOthersAlone() async throws {
        try await withDatabase { database in
            try await database.withPool(maximumConnections: 1) { pool in
                let barrier = try await Barrier(database)
                let cancelled = Task(on: TestLoop.shared) { try await pool.read(Barrier.wait).count }
                let other = Task(on: TestLoop.shared) { try await pool.read("SELECT 5").first?.column(0, as: Int.self) }
                cancelled.cancel()
                try await barrier.lift()
                let five = try await other.value
                #expect(five == 5)
                _ = try? await cancelled.value
                let six = try await pool.query("SELECT 6").first?.column(0, as: Int.self)
                #expect(six == 6)
            }
        }
    }

    /// Holds a statement up at the server until the test lets it go on.
    private struct Barrier {
        static let wait: SQL = "SELECT pg_advisory_xact_lock(1)"
        private let connection: PostgresConnection

        init(_ database: TestDatabase) async throws {
            connection = try await PostgresConnection.connect(database.configuration(maximumConnections: 1), on: TestLoop.shared)
            try await connection.execute("SELECT pg_advisory_lock(1)")
        }

        func lift() async throws {
            try await connection.execute("SELECT pg_advisory_unlock(1)")
            await connection.close()
        }
    }

    /// What several tasks note down.
    private final class Noted: Sendable {
        private let values = Mutex<[String]>([])

        var all: [String] { values.withLock { $0 } }
        func add(_ value: String) { values.withLock { $0.append(value) } }
    }
}
