import Contracts
import FoundationEssentials
import Messaging
import Postgres

/// Where troubles of signals are kept for their providers. Apart from the store of signals: nothing else is decided by it.
struct IncidentStore: Sendable {
    let pool: PostgresPool

    /// What is older is forgotten.
    static let keptDays = 30

    private static let columns = """
        incident_id, signal_id, kind, failure_kind, reason, message, job_id, count, read_count, first_due_at, last_due_at, revision
        """

    // MARK: Writing

    /// Takes what is said of a due time, in the transaction that hears or says it. The same word again changes nothing. Comes last there: the account's
    /// row is locked until the transaction ends, and whoever locks nothing after it waits for nobody in a circle.
    static func note(_ said: Trouble, on connection: PostgresConnection) async throws {
        // The account's row is locked first and by everybody: events about one due time take turns, and revisions rise as they are committed. Two are
        // taken: one event changes two incidents at most, and each change has a revision of its own.
        let row = try await connection.query(
            """
            INSERT INTO incident_heads (account_id, revision) SELECT account_id, 2 FROM signals WHERE id = \(said.signalID)
            ON CONFLICT (account_id) DO UPDATE SET revision = incident_heads.revision + 2 RETURNING account_id, revision
            """
        ).first
        guard let row else { return }
        let (account, revision) = try row.decode(AccountID.self, Int64.self)
        let known = try await connection.query(
            """
            SELECT kind, due_at, last_due_at, count, failure_kind, reason, message, job_id, incident_id FROM troubles WHERE trouble_id = \(said.id)
            """
        ).first
        var (now, home): (Trouble, UUID?) = (said, nil)
        if let known {
            let before = Trouble(
                id: said.id,
                signalID: said.signalID,
                kind: try known.word(0),
                dueAt: try known.column(1),
                lastDueAt: try known.column(2),
                count: try known.column(3),
                failureKind: try known.optionalWord(4),
                reason: try known.column(5),
                message: try known.column(6),
                jobID: try known.column(7)
            )
            now = before.merged(with: said)
            if now == before { return }
            home = try known.column(8)
        }
        // What waits for its run stays where it is: it would be put among others in a moment, and be told of twice.
        if now.awaitsItsRun { return try await keep(now, in: home, on: connection) }
        if let home, try await stays(now, in: home, revision, on: connection) { return try await keep(now, in: home, on: connection) }
        let incident = try await add(now, account, revision, on: connection)
        try await keep(now, in: incident, on: connection)
        if let home { try await leave(home, now, revision - 1, on: connection) }
    }

    /// When a run was due whose rows were recorded or refused: its row was written in the transaction that said so.
    static func dueTime(of job: JobID, on connection: PostgresConnection) async throws -> Timestamp? {
        try await connection.query("SELECT coalesce(due_at, ended_at) FROM runs WHERE job_id = \(job)").first?.column(0)
    }

    private static func keep(_ trouble: Trouble, in incident: UUID?, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            INSERT INTO troubles (trouble_id, kind, incident_id, due_at, last_due_at, count, failure_kind, reason, message, job_id)
            VALUES (\(trouble.id), \(trouble.kind.rawValue), \(incident), \(trouble.dueAt), \(trouble.lastDueAt), \(trouble.count),
                \(trouble.failureKind?.rawValue), \(trouble.reason), \(trouble.message), \(trouble.jobID))
            ON CONFLICT (trouble_id) DO UPDATE SET kind = excluded.kind, incident_id = excluded.incident_id, due_at = excluded.due_at,
                last_due_at = excluded.last_due_at, count = excluded.count, failure_kind = excluded.failure_kind, reason = excluded.reason,
                message = excluded.message, job_id = excluded.job_id
            """
        )
    }

    /// Says what is new of a due time in the incident that it is in: one that is as it was, or that held nothing else and has no like. False when it
    /// belongs elsewhere.
    private static func stays(_ now: Trouble, in incident: UUID, _ revision: Int64, on connection: PostgresConnection) async throws -> Bool {
        let changed = try await connection.execute(
            """
            UPDATE incidents SET kind = \(now.kind.rawValue), likeness = \(now.likeness), day = (\(now.dueAt) AT TIME ZONE 'UTC')::date,
                failure_kind = \(now.failureKind?.rawValue), count = \(now.count), read_count = CASE WHEN (kind, likeness) =
                    (\(now.kind.rawValue)::text, \(now.likeness)::text) THEN least(read_count, \(now.count)) ELSE 0 END,
                first_due_at = \(now.dueAt), last_due_at = \(now.lastDueAt), reason = \(now.reason), message = \(now.message), job_id = \(now.jobID),
                revision = \(revision)
            WHERE incident_id = \(incident)
                AND NOT EXISTS (SELECT FROM troubles WHERE incident_id = \(incident) AND trouble_id <> \(now.id))
                AND NOT EXISTS (SELECT FROM incidents AS like_it WHERE like_it.signal_id = \(now.signalID)
                    AND like_it.day = (\(now.dueAt) AT TIME ZONE 'UTC')::date AND like_it.kind = \(now.kind.rawValue)
                    AND like_it.likeness = \(now.likeness) AND like_it.incident_id <> \(incident))
            """
        )
        if changed > 0 { return true }
        let isAlike =
            try await connection.query(
                """
                SELECT 1 FROM incidents WHERE incident_id = \(incident) AND day = (\(now.dueAt) AT TIME ZONE 'UTC')::date
                    AND kind = \(now.kind.rawValue) AND likeness = \(now.likeness)
                """
            ).first != nil
        guard isAlike else { return false }
        // The latest due time's words are the incident's; those of an earlier one change nothing that is shown.
        try await connection.execute(
            """
            UPDATE incidents SET reason = \(now.reason), message = \(now.message), job_id = \(now.jobID), revision = \(revision)
            WHERE incident_id = \(incident) AND last_due_at <= \(now.lastDueAt)
            """
        )
        return true
    }

    /// Counts a due time among those that are like it; gives their incident.
    private static func add(_ trouble: Trouble, _ account: AccountID, _ revision: Int64, on connection: PostgresConnection) async throws -> UUID? {
        try await connection.query(
            """
            INSERT INTO incidents AS incident
                (incident_id, kind, signal_id, account_id, day, likeness, failure_kind, count, first_due_at, last_due_at, reason, message, job_id, revision)
            VALUES (\(UUIDv7.make()), \(trouble.kind.rawValue), \(trouble.signalID), \(account), (\(trouble.dueAt) AT TIME ZONE 'UTC')::date,
                \(trouble.likeness), \(trouble.failureKind?.rawValue), \(trouble.count), \(trouble.dueAt), \(trouble.lastDueAt), \(trouble.reason),
                \(trouble.message), \(trouble.jobID), \(revision))
            ON CONFLICT (signal_id, day, kind, likeness) DO UPDATE SET
                count = incident.count + excluded.count,
                first_due_at = CASE WHEN incident.count = 0 THEN excluded.first_due_at ELSE least(incident.first_due_at, excluded.first_due_at) END,
                last_due_at = CASE WHEN incident.count = 0 THEN excluded.last_due_at ELSE greatest(incident.last_due_at, excluded.last_due_at) END,
                reason = CASE WHEN incident.count = 0 OR excluded.last_due_at >= incident.last_due_at THEN excluded.reason ELSE incident.reason END,
                message = CASE WHEN incident.count = 0 OR excluded.last_due_at >= incident.last_due_at THEN excluded.message ELSE incident.message END,
                job_id = CASE WHEN incident.count = 0 OR excluded.last_due_at >= incident.last_due_at THEN excluded.job_id ELSE incident.job_id END,
                revision = excluded.revision
            RETURNING incident_id
            """
        ).first?.column(0)
    }

    /// Takes a due time out of an incident that turned out to be something else. One that holds nothing any more stays, with a count of 0: streams
    /// have told of it and must say that it is gone.
    private static func leave(_ incident: UUID, _ trouble: Trouble, _ revision: Int64, on connection: PostgresConnection) async throws {
        let gone = try await connection.execute(
            """
            UPDATE incidents SET count = 0, read_count = 0, revision = \(revision)
            WHERE incident_id = \(incident) AND NOT EXISTS (SELECT FROM troubles WHERE incident_id = \(incident))
            """
        )
        if gone > 0 { return }
        try await connection.execute(
            """
            UPDATE incidents SET count = count - \(trouble.count), read_count = least(read_count, count - \(trouble.count)),
                first_due_at = first.due_at, last_due_at = last.last_due_at, reason = last.reason, message = last.message, job_id = last.job_id,
                revision = \(revision)
            FROM (SELECT due_at FROM troubles WHERE incident_id = \(incident) ORDER BY due_at LIMIT 1) AS first,
                 (SELECT last_due_at, reason, message, job_id FROM troubles WHERE incident_id = \(incident) ORDER BY due_at DESC LIMIT 1) AS last
            WHERE incidents.incident_id = \(incident)
            """
        )
    }

    /// Marks incidents of a signal as read; all of them when none are named. Gives how many were not read before.
    func markRead(_ ids: [UUID]?, of signal: SignalID) async throws -> Int {
        var sql: SQL = "UPDATE incidents SET read_count = count WHERE signal_id = \(signal) AND read_count < count"
        if let ids { sql.append(" AND incident_id = ANY (\(ids))") }
        return try await pool.execute(sql)
    }

    /// Forgets what is too old.
    func cleanUp() async throws {
        try await pool.execute("DELETE FROM troubles WHERE last_due_at < clock_timestamp() - interval '1 day' * \(Self.keptDays)")
        try await pool.execute("DELETE FROM incidents WHERE last_due_at < clock_timestamp() - interval '1 day' * \(Self.keptDays)")
    }

    // MARK: Reading

    /// A place in a signal's list.
    struct Place: Sendable, Hashable {
        var lastDueAt: Timestamp
        var id: UUID
    }

    /// A signal's incidents, the latest first.
    func incidents(of signal: SignalID, kind: TroubleKind?, unreadOnly: Bool, before: Place?, limit: Int) async throws -> [Incident] {
        var sql: SQL = "SELECT \(unsafe: Self.columns) FROM incidents WHERE signal_id = \(signal) AND count > 0"
        sql.append(" AND last_due_at >= clock_timestamp() - interval '1 day' * \(Self.keptDays)")
        if let kind { sql.append(" AND kind = \(kind.rawValue)") }
        if unreadOnly { sql.append(" AND read_count < count") }
        if let before { sql.append(" AND (last_due_at, incident_id) < (\(before.lastDueAt)::timestamptz, \(before.id)::uuid)") }
        sql.append(" ORDER BY last_due_at DESC, incident_id DESC LIMIT \(limit)")
        return try await pool.query(sql).map(Self.incident)
    }

    /// How many incidents of a signal are not read.
    func unreadCount(of signal: SignalID) async throws -> Int {
        try await pool.query("SELECT count(*) FROM incidents WHERE signal_id = \(signal) AND read_count < count").first?.column(0) ?? 0
    }

    /// What has changed of an account's incidents since a revision, in the order of the changes; no two have the same revision.
    func changes(of account: AccountID, after revision: Int64, limit: Int) async throws -> [Incident] {
        try await pool.query(
            """
            SELECT \(unsafe: Self.columns) FROM incidents WHERE account_id = \(account) AND revision > \(revision) ORDER BY revision
            LIMIT \(limit)
            """
        ).map(Self.incident)
    }

    /// How far the incidents of these accounts have come.
    func revisions(of accounts: [AccountID]) async throws -> [AccountID: Int64] {
        var revisions: [AccountID: Int64] = [:]
        for row in try await pool.query("SELECT account_id, revision FROM incident_heads WHERE account_id = ANY (\(accounts))") {
            let (account, revision) = try row.decode(AccountID.self, Int64.self)
            revisions[account] = revision
        }
        return revisions
    }

    private static func incident(_ row: PostgresRow) throws -> Incident {
        Incident(
            id: try row.column(0),
            signalID: try row.column(1),
            kind: try row.word(2),
            failureKind: try row.optionalWord(3),
            reason: try row.column(4),
            message: try row.column(5),
            jobID: try row.column(6),
            count: try row.column(7),
            readCount: try row.column(8),
            firstDueAt: try row.column(9),
            lastDueAt: try row.column(10),
            revision: try row.column(11)
        )
    }
}
