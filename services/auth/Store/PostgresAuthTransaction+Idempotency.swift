import Contracts
import HTTPServing
import PostgresIdempotency

extension PostgresAuthTransaction {
    private var answers: IdempotencyTable { IdempotencyTable(connection) }

    func claim(_ request: IdempotentRequest) async throws -> Bool { try await answers.claim(request) }

    func answer(to request: IdempotentRequest, since: Timestamp) async throws -> IdempotentAnswer? {
        try await answers.answer(to: request, since: since)
    }

    func remember(_ answer: IdempotentAnswer, to request: IdempotentRequest, at now: Timestamp) async throws {
        try await answers.remember(answer, to: request, at: now)
    }
}
