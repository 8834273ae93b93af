import Contracts
import Postgres

/// The schedules whose due times the end of a job settles, locked before the job.
///
/// Ticks, closes of bars, publications and pauses hold a schedule and then take its runs. An end that held a run and then took its schedule would meet them
/// head on, and the database would stand still for a second before it lets one of the two go. So an end looks first, without a lock, whose due times it may
/// settle, and takes those schedules in the order of their ids. Runs that end well settle nothing here and lock no schedule.
struct ScheduleLocks: Sendable {
    private let held: Set<ScheduleID>

    /// Locks the schedules of these jobs, as far as they are runs of due times; gives the schedules. Rides along with the statement that locks the jobs.
    ///
    /// - Parameter condition: of the rows of `jobs` that may not end well.
    static func taking(ofEndsOf jobs: [JobID], where condition: SQL = "true") -> SQL {
        """
        SELECT schedule_id FROM schedules WHERE schedule_id IN (
            SELECT jobs.schedule_id FROM ONLY jobs
            WHERE jobs.job_id = ANY (\(jobs)) AND jobs.schedule_id IS NOT NULL AND jobs.occurrence_id IS NOT NULL AND \(condition))
        ORDER BY schedule_id FOR NO KEY UPDATE
        """
    }

    init(_ rows: [PostgresRow]) throws { held = Set(try rows.map { try $0.column(0, as: ScheduleID.self) }) }

    /// Has the transaction run again when one of these ends settles a due time of a schedule that was not taken: between the look and the lock of the job
    /// somebody asked for the job's end.
    func check(_ endings: [JobEnding]) throws {
        let isMissed = endings.contains { ending in
            guard ending.settlesDueTime, let schedule = ending.job.scheduleID else { return false }
            return !held.contains(schedule)
        }
        if isMissed { throw PostgresError(.server(sqlState: "40001"), message: "a job was to end otherwise while its schedule was locked") }
    }
}

extension JobEnding {
    /// Whether the due time that the job was made for has failed by this.
    var settlesDueTime: Bool { job.occurrenceID != nil && (state == .failed || state == .cancelled) }
}
