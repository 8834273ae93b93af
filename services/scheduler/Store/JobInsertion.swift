import Contracts
import Postgres

/// Writes any number of jobs in one statement, and finds those that were there already.
enum JobInsertion {
    static func run(_ jobs: [NewJob], on connection: PostgresConnection) async throws -> [Insertion] {
        if jobs.isEmpty { return [] }
        let specs = jobs.map { PostgresJSON(bytes: WireJSON.encode($0.spec)) }
        let signals = jobs.map { job in job.spec["signal_id"]?.string.flatMap { SignalID($0) } }
        let waits = jobs.map { Double(JobLimits.queueTimeoutSeconds(kind: $0.kind)) }
        let inserted = try await connection.query(
            """
            INSERT INTO jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, available_at, queue_deadline,
                parent_job_id, schedule_id, occurrence_id, signal_id, idempotency_key, input_sha256, traceparent, spec)
            SELECT job_id, 'pending', class, priority, priority, attempts, kind, account, coalesce(available, clock_timestamp()),
                coalesce(available, clock_timestamp()) + make_interval(secs => wait), parent, schedule, occurrence, signal, key, input, trace, spec
            FROM unnest(\(jobs.map(\.id)), \(jobs.map(\.resourceClass)), \(jobs.map(\.priority.ordinal)), \(jobs.map { Int16($0.maximumAttempts) }),
                \(jobs.map(\.kind.rawValue)), \(jobs.map(\.accountID)), \(jobs.map(\.availableAt)), \(waits), \(jobs.map(\.parentJobID)),
                \(jobs.map(\.scheduleID)), \(jobs.map(\.occurrenceID)), \(signals), \(jobs.map(\.idempotencyKey)), \(jobs.map(\.inputSHA256)),
                \(jobs.map(\.traceparent)), \(specs))
                AS new (job_id, class, priority, attempts, kind, account, available, wait, parent, schedule, occurrence, signal, key, input, trace, spec)
            ON CONFLICT (account_id, kind, idempotency_key) DO NOTHING RETURNING job_id
            """
        )
        let created = Set(try inserted.map { try $0.column(0, as: JobID.self) })
        if created.count == jobs.count { return jobs.map { .created($0.id) } }
        var outcomes: [Insertion] = []
        for job in jobs {
            guard !created.contains(job.id) else {
                outcomes.append(.created(job.id))
                continue
            }
            let rows = try await connection.query(
                """
                SELECT job_id, input_sha256 FROM ONLY jobs
                WHERE account_id = \(job.accountID) AND kind = \(job.kind.rawValue) AND idempotency_key = \(job.idempotencyKey)
                """
            )
            guard let row = rows.first else { throw PostgresError(.server(sqlState: "40001"), message: "a job vanished while it was looked up") }
            let (known, input) = try row.decode(JobID.self, SHA256Digest.self)
            outcomes.append(input == job.inputSHA256 ? .existing(known) : .keyReused(known))
        }
        return outcomes
    }

    /// The same within the limits of queues. Two at once wait for each other, in the order of the accounts; what there is already needs no room.
    static func run(_ jobs: [NewJob], queueLimits: [AccountID: Int], on connection: PostgresConnection) async throws -> [Insertion] {
        let accounts = queueLimits.keys.sorted()
        try await connection.execute(
            """
            SELECT pg_advisory_xact_lock(hashtextextended('scheduler.queue/' || account, 0))
            FROM (SELECT account FROM unnest(\(accounts)) AS account ORDER BY account) AS sorted
            """
        )
        var room: [AccountID: Int] = [:]
        for row in try await connection.query(QueueStandings.open(of: accounts, countedTo: accounts.map { queueLimits[$0] ?? 0 })) {
            let (account, open) = try row.decode(AccountID.self, Int.self)
            room[account] = max(0, (queueLimits[account] ?? 0) - open)
        }
        let limited = jobs.filter { $0.countsAgainstQueue && room[$0.accountID] != nil }
        let known = Set(
            try await connection.query(
                """
                SELECT account_id, kind, idempotency_key FROM ONLY jobs
                JOIN unnest(\(limited.map(\.accountID)), \(limited.map(\.kind.rawValue)), \(limited.map(\.idempotencyKey))) AS asked (account_id, kind, idempotency_key)
                    USING (account_id, kind, idempotency_key)
                """
            ).map { row in Key(account: try row.column(0), kind: try row.column(1), key: try row.column(2)) }
        )
        var refused: [JobID: Int] = [:]
        for job in limited where !known.contains(Key(account: job.accountID, kind: job.kind.rawValue, key: job.idempotencyKey)) {
            if let left = room[job.accountID], left > 0 {
                room[job.accountID] = left - 1
            } else {
                refused[job.id] = queueLimits[job.accountID]
            }
        }
        var written = try await run(jobs.filter { refused[$0.id] == nil }, on: connection)[...]
        return jobs.map { job in refused[job.id].map { .queueFull(most: $0) } ?? written.removeFirst() }
    }

    private struct Key: Hashable {
        let account: AccountID
        let kind: String
        let key: String
    }
}
