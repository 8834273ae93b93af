import Contracts
import Cryptography
import HTTPServing
import JobWorker
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import executor

/// Scheduler, signals and market data as an executor sees them, over real HTTP on one port.
final class FakePlatform: WakeupSource {
    struct State {
        var renewals: [LeaseRenewal] = []
        var waiting: [ClaimedJob] = []
        var finished: [FinishedJob] = []
        var blobs: [SHA256Digest: [UInt8]] = [:]
        var blobRequests = 0
        /// Locks of the version, by platform.
        var locks: [String: [UInt8]] = [:]
        /// Files to convert, in parts, and what was made of them.
        var conversionParts: [UploadID: [[UInt8]]] = [:]
        var tables: [UploadID: [[UInt8]]] = [:]
        /// So many of the next requests for files are told to wait.
        var busyAnswers = 0
        /// Intervals whose bars are always told to wait.
        var busyIntervals: Set<String> = []
        /// Whether job tokens are not taken.
        var refusesTokens = false
        var barsQueries: [[String: String]] = []
        var jobTokens: Set<String> = []
        /// What is due soon; nil for a scheduler that does not say.
        var announcements: [Announcement]?
        var announcementRequests = 0
        var cancelled: Set<AttemptID> = []
        /// Attempts that were given back.
        var released: [AttemptID] = []
        /// How often somebody asked for jobs, and for how many.
        var claims: [[ClassSlots]] = []
    }

    private let state = Mutex(State())
    private let server: HTTPServer
    private let loops: LoopGroup
    private let http = HTTPClient()
    private let hints = TestSignal<Void>()

    init() async throws {
        loops = try LoopGroup.start(count: 1)
        var router = Router()
        let holder = Holder()
        router.post("/internal/v1/jobs/claim") { request in try holder.get().claim(request) }
        router.post("/internal/v1/jobs/renew") { request in try holder.get().renew(request) }
        router.post("/internal/v1/jobs/finish") { request in try holder.get().finish(request) }
        router.post("/internal/v1/announcements") { request in try holder.get().announce(request) }
        router.post("/internal/v1/jobs/release") { request in
            let body = try WireJSON.decode(ReleaseRequest.self, from: request.body)
            try holder.get().change { $0.released += body.leases.map(\.attemptID) }
            return .noContent
        }
        router.get("/internal/v1/blobs/{sha256}") { request in try holder.get().blob(request) }
        router.get("/internal/v1/conversions/{id}/parts/{number}") { request in try holder.get().conversionPart(request) }
        router.put("/internal/v1/conversions/{id}/table", maximumBodyBytes: 8 << 20) { request in try holder.get().keepTable(request) }
        router.get("/internal/v1/locks/{platform}") { request in
            let platform = try request.parameter("platform", as: String.self)
            guard let lock = try holder.get().read({ $0.locks[platform] }) else { throw Problem.notFound(field: "platform") }
            return .bytes(lock, contentType: "text/plain")
        }
        router.put("/internal/v1/locks/{platform}") { request in
            let platform = try request.parameter("platform", as: String.self)
            try holder.get().change { $0.locks[platform] = $0.locks[platform] ?? request.body }
            return .bytes(request.body, contentType: "text/plain")
        }
        router.get("/internal/v1/bars") { request in try holder.get().bars(request) }
        server = HTTPServer(
            name: "fake-platform",
            address: "127.0.0.1",
            port: 0,
            router: router,
            loops: loops.serving,
            limits: HTTPLimits(accessLog: false)
        )
        holder.set(self)
        try await server.start()
    }

    private final class Holder: Sendable {
        private let value = Mutex<FakePlatform?>(nil)
        func set(_ platform: FakePlatform) { value.withLock { $0 = platform } }
        func get() throws -> FakePlatform { try #require(value.withLock { $0 }) }
    }

    func stop() async {
        await server.stop()
        await loops.stop()
    }

    /// Where it answers.
    var url: String { "http://127.0.0.1:\(server.boundPort)" }

    func client(_ audience: String) -> ServiceClient {
        ServiceClient(baseURLs: ["http://127.0.0.1:\(server.boundPort)"], audience: audience, tokens: nil, http: http)
    }

    func next(of classes: [ResourceClass], within limit: Duration) async -> ResourceClass? {
        (try? await hints.next(timeout: limit)).map { .signal }
    }

    func read<T: Sendable>(_ body: (State) -> T) -> T { state.withLock { body($0) } }
    func change(_ body: (inout State) -> Void) { state.withLock { body(&$0) } }

    /// The signal of all runs.
    static let signal = SignalID.make()

    /// Stores files and makes a run of them wait; gives its attempt.
    func enqueue(
        _ files: [String: String],
        python: String = "3.11",
        output: ManifestOutput = SandboxFixture.output,
        inputs: [ManifestInput] = [ManifestInput(instrument: "BTCUSD", interval: "15s", lookback: 200)],
        kind: JobKind = .signalRun,
        account: AccountID = AccountID.make(),
        schedule: Cadence = .interval(seconds: 3600),
        dueAt: Timestamp = SandboxFixture.asOf,
        storesFiles: Bool = true,
        timeLimitSeconds: Int = 60,
        attempt: Int = 1
    ) throws -> AttemptID {
        var code: [CodeFile] = []
        for (path, text) in files.sorted(by: { $0.key < $1.key }) {
            let bytes = Array(text.utf8)
            let digest = SHA256.digest(bytes)
            if storesFiles { change { $0.blobs[digest] = bytes } }
            code.append(CodeFile(path: path, sha256: digest, bytes: Int64(bytes.count)))
        }
        let manifest = Manifest(name: "test", python: python, schedule: schedule, inputs: inputs, output: output)
        let spec = SignalRunSpec(
            signalID: Self.signal,
            versionID: SignalVersionID.make(),
            versionSHA256: SHA256.digest(utf8: "version"),
            files: code,
            manifest: manifest,
            occurrenceID: OccurrenceID.make(),
            dueAt: dueAt,
            asOf: SandboxFixture.asOf,
            feed: .live
        )
        let job = ClaimedJob(
            jobID: JobID.make(),
            attemptID: AttemptID.make(),
            attempt: attempt,
            kind: kind,
            resourceClass: .signal,
            accountID: account,
            priority: .normal,
            spec: try WireJSON.value(of: spec),
            leaseSeconds: 30,
            timeLimitSeconds: timeLimitSeconds,
            jobToken: "the-job-token",
            enqueuedAt: Timestamp.now()
        )
        change { $0.waiting.append(job) }
        hints.signal()
        return job.attemptID
    }

    /// Makes a job of a kind wait that needs nothing; gives its attempt.
    func enqueue(_ kind: JobKind, class resourceClass: ResourceClass, account: AccountID, timeLimitSeconds: Int = 600) -> AttemptID {
        let job = ClaimedJob(
            jobID: JobID.make(),
            attemptID: AttemptID.make(),
            attempt: 1,
            kind: kind,
            resourceClass: resourceClass,
            accountID: account,
            priority: .normal,
            spec: .object([:]),
            leaseSeconds: 30,
            timeLimitSeconds: timeLimitSeconds,
            jobToken: "the-job-token",
            enqueuedAt: Timestamp.now()
        )
        change { $0.waiting.append(job) }
        hints.signal()
        return job.attemptID
    }

    /// Makes the conversion of a file wait, whose parts are `kept` unless they have gone; gives its attempt and the upload.
    func enqueue(
        conversionOf file: [UInt8],
        partBytes: Int = 65_536,
        claiming digest: SHA256Digest? = nil,
        kept: Bool = true,
        timeLimitSeconds: Int = 120
    ) throws -> (AttemptID, UploadID) {
        let upload = UploadID.make()
        let parts = stride(from: 0, to: file.count, by: partBytes).map { Array(file[$0..<min($0 + partBytes, file.count)]) }
        let spec = TableConversionSpec(
            uploadID: upload,
            fileSHA256: digest ?? SHA256.digest(file),
            bytes: Int64(file.count),
            parts: parts.count,
            format: "test",
            maximumTextBytes: 64 << 20,
            maximumPackedBytes: 16 << 20
        )
        let job = ClaimedJob(
            jobID: JobID.make(),
            attemptID: AttemptID.make(),
            attempt: 1,
            kind: .tableConversion,
            resourceClass: .standard,
            accountID: .platform,
            priority: .normal,
            spec: try WireJSON.value(of: spec),
            leaseSeconds: 30,
            timeLimitSeconds: timeLimitSeconds,
            jobToken: "the-job-token",
            enqueuedAt: Timestamp.now()
        )
        change { state in
            if kept { state.conversionParts[upload] = parts }
            state.waiting.append(job)
        }
        hints.signal()
        return (job.attemptID, upload)
    }

    private func conversionPart(_ request: Request) throws -> Response {
        let (id, number) = (try request.parameter("id", as: UploadID.self), try request.parameter("number", as: Int.self))
        let parts = state.withLock { state in
            state.jobTokens.insert(request.headers["X-Auspex-Job"] ?? "none")
            return state.conversionParts[id] ?? []
        }
        guard parts.indices.contains(number - 1) else { throw Problem.notFound(field: "number") }
        return .bytes(parts[number - 1], contentType: "application/octet-stream")
    }

    private func keepTable(_ request: Request) throws -> Response {
        let id = try request.parameter("id", as: UploadID.self)
        change { $0.tables[id, default: []].append(request.body) }
        return try .json(["sha256": SHA256.digest(request.body)])
    }

    private func announce(_ request: Request) throws -> Response {
        let body = try WireJSON.decode(AnnouncementsRequest.self, from: request.body)
        let announcements = state.withLock { state in
            state.announcementRequests += 1
            return state.announcements
        }
        guard let announcements, body.horizonSeconds == Announcements.horizonSeconds else { throw Problem.notFound() }
        return try .json(AnnouncementsAnswer(announcements: announcements))
    }

    private func win(_ classes: [ClassSlots], _ state: inout State) -> [ClaimedJob] {
        var won: [ClaimedJob] = []
        for room in classes {
            let fitting = Array(state.waiting.filter { $0.resourceClass == room.class }.prefix(room.slots))
            won += fitting
            state.waiting.removeAll { job in fitting.contains { $0.attemptID == job.attemptID } }
        }
        return won
    }

    private func claim(_ request: Request) throws -> Response {
        let body = try WireJSON.decode(ClaimRequest.self, from: request.body)
        let jobs = state.withLock { state in
            state.claims.append(body.classes)
            return win(body.classes, &state)
        }
        return try .json(ClaimAnswer(jobs: jobs))
    }

    private func renew(_ request: Request) throws -> Response {
        let body = try WireJSON.decode(RenewRequest.self, from: request.body)
        let cancelled = read { $0.cancelled }
        change { $0.renewals += body.leases }
        return try .json(
            RenewAnswer(
                leases: body.leases.map {
                    LeaseStanding(jobID: $0.jobID, attemptID: $0.attemptID, state: cancelled.contains($0.attemptID) ? .cancelRequested : .held)
                }
            )
        )
    }

    private func finish(_ request: Request) throws -> Response {
        let body = try WireJSON.decode(FinishRequest.self, from: request.body)
        let jobs = state.withLock { state in
            state.finished += body.finished
            return body.next.map { win($0.classes, &state) } ?? []
        }
        let receipts = body.finished.map { FinishReceipt(jobID: $0.jobID, attemptID: $0.attemptID, state: .accepted) }
        return try .json(FinishAnswer(finished: receipts, jobs: jobs))
    }

    private func blob(_ request: Request) throws -> Response {
        let digest = try request.parameter("sha256", as: SHA256Digest.self)
        let (isBusy, bytes) = state.withLock { state in
            state.blobRequests += 1
            state.jobTokens.insert(request.headers["X-Auspex-Job"] ?? "none")
            return (Self.isBusy(&state), state.blobs[digest])
        }
        if isBusy { throw Self.busy }
        guard let bytes else { throw Problem.notFound(field: "sha256") }
        return .bytes(bytes, contentType: "application/octet-stream")
    }

    private static let busy = Problem.tooManyRequests(code: "overloaded", detail: "Try again.", retryAfterSeconds: 2)

    private static func isBusy(_ state: inout State) -> Bool {
        defer { state.busyAnswers = max(0, state.busyAnswers - 1) }
        return state.busyAnswers > 0
    }

    private func bars(_ request: Request) throws -> Response {
        let names = ["instrument", "interval", "countback", "as_of", "format"]
        var query = Dictionary(uniqueKeysWithValues: names.map { ($0, request.query.string($0) ?? "") })
        for name in ["start", "end", "limit"] { query[name] = request.query.string(name) }
        let isBusy = state.withLock { state in
            state.barsQueries.append(query)
            state.jobTokens.insert(request.headers["X-Auspex-Job"] ?? "none")
            return Self.isBusy(&state)
        }
        if isBusy { throw Self.busy }
        guard query["instrument"] == "BTCUSD" else { throw Problem.notFound(field: "instrument") }
        let interval = query["interval"] ?? ""
        if read({ $0.busyIntervals.contains(interval) }) { throw Self.busy }
        if interval == "8s" || read({ $0.refusesTokens }) {
            throw Problem.unauthorized(code: "invalid_job_token", detail: "The job token is not valid.")
        }
        if interval == "9s" { throw Problem.forbidden(code: "outside_job_token", detail: "The job token does not cover this instrument.") }
        if query["interval"] == "7s" { throw Problem.unavailable(detail: "Away.", retryAfterSeconds: 1) }
        let series = try SandboxFixture.series(rows: Int(query["countback"] ?? "") ?? 5)
        var response = Response.bytes(series.bars.bytes, contentType: "application/vnd.auspex.bars")
        response.headers["X-Auspex-Data-SHA256"] =
            SHA256.digest(utf8: query["interval"] == "15s" ? "revisions" : "revisions of \(query["interval"] ?? "")").hex
        return response
    }
}
