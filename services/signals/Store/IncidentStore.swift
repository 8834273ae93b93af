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
    /// row is locked until the transaction ends, and whoever locks nothing after it waits for nobody in a circle. For as long others wait that note
    /// something of the account: so it takes two exchanges, and one when nothing is new.
    static func note(_ said: Trouble, on connection: PostgresConnection) async throws {
        // The account's row is locked first and by everybody: events about one due time take turns, and revisions rise as they are committed. Two are
        // taken: one event changes two incidents at most, and each change has a revision of its own. The second statement runs when the first has the
        // lock, and sees what was committed by who had it before.
        let answers = try await connection.pipeline([
            """
            INSERT INTO incident_heads (account_id, revision) SELECT account_id, 2 FROM signals WHERE id = \(said.signalID)
            ON CONFLICT (account_id) DO UPDATE SET revision = incident_heads.revision + 2 RETURNING account_id, revision
            """,
            """
            SELECT known.kind, known.due_at, known.last_due_at, known.count, known.failure_kind, known.reason, known.message, known.job_id,
                home.incident_id, home.kind, home.likeness, home.day::timestamp AT TIME ZONE 'UTC',
                NOT EXISTS (SELECT FROM troubles AS other WHERE other.incident_id = home.incident_id AND other.trouble_id <> known.trouble_id)
            FROM troubles AS known LEFT JOIN incidents AS home ON home.incident_id = known.incident_id
            WHERE known.trouble_id = \(said.id)
            """,
        ])
        guard let head = answers[0].first else { return }
        let (account, revision) = try head.decode(AccountID.self, Int64.self)
        let change: Change
        if let row = answers[1].first {
            let before = try trouble(said.id, of: said.signalID, row)
            let now = before.merged(with: said)
            if now == before { return }
            change = Change(before: before, now: now, home: try home(row), account: account, revision: revision)
        } else {
            change = Change(before: nil, now: said, home: nil, account: account, revision: revision)
        }
        _ = try await connection.pipeline(change.statements)
    }

    private static func trouble(_ id: UUID, of signal: SignalID, _ row: PostgresRow) throws -> Trouble {
        Trouble(
            id: id,
            signalID: signal,
            kind: try row.word(0),
            dueAt: try row.column(1),
            lastDueAt: try row.column(2),
            count: try row.column(3),
            failureKind: try row.optionalWord(4),
            reason: try row.column(5),
            message: try row.column(6),
            jobID: try row.column(7)
        )
    }

    private static func home(_ row: PostgresRow) throws -> Change.Home? {
        guard let id: UUID = try row.column(8) else { return nil }
        return Change.Home(id: id, kind: try row.word(9), likeness: try row.column(10), day: try row.column(11), holdsNothingElse: try row.column(12))
    }

    /// When a run was due whose rows were recorded or refused: its row was written in the transaction that said so.
    static func dueTime(of job: JobID, on connection: PostgresConnection) async throws -> Timestamp? {
        try await connection.query("SELECT coalesce(due_at, ended_at) FROM runs WHERE job_id = \(job)").first?.column(0)
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
