import BlobStore
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension SchedulerRoutes {
    /// `GET /internal/v1/jobs/{id}`
    func internalJob(_ request: Request) async throws -> Response {
        let id = try request.parameter("id", as: JobID.self)
        guard let job = try await store.job(id) else { throw Problem.notFound(field: "id") }
        return try .json(JobAnswer(job, log: try await store.log(of: id)))
    }

    /// Who may claim what: the executor runs strangers' code, so it never gets the jobs that the other services do themselves.
    private static let classes: [String: [ResourceClass]] = [
        "executor": [.signal, .small, .standard, .large, .gpu], "marketdata": [.marketdata], "signals": [.signals],
    ]

    /// `POST /internal/v1/jobs/claim`
    func claim(_ request: Request) async throws -> Response {
        let wanted = try request.json(ClaimRequest.self)
        return try .json(ClaimAnswer(jobs: try await desk.claim(checked(wanted.claimID, wanted.worker, wanted.classes, of: request))))
    }

    /// `POST /internal/v1/jobs/renew`
    func renew(_ request: Request) async throws -> Response {
        let wanted = try request.json(RenewRequest.self)
        let standings = try await store.renew(wanted.leases)
        await logDoors?.news.take(wanted.leases)
        return try .json(RenewAnswer(leases: standings))
    }

    /// `POST /internal/v1/jobs/finish`
    func finish(_ request: Request) async throws -> Response {
        let wanted = try request.json(FinishRequest.self)
        for (index, finished) in wanted.finished.enumerated() where finished.result?.hasStorableNumbers == false {
            throw Self.unstorable("finished[\(index)].result")
        }
        // All that can be refused is refused before anything is done: who gets a refusal may believe that nothing was.
        let next = try wanted.next.map { try checked($0.claimID, wanted.worker, $0.classes, of: request) }
        let charged = await logDoors?.charged(wanted.finished) ?? wanted.finished
        // Side by side: a claim needs nothing of the ends, and what it wins while they fail is given again to the same claim, which the worker repeats.
        async let won = claimed(next)
        let receipts = try await desk.finish(charged)
        await logDoors?.news.tell(charged.filter { $0.log != nil }.map(\.jobID))
        return try .json(FinishAnswer(finished: receipts, jobs: try await won))
    }

    private func claimed(_ claim: Claim?) async throws -> [ClaimedJob] {
        guard let claim else { return [] }
        return try await desk.claim(claim)
    }

    /// `POST /internal/v1/jobs/release`
    func release(_ request: Request) async throws -> Response {
        let wanted = try request.json(ReleaseRequest.self)
        try await desk.release(wanted.leases)
        return .noContent
    }

    /// `POST /internal/v1/jobs/{id}/cancel`
    func internalCancel(_ request: Request) async throws -> Response {
        let id = try request.parameter("id", as: JobID.self)
        return try await answer(to: store.cancel(id), id: id)
    }

    /// `PUT /internal/v1/results`
    func putResult(_ request: Request) async throws -> Response {
        guard !request.body.isEmpty else { throw Problem.badRequest(code: "empty_body", detail: "The result's bytes would be right.") }
        return try .json(["sha256": try await blobs.put(request.body)])
    }

    /// `GET /internal/v1/results/{sha256}`
    func result(_ request: Request) async throws -> Response {
        let digest = try request.parameter("sha256", as: SHA256Digest.self)
        guard let bytes = try await blobs.get(digest) else { throw Problem.notFound(field: "sha256") }
        return .bytes(bytes, contentType: "application/octet-stream")
    }

    static func unstorable(_ field: String) -> Problem {
        .badRequest(code: "invalid_value", detail: "Numbers in the range of doubles would be right.", field: field)
    }

    private func checked(_ id: ClaimID, _ worker: String, _ classes: [ClassSlots], of request: Request) throws -> Claim {
        guard (1...200).contains(worker.utf8.count) else {
            throw Problem.badRequest(code: "invalid_value", detail: "1 to 200 characters would be right.", field: "worker")
        }
        guard classes.count <= ResourceClass.allCases.count, classes.allSatisfy({ (0...1_000).contains($0.slots) }) else {
            throw Problem.badRequest(code: "invalid_value", detail: "Each class once, with 1 to 1000 slots, would be right.", field: "classes")
        }
        let allowed = Self.classes[request.callingService ?? ""] ?? []
        guard classes.allSatisfy({ allowed.contains($0.class) }) else {
            throw Problem.forbidden(code: "class_not_allowed", detail: "This service may claim: \(allowed.map(\.rawValue).joined(separator: ", ")).")
        }
        return Claim(id: id, worker: worker, classes: classes)
    }
}
