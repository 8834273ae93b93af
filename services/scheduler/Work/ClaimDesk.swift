import BlobStore
import Contracts
import Cryptography
import ServiceRuntime
import Synchronization

/// Hands jobs out with their tokens, and takes what workers bring back.
struct ClaimDesk: Sendable {
    let store: any SchedulerStore
    let blobs: any BlobStore
    let signingKey: SigningKey
    let time: any TimeSource
    let classes: ResourceClasses
    private let answered = AnsweredClaims()
    private let turns: ClaimMerger

    init(
        store: any SchedulerStore,
        blobs: any BlobStore,
        signingKey: SigningKey,
        time: any TimeSource,
        classes: ResourceClasses = .standard,
        hint: @escaping @Sendable (ResourceClass) -> Void = { _ in }
    ) {
        self.store = store
        self.blobs = blobs
        self.signingKey = signingKey
        self.time = time
        self.classes = classes
        turns = ClaimMerger(store: store, hint: hint)
    }

    /// Jobs for a worker, each with the token that lets it read what the job needs and nothing else.
    func claim(_ claim: Claim) async throws -> [ClaimedJob] {
        let isRepeated = answered.contains(claim.id, now: time.monotonicNanoseconds())
        // What was won is given again; nothing new is won, for nobody may be waiting for it any more.
        let jobs = try await turns.claim(isRepeated ? Claim(id: claim.id, worker: claim.worker, classes: []) : claim)
        answered.note(claim.id, now: time.monotonicNanoseconds())
        return try jobs.compactMap { try claimed($0) }
    }

    /// Puts jobs back without using up an attempt.
    func release(_ leases: [LeaseReference]) async throws {
        try await store.release(leases)
        turns.placesFreed()
    }

    private func claimed(_ job: Job) throws -> ClaimedJob? {
        guard let attemptID = job.attemptID else { return nil }
        let limit = JobLimits.timeLimitSeconds(resourceClass: job.resourceClass, kind: job.kind, spec: job.spec, classes: classes)
        let now = time.now()
        let claims = JobReach(job).claims(job, attemptID: attemptID, now: now, lifetimeSeconds: Int64(limit + JobLimits.tokenGraceSeconds))
        return ClaimedJob(
            jobID: job.id,
            attemptID: attemptID,
            attempt: job.attempt,
            kind: job.kind,
            resourceClass: job.resourceClass,
            accountID: job.accountID,
            priority: job.priority,
            spec: job.spec,
            leaseSeconds: JobLimits.leaseSeconds,
            timeLimitSeconds: limit,
            jobToken: try JWT.sign(claims, with: signingKey),
            traceparent: job.traceparent,
            enqueuedAt: job.createdAt
        )
    }

    /// Ends attempts; a result that is too large for a row goes to the blob store first.
    func finish(_ finished: [FinishedJob]) async throws -> [FinishReceipt] {
        var reports = finished
        for (index, report) in reports.enumerated() {
            guard let result = report.result else { continue }
            let bytes = WireJSON.encode(result)
            guard bytes.count > FinishedJob.maximumResultBytes else { continue }
            reports[index].resultSHA256 = try await blobs.put(bytes)
            reports[index].result = nil
        }
        let receipts = try await store.finish(reports)
        turns.placesFreed()
        return receipts
    }
}

/// The claims that were answered in the last minute: a copy that the network held back must not win jobs that nobody will run.
private final class AnsweredClaims: Sendable {
    private struct State {
        var recent: Set<ClaimID> = []
        var older: Set<ClaimID> = []
        var turnedAt: UInt64 = 0
    }

    private static let turnNanoseconds: UInt64 = 60_000_000_000
    private static let most = 50_000
    private let state = Mutex(State())

    func contains(_ id: ClaimID, now: UInt64) -> Bool {
        state.withLock { state in
            Self.turn(&state, now)
            return state.recent.contains(id) || state.older.contains(id)
        }
    }

    func note(_ id: ClaimID, now: UInt64) {
        state.withLock { state in
            Self.turn(&state, now)
            state.recent.insert(id)
        }
    }

    /// Two generations: an id is remembered for one turn at least and two at most.
    private static func turn(_ state: inout State, _ now: UInt64) {
        guard now > state.turnedAt + turnNanoseconds || state.recent.count >= most else { return }
        (state.older, state.recent, state.turnedAt) = (state.recent, [], now)
    }
}

/// What a job may read, as its spec says.
struct JobReach: Sendable, Hashable {
    var signalID: SignalID?
    var codeSHA256: SHA256Digest?
    var files: [SHA256Digest] = []
    var instruments: [String] = []
    var asOf: Timestamp?

    init(_ job: Job) {
        if job.kind == .tableConversion {
            files = (try? WireJSON.decode(TableConversionSpec.self, from: job.spec)).map { [$0.fileSHA256] } ?? []
        }
        guard JobKind.ofRuns.contains(job.kind), let spec = try? WireJSON.decode(SignalRunSpec.self, from: job.spec) else { return }
        signalID = spec.signalID
        codeSHA256 = spec.versionSHA256
        files = spec.files.map(\.sha256)
        instruments = Array(Set(spec.manifest.inputs.map(\.instrument) + [spec.manifest.output.instrument])).sorted()
        asOf = spec.asOf
    }

    func claims(_ job: Job, attemptID: AttemptID, now: Timestamp, lifetimeSeconds: Int64) -> JobTokenClaims {
        JobTokenClaims(
            jobID: job.id,
            attemptID: attemptID,
            kind: job.kind.rawValue,
            signalID: signalID,
            codeSHA256: codeSHA256,
            files: files,
            instruments: instruments,
            asOf: asOf ?? now,
            now: now,
            lifetimeSeconds: lifetimeSeconds
        )
    }
}
