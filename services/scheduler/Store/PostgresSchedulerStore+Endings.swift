import Contracts
import Messaging
import Postgres
import ServiceRuntime

extension PostgresSchedulerStore {
    func finish(_ finished: [FinishedJob]) async throws -> [FinishReceipt] {
        if finished.isEmpty { return [] }
        return try await onConnection { transaction in
            // Who fails may try again, which settles nothing; that is known when the job is read.
            let failed = finished.filter { $0.outcome == .failed }.map(\.jobID)
            let answers = try await transaction.connection.pipeline([
                .plannedOnce,
                ScheduleLocks.taking(
                    ofEndsOf: finished.map(\.jobID),
                    where: "(jobs.cancel_requested_at IS NOT NULL OR jobs.job_id = ANY (\(failed))) AND jobs.state = 'running'"
                ),
                """
                SELECT \(unsafe: JobColumns.list) FROM ONLY jobs
                JOIN unnest(\(finished.map(\.jobID)), \(finished.map(\.attemptID))) AS said (job_id, attempt_id)
                  ON jobs.job_id = said.job_id AND jobs.attempt_id = said.attempt_id
                ORDER BY jobs.job_id FOR NO KEY UPDATE OF jobs
                """,
            ])
            let schedules = try ScheduleLocks(answers[1])
            let jobs = Dictionary(try answers[2].map { try JobColumns.job($0) }.map { ($0.id, $0) }) { first, _ in first }
            var endings: [JobEnding] = []
            var logs: [(JobID, FinishedJob)] = []
            var seen: Set<JobID> = []
            let receipts = finished.map { finished -> FinishReceipt in
                // An end that is told again, because its answer was lost, still counts. Who else ended the job took the attempt from it.
                guard let job = jobs[finished.jobID], job.attemptID == finished.attemptID else {
                    return FinishReceipt(jobID: finished.jobID, attemptID: finished.attemptID, state: .stale)
                }
                if job.state == .running && seen.insert(job.id).inserted {
                    endings.append(.reported(finished, job: job))
                    if finished.log != nil { logs.append((job.id, finished)) }
                }
                return FinishReceipt(jobID: finished.jobID, attemptID: finished.attemptID, state: .accepted)
            }
            try schedules.check(endings)
            try await Self.end(endings, transaction, logs: logs.map { logSQL($0.1, attempt: jobs[$0.0]?.attempt ?? 0) })
            return receipts
        }
    }

    func cancel(_ id: JobID) async throws -> Cancellation {
        try await onConnection { transaction in
            let rows = try await transaction.connection.pipeline([
                ScheduleLocks.taking(ofEndsOf: [id]), "SELECT \(unsafe: JobColumns.list) FROM ONLY jobs WHERE job_id = \(id) FOR NO KEY UPDATE",
            ])
            guard let job = try rows[1].first.map(JobColumns.job) else {
                // It may have gone to the archives; then it has ended.
                let state = try await transaction.connection.query("SELECT state FROM jobs WHERE job_id = \(id)").first?.column(0, as: JobState.self)
                return state.map { .alreadyEnded($0) } ?? .unknown
            }
            switch job.state {
            case .pending:
                try await Self.end([JobEnding(job: job, state: .cancelled)], transaction)
                return .cancelled
            case .running:
                await transaction.tell(changesOf: [job.accountID])
                try await transaction.connection.execute(
                    "UPDATE ONLY jobs SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()) WHERE job_id = \(id)"
                )
                return .requested
            case .completed, .failed, .cancelled: return .alreadyEnded(job.state)
            }
        }
    }

    func expireLeases(limit: Int) async throws -> Int {
        let expired = try await pool.query(
            "SELECT job_id FROM leases WHERE expires_at < (SELECT clock_timestamp()) ORDER BY job_id LIMIT \(limit)"
        ).map { try $0.column(0, as: JobID.self) }
        return try await inOneGoOrAlone(expired) { ids, transaction in
            let jobs = try await transaction.connection.pipeline([
                ScheduleLocks.taking(ofEndsOf: ids),
                """
                SELECT \(unsafe: JobColumns.list) FROM leases JOIN ONLY jobs ON jobs.job_id = leases.job_id AND jobs.attempt_id = leases.attempt_id
                WHERE leases.job_id = ANY (\(ids)) AND jobs.state = 'running' ORDER BY jobs.job_id FOR NO KEY UPDATE OF jobs SKIP LOCKED
                """,
            ])[1].map(JobColumns.job)
            // Read again under the lock: a renewal may have come in between.
            let expired = Set(
                try await transaction.connection.query(
                    """
                    SELECT job_id FROM leases WHERE job_id = ANY (\(jobs.map(\.id))) AND expires_at < clock_timestamp() ORDER BY job_id FOR UPDATE
                    """
                ).map { try $0.column(0, as: JobID.self) }
            )
            return jobs.filter { expired.contains($0.id) }.map(JobEnding.lost)
        }
    }

    func expireWaits(limit: Int) async throws -> Int {
        let late = try await pool.query(
            """
            SELECT job_id FROM ONLY jobs WHERE state = 'pending' AND queue_deadline < (SELECT clock_timestamp()) ORDER BY queue_deadline LIMIT \(limit)
            """
        ).map { try $0.column(0, as: JobID.self) }
        return try await inOneGoOrAlone(late) { ids, transaction in
            try await transaction.connection.pipeline([
                ScheduleLocks.taking(ofEndsOf: ids),
                """
                SELECT \(unsafe: JobColumns.list) FROM ONLY jobs
                WHERE job_id = ANY (\(ids)) AND state = 'pending' AND queue_deadline < (SELECT clock_timestamp())
                ORDER BY job_id FOR NO KEY UPDATE SKIP LOCKED
                """,
            ])[1].map(JobColumns.job).map(JobEnding.waitedTooLong)
        }
    }

    /// Ends these jobs in one transaction; where that is refused, each in its own, so that one that cannot be ended holds up no other.
    ///
    /// - Parameter endings: locks those of the ids that are to end and says how; runs again when the transaction does.
    private func inOneGoOrAlone(
        _ ids: [JobID],
        _ endings: @Sendable ([JobID], PostgresSchedulerTransaction) async throws -> [JobEnding]
    ) async throws -> Int {
        if ids.isEmpty { return 0 }
        do {
            return try await onConnection { transaction in
                let ended = try await endings(ids, transaction)
                try await Self.end(ended, transaction)
                return ended.count
            }
        } catch let error as PostgresError where ids.count > 1 && !error.isPassing {
            var count = 0
            for id in ids {
                do {
                    count += try await inOneGoOrAlone([id], endings)
                } catch let error as PostgresError where !error.isPassing {
                    Logger("jobs").error("a job cannot be ended", ["job_id": .string("\(id)"), "reason": .string(String(reflecting: error))])
                }
            }
            return count
        }
    }

    /// Writes what became of jobs whose rows are locked, lets go of their leases and of those that wait for their ends, and says the events.
    ///
    /// - Returns: how many more waits the transaction may work off.
    @discardableResult
    static func end(
        _ endings: [JobEnding],
        _ transaction: any SchedulerTransaction,
        logs: [SQL] = [],
        waitLimit: Int = JobUnblocking.most
    ) async throws -> Int {
        guard !endings.isEmpty, let transaction = transaction as? PostgresSchedulerTransaction else { return waitLimit }
        let pauses = endings.map { Double($0.retryAfter.wholeMicroseconds) / 1e6 }
        let results = endings.map { ending in ending.result.map { PostgresJSON(bytes: WireJSON.encode($0)) } }
        let waits = endings.map { Double(JobLimits.queueTimeoutSeconds(kind: $0.job.kind)) }
        let ids = endings.map(\.job.id)
        var statements: [SQL] = [
            """
            UPDATE ONLY jobs SET state = new.state,
                available_at = CASE WHEN new.state = 'pending' THEN clock_timestamp() + make_interval(secs => pause) ELSE available_at END,
                queue_deadline = CASE WHEN new.state = 'pending' THEN clock_timestamp() + make_interval(secs => pause + wait) ELSE queue_deadline END,
                completed_at = CASE WHEN new.state = 'pending' THEN NULL ELSE clock_timestamp() END,
                attempt = attempt + counted,
                attempt_id = CASE WHEN new.state = 'pending' OR NOT reported THEN NULL ELSE attempt_id END,
                claim_id = CASE WHEN new.state = 'pending' THEN NULL ELSE claim_id END,
                worker = CASE WHEN new.state = 'pending' THEN NULL ELSE worker END,
                progress = CASE WHEN new.state = 'completed' THEN 100 ELSE progress END,
                failure_kind = failure, error_message = message, result = new.result, result_sha256 = sha256,
                -- What the attempts have used is added up; of the peaks the highest counts.
                cpu_seconds = coalesce(cpu_seconds + cpu, cpu, cpu_seconds), memory_peak_bytes = greatest(memory_peak_bytes, memory),
                memory_gib_seconds = coalesce(memory_gib_seconds + held, held, memory_gib_seconds),
                bytes_in = coalesce(jobs.bytes_in + taken, taken, jobs.bytes_in), bytes_out = coalesce(jobs.bytes_out + brought, brought, jobs.bytes_out)
            FROM unnest(\(ids), \(endings.map(\.state)), \(pauses), \(waits), \(endings.map { Int16($0.countsAttempt ? 1 : 0) }),
                \(endings.map(\.failureKind)), \(endings.map(\.errorMessage)), \(results), \(endings.map(\.resultSHA256)), \(endings.map(\.cpuSeconds)),
                \(endings.map(\.memoryPeakBytes)), \(endings.map(\.isReported)), \(endings.map(\.memoryGiBSeconds)), \(endings.map(\.bytesIn)),
                \(endings.map(\.bytesOut)))
                AS new (job_id, state, pause, wait, counted, failure, message, result, sha256, cpu, memory, reported, held, taken, brought)
            WHERE jobs.job_id = new.job_id RETURNING jobs.job_id, jobs.completed_at
            """,
            """
            DELETE FROM leases USING (SELECT job_id FROM leases WHERE job_id = ANY (\(ids)) ORDER BY job_id FOR UPDATE) AS held
            WHERE leases.job_id = held.job_id
            """,
        ]
        statements += logs
        if let counting = CostCounting.adding(JobEnding.costs(endings)) { statements.append(counting) }
        let blocked = endings.filter { $0.job.blockedBy > 0 }.map(\.job.id)
        if !blocked.isEmpty { statements.append(JobUnblocking.forgetting(waitsOf: blocked)) }
        let states = Dictionary(endings.filter { $0.state != .pending }.map { ($0.job.id, $0.state) }) { first, _ in first }
        if !states.isEmpty { statements.append(JobUnblocking.taking(waitsFor: states.keys.sorted(), limit: waitLimit)) }
        let answers = try await transaction.connection.pipeline(statements)
        var times: [JobID: Timestamp] = [:]
        for row in answers[0] { times[try row.column(0)] = try row.column(1, as: Timestamp?.self) }
        let ended = endings.filter { $0.state != .pending }.map { ending in ending.applied(at: times[ending.job.id] ?? ending.job.createdAt) }
        let news = transaction.news
        await transaction.tell(changesOf: endings.map(\.job.accountID))
        if !ended.isEmpty { await transaction.connection.afterCommit { news.ended(ended) } }
        try await JobSettlement.announce(ended, in: transaction)
        guard !states.isEmpty, let taken = answers.last else { return waitLimit }
        return try await JobUnblocking.apply(try JobUnblocking.waits(taken), of: states, limit: waitLimit, in: transaction)
    }

    private func logSQL(_ finished: FinishedJob, attempt: Int) -> SQL {
        """
        INSERT INTO job_logs (job_id, attempt_id, attempt, is_truncated, body)
        VALUES (\(finished.jobID), \(finished.attemptID), \(Int16(clamping: attempt)), \(finished.logTruncated), \(JobLogText.capped(finished.log ?? "")))
        ON CONFLICT (job_id) DO UPDATE SET
            attempt_id = excluded.attempt_id, attempt = excluded.attempt, is_truncated = excluded.is_truncated, body = excluded.body, stored_at = clock_timestamp()
        """
    }

    func onConnection<Outcome: Sendable>(_ body: @Sendable (PostgresSchedulerTransaction) async throws -> Outcome) async throws -> Outcome {
        try await outbox.transaction(on: pool) { connection in
            try await body(PostgresSchedulerTransaction(connection: connection, outbox: outbox, hint: hint, news: news))
        }
    }
}

/// The text of a log as it can be stored.
enum JobLogText {
    /// At most as many bytes as a log may have, cut between characters.
    static func capped(_ text: String) -> String {
        guard text.utf8.count > FinishedJob.maximumLogBytes else { return text }
        var bytes = Array(text.utf8.prefix(FinishedJob.maximumLogBytes))
        while let last = bytes.last, last & 0xC0 == 0x80 { bytes.removeLast() }
        if let last = bytes.last, last >= 0xC0 { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}
