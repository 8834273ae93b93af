import Bars
import Contracts
import Postgres

/// What streams ask the database besides bars.
struct KnowledgeStore: Sendable {
    let pool: PostgresPool

    /// The moment by the clock that stamps what becomes known: an answer as of it is final.
    func now() async throws -> Timestamp {
        guard let now = try await pool.query("SELECT clock_timestamp()").first?.column(0, as: Timestamp.self) else { throw KnowledgeError.noClock }
        return now
    }

    /// The days of an instrument that imports corrected after one moment and not after another, with the highest edition among them; nothing when none
    /// was. The caller has waited for whoever was recording then, as every reader of bars does.
    func corrections(of instrument: InstrumentID, after: Timestamp, through: Timestamp) async throws -> (days: ClosedRange<CivilDay>, edition: Int)? {
        // The instrument's own row says in one look that there was none, which is nearly always so.
        let rows = try await pool.query(
            """
            SELECT min(c.day), max(c.day), max(c.edition)
            FROM instruments i JOIN chunks c ON c.instrument_id = i.id
            WHERE i.id = \(instrument) AND i.last_correction_at > \(after) AND c.recorded_at > \(after) AND c.recorded_at <= \(through)
            """
        )
        guard let row = rows.first else { return nil }
        let (first, last, edition) = try row.decode(CivilDay?.self, CivilDay?.self, Int?.self)
        guard let first, let last, let edition else { return nil }
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
