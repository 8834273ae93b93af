import Contracts
import Postgres

extension PostgresSchedulerStore {
    var lease: SQL { "make_interval(secs => \(Double(JobLimits.leaseSeconds)))" }

    func renew(_ leases: [LeaseRenewal]) async throws -> [LeaseStanding] {
        if leases.isEmpty { return [] }
        let progressed = leases.filter { $0.progress != nil }
        var statements: [SQL] = [.withoutFlush]
        // Rows of jobs before rows of leases, each in the order of their ids, as the ends of jobs lock them: else the two could wait for each other. A worker
        // says how far each job is in every call; only a row that is to say something else is locked and written.
        if !progressed.isEmpty {
            statements.append(
                """
                WITH said (job_id, attempt_id, progress) AS (
                    SELECT * FROM unnest(\(progressed.map(\.jobID)), \(progressed.map(\.attemptID)), \(progressed.map { Int16(max(0, min(100, $0.progress ?? 0))) }))
                ), locked AS (
                    SELECT jobs.job_id, said.progress FROM ONLY jobs JOIN said ON jobs.job_id = said.job_id AND jobs.attempt_id = said.attempt_id
                    WHERE jobs.state = 'running' AND jobs.progress <> said.progress ORDER BY jobs.job_id FOR NO KEY UPDATE OF jobs
                )
                UPDATE ONLY jobs SET progress = locked.progress FROM locked WHERE jobs.job_id = locked.job_id
                RETURNING jobs.account_id
                """
            )
        }
        statements.append(
            """
            WITH wanted (job_id, attempt_id) AS (SELECT * FROM unnest(\(leases.map(\.jobID)), \(leases.map(\.attemptID)))),
            locked AS (
                SELECT leases.job_id FROM leases JOIN wanted ON leases.job_id = wanted.job_id AND leases.attempt_id = wanted.attempt_id
                ORDER BY leases.job_id FOR UPDATE OF leases
            ), renewed AS (
                UPDATE leases SET expires_at = clock_timestamp() + \(lease) FROM locked WHERE leases.job_id = locked.job_id RETURNING leases.job_id)
            SELECT renewed.job_id, jobs.cancel_requested_at IS NOT NULL FROM renewed JOIN ONLY jobs USING (job_id)
            """
        )
        let results = try await pool.pipeline(statements)
        if !progressed.isEmpty { news.changed(Set(try results[1].map { try $0.column(0, as: AccountID.self) })) }
        var held: [JobID: Bool] = [:]
        for row in results.last ?? [] {
            let (job, isCancelled) = try row.decode(JobID.self, Bool.self)
            held[job] = isCancelled
        }
        return leases.map { lease in
            let state: LeaseStanding.State = held[lease.jobID].map { $0 ? .cancelRequested : .held } ?? .lost
            return LeaseStanding(jobID: lease.jobID, attemptID: lease.attemptID, state: state)
        }
    }

    func release(_ leases: [LeaseReference]) async throws {
        if leases.isEmpty { return }
        try await transaction { transaction in
            guard let transaction = transaction as? PostgresSchedulerTransaction else { return }
            let connection = transaction.connection
            let references: SQL = "unnest(\(leases.map(\.jobID)), \(leases.map(\.attemptID))) AS held (job_id, attempt_id)"
            let answers = try await connection.pipeline([
                ScheduleLocks.taking(ofEndsOf: leases.map(\.jobID), where: "jobs.cancel_requested_at IS NOT NULL AND jobs.state = 'running'"),
                """
                SELECT \(unsafe: JobColumns.list) FROM ONLY jobs JOIN \(references) USING (job_id, attempt_id)
                WHERE jobs.state = 'running' ORDER BY jobs.job_id FOR NO KEY UPDATE OF jobs
                """,
            ])
            let running = try answers[1].map(JobColumns.job)
            let cancelled = running.filter { $0.cancelRequestedAt != nil }.map { JobEnding(job: $0, state: .cancelled) }
            try ScheduleLocks(answers[0]).check(cancelled)
            try await Self.end(cancelled, transaction)
            let waiting = running.filter { $0.cancelRequestedAt == nil }
            await transaction.tell(changesOf: waiting.map(\.accountID))
            // The wait begins anew: what the job has waited and run so far is not its fault.
            let waits = waiting.map { Double(JobLimits.queueTimeoutSeconds(kind: $0.kind)) }
            _ = try await connection.pipeline([
                """
                UPDATE ONLY jobs SET state = 'pending', attempt = attempt - 1, attempt_id = NULL, worker = NULL, claim_id = NULL, progress = 0,
                    queue_deadline = clock_timestamp() + make_interval(secs => wait)
                FROM unnest(\(waiting.map(\.id)), \(waits)) AS given (job_id, wait) WHERE jobs.job_id = given.job_id
                """,
                "DELETE FROM leases USING \(references) WHERE leases.job_id = held.job_id AND leases.attempt_id = held.attempt_id",
            ])
        }
    }

    func claimableClasses() async throws -> [ResourceClass] {
        try await pool.query(Self.claimable).map { try $0.column(0) }
    }

    /// A look at the index of claims, class by class, up to the first job that can be claimed. As an EXISTS it may be planned as a join, which reads all that
    /// waits, every second.
    ///
    /// Jobs that lie ahead (jitter, a retry) are passed over within the index, ninety a page: 7 ms where 100,000 of them and nothing else wait. An index in
    /// the order of their moments would spare that; but every job that is made would have to be written into it.
    static var claimable: SQL {
        """
        SELECT class FROM unnest(\(ResourceClass.allCases)) AS class CROSS JOIN LATERAL (
            SELECT FROM ONLY jobs
            WHERE state = 'pending' AND blocked_by = 0 AND resource_class = class AND available_at <= (SELECT clock_timestamp())
            ORDER BY resource_class, precedence, account_id, available_at LIMIT 1) AS first
        """
    }

    func raiseWaiting(limit: Int) async throws -> Int {
        // To 1 (high) and not beyond: 0 (urgent) is the platform's own. What somebody else has locked is being claimed or cancelled. To wait for another
        // job, or for its moment, is not to wait for a worker.
        try await pool.query(
            """
            UPDATE ONLY jobs SET precedence = precedence - 1, ranked_at = clock_timestamp()
            FROM (
                SELECT job_id FROM ONLY jobs
                WHERE state = 'pending' AND blocked_by = 0 AND precedence > 1 AND ranked_at < (SELECT clock_timestamp()) - interval '10 minutes'
                  AND available_at <= (SELECT clock_timestamp())
                ORDER BY ranked_at LIMIT \(limit) FOR NO KEY UPDATE SKIP LOCKED) AS old
            WHERE jobs.job_id = old.job_id RETURNING 1
            """
        ).count
    }
}
