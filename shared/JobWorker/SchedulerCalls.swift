import Contracts
import HTTPServing

/// The scheduler's internal routes for workers.
struct SchedulerCalls: Sendable {
    private let client: ServiceClient
    private let worker: String

    init(client: ServiceClient, worker: String) {
        self.client = client
        self.worker = worker
    }

    private func post<Body: Encodable, Answer: Decodable>(_ path: String, _ body: Body, deadline: Duration = .seconds(8)) async throws -> Answer {
        var headers = Headers()
        headers["Content-Type"] = "application/json"
        // Each of these calls may arrive twice without harm: claims by their id, the others by the attempt's.
        let response = try await client.send(
            .post,
            path,
            headers: headers,
            body: try WireJSON.encode(body),
            isIdempotent: true,
            deadline: deadline
        )
        do {
            return try response.json(Answer.self)
        } catch {
            throw ServiceClientError.unreadable(service: "scheduler", reason: "\(error)")
        }
    }

    func claim(_ claim: NextClaim, deadline: Duration = .seconds(8)) async throws -> [ClaimedJob] {
        let answer: ClaimAnswer = try await post(
            "/internal/v1/jobs/claim",
            ClaimRequest(claimID: claim.claimID, worker: worker, classes: claim.classes),
            deadline: deadline
        )
        return answer.jobs
    }

    func renew(_ leases: [LeaseRenewal]) async throws -> [LeaseStanding] {
        let answer: RenewAnswer = try await post("/internal/v1/jobs/renew", RenewRequest(worker: worker, leases: leases), deadline: .seconds(5))
        return answer.leases
    }

    func finish(_ finished: [FinishedJob], next: NextClaim?) async throws -> FinishAnswer {
        try await post("/internal/v1/jobs/finish", FinishRequest(worker: worker, finished: finished, next: next))
    }

    func release(_ leases: [LeaseReference]) async throws {
        var headers = Headers()
        headers["Content-Type"] = "application/json"
        let body = try WireJSON.encode(ReleaseRequest(worker: worker, leases: leases))
        // A drain waits for it.
        _ = try await client.send(.post, "/internal/v1/jobs/release", headers: headers, body: body, isIdempotent: true, deadline: .seconds(3))
    }

    func put(result bytes: [UInt8]) async throws -> SHA256Digest {
        struct Receipt: Decodable { var sha256: SHA256Digest }
        let receipt: Receipt = try await client.put("/internal/v1/results", bytes: bytes)
        return receipt.sha256
    }
}
