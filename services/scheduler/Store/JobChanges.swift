import Contracts
import Postgres

/// Reads which jobs of an account have changed, in an order from which anybody can go on.
///
/// A job's row names the transaction of its last change that can be seen. Transactions do not commit in the order of their numbers, but the database
/// knows below which number all have ended: what lies below that has been seen for good, and who goes on from there misses nothing
/// (docs/decisions/job-streams.md).
struct JobChanges: Sendable {
    let pool: PostgresPool
    /// How many jobs are read at once.
    static let page: Int64 = 500

    /// A job with the number of the transaction that changed it last.
    struct Change: Sendable {
        let job: Job
        let transaction: Int64
    }

    /// What a look found.
    struct Look: Sendable {
        /// In the order of the transactions.
        var changes: [Change] = []
        /// Every change by a transaction below this one is among them.
        var settledBelow: Int64
        /// Whether it ended before all was read.
        var isCut = false
    }

    /// All jobs of an account that were changed by this transaction or a later one, up to about `limit` of them.
    func look(at account: AccountID, from transaction: Int64, limit: Int = .max) async throws -> Look {
        var found = try await read(account, from: transaction, after: nil)
        var last = found
        while last.changes.count == Int(Self.page), let end = last.changes.last {
            guard found.changes.count < limit else {
                found.isCut = true
                return found
            }
            last = try await read(account, from: transaction, after: end)
            found.changes += last.changes
        }
        return found
    }

    private func read(_ account: AccountID, from transaction: Int64, after last: Change?) async throws -> Look {
        let rows = try await pool.query(Self.statement(of: account, from: transaction, after: last))
        guard let first = rows.first else { throw PostgresError(.decoding, message: "a look at the jobs of an account gave no row") }
        var look = Look(settledBelow: try first.column(JobColumns.count + 1))
        for row in rows where try row.column(0, as: JobID?.self) != nil {
            look.changes.append(Change(job: try JobColumns.job(row), transaction: try row.column(JobColumns.count)))
        }
        return look
    }

    /// Which jobs lie behind a number, without what is in them.
    struct Marks: Sendable {
        struct Mark: Sendable {
            let id: JobID
            let version: Int64
            let transaction: Int64
        }

        /// In the order of the transactions; the first of them if there are more than were asked for.
        var marks: [Mark] = []
        /// Every change by a transaction below this one is among them.
        var settledBelow: Int64
        /// Differs whenever one of all these jobs has changed.
        var state: [Int64]
    }

    /// What `look` would read, by id and version: while somebody's transaction is open, the same rows are looked at again and again.
    func marks(of account: AccountID, from transaction: Int64, limit: Int) async throws -> Marks {
        let rows = try await pool.query(
            """
            WITH moment AS (
                SELECT pg_snapshot_xmin(now)::text::bigint AS settled, pg_snapshot_xmax(now)::text::bigint AS next FROM pg_current_snapshot() AS now),
            changed AS (
                SELECT job_id, version, changed_in FROM ONLY jobs, moment
                WHERE account_id = \(account) AND changed_in >= \(transaction) AND changed_in < moment.next),
            first AS (SELECT * FROM changed ORDER BY changed_in, job_id LIMIT \(Int64(limit)))
            SELECT moment.settled, (SELECT count(*) FROM changed), (SELECT coalesce(sum(version), 0)::bigint FROM changed),
                array(SELECT job_id FROM first ORDER BY changed_in, job_id), array(SELECT version FROM first ORDER BY changed_in, job_id),
                array(SELECT changed_in FROM first ORDER BY changed_in, job_id)
            FROM moment
            """
        )
        guard let row = rows.first else { throw PostgresError(.decoding, message: "a look at the jobs of an account gave no row") }
        let ids = try row.column(3, as: [JobID].self)
        let versions = try row.column(4, as: [Int64].self)
        let transactions = try row.column(5, as: [Int64].self)
        return Marks(
            marks: ids.indices.map { Marks.Mark(id: ids[$0], version: versions[$0], transaction: transactions[$0]) },
            settledBelow: try row.column(0),
            state: [try row.column(1), try row.column(2)]
        )
    }

    /// These jobs as they are now, in the order in which they were asked for.
    func jobs(_ ids: [JobID]) async throws -> [Job] {
        var found: [JobID: Job] = [:]
        for first in stride(from: 0, to: ids.count, by: Int(Self.page)) {
            let some = Array(ids[first..<min(first + Int(Self.page), ids.count)])
            for row in try await pool.query("SELECT \(unsafe: JobColumns.list) FROM ONLY jobs WHERE job_id = ANY (\(some))") {
                let job = try JobColumns.job(row)
                found[job.id] = job
            }
        }
        return ids.compactMap { found[$0] }
    }

    static func statement(of account: AccountID, from transaction: Int64, after last: Change?) -> SQL {
        let start: SQL =
            if let last { "(jobs.changed_in, jobs.job_id) > (\(last.transaction), \(last.job.id))" } else { "jobs.changed_in >= \(transaction)" }
        // Numbers that are still to come stand in rows of a database that was restored into another server: they are nobody's news.
        return """
            WITH moment AS (
                SELECT pg_snapshot_xmin(now)::text::bigint AS settled, pg_snapshot_xmax(now)::text::bigint AS next FROM pg_current_snapshot() AS now)
            SELECT job.*, moment.settled FROM moment LEFT JOIN LATERAL (
                SELECT \(unsafe: JobColumns.list), jobs.changed_in FROM ONLY jobs
                WHERE jobs.account_id = \(account) AND \(start) AND jobs.changed_in < moment.next
                ORDER BY jobs.changed_in, jobs.job_id LIMIT \(Self.page)) AS job ON true
            """
    }

    /// Below which number all transactions have ended.
    func settled() async throws -> Int64 {
        try await pool.query("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").first?.column(0) ?? 0
    }

    /// Those of these accounts of which a job was changed by the transaction that is named beside it, or by a later one.
    func changed(among feeds: [(account: AccountID, from: Int64)]) async throws -> [AccountID] {
        if feeds.isEmpty { return [] }
        return try await pool.query(
            """
            SELECT feed.account_id FROM unnest(\(feeds.map(\.account)), \(feeds.map(\.from))) AS feed (account_id, since)
            WHERE EXISTS (SELECT FROM ONLY jobs WHERE jobs.account_id = feed.account_id AND jobs.changed_in >= feed.since)
            """
        ).map { try $0.column(0) }
    }
}

/// Tells all replicas that jobs of some accounts have changed: a hint after the commit, in a transaction of its own, because a notice in that of the
/// change would make all commits of the server wait for each other.
struct JobNotice: Sendable, Equatable {
    static let channel = "scheduler_jobs_v1"
    /// A notice holds 8,000 bytes; an id takes 37.
    static let mostAccounts = 200

    /// Nil stands for all.
    let accounts: [AccountID]?

    init(accounts: [AccountID]?) { self.accounts = accounts }

    /// Reads a notice; nothing when it is none of ours.
    init?(_ payload: String) {
        if payload == "*" {
            accounts = nil
            return
        }
        var found: [AccountID] = []
        for part in payload.split(separator: ",") {
            guard let id = AccountID(String(part)) else { return nil }
            found.append(id)
        }
        accounts = found
    }

    var payload: String { accounts.map { $0.map(\.description).joined(separator: ",") } ?? "*" }

    /// Notices of these accounts; one of all when there are too many of them.
    static func sending(_ accounts: Set<AccountID>) -> [SQL] {
        let notices: [JobNotice]
        if accounts.count > 5 * mostAccounts {
            notices = [JobNotice(accounts: nil)]
        } else {
            let all = accounts.sorted()
            notices = stride(from: 0, to: all.count, by: mostAccounts).map { first in
                JobNotice(accounts: Array(all[first..<min(first + mostAccounts, all.count)]))
            }
        }
        return [.withoutFlush] + notices.map { "SELECT pg_notify(\(channel), \($0.payload))" }
    }
}
