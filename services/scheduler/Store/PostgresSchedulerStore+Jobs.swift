import Contracts
import Postgres

extension PostgresSchedulerStore {
    func job(_ id: JobID) async throws -> Job? {
        try await pool.query("SELECT \(unsafe: JobColumns.list) FROM jobs WHERE job_id = \(id)").first.map(JobColumns.job)
    }

    func jobs(_ filter: JobFilter) async throws -> [Job] {
        try await pool.query(Self.listing(filter)).map(JobColumns.job)
    }

    /// The statement of a list. What has ended is found in the hot table and in the archives, in one order; what is open only in the hot one.
    static func listing(_ filter: JobFilter) -> SQL {
        let isOpen = filter.state == .pending || filter.state == .running
        var sql: SQL = "SELECT \(unsafe: JobColumns.list) FROM \(unsafe: isOpen ? "ONLY " : "")jobs WHERE true"
        if let account = filter.accountID { sql.append(" AND jobs.account_id = \(account)") }
        if let state = filter.state {
            sql.append(" AND jobs.state = \(state)")
            if state == .running {
                sql.append(" AND jobs.job_id IN (SELECT leases.job_id FROM leases")
                if let account = filter.accountID { sql.append(" WHERE leases.account_id = \(account)") }
                sql.append(")")
            } else if state == .pending, filter.accountID != nil {
                // All classes and ranks there are: with them named, the index that claims walk leads to the account; what waits for others has its own.
                sql.append(
                    """
                     AND (jobs.blocked_by > 0
                        OR (jobs.blocked_by = 0 AND jobs.resource_class = ANY (\(ResourceClass.allCases)) AND jobs.precedence = ANY ('{0,1,2,3}')))
                    """
                )
            }
        }
        if let kinds = filter.kinds { sql.append(" AND jobs.kind = ANY (\(kinds.map(\.rawValue)))") }
        if let signal = filter.signalID { sql.append(" AND jobs.signal_id = \(signal)") }
        if let parent = filter.parentJobID { sql.append(" AND jobs.parent_job_id = \(parent)") }
        if let batch = filter.batchID { sql.append(" AND jobs.batch_id = \(batch)") }
        // An id tells the moment at which it was made, which lies close before that of its row: so the index serves for the bounds of time as well.
        if let from = filter.createdFrom {
            sql.append(" AND jobs.created_at >= \(from) AND jobs.job_id >= \(JobID.least(from - JobFilter.slack))")
        }
        if let to = filter.createdTo { sql.append(" AND jobs.created_at < \(to) AND jobs.job_id < \(JobID.least(to + JobFilter.slack))") }
        if let place = filter.beyond {
            sql.append(filter.isOldestFirst ? " AND jobs.job_id > \(place)" : " AND jobs.job_id < \(place)")
        }
        sql.append(" ORDER BY jobs.job_id \(unsafe: filter.isOldestFirst ? "ASC" : "DESC") LIMIT \(filter.limit)")
        // A plan that is kept fits no value in particular: it would walk the account's history for a rare kind, and could not use the index of a rare state.
        return filter.kinds == nil && filter.state == nil ? sql : sql.unprepared
    }

    func log(of id: JobID) async throws -> JobLog? {
        try await pool.query("SELECT attempt, body, is_truncated, stored_at FROM job_logs WHERE job_id = \(id)").first.map { row in
            JobLog(attempt: try row.column(0), text: try row.column(1), isTruncated: try row.column(2), storedAt: try row.column(3))
        }
    }

    func namedResults(among digests: [SHA256Digest]) async throws -> Set<SHA256Digest> {
        let rows = try await pool.query("SELECT result_sha256 FROM jobs WHERE result_sha256 IS NOT NULL AND result_sha256 = ANY (\(digests))")
        return Set(try rows.map { try $0.column(0, as: SHA256Digest.self) })
    }

    // MARK: Audit

    /// Eras that were in force after `since`, each with how far its schedule has been worked off.
    func eras(since: Timestamp) async throws -> [(era: ScheduleEra, workedOffTo: Timestamp)] {
        try await pool.query(
            """
            SELECT schedule_id, cadence, from_at, to_at, cursor_at, policy FROM schedule_eras JOIN schedules USING (schedule_id)
            WHERE coalesce(to_at, cursor_at) > \(since) ORDER BY schedule_id, from_at
            """
        ).map { row in
            let (id, cadence, from, to, cursor) = try row.decode(ScheduleID.self, PostgresJSON.self, Timestamp.self, Timestamp?.self, Timestamp.self)
            let policy: SchedulePolicy? = try row.column(5, as: PostgresJSON?.self)?.decode()
            return (ScheduleEra(scheduleID: id, cadence: try cadence.decode(), policy: policy ?? SchedulePolicy(), from: from, to: to), cursor)
        }
    }

    /// The occurrences of a schedule that lie, or reach, in `(from, to]`.
    func occurrences(of schedule: ScheduleID, after from: Timestamp, through to: Timestamp) async throws -> [Occurrence] {
        try await pool.query(
            """
            SELECT \(unsafe: OccurrenceColumns.list) FROM all_occurrences
            WHERE schedule_id = \(schedule) AND due_at <= \(to) AND coalesce(range_to, due_at) > \(from) ORDER BY due_at
            """
        ).map(OccurrenceColumns.occurrence)
    }

    /// Faults among jobs and leases, in words.
    func jobFaults() async throws -> [String: [String]] {
        func ids(_ sql: SQL) async throws -> [String] { try await pool.query(sql).map { try $0.column(0, as: String.self) } }
        return [
            "each running job has its lease and each lease its running job": try await ids(
                """
                SELECT 'job ' || job_id || ' runs without a lease' FROM jobs WHERE state = 'running'
                  AND NOT EXISTS (SELECT FROM leases WHERE leases.job_id = jobs.job_id AND leases.attempt_id = jobs.attempt_id)
                UNION ALL
                SELECT 'lease of job ' || job_id || ' belongs to no running attempt' FROM leases
                WHERE NOT EXISTS (SELECT FROM jobs WHERE jobs.job_id = leases.job_id AND jobs.attempt_id = leases.attempt_id AND state = 'running')
                """
            ),
            "no lease has been without its worker for more than a minute": try await ids(
                "SELECT 'lease of job ' || job_id || ', held by ' || worker FROM leases WHERE expires_at < clock_timestamp() - interval '1 minute'"
            ),
            "each job that waits for others waits for as many as it says, none of which has ended": try await ids(
                """
                SELECT 'job ' || job_id || ' says that it waits for ' || blocked_by FROM ONLY jobs WHERE state = 'pending' AND blocked_by > 0
                  AND blocked_by <> (SELECT count(*) FROM job_dependencies WHERE job_dependencies.job_id = jobs.job_id)
                UNION ALL
                SELECT 'job ' || wait.job_id || ' waits for job ' || wait.on_job_id || ', which has ended'
                FROM job_dependencies AS wait JOIN jobs ON jobs.job_id = wait.on_job_id
                WHERE jobs.state IN ('completed', 'failed', 'cancelled') AND NOT EXISTS (SELECT FROM job_unblockings AS left_over WHERE left_over.job_id = wait.on_job_id)
                """
            ),
            "each fired due time has one job": try await ids(
                """
                SELECT 'occurrence ' || occurrence_id || ' has no job' FROM occurrences
                WHERE outcome IN ('fired', 'late', 'failed') AND NOT EXISTS (SELECT FROM jobs WHERE jobs.job_id = occurrences.job_id)
                  -- Those of months whose archives are no longer kept have none; an hour because two clocks say when it was.
                  AND made_at > coalesce((SELECT (max(month) + interval '1 month 1 hour') AT TIME ZONE 'UTC' FROM job_archives
                      WHERE dropped_at IS NOT NULL), '-infinity')
                UNION ALL
                SELECT 'job ' || job_id || ' has no occurrence' FROM jobs WHERE kind = 'signal_run' AND occurrence_id IS NOT NULL
                  AND NOT EXISTS (SELECT FROM all_occurrences AS made WHERE made.occurrence_id = jobs.occurrence_id AND made.job_id = jobs.job_id)
                UNION ALL
                SELECT 'job ' || job_id || ' belongs to ' || count(*) || ' occurrences' FROM occurrences
                WHERE job_id IS NOT NULL GROUP BY job_id HAVING count(*) > 1
                UNION ALL
                SELECT 'occurrence ' || occurrences.occurrence_id || ' names job ' || job_id || ', which was made for '
                    || coalesce('occurrence ' || jobs.occurrence_id, 'none')
                FROM occurrences JOIN jobs USING (job_id) WHERE jobs.occurrence_id IS DISTINCT FROM occurrences.occurrence_id
                """
            ),
            "no due time counts as fired whose run has failed": try await ids(
                """
                SELECT 'occurrence ' || occurrences.occurrence_id || ' is ' || outcome || ', its job ' || job_id || ' is ' || state
                FROM occurrences JOIN jobs USING (job_id) WHERE outcome IN ('fired', 'late') AND state IN ('failed', 'cancelled')
                """
            ),
            "each completed run was recorded or rejected within a minute": try await ids(
                """
                SELECT 'job ' || jobs.job_id FROM jobs JOIN occurrences ON occurrences.occurrence_id = jobs.occurrence_id
                WHERE jobs.kind = 'signal_run' AND jobs.state = 'completed' AND jobs.completed_at < clock_timestamp() - interval '1 minute'
                  AND occurrences.recorded_at IS NULL AND occurrences.outcome <> 'failed'
                """
            ),
            "nothing older than a minute is unsent in the outbox": try await ids(
                "SELECT type || ' ' || id FROM outbox WHERE sent_at IS NULL AND appended_at < clock_timestamp() - interval '1 minute' LIMIT 100"
            ),
        ]
    }
}
