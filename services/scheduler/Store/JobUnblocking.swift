import Contracts
import Postgres

/// Lets jobs go that waited for others, in the transaction in which these ended, whatever way they ended.
///
/// One whose condition cannot be met any more is cancelled there and then, and so are those that wait for it. A transaction does so much and no more;
/// what is left is written down and worked off by the sweeper.
///
/// A dependant is locked before its rows go, as its own end does it: else the two could wait for each other.
enum JobUnblocking {
    /// How many ends of waits one transaction works off.
    static let most = 1_000

    /// An end that a job waited for.
    struct Wait: Sendable, Hashable {
        let job: JobID
        let on: JobID
        let condition: JobDependency.Condition
    }

    /// Takes the waits for these jobs; rides along with what ends them, so that an end for which nobody waits costs no round trip.
    static func taking(waitsFor ended: [JobID], only: Set<JobID>? = nil, limit: Int) -> SQL {
        let among: SQL = only.map { "AND job_id = ANY (\($0.sorted()))" } ?? ""
        return """
            WITH waiting AS (
                SELECT job_id, on_job_id FROM job_dependencies WHERE on_job_id = ANY (\(ended)) \(among) ORDER BY job_id, on_job_id LIMIT \(limit)
            ), locked AS (
                SELECT job_id FROM ONLY jobs WHERE job_id IN (SELECT job_id FROM waiting) ORDER BY job_id FOR NO KEY UPDATE
            )
            DELETE FROM job_dependencies AS wait USING waiting JOIN locked USING (job_id)
            WHERE wait.job_id = waiting.job_id AND wait.on_job_id = waiting.on_job_id RETURNING wait.job_id, wait.on_job_id, wait.condition
            """
    }

    /// What jobs that have ended waited for themselves is of no interest any more.
    static func forgetting(waitsOf ended: [JobID]) -> SQL { "DELETE FROM job_dependencies WHERE job_id = ANY (\(ended))" }

    static func waits(_ rows: [PostgresRow]) throws -> [Wait] {
        try rows.map { Wait(job: try $0.column(0), on: try $0.column(1), condition: try $0.column(2)) }
    }

    /// Works off what these ends mean for those that wait; gives how many more waits the transaction may work off.
    @discardableResult
    static func letGo(
        of ended: [JobID: JobState],
        only: Set<JobID>? = nil,
        limit: Int = most,
        in transaction: PostgresSchedulerTransaction
    ) async throws -> Int {
        if ended.isEmpty { return limit }
        let rows = try await transaction.connection.query(taking(waitsFor: ended.keys.sorted(), only: only, limit: limit))
        return try await apply(try waits(rows), of: ended, limit: limit, in: transaction)
    }

    /// The waits that were taken, of jobs that have ended so.
    @discardableResult
    static func apply(_ waits: [Wait], of ended: [JobID: JobState], limit: Int, in transaction: PostgresSchedulerTransaction) async throws -> Int {
        if waits.isEmpty && limit > 0 { return limit }
        var met: [JobID: Int16] = [:]
        var unmet: [JobID: (on: JobID, state: JobState)] = [:]
        for wait in waits {
            guard let state = ended[wait.on] else { continue }
            if JobDependency(on: wait.on, condition: wait.condition).isMet(by: state) {
                met[wait.job, default: 0] += 1
            } else if unmet[wait.job].map({ wait.on < $0.on }) ?? true {
                unmet[wait.job] = (wait.on, state)
            }
        }
        for job in unmet.keys { met[job] = nil }
        let answers = try await transaction.connection.pipeline([
            releasing(met), locking(Array(unmet.keys)), leaving(ended),
        ])
        let freed = Set(try answers[0].compactMap { try $0.column(0, as: ResourceClass?.self) })
        await transaction.tell(changesOf: try answers[0].map { try $0.column(1) })
        let hint = transaction.hint
        if !freed.isEmpty { await transaction.connection.afterCommit { freed.forEach(hint) } }
        let endings = try answers[1].map(JobColumns.job).compactMap { job in
            unmet[job.id].map { JobEnding.unmeetable(job, because: $0.on, $0.state) }
        }
        return try await PostgresSchedulerStore.end(endings, transaction, waitLimit: max(0, limit - waits.count))
    }

    /// Counts ends that were waited for; who waits for no more may be claimed, if its time has come.
    private static func releasing(_ met: [JobID: Int16]) -> SQL {
        let ids = met.keys.sorted()
        return """
            UPDATE ONLY jobs SET blocked_by = blocked_by - ended,
                available_at = CASE WHEN blocked_by = ended THEN greatest(not_before, clock_timestamp()) ELSE available_at END,
                queue_deadline = CASE WHEN blocked_by = ended
                    THEN greatest(not_before, clock_timestamp()) + (queue_deadline - available_at) ELSE queue_deadline END,
                ranked_at = clock_timestamp(), precedence = CASE WHEN blocked_by = ended THEN priority ELSE precedence END
            FROM unnest(\(ids), \(ids.map { met[$0] ?? 0 })) AS freed (job_id, ended)
            WHERE jobs.job_id = freed.job_id AND jobs.state = 'pending' AND jobs.blocked_by >= ended
            RETURNING CASE WHEN blocked_by = 0 THEN resource_class END, account_id
            """
    }

    private static func locking(_ ids: [JobID]) -> SQL {
        "SELECT \(unsafe: JobColumns.list) FROM ONLY jobs WHERE job_id = ANY (\(ids)) AND state = 'pending' ORDER BY job_id FOR NO KEY UPDATE"
    }

    /// Writes down which of these still have dependants.
    private static func leaving(_ ended: [JobID: JobState]) -> SQL {
        let ids = ended.keys.sorted()
        return """
            INSERT INTO job_unblockings (job_id, state)
            SELECT ended.job_id, ended.state FROM unnest(\(ids), \(ids.map { ended[$0] ?? .failed })) AS ended (job_id, state)
            WHERE EXISTS (SELECT FROM job_dependencies WHERE on_job_id = ended.job_id) ON CONFLICT DO NOTHING
            """
    }
}

extension PostgresSchedulerStore {
    func unblockLeftOver(limit: Int) async throws -> Int {
        try await onConnection { transaction in
            let rows = try await transaction.connection.query(
                """
                DELETE FROM job_unblockings WHERE job_id IN (SELECT job_id FROM job_unblockings ORDER BY job_id LIMIT \(limit) FOR UPDATE SKIP LOCKED)
                RETURNING job_id, state
                """
            )
            var ended: [JobID: JobState] = [:]
            for row in rows { ended[try row.column(0)] = try row.column(1, as: JobState.self) }
            try await JobUnblocking.letGo(of: ended, in: transaction)
            return ended.count
        }
    }
}
