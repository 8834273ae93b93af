import Contracts
import ServiceRuntime

/// Lends credits of API keys to the services in blocks, exactly: the budget's row is locked while a block is taken or comes back.
struct Credits: Sendable {
    let store: any AuthStore
    let time: any TimeSource

    /// A block for a service. The same block again gives the same answer, so that a lost answer costs nothing.
    func take(_ blockID: CreditBlockID, of budgetID: APIKeyID, for service: String) async throws -> CreditBlockAnswer {
        let now = time.now()
        return try await store.transaction { transaction in
            var budget = try await transaction.budget(budgetID, locking: true) ?? KeyBudget()
            let credits: Int64
            if let known = try await transaction.creditBlock(blockID, locking: false) {
                credits = known.credits(within: budget, of: budgetID)
            } else if let block = budget.take(blockID, of: budgetID, for: service, at: now) {
                try await transaction.write(budget, of: budgetID)
                try await transaction.insert(block)
                credits = block.credits
            } else {
                credits = 0
            }
            return CreditBlockAnswer(blockID: blockID, countsCredits: budget.credits != nil, credits: credits, budgetVersion: budget.version)
        }
    }

    /// Takes back what a service did not use; what is unknown, came back before or belongs to a budget that was set anew changes nothing.
    func takeBack(_ returned: [CreditReturn.Block]) async throws {
        for part in returned {
            try await store.transaction { transaction in
                guard let seen = try await transaction.creditBlock(part.blockID, locking: false) else { return }
                // The budget first, as in `take`: two locks in one order.
                guard var budget = try await transaction.budget(seen.budgetID, locking: true),
                    var block = try await transaction.creditBlock(part.blockID, locking: true),
                    budget.takeBack(&block, unused: part.unused)
                else { return }
                try await transaction.write(budget, of: block.budgetID)
                try await transaction.update(block)
            }
        }
    }
}
