public import Contracts
public import HTTPServing

/// Lends credits of budgets in blocks; the count itself is exact and elsewhere.
public protocol CreditLender: Sendable {
    /// Takes a block; the same block again gives the same answer.
    func take(_ block: CreditBlockID, of budget: APIKeyID) async throws -> CreditBlockAnswer
    /// Gives back what was not used.
    func giveBack(_ blocks: [CreditReturn.Block]) async throws
}

/// Auth, which keeps the credits: `POST /internal/v1/keys/credits/take` and `…/return`.
public struct ServiceCreditLender: CreditLender {
    private let auth: ServiceClient
    /// A request waits for this; whoever waits longer comes again and gets the same block.
    private static let deadline = Duration.seconds(3)

    /// Asks through a client of auth.
    public init(auth: ServiceClient) { self.auth = auth }

    /// A block from auth.
    public func take(_ block: CreditBlockID, of budget: APIKeyID) async throws -> CreditBlockAnswer {
        try WireJSON.decode(
            CreditBlockAnswer.self,
            from: try await post("/internal/v1/keys/credits/take", CreditBlockRequest(blockID: block, budgetID: budget))
        )
    }

    /// Gives back to auth, which counts each block once.
    public func giveBack(_ blocks: [CreditReturn.Block]) async throws {
        _ = try await post("/internal/v1/keys/credits/return", CreditReturn(blocks: blocks))
    }

    private func post(_ path: String, _ body: some Encodable) async throws -> [UInt8] {
        try await auth.send(
            .post,
            path,
            headers: ["Content-Type": "application/json"],
            body: try WireJSON.encode(body),
            isIdempotent: true,
            deadline: Self.deadline
        ).body
    }
}
