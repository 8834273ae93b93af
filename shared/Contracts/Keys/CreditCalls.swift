/// Body of `POST /internal/v1/keys/credits/take`: asks for a block of a key's credits. The same block asked for again is the same block.
public struct CreditBlockRequest: Sendable, Hashable, Codable {
    /// Names the block; made by the service that asks.
    public var blockID: CreditBlockID
    /// Whose credits: `budget.id` of the verdict on the key.
    public var budgetID: APIKeyID

    /// Both fields.
    public init(blockID: CreditBlockID, budgetID: APIKeyID) {
        self.blockID = blockID
        self.budgetID = budgetID
    }
}

/// The answer to ``CreditBlockRequest``.
public struct CreditBlockAnswer: Sendable, Hashable, Codable {
    /// The block.
    public var blockID: CreditBlockID
    /// Whether the key's credits are counted at all; if not, none are needed.
    public var countsCredits: Bool
    /// How many credits the block holds; 0 when none are left.
    public var credits: Int64
    /// The version of the budget that they come from.
    public var budgetVersion: Int64

    /// All fields.
    public init(blockID: CreditBlockID, countsCredits: Bool, credits: Int64, budgetVersion: Int64) {
        self.blockID = blockID
        self.countsCredits = countsCredits
        self.credits = credits
        self.budgetVersion = budgetVersion
    }
}

/// Body of `POST /internal/v1/keys/credits/return`: what was not used of blocks. A block is given back once; a second time changes nothing.
public struct CreditReturn: Sendable, Hashable, Codable {
    /// What is left of one block.
    public struct Block: Sendable, Hashable, Codable {
        /// The block.
        public var blockID: CreditBlockID
        /// How many of its credits nobody has used.
        public var unused: Int64

        /// Both fields.
        public init(blockID: CreditBlockID, unused: Int64) {
            self.blockID = blockID
            self.unused = unused
        }
    }

    /// At most this many in one call.
    public static let maximumBlocks = 500

    /// The blocks.
    public var blocks: [Block]

    /// The only field.
    public init(blocks: [Block]) { self.blocks = blocks }
}
