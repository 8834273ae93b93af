import Contracts
import Postgres

/// How many open jobs accounts have.
enum QueueStandings {
    /// Counts no further than one beyond the number given for each account. What waits is found by the index that claims walk, what waits for other jobs by
    /// an index of its own, what runs by the leases.
    static func open(of accounts: [AccountID], countedTo most: [Int]) -> SQL {
        """
        SELECT asked.account, (
            SELECT count(*) FROM (
                SELECT FROM ONLY jobs WHERE state = 'pending' AND blocked_by = 0 AND resource_class = ANY (\(ResourceClass.allCases))
                  AND precedence = ANY ('{0,1,2,3}') AND account_id = asked.account LIMIT asked.most + 1) AS waiting
        ) + (
            SELECT count(*) FROM (
                SELECT FROM ONLY jobs WHERE state = 'pending' AND blocked_by > 0 AND account_id = asked.account LIMIT asked.most + 1) AS blocked
        ) + (SELECT count(*) FROM leases WHERE leases.account_id = asked.account)
        FROM unnest(\(accounts), \(most.map { Int64($0) })) AS asked (account, most)
        """
    }
}

extension PostgresSchedulerStore {
    func insert(_ jobs: [NewJob], queueLimits: [AccountID: Int]) async throws -> [Insertion] {
        if jobs.contains(where: { !$0.waitsFor.isEmpty }) {
            return try await onConnection { transaction in
                if queueLimits.isEmpty { return try await transaction.insert(jobs) }
                return try await JobInsertion.run(jobs, queueLimits: queueLimits, on: transaction.connection) { try await transaction.insert($0) }
            }
        }
        let jobs = news.estimated(jobs)
        defer { news.changed(Set(jobs.map(\.accountID))) }
        if queueLimits.isEmpty { return try await pool.withConnection { try await JobInsertion.run(jobs, on: $0) } }
        return try await pool.withTransaction { connection in
            try await JobInsertion.run(jobs, queueLimits: queueLimits, on: connection) { try await JobInsertion.run($0, on: connection) }
        }
    }

    func queueStandings(of accounts: [AccountID]) async throws -> [AccountID: QueueStanding] {
        if accounts.isEmpty { return [:] }
        var own: [AccountID: (most: Int?, cap: Priority?)] = [:]
        let rows = try await pool.query(
            "SELECT account_id, open_most, priority_cap FROM account_limits WHERE resource_class = 'all' AND account_id = ANY (\(accounts))"
        )
        for row in rows {
            let (account, most, cap) = try row.decode(AccountID.self, Int?.self, Int16?.self)
            own[account] = (most, try cap.map { try Priority(ordinal: $0) })
        }
        func most(_ account: AccountID) -> Int { own[account]?.most ?? limits.open }
        var standings: [AccountID: QueueStanding] = [:]
        for row in try await pool.query(QueueStandings.open(of: accounts, countedTo: accounts.map(most))) {
            let (account, open) = try row.decode(AccountID.self, Int.self)
            standings[account] = QueueStanding(open: open, most: most(account), priorityCap: own[account]?.cap)
        }
        return standings
    }
}
