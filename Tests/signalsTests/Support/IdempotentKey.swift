import Contracts
import HTTPServing

@testable import signals

/// One request with a key, and its answer.
enum IdempotentKey {
    static func request() throws -> IdempotentRequest? {
        let request = try Request(method: .post, target: "/api/signals", headers: [("Idempotency-Key", "k1")], body: Array("body".utf8))
        return try Idempotency<PostgresIdempotencyStore>.idempotentRequest(of: request)
    }

    static func answer(to request: IdempotentRequest) -> IdempotentAnswer {
        IdempotentAnswer(requestSHA256: request.requestSHA256, status: 201, contentType: "application/json", body: Array("{}".utf8))
    }
}
