import BlobStore
import Contracts
import Cryptography
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport

@testable import signals

/// Values that tests begin with.
enum Fixtures {
    static let now = Timestamp(seconds: 1_760_000_000)

    static func signal(account: AccountID = .make(), name: String = "Momentum") -> Signal {
        .draft(accountID: account, createdBy: .make(), name: name, description: "What went up goes up.", now: now)
    }

    static func manifest(_ kind: OutputKind = .direction, instrument: String = "BTCUSD", rows: Int = 3) -> Manifest {
        Manifest(
            name: "Momentum",
            schedule: .barClose(instrument: instrument, interval: "15s"),
            inputs: [ManifestInput(instrument: instrument, interval: "15s", lookback: 20)],
            output: ManifestOutput(kind: kind, instrument: instrument, horizonSeconds: 60, maximumRows: rows)
        )
    }

    static func newVersion(_ signal: Signal, note: String = "", manifest: Manifest = manifest()) -> NewVersion {
        NewVersion(
            signalID: signal.id,
            manifest: manifest,
            files: [
                ProjectFile(path: "auspex.toml", sha256: SHA256.digest(utf8: "toml" + note), bytes: 4),
                ProjectFile(path: "app.py", sha256: SHA256.digest(utf8: "app"), bytes: 3),
            ],
            note: note,
            createdBy: signal.createdBy,
            createdAt: now
        )
    }

    static func run(
        _ signal: Signal,
        version: SignalVersion,
        rows: Int = 1,
        jobID: JobID = .make(),
        dueAt: Timestamp = .now(),
        feed: FeedKind = .live,
        targetFrom: Timestamp? = nil,
        knowledge: [String: MarketKnowledge] = ["BTCUSD": MarketKnowledge(baseSeconds: 15)]
    ) -> CompletedRun {
        let from = targetFrom ?? dueAt
        return CompletedRun(
            jobID: jobID,
            attemptID: .make(),
            signalID: signal.id,
            versionID: version.id,
            versionSHA256: version.sha256,
            occurrenceID: .make(),
            dueAt: dueAt,
            asOf: dueAt,
            feed: feed,
            deadlineSeconds: 60,
            knowledge: knowledge,
            envSHA256: SHA256.digest(utf8: "env"),
            dataSHA256: SHA256.digest(utf8: "data"),
            referencePrices: ["BTCUSD": DecimalText(units: 61_653, scale: 2)],
            rows: (0..<rows).map { row in
                PredictionRow(
                    row: row,
                    instrument: "BTCUSD",
                    kind: .direction,
                    value: .single(DecimalText(units: 1)),
                    targetFrom: from,
                    targetTo: from + .seconds(60)
                )
            }
        )
    }

    /// A published signal with one version.
    static func published(in store: any SignalsStore, account: AccountID = .make(), feed: FeedKind = .live) async throws -> (Signal, SignalVersion) {
        let signal = signal(account: account)
        try await store.create(signal)
        let version = try await store.addVersion(newVersion(signal))
        return (try await store.publish(signal.id, versionID: version.id, feed: feed, now: now), version)
    }

    static let signing: @Sendable (String) throws -> (signature: String, keyID: String) = { _ in ("signature", "key") }
}

/// Lends a Postgres store on a database of its own.
func withPostgresStore<Outcome>(_ body: (PostgresSignalsStore, TestDatabase, PostgresPool) async throws -> Outcome) async throws -> Outcome {
    try await withDatabase(service: "signals", catalogue: Migrations.catalogue()) { database in
        try await database.withPool { pool in
            try await body(PostgresSignalsStore(pool: pool, outbox: Outbox(schema: "signals")), database, pool)
        }
    }
}

/// Blobs in memory.
final class InMemoryBlobs: BlobStore {
    private let kept = Mutex<[SHA256Digest: [UInt8]]>([:])

    func put(_ bytes: [UInt8]) async throws -> SHA256Digest {
        let digest = SHA256.digest(bytes)
        kept.withLock { $0[digest] = bytes }
        return digest
    }
    func put(contentsOf path: String) async throws -> SHA256Digest { throw TestSupportError("not here") }
    func join(_ parts: [SHA256Digest], into whole: SHA256Digest) async throws -> JoinOutcome {
        kept.withLock { kept in
            var bytes: [UInt8] = []
            for part in parts {
                guard let piece = kept[part] else { return .missing(part) }
                bytes += piece
            }
            guard SHA256.digest(bytes) == whole else { return .different }
            kept[whole] = bytes
            return .joined
        }
    }
    func entry(_ digest: SHA256Digest) async throws -> BlobEntry? { try await list().first { $0.digest == digest } }
    func removeDrafts(olderThan age: Duration) async throws -> Int { 0 }
    func get(_ digest: SHA256Digest) async throws -> [UInt8]? { kept.withLock { $0[digest] } }
    func exists(_ digest: SHA256Digest) async throws -> Bool { kept.withLock { $0[digest] != nil } }
    func touch(_ digest: SHA256Digest) async throws -> Bool { kept.withLock { $0[digest] != nil } }
    func delete(_ digest: SHA256Digest) async throws -> Bool { kept.withLock { $0.removeValue(forKey: digest) != nil } }
    func delete(_ digest: SHA256Digest, olderThan age: Duration) async throws -> Bool { try await delete(digest) }
    func list() async throws -> [BlobEntry] {
        kept.withLock { $0.map { BlobEntry(digest: $0.key, bytes: Int64($0.value.count), refreshedAt: Fixtures.now) } }
    }
    var count: Int { kept.withLock { $0.count } }
}

/// Instruments and bars that a test sets.
final class FakeMarket: MarketData {
    struct State: Sendable {
        var instruments: [String: InstrumentFacts] = ["BTCUSD": InstrumentFacts(symbol: "BTCUSD", feed: .live, baseIntervalSeconds: 15)]
        /// Each bar with the moment at which it became known.
        var bars: [(bar: OutcomeBar, knownAt: Timestamp)] = []
        var isAway = false
        /// Lengths of bars that no request can have.
        var refusedSeconds: Set<Int> = []
        /// Instruments whose bars cannot be read.
        var damaged: Set<String> = []
        var asked = 0
    }
    let state = Mutex(State())

    struct Away: Error {}
    struct Damaged: Error {}

    private func check() throws { if state.withLock({ $0.isAway }) { throw Away() } }

    private func check(_ symbol: String, _ seconds: Int) throws {
        try check()
        try state.withLock { state in
            state.asked += 1
            if state.damaged.contains(symbol) { throw Damaged() }
            if state.refusedSeconds.contains(seconds) { throw BarsRefused(reason: "422 interval_not_available") }
        }
    }

    func instrument(_ symbol: String) async throws -> InstrumentFacts? {
        try check()
        return state.withLock { $0.instruments[symbol] }
    }
    func lastBar(_ symbol: String, intervalSeconds: Int, asOf: Timestamp) async throws -> OutcomeBar? {
        try check(symbol, intervalSeconds)
        return state.withLock { $0.bars.last { $0.knownAt <= asOf }?.bar }
    }
    func bars(_ symbol: String, intervalSeconds: Int, asOf: Timestamp, start: Timestamp, end: Timestamp) async throws -> [OutcomeBar] {
        try check(symbol, intervalSeconds)
        return state.withLock { $0.bars.filter { $0.knownAt <= asOf && $0.bar.start >= start && $0.bar.start < end }.map(\.bar) }
    }
}

/// A ledger of jobs that remembers what it was asked.
final class FakeJobs: JobLedger {
    struct State: Sendable {
        var requests: [JobRequest] = []
        var asked = 0
        var ids: [String: JobID] = [:]
        var standings: [JobID: JobStanding] = [:]
        var results: [SHA256Digest: [UInt8]] = [:]
        var isRefusing = false
        /// What the scheduler answers instead of making a job.
        var refusal: ServiceClientError?
        /// Whose lines are refused among many.
        var full: Set<AccountID> = []

        mutating func answer(_ request: JobRequest) throws -> JobReceipt {
            if let known = ids[request.idempotencyKey] {
                // As the scheduler: the same key with another wish is refused.
                guard requests.contains(where: { $0.idempotencyKey == request.idempotencyKey && $0.comparedSpec == request.comparedSpec }) else {
                    throw TestSupportError("422 idempotency_key_reused")
                }
                return JobReceipt(jobID: known, created: false)
            }
            let id = JobID.make()
            ids[request.idempotencyKey] = id
            requests.append(request)
            standings[id] = JobStanding(state: .pending)
            return JobReceipt(jobID: id, created: true)
        }

        mutating func wasAsked() throws {
            asked += 1
            if isRefusing { throw Refused() }
            if let refusal { throw refusal }
        }
    }
    let state = Mutex(State())

    struct Refused: Error {}

    func create(_ request: JobRequest) async throws -> JobReceipt {
        try state.withLock { state in
            try state.wasAsked()
            return try state.answer(request)
        }
    }

    func create(_ requests: [JobRequest]) async throws -> [BulkReceipt.Line] {
        try state.withLock { state in
            try state.wasAsked()
            guard (1...BulkRequest.mostJobs).contains(requests.count) else { throw TestSupportError("400 invalid_value") }
            return try requests.map { request in
                if state.full.contains(request.accountID) { return BulkReceipt.Line(code: "queue_full", detail: "full") }
                let receipt = try state.answer(request)
                return BulkReceipt.Line(jobID: receipt.jobID, created: receipt.created)
            }
        }
    }

    func job(_ id: JobID) async throws -> JobStanding? { state.withLock { $0.standings[id] } }
    func result(_ sha256: SHA256Digest) async throws -> [UInt8]? { state.withLock { $0.results[sha256] } }
}
