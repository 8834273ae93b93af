import Contracts
import Postgres

extension PostgresAuthTransaction {
    func budget(_ id: APIKeyID, locking: Bool) async throws -> KeyBudget? {
        try await connection.query(
            "SELECT requests_per_minute, credits, version, credits_version FROM key_budgets WHERE id = \(id)\(lock(locking))"
        ).first.map { row in
            KeyBudget(
                requestsPerMinute: try row.column(0, as: Int32?.self).map(Int.init),
                credits: try row.column(1),
                version: try row.column(2),
                creditsVersion: try row.column(3)
            )
        }
    }

    func write(_ budget: KeyBudget, of id: APIKeyID) async throws {
        try await connection.execute(
            """
            INSERT INTO key_budgets (id, requests_per_minute, credits, version, credits_version)
            VALUES (\(id), \(budget.requestsPerMinute.map(Int32.init)), \(budget.credits), \(budget.version), \(budget.creditsVersion))
            ON CONFLICT (id) DO UPDATE SET requests_per_minute = EXCLUDED.requests_per_minute, credits = EXCLUDED.credits,
                version = EXCLUDED.version, credits_version = EXCLUDED.credits_version
            """
        )
    }

    func creditBlock(_ id: CreditBlockID, locking: Bool) async throws -> CreditBlock? {
        try await connection.query(
            """
            SELECT id, budget_id, credits_version, service, credits, taken_at, unused FROM credit_blocks WHERE id = \(id)\(lock(locking))
            """
        ).first.map { row in
            CreditBlock(
                id: try row.column(0),
                budgetID: try row.column(1),
                creditsVersion: try row.column(2),
                service: try row.column(3),
                credits: try row.column(4),
                takenAt: try row.column(5),
                unused: try row.column(6)
            )
        }
    }

    func insert(_ block: CreditBlock) async throws {
        try await connection.execute(
            """
            INSERT INTO credit_blocks (id, budget_id, credits_version, service, credits, taken_at, unused)
            VALUES (\(block.id), \(block.budgetID), \(block.creditsVersion), \(block.service), \(block.credits), \(block.takenAt),
                \(block.unused))
            """
        )
    }

    func update(_ block: CreditBlock) async throws {
        try await connection.execute("UPDATE credit_blocks SET unused = \(block.unused) WHERE id = \(block.id)")
    }
}
