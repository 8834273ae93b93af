import Contracts
import Postgres

extension PostgresSchedulerTransaction {
    func openRuns(among schedules: [ScheduleID], locked: Bool) async throws -> [OpenRun] {
        let lock: SQL = locked ? "FOR NO KEY UPDATE" : ""
        return try await connection.query(
            """
            SELECT job_id, schedule_id, state, blocked_by FROM ONLY jobs
            WHERE schedule_id IS NOT NULL AND state IN ('pending', 'running') AND schedule_id = ANY (\(schedules)) ORDER BY job_id \(lock)
            """
        ).map { row in
            let (id, schedule, state, blockedBy) = try row.decode(JobID.self, ScheduleID.self, JobState.self, Int.self)
            return OpenRun(id: id, scheduleID: schedule, standing: state == .running ? .running : blockedBy > 0 ? .waiting : .pending)
        }
    }

    func cancelRuns(_ jobs: [JobID]) async throws {
        let open = try await lockedOpenJobs(jobs)
        try await connection.execute(
            """
            UPDATE ONLY jobs SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
            WHERE job_id = ANY (\(open.filter { $0.state == .running }.map(\.id)))
            """
        )
        try await PostgresSchedulerStore.end(
            open.filter { $0.state == .pending }.map { JobEnding(job: $0, state: .cancelled, errorMessage: JobEnding.forALaterRun) },
            self
        )
    }

    func endRuns(_ jobs: [JobID]) async throws {
        try await PostgresSchedulerStore.end(
            try await lockedOpenJobs(jobs).map { JobEnding(job: $0, state: .cancelled, errorMessage: JobEnding.forALaterRun) },
            self
        )
    }

    private func lockedOpenJobs(_ ids: [JobID]) async throws -> [Job] {
        try await connection.query(
            """
            SELECT \(unsafe: JobColumns.list) FROM ONLY jobs
            WHERE job_id = ANY (\(ids)) AND state IN ('pending', 'running') ORDER BY job_id FOR NO KEY UPDATE
            """
        ).map(JobColumns.job)
    }
}
