import Contracts
import Postgres

/// Jobs that belong together: batches that are asked for at once, and children of a parent.
struct BatchStore: Sendable {
    let store: PostgresSchedulerStore

    /// What became of a request for a batch.
    enum Submission: Sendable, Hashable {
        case created
        case existing(BatchID, [JobID])
        /// Another request came with the same key before.
        case keyReused
        /// The job at this place was to wait for one that there is not, or that is not its account's; nothing was made.
        case unknownDependency(place: Int, JobID)
        /// The account would have more open jobs than it may; nothing was made.
        case queueFull(most: Int)
    }

    /// A batch as it was asked for.
    struct Batch: Sendable, Hashable {
        let id: BatchID
        let accountID: AccountID
        let createdAt: Timestamp
        let jobs: [JobID]
    }

    private struct Refused: Error { let submission: Submission }

    /// Makes all jobs of a batch, or none.
    ///
    /// - Parameter queueLimits: what the accounts may have open, for those that may be near it.
    func submit(
        _ jobs: [NewJob],
        as batch: BatchID,
        of account: AccountID,
        key: String,
        input: SHA256Digest,
        queueLimits: [AccountID: Int]
    ) async throws -> Submission {
        do {
            let submission = try await store.onConnection { transaction in
                let made = try await transaction.connection.query(
                    """
                    INSERT INTO job_batches (batch_id, account_id, idempotency_key, input_sha256, jobs)
                    VALUES (\(batch), \(account), \(key), \(input), \(jobs.map(\.id))) ON CONFLICT (account_id, idempotency_key) DO NOTHING
                    RETURNING batch_id
                    """
                )
                if made.isEmpty { return try await known(key, of: account, input: input, on: transaction.connection) }
                let insertions = try await JobInsertion.run(jobs, queueLimits: queueLimits, on: transaction.connection) {
                    try await transaction.insert($0)
                }
                for (place, insertion) in insertions.enumerated() {
                    switch insertion {
                    case .created: continue
                    case .unknownDependency(let id): throw Refused(submission: .unknownDependency(place: place, id))
                    case .existing, .keyReused: throw Refused(submission: .keyReused)
                    case .queueFull(let most): throw Refused(submission: .queueFull(most: most))
                    }
                }
                return Submission.created
            }
            if submission == .created {
                for ready in Set(jobs.filter { $0.availableAt == nil && $0.waitsFor.isEmpty }.map(\.resourceClass)) { store.hint(ready) }
            }
            return submission
        } catch let refused as Refused {
            return refused.submission
        }
    }

    private func known(_ key: String, of account: AccountID, input: SHA256Digest, on connection: PostgresConnection) async throws -> Submission {
        let rows = try await connection.query(
            "SELECT batch_id, input_sha256, jobs FROM job_batches WHERE account_id = \(account) AND idempotency_key = \(key)"
        )
        guard let row = rows.first else { throw PostgresError(.server(sqlState: "40001"), message: "a batch vanished while it was looked up") }
        let (id, known, jobs) = try row.decode(BatchID.self, SHA256Digest.self, [JobID].self)
        return known == input ? .existing(id, jobs) : .keyReused
    }

    func batch(_ id: BatchID) async throws -> Batch? {
        try await store.pool.query("SELECT account_id, created_at, jobs FROM job_batches WHERE batch_id = \(id)").first.map { row in
            Batch(id: id, accountID: try row.column(0), createdAt: try row.column(1), jobs: try row.column(2))
        }
    }

    /// How far the jobs of a batch are; nil stands for all kinds.
    func tally(of batch: BatchID, kinds: [JobKind]?) async throws -> JobTally { try await tally("batch_id = \(batch)", kinds) }

    /// How far the children of a job are, those of its own account.
    func tally(ofChildrenOf parent: Job, kinds: [JobKind]?) async throws -> JobTally {
        try await tally("parent_job_id = \(parent.id) AND account_id = \(parent.accountID)", kinds)
    }

    /// How many jobs a tally looks at.
    static let mostTallied: Int64 = 10_000

    private func tally(_ condition: SQL, _ kinds: [JobKind]?) async throws -> JobTally {
        var among: SQL = "SELECT state, blocked_by > 0 AS blocked, progress, started_at, completed_at FROM jobs WHERE "
        among.append(condition)
        if let kinds { among.append(" AND kind = ANY (\(kinds.map(\.rawValue)))") }
        among.append(" LIMIT \(Self.mostTallied)")
        let rows = try await store.pool.query(
            """
            SELECT state, blocked, count(*), sum(progress), min(started_at), max(completed_at) FROM (\(among)) AS job GROUP BY state, blocked
            """
        )
        var tally = JobTally()
        for row in rows {
            let (state, isBlocked, count, progress) = try row.decode(JobState.self, Bool.self, Int.self, Int.self)
            tally.add(state, isBlocked: isBlocked, count: count, progress: progress, startedAt: try row.column(4), completedAt: try row.column(5))
        }
        return tally
    }

    /// The first jobs of a batch that did not end well.
    func failures(in batch: BatchID, kinds: [JobKind]?, limit: Int) async throws -> [Job] {
        var sql: SQL = "SELECT \(unsafe: JobColumns.list) FROM jobs WHERE batch_id = \(batch) AND state IN ('failed', 'cancelled')"
        if let kinds { sql.append(" AND kind = ANY (\(kinds.map(\.rawValue)))") }
        sql.append(" ORDER BY state = 'cancelled', completed_at, job_id LIMIT \(limit)")
        return try await store.pool.query(sql).map(JobColumns.job)
    }

    /// Cancels what has not ended of a batch; gives how many jobs were cancelled or are to be.
    func cancel(_ batch: BatchID, kinds: [JobKind]?) async throws -> Int {
        var condition: SQL = "jobs.batch_id = \(batch)"
        if let kinds { condition.append(" AND kind = ANY (\(kinds.map(\.rawValue)))") }
        return try await cancelAll(condition)
    }

    /// Cancels what has not ended of a job's children, and of theirs.
    func cancelChildren(of parent: Job, kinds: [JobKind]?) async throws -> Int {
        var condition: SQL = """
            jobs.job_id IN (
                WITH RECURSIVE tree (job_id, depth) AS (
                    SELECT job_id, 1 FROM jobs WHERE parent_job_id = \(parent.id) AND account_id = \(parent.accountID)
                    UNION ALL
                    SELECT child.job_id, depth + 1 FROM tree JOIN jobs AS child ON child.parent_job_id = tree.job_id
                    WHERE child.account_id = \(parent.accountID) AND depth < 16
                ) SELECT job_id FROM tree)
            """
        if let kinds { condition.append(" AND kind = ANY (\(kinds.map(\.rawValue)))") }
        return try await cancelAll(condition)
    }

    /// A thousand in a transaction, each once: one that runs is asked for its end and stays until then.
    private func cancelAll(_ condition: SQL) async throws -> Int {
        var count = 0
        while true {
            let cancelled = try await store.onConnection { transaction in
                let jobs = try await transaction.connection.query(
                    """
                    SELECT \(unsafe: JobColumns.list) FROM ONLY jobs
                    WHERE \(condition) AND (state = 'pending' OR (state = 'running' AND cancel_requested_at IS NULL))
                    ORDER BY job_id LIMIT 1000 FOR NO KEY UPDATE OF jobs
                    """
                ).map(JobColumns.job)
                let running = jobs.filter { $0.state == .running }.map(\.id)
                if !running.isEmpty {
                    try await transaction.connection.execute(
                        "UPDATE ONLY jobs SET cancel_requested_at = clock_timestamp() WHERE job_id = ANY (\(running))"
                    )
                    await transaction.tell(changesOf: jobs.map(\.accountID))
                }
                // Dependants that are in here as well are cancelled as such, not again.
                let waiting = jobs.filter { $0.state == .pending }
                try await PostgresSchedulerStore.end(waiting.map { JobEnding(job: $0, state: .cancelled) }, transaction)
                return jobs.count
            }
            count += cancelled
            if cancelled < 1_000 { return count }
        }
    }
}
