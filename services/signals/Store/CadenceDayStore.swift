import Contracts
import Postgres

/// How reliably signals ran, by day: what the scheduler has said of days that are over.
struct CadenceDayStore: Sendable {
    let pool: PostgresPool

    /// Takes what an event says of a day, in the event's transaction. A version that is not higher changes nothing; a signal that nobody knows has no days.
    static func apply(_ event: CadenceSettled, version: Int64, on connection: PostgresConnection) async throws {
        let counts = CadenceCounts(event)
        try await connection.execute(
            """
            INSERT INTO cadence_days AS known (schedule_id, day, signal_id, version, on_time, late, missed, failed, unrecorded, skipped_by_reason)
            SELECT \(event.scheduleID), \(event.day.description)::date, id, \(version), \(counts.onTime), \(counts.late), \(counts.missed),
                \(counts.failed), \(counts.unrecorded), \(try PostgresJSON(encoding: counts.skippedByReason)) FROM signals WHERE id = \(event.signalID)
            ON CONFLICT (schedule_id, day) DO UPDATE SET version = excluded.version, on_time = excluded.on_time, late = excluded.late,
                missed = excluded.missed, failed = excluded.failed, unrecorded = excluded.unrecorded, skipped_by_reason = excluded.skipped_by_reason
            WHERE known.version < excluded.version
            """
        )
    }

    /// The days of a signal from the first to the last, without those on which nothing was due.
    func days(of signal: SignalID, from first: CivilDate, through last: CivilDate) async throws -> [(day: CivilDate, counts: CadenceCounts)] {
        let rows = try await pool.query(
            """
            SELECT (day - date '1970-01-01')::bigint, on_time, late, missed, failed, unrecorded, skipped_by_reason FROM cadence_days
            WHERE signal_id = \(signal) AND day BETWEEN \(first.description)::date AND \(last.description)::date
            """
        )
        var days: [CivilDate: CadenceCounts] = [:]
        for row in rows {
            var counts = CadenceCounts()
            counts.onTime = try row.column(1)
            counts.late = try row.column(2)
            counts.missed = try row.column(3)
            counts.failed = try row.column(4)
            counts.unrecorded = try row.column(5)
            counts.skippedByReason = try row.column(6, as: PostgresJSON.self).decode()
            days[CivilDate(daysSince1970: try row.column(0)), default: CadenceCounts()] += counts
        }
        return days.filter { $0.value.due > 0 }.sorted { $0.key < $1.key }.map { (day: $0.key, counts: $0.value) }
    }
}
