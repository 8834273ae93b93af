public import Contracts
public import Postgres

/// The columns of a job in the order in which a row is decoded.
enum JobColumns {
    /// How many there are: what a statement adds stands behind them.
    static let count = 38

    static let list =
        """
        jobs.job_id, jobs.account_id, jobs.kind, jobs.resource_class, jobs.priority, jobs.state, jobs.created_at, jobs.available_at, jobs.started_at,
        jobs.completed_at, jobs.attempt, jobs.max_attempts, jobs.claim_id, jobs.worker, jobs.attempt_id, jobs.cancel_requested_at, jobs.failure_kind,
        jobs.error_message, jobs.progress, jobs.parent_job_id, jobs.idempotency_key, jobs.input_sha256, jobs.spec, jobs.result, jobs.result_sha256,
        jobs.estimated_seconds, jobs.cpu_seconds, jobs.memory_peak_bytes, jobs.schedule_id, jobs.occurrence_id, jobs.traceparent,
        jobs.blocked_by, jobs.waits_for, jobs.batch_id, jobs.version, jobs.memory_gib_seconds, jobs.bytes_in, jobs.bytes_out
        """

    static func job(_ row: PostgresRow) throws -> Job {
        Job(
            id: try row.column(0),
            accountID: try row.column(1),
            kind: JobKind(try row.column(2, as: String.self)),
            resourceClass: try row.column(3),
            priority: try Priority(ordinal: row.column(4)),
            state: try row.column(5),
            createdAt: try row.column(6),
            availableAt: try row.column(7),
            startedAt: try row.column(8),
            completedAt: try row.column(9),
            attempt: try row.column(10),
            maximumAttempts: try row.column(11),
            claimID: try row.column(12),
            worker: try row.column(13),
            attemptID: try row.column(14),
            cancelRequestedAt: try row.column(15),
            failureKind: try row.column(16),
            errorMessage: try row.column(17),
            progress: try row.column(18),
            parentJobID: try row.column(19),
            idempotencyKey: try row.column(20),
            inputSHA256: try row.column(21),
            spec: try row.column(22),
            result: try row.column(23),
            resultSHA256: try row.column(24),
            estimatedSeconds: try row.column(25),
            cpuSeconds: try row.column(26),
            memoryPeakBytes: try row.column(27),
            scheduleID: try row.column(28),
            occurrenceID: try row.column(29),
            traceparent: try row.column(30),
            blockedBy: try row.column(31),
            waitsFor: try row.column(32, as: PostgresJSON?.self)?.decode([JobDependency].self) ?? [],
            batchID: try row.column(33),
            version: try row.column(34),
            memoryGiBSeconds: try row.column(35),
            bytesIn: try row.column(36),
            bytesOut: try row.column(37)
        )
    }
}

extension Priority {
    /// 0 is urgent: what goes first sorts first.
    var ordinal: Int16 { Int16(3 - rank) }

    init(ordinal: Int16) throws(PostgresError) {
        guard let known = Priority.allCases.first(where: { $0.ordinal == ordinal }) else {
            throw PostgresError(.decoding, message: "\(ordinal) is no priority")
        }
        self = known
    }
}

extension ResourceClass: PostgresEncodable, PostgresDecodable, PostgresArrayElement {}
extension JobState: PostgresEncodable, PostgresDecodable, PostgresArrayElement {}
extension FailureKind: PostgresEncodable, PostgresDecodable, PostgresArrayElement {}
extension JobDependency.Condition: PostgresEncodable, PostgresDecodable, PostgresArrayElement {}
extension OccurrenceOutcome: PostgresEncodable, PostgresDecodable, PostgresArrayElement {}
extension Schedule.State: PostgresEncodable, PostgresDecodable {}
