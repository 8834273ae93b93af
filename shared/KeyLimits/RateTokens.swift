public import Contracts

/// Gives out tokens of budgets' rates; every replica of every service asks the same one.
public protocol RateTokens: Sendable {
    /// Takes up to `tokens` of what `limit` still allows; `debt` is what was used without asking. Throws when nobody can be asked.
    func take(_ tokens: Int, of budget: APIKeyID, limit: Int, debt: Int) async throws -> RateGrant
}

/// An answer of ``RateTokens``.
public struct RateGrant: Sendable, Hashable {
    /// How many may be used, until the window ends.
    public var tokens: Int
    /// How many more there are.
    public var left: Int
    /// Milliseconds until there is one more, when none was given.
    public var waitMilliseconds: Int
    /// Milliseconds until the window ends.
    public var resetMilliseconds: Int

    /// All fields.
    public init(tokens: Int, left: Int, waitMilliseconds: Int, resetMilliseconds: Int) {
        self.tokens = tokens
        self.left = left
        self.waitMilliseconds = waitMilliseconds
        self.resetMilliseconds = resetMilliseconds
    }
}
