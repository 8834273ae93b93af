import Contracts
import Postgres

/// The columns of a schedule in the order in which a row is decoded.
enum ScheduleColumns {
    static let list =
        """
        schedule_id, signal_id, account_id, state, subject_version, publication, invalid_reason, cursor_at, next_due_at, \
        paused_at, paused_by, pause_reason, resumed_at, failures_in_a_row
        """

    /// That it is none of these, as a further condition; none where there are none.
    static func besides(_ resting: [RestingSchedule]) -> SQL {
        if resting.isEmpty { return "" }
        return " AND (schedule_id, next_due_at) NOT IN (SELECT * FROM unnest(\(resting.map(\.id)), \(resting.map(\.dueAt))))"
    }

    static func schedule(_ row: PostgresRow) throws -> Schedule {
        let publication = try row.column(5, as: PostgresJSON?.self)
        return Schedule(
            id: try row.column(0),
            signalID: try row.column(1),
            accountID: try row.column(2),
            state: try row.column(3),
            subjectVersion: try row.column(4),
            publication: try publication?.decode(),
            invalidReason: try row.column(6),
            cursor: try row.column(7),
            nextDueAt: try row.column(8),
            pause: try pause(row, from: 9),
            resumedAt: try row.column(12),
            failuresInARow: try row.column(13)
        )
    }

    private static func pause(_ row: PostgresRow, from first: Int) throws -> SchedulePause? {
        guard let since = try row.column(first, as: Timestamp?.self), let by = try row.column(first + 1, as: SchedulePause.Author?.self) else {
            return nil
        }
        return SchedulePause(since: since, by: by, reason: try row.column(first + 2))
    }
}

/// The columns of an occurrence in the order in which a row is decoded.
enum OccurrenceColumns {
    static let list =
        """
        occurrence_id, schedule_id, signal_id, account_id, due_at, range_to, due_count, as_of, bar_instrument, bar_end, outcome, reason, job_id, recorded_at, made_at, recorded_late
        """

    static func occurrence(_ row: PostgresRow) throws -> Occurrence {
        Occurrence(
            id: try row.column(0),
            scheduleID: try row.column(1),
            signalID: try row.column(2),
            accountID: try row.column(3),
            dueAt: try row.column(4),
            rangeTo: try row.column(5),
            count: try row.column(6),
            asOf: try row.column(7),
            barInstrument: try row.column(8),
            barEnd: try row.column(9),
            outcome: try row.column(10),
            reason: try row.column(11),
            jobID: try row.column(12),
            recordedAt: try row.column(13),
            madeAt: try row.column(14),
            isRecordedLate: try row.column(15)
        )
    }
}

extension SchedulePause.Author: PostgresEncodable, PostgresDecodable {}
