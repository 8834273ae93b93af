import Contracts
import Postgres

extension PostgresSchedulerTransaction {
    /// The job that the same key made before. Archives have no index of keys, so a key is good until its job has gone there.
    func jobID(like job: NewJob) async throws -> JobID? {
        try await connection.query(
            """
            SELECT job_id FROM ONLY jobs
            WHERE account_id = \(job.accountID) AND kind = \(job.kind.rawValue) AND idempotency_key = \(job.idempotencyKey)
            """
        ).first?.column(0)
    }

    /// The run of a schedule by hand that has not ended.
    func openRunNow(of schedule: ScheduleID) async throws -> JobID? {
        try await connection.query(
            """
            SELECT jobs.job_id FROM schedules JOIN jobs ON jobs.job_id = schedules.run_now_job_id
            WHERE schedules.schedule_id = \(schedule) AND jobs.state IN ('pending', 'running')
            """
        ).first?.column(0)
    }

    /// Notes a run of a schedule by hand.
    func noteRunNow(_ job: JobID, of schedule: ScheduleID) async throws {
        try await connection.execute("UPDATE schedules SET run_now_job_id = \(job) WHERE schedule_id = \(schedule)")
    }
}
