import Contracts
import Postgres

extension PostgresSchedulerStore {
    func insert(_ jobs: [NewJob]) async throws -> [Insertion] {
        if jobs.contains(where: { !$0.waitsFor.isEmpty }) { return try await onConnection { try await $0.insert(jobs) } }
        let insertions = try await pool.withConnection { try await JobInsertion.run(news.estimated(jobs), on: $0) }
        news.changed(Set(jobs.map(\.accountID)))
        return insertions
    }

    /// One round trip: a lock on the claim's id (a repeated call waits for the first and then sees what it got), then a statement a class.
    func claim(_ claim: Claim) async throws -> [Job] {
        var statements: [SQL] = [
            Self.withoutFlush, "SELECT pg_advisory_xact_lock(hashtextextended(\("scheduler.claim/" + claim.id.description), 0))", held(by: claim),
        ]
        for wanted in claim.classes where wanted.slots > 0 { statements.append(take(wanted, for: claim)) }
        let results = try await pool.pipeline(statements)
        let jobs = try results.dropFirst(2).flatMap { try $0.map(JobColumns.job) }
        turns.served(jobs)
        news.changed(Set(jobs.map(\.accountID)))
        return jobs
    }

    /// The commit need not wait for the disk. A claim or renewal that a crash of the server forgets is a job that waits again, whose worker is
    /// fenced off; and what a job's end makes durable, it makes durable together with the claim before it, because the log is flushed in order.
    private static let withoutFlush: SQL = "SELECT set_config('synchronous_commit', 'off', true)"

    /// What the same claim got before and still holds.
    private func held(by claim: Claim) -> SQL {
        """
        SELECT \(unsafe: JobColumns.list) FROM leases JOIN jobs USING (job_id)
        WHERE leases.claim_id = \(claim.id) AND jobs.state = 'running' AND jobs.attempt_id = leases.attempt_id
        """
    }

    /// Walks the accounts that have a job of the class that may be claimed now, by rank; takes from each in turn, those first that run least.
    ///
    /// A claim sees 64 accounts. Within a rank the walk begins behind the account that was served last and goes once round, in two segments: the
    /// accounts after it, then those up to it. So no account stays out of sight, and one whose jobs all wait for their time costs nobody a place.
    private func take(_ wanted: ClassSlots, for claim: Claim) -> SQL {
        let start = turns.start(wanted.class)
        let (least, greatest): (SQL, SQL) = ("'00000000-0000-0000-0000-000000000000'::uuid", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid")
        return """
            WITH RECURSIVE walk (segment, account_id, position) AS (
                SELECT 0, \(start)::uuid, 0 WHERE NOT EXISTS (SELECT FROM leases WHERE claim_id = \(claim.id) AND resource_class = \(wanted.class))
                UNION ALL
                SELECT next.segment, next.account_id, walk.position + 1 FROM walk CROSS JOIN LATERAL (
                    SELECT part.segment, found.account_id
                    FROM (SELECT segment FROM generate_series(walk.segment, 7) AS segment ORDER BY segment) AS part
                    CROSS JOIN LATERAL (
                        SELECT jobs.account_id FROM jobs
                        WHERE state = 'pending' AND resource_class = \(wanted.class) AND jobs.precedence = part.segment / 2
                          AND jobs.account_id > CASE WHEN part.segment = walk.segment THEN walk.account_id
                              WHEN part.segment % 2 = 0 THEN \(start)::uuid ELSE \(least) END
                          AND jobs.account_id <= CASE WHEN part.segment % 2 = 0 THEN \(greatest) ELSE \(start)::uuid END
                          AND jobs.available_at <= (SELECT clock_timestamp())
                        ORDER BY jobs.account_id LIMIT 1) AS found
                    ORDER BY part.segment LIMIT 1) AS next
                WHERE walk.position < 64
            ), lanes AS (
                SELECT (segment / 2)::smallint AS precedence, account_id FROM walk WHERE position > 0
            ), running AS (
                SELECT account_id, count(*) AS held FROM leases WHERE resource_class = \(wanted.class) GROUP BY account_id
            ), candidates AS (
                SELECT lanes.precedence, job.job_id, job.available_at,
                    coalesce(running.held, 0) + row_number() OVER (PARTITION BY lanes.precedence, lanes.account_id ORDER BY job.available_at, job.job_id) AS share
                FROM lanes LEFT JOIN running USING (account_id) CROSS JOIN LATERAL (
                    SELECT job_id, available_at FROM jobs
                    WHERE state = 'pending' AND resource_class = \(wanted.class) AND jobs.precedence = lanes.precedence
                      AND jobs.account_id = lanes.account_id AND available_at <= (SELECT clock_timestamp())
                    ORDER BY available_at, job_id LIMIT \(wanted.slots * 2)) AS job
            ), chosen AS (
                SELECT job_id, precedence, share, available_at FROM candidates ORDER BY precedence, share, available_at, job_id LIMIT \(wanted.slots * 4)
            ), picked AS (
                SELECT jobs.job_id FROM chosen JOIN jobs USING (job_id)
                WHERE jobs.state = 'pending'
                ORDER BY chosen.precedence, chosen.share, chosen.available_at, chosen.job_id
                LIMIT \(wanted.slots) FOR NO KEY UPDATE OF jobs SKIP LOCKED
            ), taken AS (
                UPDATE jobs SET state = 'running', attempt = attempt + 1, attempt_id = gen_random_uuid(), claim_id = \(claim.id), worker = \(claim.worker),
                    started_at = coalesce(started_at, clock_timestamp()), progress = 0
                FROM picked WHERE jobs.job_id = picked.job_id RETURNING \(unsafe: JobColumns.list)
            ), leased AS (
                INSERT INTO leases (job_id, attempt_id, claim_id, account_id, resource_class, worker, expires_at)
                SELECT job_id, attempt_id, claim_id, account_id, resource_class, worker, clock_timestamp() + \(lease) FROM taken
            )
            SELECT * FROM taken ORDER BY priority, available_at, job_id
            """
    }

    private var lease: SQL { "make_interval(secs => \(Double(JobLimits.leaseSeconds)))" }

    func renew(_ leases: [LeaseRenewal]) async throws -> [LeaseStanding] {
        if leases.isEmpty { return [] }
        let progressed = leases.filter { $0.progress != nil }
        var statements: [SQL] = [Self.withoutFlush]
        // Rows of jobs before rows of leases, each in the order of their ids, as the ends of jobs lock them: else the two could wait for each other.
        if !progressed.isEmpty {
            statements.append(
                """
                WITH said (job_id, attempt_id, progress) AS (
                    SELECT * FROM unnest(\(progressed.map(\.jobID)), \(progressed.map(\.attemptID)), \(progressed.map { Int16(clamping: $0.progress ?? 0) }))
                ), locked AS (
                    SELECT jobs.job_id, said.progress FROM jobs JOIN said ON jobs.job_id = said.job_id AND jobs.attempt_id = said.attempt_id
                    WHERE jobs.state = 'running' ORDER BY jobs.job_id FOR NO KEY UPDATE OF jobs
                )
                UPDATE jobs SET progress = greatest(0, least(100, locked.progress)) FROM locked WHERE jobs.job_id = locked.job_id
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
            SELECT renewed.job_id, jobs.cancel_requested_at IS NOT NULL FROM renewed JOIN jobs USING (job_id)
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
            let running = try await connection.query(
                """
                SELECT \(unsafe: JobColumns.list) FROM jobs JOIN \(references) USING (job_id, attempt_id)
                WHERE jobs.state = 'running' ORDER BY jobs.job_id FOR NO KEY UPDATE OF jobs
                """
            ).map(JobColumns.job)
            try await Self.end(running.filter { $0.cancelRequestedAt != nil }.map { JobEnding(job: $0, state: .cancelled) }, transaction)
            let waiting = running.filter { $0.cancelRequestedAt == nil }
            await transaction.tell(changesOf: waiting.map(\.accountID))
            // The wait begins anew: what the job has waited and run so far is not its fault.
            let waits = waiting.map { Double(JobLimits.queueTimeoutSeconds(kind: $0.kind)) }
            _ = try await connection.pipeline([
                """
                UPDATE jobs SET state = 'pending', attempt = attempt - 1, attempt_id = NULL, worker = NULL, claim_id = NULL, progress = 0,
                    queue_deadline = clock_timestamp() + make_interval(secs => wait)
                FROM unnest(\(waiting.map(\.id)), \(waits)) AS given (job_id, wait) WHERE jobs.job_id = given.job_id
                """,
                "DELETE FROM leases USING \(references) WHERE leases.job_id = held.job_id AND leases.attempt_id = held.attempt_id",
            ])
        }
    }

    func claimableClasses() async throws -> [ResourceClass] {
        try await pool.query(
            """
            SELECT class FROM unnest(\(ResourceClass.allCases)) AS class
            WHERE EXISTS (SELECT FROM jobs WHERE state = 'pending' AND resource_class = class AND available_at <= (SELECT clock_timestamp()))
            """
        ).map { try $0.column(0) }
    }

    func raiseWaiting() async throws {
        // To 1 (high) and not beyond: 0 (urgent) is the platform's own.
        try await pool.execute(
            """
            UPDATE jobs SET precedence = precedence - 1, ranked_at = clock_timestamp()
            WHERE state = 'pending' AND precedence > 1 AND ranked_at < (SELECT clock_timestamp()) - interval '10 minutes'
            """
        )
    }
}
