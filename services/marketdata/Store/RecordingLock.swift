import Bars
import Contracts
import Postgres

/// The lock that makes stamps final: whoever stamps something as known from now on holds it from before the stamp until after the commit, and whoever
/// reads as of a moment first waits until nobody does.
///
/// So stamps of one subject (an instrument's corrections, a replay's releases) rise in the order of their commits, and an answer as of a moment that has
/// passed on the database's clock is the last word on it: what commits later is stamped later. A moment that is still to come is not settled by anything.
extension PostgresMarketdataStore {
    /// Held to the end of the transaction. The statement that reads the clock comes after it.
    static func lockRecording(of subject: String) -> SQL { "SELECT pg_advisory_xact_lock(hashtextextended(\("marketdata-recording:" + subject), 0))" }

    /// Stands in one pipeline before the statement that reads, which then sees everything that was stamped before.
    static func awaitRecording(of subject: String) -> SQL {
        "SELECT pg_advisory_xact_lock_shared(hashtextextended(\("marketdata-recording:" + subject), 0))"
    }

    /// The same for what feeds tell of an instrument, where they told something of these days: what is read of history alone waits for no feed.
    static func awaitRecording(of instrument: InstrumentID, on days: ClosedRange<CivilDay>) -> SQL {
        """
        SELECT pg_advisory_xact_lock_shared(hashtextextended(\("marketdata-recording:" + LiveStore.subject), 0)) FROM (
            SELECT FROM live_days WHERE instrument_id = \(instrument) AND day BETWEEN \(days.lowerBound) AND \(days.upperBound) LIMIT 1) AS live
        """
    }
}
