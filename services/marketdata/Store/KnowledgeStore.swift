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

    /// The days of an instrument that imports or late ticks may have corrected after one moment and not after another, with the highest edition among them
    /// where it is known; nothing when none was. The caller has waited for whoever was recording then, as every reader of bars does.
    func corrections(of instrument: InstrumentID, after: Timestamp, through: Timestamp) async throws -> (days: ClosedRange<CivilDay>, edition: Int?)?
    {
        // The instrument's own row says in one look that no import did, which is nearly always so. A day that was sealed since may hold late ticks of before.
        let rows = try await pool.query(
            """
            SELECT min(d.day), max(d.day), max(d.edition) FROM (
                SELECT c.day, c.edition FROM instruments i JOIN chunks c ON c.instrument_id = i.id
                WHERE i.id = \(instrument) AND i.last_correction_at > \(after) AND c.recorded_at > \(after) AND c.recorded_at <= \(through)
                UNION ALL
                SELECT c.day, c.edition + c.live_editions FROM live_days l JOIN chunks c USING (instrument_id, interval_seconds, side, origin, day)
                WHERE l.instrument_id = \(instrument) AND l.day >= (\(after)::timestamptz AT TIME ZONE 'UTC')::date - 7 AND c.sealed_through > \(after)
                    AND c.live_editions > 0
                UNION ALL
                SELECT t.day, NULL FROM tail_bars t
                WHERE t.instrument_id = \(instrument) AND t.version > 0 AND t.known_at > \(after) AND t.known_at <= \(through)) AS d
            """
        )
        guard let row = rows.first else { return nil }
        let (first, last, edition) = try row.decode(CivilDay?.self, CivilDay?.self, Int?.self)
        guard let first, let last else { return nil }
        return (first...last, edition)
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
