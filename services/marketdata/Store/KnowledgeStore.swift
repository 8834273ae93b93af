import Bars
import Contracts
import Postgres

/// What streams ask the database besides bars.
struct KnowledgeStore: Sendable {
    let pool: PostgresPool

    /// The moment by the clocks that stamp what becomes known: an answer as of it is final, and holds what feeds have told already.
    func now() async throws -> Timestamp {
        let rows = try await pool.query("SELECT greatest(clock_timestamp(), (SELECT known_at FROM live_clock))")
        guard let now = try rows.first?.column(0, as: Timestamp.self) else { throw KnowledgeError.noClock }
        return now
    }

    /// The days of an instrument that imports corrected after one moment and not after another, with the highest edition among them; nothing when none
    /// was. The caller has waited for whoever was recording then, as every reader of bars does.
    func corrections(of instrument: InstrumentID, after: Timestamp, through: Timestamp) async throws -> (days: ClosedRange<CivilDay>, edition: Int)? {
        // The instrument's own row says in one look that there was none, which is nearly always so. Late ticks of a day that has been sealed since stand in
        // its chunk only; who has listened all the time was told of them.
        let rows = try await pool.query(
            """
            SELECT min(d.day), max(d.day), max(d.edition) FROM (
                SELECT c.day, c.edition FROM instruments i JOIN chunks c ON c.instrument_id = i.id
                WHERE i.id = \(instrument) AND i.last_correction_at > \(after) AND c.recorded_at > \(after) AND c.recorded_at <= \(through)
                UNION ALL
                SELECT c.day, c.edition + c.live_editions FROM live_days l JOIN chunks c USING (instrument_id, interval_seconds, side, origin, day)
                WHERE \(after)::timestamptz < \(through)::timestamptz - interval '10 minutes' AND l.instrument_id = \(instrument)
                    AND l.day >= (\(after)::timestamptz AT TIME ZONE 'UTC')::date - 7 AND c.sealed_through > \(after) AND c.live_editions > 0) AS d
            """
        )
        guard let row = rows.first else { return nil }
        let (first, last, edition) = try row.decode(CivilDay?.self, CivilDay?.self, Int?.self)
        guard let first, let last, let edition else { return nil }
        return (first...last, edition)
    }

    /// From the first to the last interval that late ticks changed after one moment and not after another (microseconds since 1970); nothing when none was.
    func lateTicks(of instrument: InstrumentID, after: Timestamp, through: Timestamp) async throws -> Range<Int64>? {
        let row = try await pool.query(
            """
            SELECT min(starts_at), max(ends_at) FROM tail_bars
            WHERE instrument_id = \(instrument) AND version > 0 AND known_at > \(after) AND known_at <= \(through)
            """
        ).first
        guard let (first, last) = try row?.decode(Timestamp?.self, Timestamp?.self), let first, let last else { return nil }
        return first.microseconds..<last.microseconds
    }
}

/// The database gave no answer that makes sense.
enum KnowledgeError: Error { case noClock }

extension KnowledgeNotice {
    /// Says that an instrument's correction became known, for the transaction that has stamped it.
    static func sendCorrection(of instrument: InstrumentID) -> SQL {
        """
        SELECT pg_notify(\(channel), (extract(epoch FROM last_correction_at) * 1000000)::bigint || ' ' || id)
        FROM instruments WHERE id = \(instrument)
        """
    }
}
