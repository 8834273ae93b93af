import Contracts
import FoundationEssentials
import Postgres

/// What attempts print: the pieces of those that run, and looks at all that is stored. Apart from the ledger, whose transactions it never enters: a log that
/// cannot be written holds up no run.
struct LogStore: Sendable {
    let pool: PostgresPool
    /// What an account may leave on one day, in bytes.
    let bytesPerDay: Int

    /// Of logs: a replica tells the others of new pieces and of ended jobs.
    static let channel = "scheduler_logs_v1"
    /// A notice of the database holds 8,000 bytes; an id takes 37.
    static let maximumIDsOfANotice = 200
    /// Behind the beginning of a log so much of the newest is kept.
    private static let tailBytes = Int64(LogChunk.maximumBytes)

    // MARK: Writing

    /// Keeps the pieces that came with renewals, of attempts that still hold their lease; gives the jobs of which there is news. A piece that comes twice is
    /// kept once.
    func append(_ renewals: [LeaseRenewal]) async throws -> [JobID] {
        let told = renewals.compactMap { renewal in
            renewal.log.flatMap { chunk -> (LeaseRenewal, Int64, String)? in
                let text = FinishedJob.plain(chunk.text, maximumBytes: LogChunk.maximumBytes)
                return text.isEmpty || chunk.offset < 0 ? nil : (renewal, chunk.offset, text)
            }
        }
        if told.isEmpty { return [] }
        let jobs = told.map { $0.0.jobID }
        let attempts = told.map { $0.0.attemptID }
        let ends = told.map { $0.1 + Int64($0.2.utf8.count) - Self.tailBytes }
        let answers = try await pool.pipeline([
            .withoutFlush,
            """
            INSERT INTO log_chunks (job_id, attempt_id, begins_at, attempt, body)
            SELECT said.job_id, said.attempt_id, said.begins_at, jobs.attempt, said.body
            FROM unnest(\(jobs), \(attempts), \(told.map { $0.1 }), \(told.map { $0.2 })) AS said (job_id, attempt_id, begins_at, body)
            JOIN leases ON leases.job_id = said.job_id AND leases.attempt_id = said.attempt_id
            JOIN ONLY jobs ON jobs.job_id = said.job_id
            WHERE NOT EXISTS (SELECT FROM log_usage WHERE log_usage.account_id = jobs.account_id
                AND day = (clock_timestamp() AT TIME ZONE 'UTC')::date AND bytes >= \(Int64(bytesPerDay)))
            ORDER BY said.job_id ON CONFLICT DO NOTHING RETURNING job_id
            """,
            """
            DELETE FROM log_chunks USING unnest(\(jobs), \(attempts), \(ends)) AS said (job_id, attempt_id, tail_from)
            WHERE log_chunks.job_id = said.job_id AND log_chunks.attempt_id = said.attempt_id
              AND log_chunks.begins_at >= \(Int64(LogChunk.headBytes)) AND log_chunks.begins_at + octet_length(log_chunks.body) <= said.tail_from
            """,
        ])
        return try answers[1].map { try $0.column(0) }
    }

    /// Counts what ended attempts printed, and cuts the logs of accounts that have left enough for a day. A report that is told again is counted again.
    func charge(_ finished: [FinishedJob]) async throws -> [FinishedJob] {
        var reports = finished
        let logged = reports.indices.filter { !(reports[$0].log ?? "").isEmpty }
        if logged.isEmpty { return finished }
        let counting: SQL =
            """
            WITH said AS (
                SELECT jobs.job_id, jobs.account_id, said.bytes
                FROM unnest(\(logged.map { reports[$0].jobID }), \(logged.map { Int64(reports[$0].log?.utf8.count ?? 0) })) AS said (job_id, bytes)
                JOIN ONLY jobs ON jobs.job_id = said.job_id
            ), counted AS (
                INSERT INTO log_usage (account_id, day, bytes)
                SELECT account_id, (clock_timestamp() AT TIME ZONE 'UTC')::date, sum(bytes) FROM said GROUP BY account_id ORDER BY account_id
                ON CONFLICT (account_id, day) DO UPDATE SET bytes = log_usage.bytes + excluded.bytes RETURNING account_id, bytes
            )
            SELECT said.job_id, said.account_id, counted.bytes FROM said JOIN counted USING (account_id)
            """
        // Without waiting for the disk: a count that a crash takes along lets a log or two more through.
        let rows = try await pool.pipeline([.withoutFlush, counting])[1]
        var accounts: [JobID: AccountID] = [:]
        var used: [AccountID: Int64] = [:]
        for row in rows {
            let (job, account, bytes) = try row.decode(JobID.self, AccountID.self, Int64.self)
            accounts[job] = account
            used[account] = bytes
        }
        // What was used before this call, then report by report.
        for index in logged {
            guard let account = accounts[reports[index].jobID] else { continue }
            used[account, default: 0] -= Int64(reports[index].log?.utf8.count ?? 0)
        }
        for index in logged {
            guard let account = accounts[reports[index].jobID], let text = reports[index].log else { continue }
            let (kept, isCut) = LogQuota.cut(text, used: used[account, default: 0], limitBytes: bytesPerDay)
            used[account, default: 0] += Int64(text.utf8.count)
            reports[index].log = kept
            reports[index].logTruncated = reports[index].logTruncated || isCut
        }
        return reports
    }

    /// Says to every replica that there is something new about these jobs' logs.
    func notify(_ jobs: [JobID]) async throws {
        for first in stride(from: 0, to: jobs.count, by: Self.maximumIDsOfANotice) {
            let part = jobs[first..<min(first + Self.maximumIDsOfANotice, jobs.count)].map(\.description).joined(separator: ",")
            try await pool.execute("SELECT pg_notify(\(Self.channel), \(part))")
        }
    }

    /// Deletes pieces of logs that their end has told as a whole, and what is too old; gives how many.
    func cleanUp() async throws -> Int {
        let deleted = try await pool.query(
            """
            WITH old AS (
                SELECT log_chunks.job_id, log_chunks.attempt_id, log_chunks.begins_at FROM log_chunks
                WHERE stored_at < clock_timestamp() - interval '10 minutes'
                  AND NOT EXISTS (SELECT FROM leases WHERE leases.job_id = log_chunks.job_id AND leases.attempt_id = log_chunks.attempt_id)
                  AND (stored_at < clock_timestamp() - interval '7 days'
                       OR EXISTS (SELECT FROM job_logs WHERE job_logs.job_id = log_chunks.job_id AND job_logs.attempt_id = log_chunks.attempt_id))
                ORDER BY stored_at LIMIT 5000)
            DELETE FROM log_chunks USING old WHERE log_chunks.job_id = old.job_id AND log_chunks.attempt_id = old.attempt_id
              AND log_chunks.begins_at = old.begins_at RETURNING 1
            """
        ).count
        try await pool.execute("DELETE FROM log_usage WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date - 7")
        return deleted
    }

    // MARK: Reading

    /// What a job's attempts printed, in the order in which they began to print. For somebody who has come to a place: from its attempt on, and of that one
    /// only what may be new to him.
    func attempts(of id: JobID, after place: LogPlace? = nil) async throws -> [AttemptLog] {
        // The ids of attempts are random, and a released job is taken up again with the same number: the order is that of their first pieces.
        let answers = try await pool.pipeline([
            "SELECT attempt_id, attempt, min(stored_at) FROM log_chunks WHERE job_id = \(id) GROUP BY attempt_id, attempt",
            "SELECT attempt_id, attempt, body, is_truncated, stored_at FROM job_logs WHERE job_id = \(id)",
        ])
        var begun: [(log: AttemptLog, at: Timestamp)] = try answers[0].map { row in
            let (attemptID, attempt, storedAt) = try row.decode(AttemptID.self, Int.self, Timestamp.self)
            return (AttemptLog(attemptID: attemptID, attempt: attempt, pieces: [], isFinal: false, storedAt: storedAt), storedAt)
        }
        if let row = answers[1].first {
            let log = JobLog(attempt: try row.column(1), text: try row.column(2), isTruncated: try row.column(3), storedAt: try row.column(4))
            // What the end of an attempt told is all of it, and stands in for its pieces.
            let final = AttemptLog(attemptID: try row.column(0), log: log)
            let known = begun.firstIndex { $0.log.attemptID == final.attemptID }
            if let known { begun[known].log = final } else { begun.append((final, log.storedAt)) }
        }
        begun.sort { $0.at < $1.at }
        if let place, let reached = begun.firstIndex(where: { $0.log.placeID == place.attemptID }) { begun.removeFirst(reached) }
        var logs = begun.map(\.log)
        let wanted = logs.filter { !$0.isFinal }.compactMap(\.attemptID)
        if wanted.isEmpty { return logs }
        let rows = try await pool.query(
            """
            SELECT attempt_id, begins_at, body FROM log_chunks
            WHERE job_id = \(id) AND attempt_id = ANY (\(wanted))
              AND (attempt_id <> \(place?.attemptID ?? LogPlace.beforeAll) OR begins_at + octet_length(body) > \(place?.offset ?? 0))
            ORDER BY attempt_id, begins_at
            """
        )
        for row in rows {
            let (attemptID, offset, body) = try row.decode(AttemptID.self, Int64.self, String.self)
            guard let index = logs.firstIndex(where: { $0.attemptID == attemptID }) else { continue }
            logs[index].pieces.append(LogChunk(offset: offset, text: body))
        }
        return logs
    }

    /// The newest logs of an account that hold a text, and where the look ended: it goes through so many jobs at most.
    func search(_ search: LogSearch, in jobs: LogSearchScope, scan: Int, limit: Int) async throws -> (found: [(id: JobID, log: JobLog)], end: JobID?)
    {
        var newest: SQL = "SELECT job_id FROM jobs WHERE kind = ANY (\(jobs.kinds.map(\.rawValue)))"
        if let account = jobs.accountID { newest.append(" AND account_id = \(account)") }
        if let signal = jobs.signalID { newest.append(" AND signal_id = \(signal)") }
        if let before = jobs.before { newest.append(" AND job_id < \(before)") }
        // Ids rise with time, and so the index that lists an account's jobs bounds the days as well.
        if let from = jobs.from { newest.append(" AND job_id >= \(JobID.least(from - JobFilter.slack)) AND created_at >= \(from)") }
        if let to = jobs.to { newest.append(" AND job_id < \(JobID.least(to + JobFilter.slack)) AND created_at < \(to)") }
        newest.append(" ORDER BY job_id DESC LIMIT \(scan)")
        var matching: SQL = "WITH newest AS ("
        matching.append(newest)
        matching.append(
            """
            ) SELECT job_id, attempt, body, is_truncated, stored_at FROM newest JOIN job_logs USING (job_id)
            WHERE position(\(search.needle) IN lower(body)) > 0 ORDER BY job_id DESC LIMIT \(limit + 1)
            """
        )
        var last: SQL = "SELECT job_id FROM ("
        last.append(newest)
        last.append(") AS newest ORDER BY job_id DESC OFFSET \(scan - 1)")
        let answers = try await pool.pipeline([matching.unprepared, last.unprepared])
        var found = try answers[0].map { row in
            (
                id: try row.column(0, as: JobID.self),
                log: JobLog(attempt: try row.column(1), text: try row.column(2), isTruncated: try row.column(3), storedAt: try row.column(4))
            )
        }
        if found.count > limit {
            found.removeLast()
            return (found, found.last?.id)
        }
        return (found, try answers[1].first?.column(0))
    }
}

/// Whose logs are looked through.
struct LogSearchScope: Sendable, Hashable {
    /// Nil is all accounts.
    var accountID: AccountID?
    var kinds: [JobKind]
    var signalID: SignalID?
    var from: Timestamp?
    var to: Timestamp?
    /// Only jobs before this one, newest first.
    var before: JobID?
}

/// How far a reader of a job's log has come: the attempt, and bytes of what it printed. As text it is the id of the stream's events.
struct LogPlace: Sendable, Hashable, LosslessStringConvertible {
    var attemptID: AttemptID
    var offset: Int64

    /// Is no attempt; stands for that of a log from before attempts were told apart.
    static let beforeAll = AttemptID(uuid: UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)))

    init(attemptID: AttemptID, offset: Int64) {
        self.attemptID = attemptID
        self.offset = offset
    }

    init?(_ description: String) {
        let parts = description.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let attempt = AttemptID(String(parts[0])), let offset = Int64(parts[1]), offset >= 0 else { return nil }
        self.init(attemptID: attempt, offset: offset)
    }

    var description: String { "\(attemptID).\(offset)" }
}
