import Contracts
import Postgres

extension PostgresAuthTransaction {
    func record(_ entry: AuditEntry) async throws {
        try await connection.execute(
            """
            INSERT INTO audit_log (id, recorded_at, action, account_id, actor_id, subject, detail, address, user_agent, request_id)
            VALUES (\(entry.id), \(entry.recordedAt), \(entry.action.rawValue), \(entry.accountID), \(entry.actorID), \(entry.subject),
                \(try PostgresJSON(encoding: entry.detail)), \(entry.origin.address), \(entry.origin.userAgent), \(entry.origin.requestID))
            """
        )
    }

    func auditEntries(of account: AccountID?, before: AuditID?, limit: Int) async throws -> [AuditEntry] {
        let rows = try await connection.query(
            """
            SELECT id, recorded_at, action, account_id, actor_id, subject, detail, address, user_agent, request_id FROM audit_log
            WHERE (\(account)::uuid IS NULL OR account_id = \(account)) AND (\(before)::uuid IS NULL OR id < \(before))
            ORDER BY id DESC LIMIT \(limit)
            """
        )
        return try rows.map { row in
            let (id, recordedAt, action, accountID, actorID, subject, detail, address, userAgent, requestID) = try row.decode(
                AuditID.self,
                Timestamp.self,
                String.self,
                AccountID?.self,
                UserID?.self,
                String.self,
                PostgresJSON.self,
                String.self,
                String.self,
                String.self
            )
            guard let known = AuditEntry.Action(rawValue: action) else { throw PostgresError(.decoding, message: "audit_log.action holds \(action)") }
            return AuditEntry(
                stored: id,
                recordedAt: recordedAt,
                action: known,
                accountID: accountID,
                actorID: actorID,
                subject: subject,
                detail: try detail.decode([String: JSONValue].self),
                origin: RequestOrigin(address: address, userAgent: userAgent, requestID: requestID)
            )
        }
    }
}
