import Contracts
import HTTPServing
import ServiceRuntime

/// Keeps the answers of idempotent requests in the transactions of their effects, in whichever store there is.
struct AuthIdempotencyStore: IdempotencyStore {
    let store: any AuthStore
    let time: any TimeSource

    func withTransaction<Outcome: Sendable>(_ body: @Sendable (any AuthTransaction) async throws -> Outcome) async throws -> Outcome {
        try await store.transaction(body)
    }

    func claim(_ request: IdempotentRequest, in transaction: any AuthTransaction) async throws -> Bool { try await transaction.claim(request) }

    func answer(to request: IdempotentRequest, in transaction: any AuthTransaction) async throws -> IdempotentAnswer? {
        try await transaction.answer(to: request, since: time.now() - IdempotentRequest.lifetime)
    }

    func store(_ answer: IdempotentAnswer, to request: IdempotentRequest, in transaction: any AuthTransaction) async throws {
        try await transaction.remember(answer, to: request, at: time.now())
    }
}
