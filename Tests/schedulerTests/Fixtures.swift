import Contracts
import Cryptography
import Messaging
import Postgres
import TestSupport
import Testing

@testable import scheduler

/// Values that tests begin with.
enum Fixture {
    static let account = AccountID.make()
    static let start = Timestamp(seconds: 1_760_000_400)

    /// A schedule of it that nobody has stored.
    static func schedule(of publication: SignalPublished) -> Schedule {
        Schedule(
            id: .make(),
            signalID: publication.signalID,
            accountID: publication.accountID,
            state: .active,
            subjectVersion: 1,
            publication: publication,
            cursor: .now()
        )
    }

    static func publication(
        _ cadence: Cadence = .interval(seconds: 3_600),
        signal: SignalID = .make(),
        account: AccountID = account,
        at time: Timestamp = start,
        policy: SchedulePolicy = SchedulePolicy(),
        feed: FeedKind = .live
    ) -> SignalPublished {
        let digest = SHA256.digest(utf8: "app.py")
        return SignalPublished(
            signalID: signal,
            accountID: account,
            versionID: .make(),
            versionSHA256: digest,
            files: [CodeFile(path: "app.py", sha256: digest, bytes: 6)],
            manifest: Manifest(
                name: "test",
                schedule: cadence,
                policy: policy,
                inputs: [ManifestInput(instrument: "BTCUSD", interval: "15s", lookback: 10)],
                output: ManifestOutput(kind: .direction, instrument: "BTCUSD", horizonSeconds: 60, maximumRows: 1)
            ),
            feed: feed,
            publishedAt: time
        )
    }

    /// The close of a bar of 15 s of these instruments, known at once.
    static func closed(_ instruments: [String], at end: Timestamp) throws -> BarsClosed {
        let price = try #require(Price("1"))
        let bar = ClosedBar.Bar(start: end - .seconds(15), end: end, open: price, high: price, low: price, close: price, volume: nil)
        return BarsClosed(
            intervalSeconds: 15,
            closeAt: end,
            knownAt: end,
            bars: instruments.map { ClosedBar(instrumentID: .make(), symbol: $0, feed: .live, revision: 1, bar: bar) }
        )
    }

    static func job(
        _ key: String,
        class resourceClass: ResourceClass = .small,
        account: AccountID = account,
        priority: Priority = .normal,
        kind: JobKind = .noop,
        spec: JSONValue = .object([:])
    ) -> NewJob {
        NewJob(
            accountID: account,
            kind: kind,
            resourceClass: resourceClass,
            priority: priority,
            spec: spec,
            inputSHA256: SHA256.digest(WireJSON.encode(spec)),
            idempotencyKey: key
        )
    }

    static func claim(_ slots: Int = 10, class resourceClass: ResourceClass = .small, id: ClaimID = .make(), worker: String = "worker") -> Claim {
        Claim(id: id, worker: worker, classes: [ClassSlots(class: resourceClass, slots: slots)])
    }

    static func finished(
        _ job: Job,
        _ outcome: FinishedJob.Outcome = .completed,
        failure: FailureKind? = nil,
        result: JSONValue? = nil,
        log: String? = nil
    ) throws -> FinishedJob {
        FinishedJob(
            jobID: job.id,
            attemptID: try #require(job.attemptID),
            outcome: outcome,
            failureKind: failure,
            errorMessage: failure.map { "\($0)" },
            result: result,
            resultSHA256: nil,
            cpuSeconds: 0.5,
            memoryPeakBytes: 1_000,
            log: log,
            logTruncated: false
        )
    }
}

/// The two stores that one suite of tests holds.
enum StoreKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case memory, postgres
    var testDescription: String { rawValue }

    static let available: [StoreKind] = TestServers.hasPostgres ? [.memory, .postgres] : [.memory]

    func with(limits: AccountLimits = AccountLimits(), _ body: @Sendable (any SchedulerStore) async throws -> Void) async throws {
        switch self {
        case .memory: try await body(InMemorySchedulerStore(limits: limits))
        case .postgres:
            try await withPostgresStore { store, _ in try await body(PostgresSchedulerStore(pool: store.pool, outbox: store.outbox, limits: limits)) }
        }
    }
}

/// As the service connects, but with patience: how soon a connection or an answer comes is the machine's affair.
func patientConfiguration(_ database: TestDatabase, maximumConnections: Int) -> PostgresConfiguration {
    var configuration = PostgresSchedulerStore.configuration(url: database.url, maximumConnections: maximumConnections)
    (configuration.waitTimeout, configuration.statementTimeout, configuration.connectTimeout) = (.seconds(120), .seconds(60), .seconds(60))
    return configuration
}

/// Lends a store in a database of its own.
func withPostgresStore(_ body: @Sendable (PostgresSchedulerStore, TestDatabase) async throws -> Void) async throws {
    try await withDatabase(service: "scheduler", catalogue: try Migrations.catalogue()) { database in
        let pool = PostgresPool(configuration: patientConfiguration(database, maximumConnections: 4), loops: [TestLoop.shared])
        try await pool.start()
        do {
            try await body(PostgresSchedulerStore(pool: pool, outbox: Outbox(schema: Migrations.schema)), database)
            await pool.stop()
        } catch {
            await pool.stop()
            throw error
        }
    }
}
