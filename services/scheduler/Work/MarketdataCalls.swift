import Contracts
import HTTPServing
import Schedules

/// What the scheduler asks marketdata about sessions and bars.
extension ServiceClient {
    private struct Sessions: Decodable, Sendable {
        struct Session: Decodable, Sendable {
            let opensAt: Timestamp
            let closesAt: Timestamp

            var range: Range<Timestamp>? { opensAt < closesAt ? opensAt..<closesAt : nil }
        }
        let sessions: [Session]
    }

    /// The sessions of an instrument's market that begin in `[from, through]`, 400 days at most; nil if there is no such instrument.
    func sessions(of market: String, from: Timestamp, through: Timestamp) async throws -> MarketSessions? {
        let answer: Sessions? = try await getIfFound(
            "/internal/v1/instruments/\(PercentCoding.encode(market))/sessions",
            query: [("from", from.iso8601), ("through", through.iso8601)]
        )
        return answer.map { MarketSessions($0.sessions.compactMap(\.range), knownThrough: through) }
    }

    private struct PastCloses: Decodable, Sendable {
        let closes: [Timestamp]
    }

    /// The ends of the bars of an instrument that ended in `(from, through]`, the first `limit` of them; nil if there is no such instrument.
    func pastCloses(of bar: WatchedBar, from: Timestamp, through: Timestamp, limit: Int) async throws -> [Timestamp]? {
        do {
            let answer: PastCloses = try await get(
                "/internal/v1/instruments/\(PercentCoding.encode(bar.instrument))/past-closes",
                query: [
                    ("interval_seconds", String(bar.intervalSeconds)), ("from", from.iso8601), ("through", through.iso8601), ("limit", String(limit)),
                ]
            )
            return answer.closes
        } catch ServiceClientError.refused(_, 404, "unknown_instrument", _) {
            // Any other 404 is of something between, or of a version that cannot say.
            return nil
        }
    }
}
