import Contracts
import Postgres

/// Where jobs go that ended long ago. Reads of jobs find them there without asking: the archives inherit from the table `jobs`.
protocol JobArchives: Sendable {
    /// Moves jobs that ended before this moment, and at least a day ago; gives how many, nil while somebody else moves some.
    func archive(endedBefore: Timestamp, limit: Int) async throws -> Int?
    /// Deletes the archives of months that lie further back than so many whole ones; gives how many went.
    func dropArchives(keepingMonths: Int, now: Timestamp) async throws -> Int
}

extension PostgresSchedulerStore: JobArchives {
    func archive(endedBefore: Timestamp, limit: Int) async throws -> Int? {
        try await pool.query("SELECT archive_jobs(\(endedBefore), \(Int32(clamping: limit)))").first?.column(0)
    }

    func dropArchives(keepingMonths: Int, now: Timestamp) async throws -> Int {
        // By the database's clock or this one, whichever is behind: a clock that runs ahead must not delete what is to be kept.
        try await pool.query(
            "SELECT drop_job_archives((least(\(now), clock_timestamp()) AT TIME ZONE 'UTC' - make_interval(months => \(Int32(clamping: keepingMonths))))::date)"
        ).first?.column(0) ?? 0
    }
}
