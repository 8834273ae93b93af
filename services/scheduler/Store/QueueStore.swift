import Contracts
import Postgres

/// Looks where a job stands among those that wait, in the order of the claims: rank, then accounts in turn, then age.
///
/// Each count goes no further than a thousand index entries, and no more than 64 accounts are walked, as a claim does it. That accounts which run more
/// are served less is left out: it is an outlook, not a promise.
struct QueueStore: Sendable {
    let pool: PostgresPool
    static let most = 1_000

    /// Nil when the job does not wait for a worker (any more).
    func outlook(of job: Job) async throws -> QueueOutlook? {
        let rows = try await pool.query(Self.statement(job))
        guard let row = rows.first else { return nil }
        let (own, before, others, running, average) = try row.decode(Int.self, Int.self, Int.self, Int.self, Double?.self)
        let most = Self.most
        return QueueOutlook(
            ahead: own + before + others,
            isBounded: own >= most || before >= most || others >= most,
            running: running,
            averageSeconds: average
        )
    }

    static func statement(_ job: Job) -> SQL {
        let queue: SQL = "state = 'pending' AND blocked_by = 0 AND resource_class = \(job.resourceClass)"
        return """
            WITH RECURSIVE place AS (
                SELECT job_id, account_id, precedence, available_at FROM ONLY jobs WHERE job_id = \(job.id) AND state = 'pending' AND blocked_by = 0
            ), own AS (
                SELECT count(*) AS jobs FROM (
                    SELECT FROM ONLY jobs, place WHERE \(queue) AND jobs.precedence = place.precedence AND jobs.account_id = place.account_id
                      AND (jobs.available_at, jobs.job_id) < (place.available_at, place.job_id) LIMIT \(most)) AS job
            ), before AS (
                SELECT count(*) AS jobs FROM (
                    SELECT FROM ONLY jobs, place WHERE \(queue) AND jobs.precedence < place.precedence
                      AND jobs.available_at <= (SELECT clock_timestamp()) LIMIT \(most)) AS job
            ), walk (account_id, position) AS (
                SELECT '00000000-0000-0000-0000-000000000000'::uuid, 0
                UNION ALL
                SELECT next.account_id, walk.position + 1 FROM walk CROSS JOIN LATERAL (
                    SELECT jobs.account_id FROM ONLY jobs
                    WHERE \(queue) AND jobs.precedence = (SELECT precedence FROM place) AND jobs.account_id > walk.account_id
                    ORDER BY jobs.account_id LIMIT 1) AS next
                WHERE walk.position < 64
            ), others AS (
                SELECT count(*) AS jobs FROM (
                    SELECT FROM walk CROSS JOIN place CROSS JOIN LATERAL (
                        SELECT FROM ONLY jobs WHERE \(queue) AND jobs.precedence = place.precedence AND jobs.account_id = walk.account_id
                          AND jobs.available_at <= (SELECT clock_timestamp())
                        LIMIT (SELECT own.jobs + 1 FROM own)) AS job
                    WHERE walk.position > 0 AND walk.account_id <> place.account_id LIMIT \(most)) AS job
            ), running AS (
                SELECT count(*) AS jobs, avg(coalesce(jobs.estimated_seconds, extract(epoch FROM clock_timestamp() - jobs.started_at)))::float8 AS seconds
                FROM leases JOIN ONLY jobs USING (job_id) WHERE leases.resource_class = \(job.resourceClass)
            )
            SELECT own.jobs, before.jobs, others.jobs, running.jobs, running.seconds FROM place, own, before, others, running
            """
    }
}
