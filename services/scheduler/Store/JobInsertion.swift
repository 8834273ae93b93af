import Contracts
import Postgres

/// Writes any number of jobs in one statement, and finds those that were there already.
enum JobInsertion {
    static func run(_ jobs: [NewJob], on connection: PostgresConnection) async throws -> [Insertion] {
        if jobs.isEmpty { return [] }
        let specs = jobs.map { PostgresJSON(bytes: WireJSON.encode($0.spec)) }
        let signals = jobs.map { job in job.spec["signal_id"]?.string.flatMap { SignalID($0) } }
        let waits = jobs.map { Double(JobLimits.queueTimeoutSeconds(kind: $0.kind)) }
        let others = jobs.map(\.distinctWaits)
        let waitsFor = try others.map { $0.isEmpty ? nil : try PostgresJSON(encoding: $0) }
        // Who waits for others is available when they have ended, and not before the moment that was wished for it.
        let available = jobs.map { $0.waitsFor.isEmpty ? $0.availableAt : JobDependency.blockedUntil }
        let wished = jobs.map { $0.waitsFor.isEmpty ? nil : $0.availableAt }
        let inserted = try await connection.query(
            """
            INSERT INTO jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, available_at, queue_deadline,
                parent_job_id, schedule_id, occurrence_id, signal_id, idempotency_key, input_sha256, traceparent, spec,
                blocked_by, waits_for, not_before, batch_id, estimated_seconds)
            SELECT job_id, 'pending', class, priority, priority, attempts, kind, account, coalesce(available, clock_timestamp()),
                coalesce(available, clock_timestamp()) + make_interval(secs => wait), parent, schedule, occurrence, signal, key, input, trace, spec,
                blocked, waits_for, wished, batch, estimate
            FROM unnest(\(jobs.map(\.id)), \(jobs.map(\.resourceClass)), \(jobs.map(\.priority.ordinal)), \(jobs.map { Int16($0.maximumAttempts) }),
                \(jobs.map(\.kind.rawValue)), \(jobs.map(\.accountID)), \(available), \(waits), \(jobs.map(\.parentJobID)),
                \(jobs.map(\.scheduleID)), \(jobs.map(\.occurrenceID)), \(signals), \(jobs.map(\.idempotencyKey)), \(jobs.map(\.inputSHA256)),
                \(jobs.map(\.traceparent)), \(specs), \(others.map { Int16($0.count) }), \(waitsFor), \(wished),
                \(jobs.map(\.batchID)), \(jobs.map(\.estimatedSeconds)))
                AS new (job_id, class, priority, attempts, kind, account, available, wait, parent, schedule, occurrence, signal, key, input, trace, spec,
                    blocked, waits_for, wished, batch, estimate)
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
            guard let known = try await made(before: job, on: connection) else {
                throw PostgresError(.server(sqlState: "40001"), message: "a job vanished while it was looked up")
            }
            outcomes.append(known)
        }
        return outcomes
    }

    /// The job that the same account made with the same key before.
    static func made(before job: NewJob, on connection: PostgresConnection) async throws -> Insertion? {
        let rows = try await connection.query(
            """
            SELECT job_id, input_sha256 FROM ONLY jobs
            WHERE account_id = \(job.accountID) AND kind = \(job.kind.rawValue) AND idempotency_key = \(job.idempotencyKey)
            """
        )
        guard let (known, input) = try rows.first?.decode(JobID.self, SHA256Digest.self) else { return nil }
        return input == job.inputSHA256 ? .existing(known) : .keyReused(known)
    }

    /// The same within the limits of queues. Two at once wait for each other, in the order of the accounts; what there is already needs no room.
    static func run(
        _ jobs: [NewJob],
        queueLimits: [AccountID: Int],
        on connection: PostgresConnection,
        write: @Sendable ([NewJob]) async throws -> [Insertion]
    ) async throws -> [Insertion] {
        if queueLimits.isEmpty { return try await write(jobs) }
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
        func isLimited(_ job: NewJob) -> Bool { job.countsAgainstQueue && room[job.accountID] != nil }
        let limited = jobs.filter { isLimited($0) || !$0.waitsFor.isEmpty }
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
            // Who is to wait for one that finds no room finds none either: to its sender that is no job that nobody knows.
            if let most = job.waitsFor.lazy.compactMap({ refused[$0.on] }).first {
                refused[job.id] = most
            } else if !isLimited(job) {
                continue
            } else if let left = room[job.accountID], left > 0 {
                room[job.accountID] = left - 1
            } else {
                refused[job.id] = queueLimits[job.accountID]
            }
        }
        var written = try await write(jobs.filter { refused[$0.id] == nil })[...]
        return jobs.map { job in refused[job.id].map { .queueFull(most: $0) } ?? written.removeFirst() }
    }

    private struct Key: Hashable {
        let account: AccountID
        let kind: String
        let key: String
    }
}
