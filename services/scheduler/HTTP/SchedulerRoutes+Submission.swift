import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension SchedulerRoutes {
    /// `POST /internal/v1/jobs`
    func createJob(_ request: Request) async throws -> Response {
        let wanted = try request.json(JobRequest.self)
        switch try await intake.insert(try newJob(wanted, of: request), roles: wanted.roles) {
        case .created(let id): return try .json(JobReceipt(jobID: id, created: true), status: .created)
        case .existing(let id): return try .json(JobReceipt(jobID: id, created: false))
        case .keyReused: throw Self.keyReused
        case .queueFull(let most): throw Self.queueFull(most: most)
        case .unknownDependency(let id):
            let place = wanted.waitsFor?.firstIndex { $0.on == id } ?? 0
            throw Problem.unprocessable(code: "unknown_job", detail: Self.unknownJob(id), field: "waits_for[\(place)].on")
        }
    }

    /// `POST /internal/v1/jobs/bulk`: many at once, each with an answer of its own. What cannot be read refuses all of them, before anything is written.
    func createJobs(_ request: Request) async throws -> Response {
        let wanted = try request.json(BulkRequest.self)
        guard (1...BulkRequest.mostJobs).contains(wanted.jobs.count) else {
            throw Problem.badRequest(code: "invalid_value", detail: "1 to \(BulkRequest.mostJobs) jobs would be right.", field: "jobs")
        }
        let jobs = try wanted.jobs.enumerated().map { try newJob($1, of: request, field: "jobs[\($0)].") }
        let insertions = try await intake.insert(jobs, roles: wanted.jobs.map(\.roles))
        return try .json(
            BulkReceipt(
                jobs: insertions.map { insertion in
                    switch insertion {
                    case .created(let id): BulkReceipt.Line(jobID: id, created: true)
                    case .existing(let id): BulkReceipt.Line(jobID: id, created: false)
                    case .keyReused: BulkReceipt.Line(code: Self.keyReused.code, detail: Self.keyReused.detail)
                    case .unknownDependency(let id): BulkReceipt.Line(code: "unknown_job", detail: Self.unknownJob(id))
                    case .queueFull(let most): BulkReceipt.Line(code: Self.queueFull(most: most).code, detail: Self.queueFull(most: most).detail)
                    }
                }
            )
        )
    }

    private static let keyReused = Problem.unprocessable(
        code: "idempotency_key_reused",
        detail: "This idempotency_key came with another spec before.",
        field: "idempotency_key"
    )

    private static func unknownJob(_ id: JobID) -> String {
        "There is no job \(id) of this account or of the platform's own that could be waited for."
    }

    static func queueFull(most: Int) -> Problem {
        .tooManyRequests(
            code: "queue_full",
            detail: "The account has \(most) jobs that wait or run, as many as it may have; some have to end first.",
            retryAfterSeconds: 5
        )
    }

    private func newJob(_ wanted: JobRequest, of request: Request, field: String = "") throws -> NewJob {
        guard (1...200).contains(wanted.idempotencyKey.utf8.count), !wanted.idempotencyKey.utf8.contains(0) else {
            throw Problem.badRequest(code: "invalid_value", detail: "1 to 200 characters would be right.", field: field + "idempotency_key")
        }
        try check(wanted.kind, wanted.resourceClass, attempts: wanted.maxAttempts, spec: wanted.spec, of: request, field: field)
        let waits = wanted.waitsFor ?? []
        guard waits.count <= JobDependency.most else {
            throw Problem.badRequest(code: "too_many_items", detail: "At most \(JobDependency.most) jobs would be right.", field: field + "waits_for")
        }
        return NewJob(
            accountID: wanted.accountID,
            kind: wanted.kind,
            resourceClass: wanted.resourceClass,
            priority: wanted.priority,
            spec: wanted.spec,
            inputSHA256: SHA256.digest(WireJSON.encode(wanted.comparedSpec)),
            idempotencyKey: wanted.idempotencyKey,
            maximumAttempts: wanted.maxAttempts,
            availableAt: wanted.availableAt,
            parentJobID: wanted.parentJobID,
            traceparent: RequestContext.current?.trace.traceparent,
            waitsFor: waits
        )
    }
}
