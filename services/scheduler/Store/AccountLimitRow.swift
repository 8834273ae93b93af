import Contracts
import Postgres

/// What one account may have at once, of one class or of all; nil leaves it to the settings.
struct AccountLimitRow: Sendable, Hashable {
    let accountID: AccountID
    /// Nil is all classes together.
    var resourceClass: ResourceClass?
    var running: Int?
    var open: Int?
    var priorityCap: Priority?

    /// As it is listed.
    var line: String {
        let parts = [
            running.map { "running=\($0)" }, open.map { "open=\($0)" }, priorityCap.map { "priority=\($0.rawValue)" },
        ]
        return ([accountID.description, "class=\(resourceClass?.rawValue ?? "all")"] + parts.compactMap(\.self)).joined(separator: " ")
    }
}

extension PostgresSchedulerStore {
    func accountLimits() async throws -> [AccountLimitRow] {
        try await pool.query(
            "SELECT account_id, resource_class, running_most, open_most, priority_cap FROM account_limits ORDER BY account_id, resource_class"
        ).map { row in
            AccountLimitRow(
                accountID: try row.column(0),
                resourceClass: ResourceClass(rawValue: try row.column(1)),
                running: try row.column(2),
                open: try row.column(3),
                priorityCap: try row.column(4, as: Int16?.self).map { try Priority(ordinal: $0) }
            )
        }
    }

    /// What the row leaves open stays as it is.
    func set(_ row: AccountLimitRow) async throws {
        try await pool.execute(
            """
            INSERT INTO account_limits (account_id, resource_class, running_most, open_most, priority_cap)
            VALUES (\(row.accountID), \(row.resourceClass?.rawValue ?? "all"), \(row.running.map { Int32(clamping: $0) }),
                \(row.open.map { Int32(clamping: $0) }), \(row.priorityCap?.ordinal))
            ON CONFLICT (account_id, resource_class) DO UPDATE SET running_most = coalesce(excluded.running_most, account_limits.running_most),
                open_most = coalesce(excluded.open_most, account_limits.open_most),
                priority_cap = coalesce(excluded.priority_cap, account_limits.priority_cap)
            """
        )
    }

    func clearLimits(of account: AccountID) async throws {
        try await pool.execute("DELETE FROM account_limits WHERE account_id = \(account)")
    }
}
