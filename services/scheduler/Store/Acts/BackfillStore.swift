import Contracts
import Messaging
import Postgres

/// Backfills and how far they are.
struct BackfillStore: Sendable {
    let store: PostgresSchedulerStore

    private var pool: PostgresPool { store.pool }

    /// What became of a wish for a backfill.
    enum Admission: Sendable {
        case made(Backfill)
        /// The same key came before, for this one.
        case known(Backfill)
        /// The schedule has one open already.
        case underWay
        /// The account has as many open as it may.
        case tooMany
    }

    /// What stands in the way of a new backfill, or was made by the same key: a look beforehand, since finding out what is due may take long.
    func obstacle(to schedule: Schedule, key: String?) async throws -> Admission? {
        try await store.onConnection { try await Self.obstacle(schedule.id, schedule.accountID, key: key, on: $0.connection) }
    }

    private static func obstacle(_ schedule: ScheduleID, _ account: AccountID, key: String?, on connection: PostgresConnection) async throws
        -> Admission?
    {
        if let key,
            let known = try await connection.query(
                "SELECT \(unsafe: BackfillColumns.list) FROM backfills WHERE account_id = \(account) AND idempotency_key = \(key)"
            ).first.map(BackfillColumns.backfill)
        {
            return .known(known)
        }
        let open = try await connection.query("SELECT schedule_id FROM backfills WHERE account_id = \(account) AND state = 'open'")
            .map { try $0.column(0, as: ScheduleID.self) }
        if open.contains(schedule) { return .underWay }
        return open.count >= Backfill.maximumOpen ? .tooMany : nil
    }

    /// Writes a backfill, if its schedule and its account may have one more; with its due times where a market gave them.
    func add(_ backfill: Backfill, dueTimes: [Backfill.DueTime] = [], key: String) async throws -> Admission {
        try await store.onConnection { transaction in
            let connection = transaction.connection
            // One wish of an account after the other, so that its number is right.
            _ = try await connection.query(
                "SELECT pg_advisory_xact_lock(hashtextextended(\("scheduler.backfills/" + backfill.accountID.description), 0))"
            )
            if let obstacle = try await Self.obstacle(backfill.scheduleID, backfill.accountID, key: key, on: connection) { return obstacle }
            let isListed = backfill.position != nil
            try await connection.execute(
                """
                INSERT INTO backfills (backfill_id, state, schedule_id, account_id, publication, from_at, to_at, overlap, due_count, cursor_at, created_at,
                    idempotency_key, next_position, asked_from, asked_to)
                VALUES (\(backfill.id), 'open', \(backfill.scheduleID), \(backfill.accountID), \(try PostgresJSON(encoding: backfill.publication)),
                    \(backfill.from), \(isListed ? backfill.to + BackfillColumns.listedTail : backfill.to), \(backfill.overlap), \(backfill.dueCount),
                    \(backfill.cursor), \(backfill.createdAt), \(key), \(backfill.position), \(backfill.asked?.from), \(backfill.asked?.to))
                """
            )
            guard isListed else { return .made(backfill) }
            try await connection.execute(
                """
                INSERT INTO backfill_due_times (backfill_id, position, due_at, as_of)
                SELECT \(backfill.id), place - 1, due_at, as_of
                FROM unnest(\(dueTimes.map(\.dueAt)), \(dueTimes.map(\.asOf))) WITH ORDINALITY AS listed (due_at, as_of, place)
                """
            )
            return .made(backfill)
        }
    }

    func backfill(_ id: BackfillID) async throws -> Backfill? {
        try await pool.query("SELECT \(unsafe: BackfillColumns.list) FROM backfills WHERE backfill_id = \(id)").first.map(BackfillColumns.backfill)
    }

    /// A schedule's backfills, newest first.
    func backfills(of schedule: ScheduleID, before: BackfillID?, limit: Int) async throws -> [Backfill] {
        try await pool.query(
            """
            SELECT \(unsafe: BackfillColumns.list) FROM backfills
            WHERE schedule_id = \(schedule) AND (\(before)::uuid IS NULL OR backfill_id < \(before)) ORDER BY backfill_id DESC LIMIT \(limit)
            """
        ).map(BackfillColumns.backfill)
    }

    /// A backfill's runs in the order of time.
    func runs(of backfill: BackfillID, after: Timestamp?, limit: Int) async throws -> [BackfillRun] {
        try await pool.query(
            """
            SELECT due_at, job_id, state FROM backfill_runs
            WHERE backfill_id = \(backfill) AND due_at > \(after ?? .distantPast) ORDER BY due_at LIMIT \(limit)
            """
        ).map { BackfillRun(dueAt: try $0.column(0), jobID: try $0.column(1), state: try $0.column(2)) }
    }

    /// Makes no more runs; gives the jobs of those that have not ended, also when it was cancelled before: whoever did so may have come no further.
    func cancel(_ id: BackfillID, now: Timestamp) async throws -> [JobID] {
        try await store.onConnection { transaction in
            try await transaction.connection.execute(
                "UPDATE backfills SET state = 'cancelled', ended_at = \(now) WHERE backfill_id = \(id) AND state = 'open'"
            )
            return try await transaction.connection.query("SELECT job_id FROM backfill_runs WHERE backfill_id = \(id) AND state = 'open'").map {
                try $0.column(0, as: JobID.self)
            }
        }
    }

    /// Those on which there may be something to do, in the order of their ids: open ones, and cancelled ones with a run that has not ended.
    func unfinished(after: BackfillID?, limit: Int) async throws -> [BackfillID] {
        try await pool.query(
            """
            SELECT backfill_id FROM backfills WHERE state = 'open' AND (\(after)::uuid IS NULL OR backfill_id > \(after))
            UNION SELECT backfill_id FROM backfill_runs WHERE state = 'open' AND (\(after)::uuid IS NULL OR backfill_id > \(after))
            ORDER BY 1 LIMIT \(limit)
            """
        ).map { try $0.column(0) }
    }

    /// Takes note of runs that have ended and makes the next; nil when another replica does so at this moment.
    func advance(_ id: BackfillID, now: Timestamp) async throws -> (made: Int, resourceClass: ResourceClass)? {
        try await store.onConnection { transaction in
            let connection = transaction.connection
            guard
                var backfill = try await connection.query(
                    "SELECT \(unsafe: BackfillColumns.list) FROM backfills WHERE backfill_id = \(id) FOR NO KEY UPDATE SKIP LOCKED"
                ).first.map(BackfillColumns.backfill)
            else { return nil }
            let ended = try await connection.query(
                """
                UPDATE backfill_runs SET state = jobs.state FROM jobs
                WHERE backfill_id = \(id) AND backfill_runs.state = 'open' AND jobs.job_id = backfill_runs.job_id
                  AND jobs.state IN ('completed', 'failed', 'cancelled') RETURNING jobs.state
                """
            ).map { try $0.column(0, as: JobState.self) }
            backfill.completed += ended.count { $0 == .completed }
            backfill.failed += ended.count { $0 == .failed }
            backfill.cancelled += ended.count { $0 == .cancelled }
            let open: Int =
                try await connection.query("SELECT count(*) FROM backfill_runs WHERE backfill_id = \(id) AND state = 'open'").first?.column(0) ?? 0
            let slice = try await Self.listed(backfill, open: open, on: connection) ?? backfill.nextSlice(open: open)
            if !slice.isEmpty {
                let jobs = try slice.map { try backfill.job(at: $0) }
                _ = try await transaction.insert(jobs)
                try await connection.execute(
                    """
                    INSERT INTO backfill_runs (backfill_id, due_at, job_id)
                    SELECT \(id), due_at, job_id FROM unnest(\(slice.map(\.dueAt)), \(jobs.map(\.id))) AS made (due_at, job_id)
                    """
                )
                backfill.pass(slice)
            }
            if backfill.state == .open, backfill.hasMadeAll, open + slice.count == 0 {
                backfill.state = .completed
                backfill.endedAt = now
            }
            if !ended.isEmpty || !slice.isEmpty || backfill.state == .completed {
                try await connection.execute(
                    """
                    UPDATE backfills SET state = \(backfill.state), cursor_at = \(backfill.cursor), completed_count = \(backfill.completed),
                        failed_count = \(backfill.failed), cancelled_count = \(backfill.cancelled), ended_at = \(backfill.endedAt),
                        next_position = \(backfill.position)
                    WHERE backfill_id = \(id)
                    """
                )
            }
            return (slice.count, backfill.publication.manifest.class)
        }
    }

    /// The next due times that were written down; nil where none are.
    private static func listed(_ backfill: Backfill, open: Int, on connection: PostgresConnection) async throws -> [Backfill.DueTime]? {
        guard let position = backfill.position else { return nil }
        let end = position + backfill.room(open: open)
        guard end > position else { return [] }
        return try await connection.query(
            """
            SELECT due_at, as_of FROM backfill_due_times
            WHERE backfill_id = \(backfill.id) AND position >= \(position) AND position < \(end) ORDER BY position
            """
        ).map { Backfill.DueTime(dueAt: try $0.column(0), asOf: try $0.column(1)) }
    }
}

/// The columns of a backfill in the order in which a row is decoded.
enum BackfillColumns {
    static let list = """
        backfill_id, state, schedule_id, account_id, publication, from_at, to_at, overlap, due_count, cursor_at, completed_count, failed_count, \
        cancelled_count, created_at, ended_at, next_position, asked_from, asked_to
        """
    /// A listed backfill is stored as ending so much behind its last due time, where its cursor stands: for code that looks for a grid in between.
    static let listedTail = Duration.microseconds(1)

    static func backfill(_ row: PostgresRow) throws -> Backfill {
        let position: Int? = try row.column(15)
        let end: Timestamp = try row.column(6)
        let overlap: Backfill.Overlap = try row.column(7)
        var asked: Backfill.Asked?
        if let from: Timestamp = try row.column(16), let to: Timestamp = try row.column(17) {
            asked = Backfill.Asked(from: from, to: to, overlap: overlap)
        }
        return Backfill(
            id: try row.column(0),
            state: try row.column(1),
            scheduleID: try row.column(2),
            accountID: try row.column(3),
            publication: try row.column(4, as: PostgresJSON.self).decode(),
            from: try row.column(5),
            to: position == nil ? end : end - listedTail,
            overlap: overlap,
            dueCount: try row.column(8),
            asked: asked,
            position: position,
            cursor: try row.column(9),
            completed: try row.column(10),
            failed: try row.column(11),
            cancelled: try row.column(12),
            createdAt: try row.column(13),
            endedAt: try row.column(14)
        )
    }
}

extension Backfill.State: PostgresEncodable, PostgresDecodable {}
extension Backfill.Overlap: PostgresEncodable, PostgresDecodable {}
extension BackfillRun.State: PostgresEncodable, PostgresDecodable {}
