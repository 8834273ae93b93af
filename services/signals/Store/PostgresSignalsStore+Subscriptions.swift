import Contracts
import Postgres

extension PostgresSignalsStore {
    private static let subscriptionColumns = "id, account_id, signal_id, active, version, created_at, ended_at"

    private static func subscription(_ row: PostgresRow) throws -> Subscription {
        Subscription(
            id: try row.column(0),
            accountID: try row.column(1),
            signalID: try row.column(2),
            active: try row.column(3),
            version: try row.column(4),
            createdAt: try row.column(5),
            endedAt: try row.column(6)
        )
    }

    func subscribe(_ accountID: AccountID, to signalID: SignalID, now: Timestamp) async throws -> (subscription: Subscription, isNew: Bool) {
        try await transaction { connection in
            // A withdrawal of the signal waits for this lock or comes first.
            let found = try await connection.query("SELECT 1 FROM signals WHERE id = \(signalID) AND state = 'published' FOR SHARE")
            if found.isEmpty { throw SignalsStoreError.unknownSignal }
            let fresh = Subscription(id: .make(), accountID: accountID, signalID: signalID, active: true, version: 1, createdAt: now)
            let inserted = try await connection.execute(
                """
                INSERT INTO subscriptions (\(unsafe: Self.subscriptionColumns))
                VALUES (\(fresh.id), \(accountID), \(signalID), true, 1, \(now), NULL) ON CONFLICT (account_id, signal_id) WHERE active DO NOTHING
                """
            )
            if inserted == 1 {
                try await say(fresh.changed, version: fresh.version, on: connection)
                return (fresh, true)
            }
            let rows = try await connection.query(
                "SELECT \(unsafe: Self.subscriptionColumns) FROM subscriptions WHERE account_id = \(accountID) AND signal_id = \(signalID) AND active"
            )
            guard let existing = try rows.first.map(Self.subscription) else { throw SignalsStoreError.alreadySubscribed }
            return (existing, false)
        }
    }

    func unsubscribe(_ id: SubscriptionID, accountID: AccountID, now: Timestamp) async throws -> Subscription? {
        try await transaction { connection in
            let rows = try await connection.query(
                "SELECT \(unsafe: Self.subscriptionColumns) FROM subscriptions WHERE id = \(id) AND account_id = \(accountID) FOR UPDATE"
            )
            guard var subscription = try rows.first.map(Self.subscription) else { return nil }
            guard subscription.active else { return subscription }
            subscription.active = false
            subscription.endedAt = now
            subscription.version += 1
            try await connection.execute(
                "UPDATE subscriptions SET active = false, ended_at = \(now), version = \(subscription.version) WHERE id = \(id)"
            )
            try await say(subscription.changed, version: subscription.version, on: connection)
            return subscription
        }
    }

    func subscriptions(_ accountID: AccountID, after: SubscriptionID?, limit: Int) async throws -> [Subscription] {
        var sql: SQL = "SELECT \(unsafe: Self.subscriptionColumns) FROM subscriptions WHERE account_id = \(accountID) AND active"
        if let after { sql.append(" AND id < \(after)") }
        sql.append(" ORDER BY id DESC LIMIT \(limit)")
        return try await query(sql).map(Self.subscription)
    }

    func subscribedSignals(_ accountID: AccountID) async throws -> Set<SignalID> {
        Set(try await query("SELECT signal_id FROM subscriptions WHERE account_id = \(accountID) AND active").map { try $0.column(0) })
    }
}

extension Subscription {
    var changed: SubscriptionChanged {
        SubscriptionChanged(subscriptionID: id, accountID: accountID, signalID: signalID, active: active)
    }
}
