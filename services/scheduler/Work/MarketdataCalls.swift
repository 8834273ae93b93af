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
        try await ifKnown {
            let answer: Sessions = try await get(
                "/internal/v1/instruments/\(PercentCoding.encode(market))/sessions",
                query: [("from", from.iso8601), ("through", through.iso8601)]
            )
            return MarketSessions(answer.sessions.compactMap(\.range), knownThrough: through)
        }
    }

    private struct PastCloses: Decodable, Sendable {
        let closes: [PastClose]
        let hasMore: Bool
    }

    /// The bars of an instrument that ended in `(from, through]`, the first `limit` of them; nil if there is no such instrument.
    func pastCloses(of bar: WatchedBar, from: Timestamp, through: Timestamp, limit: Int) async throws -> [PastClose]? {
        try await ifKnown {
            var found: [PastClose] = []
            var position = from
            while found.count < limit {
                let answer: PastCloses = try await get(
                    "/internal/v1/instruments/\(PercentCoding.encode(bar.instrument))/past-closes",
                    query: [
                        ("interval_seconds", String(bar.intervalSeconds)), ("from", position.iso8601), ("through", through.iso8601),
                        ("limit", String(limit - found.count)),
                    ]
                )
                found += answer.closes
                guard answer.hasMore else { break }
                // As many as it likes to say at once: the rest begins behind the last of them.
                guard let last = answer.closes.last?.end, last > position else {
                    throw ServiceClientError.unreadable(service: "marketdata", reason: "there are more closes, but none was sent")
                }
                position = last
            }
            return found
        }
    }

    /// Nil if there is no such instrument. Any other 404 is of something between, or of a version that cannot say.
    private func ifKnown<Answer>(_ ask: () async throws -> Answer) async throws -> Answer? {
        do {
            return try await ask()
        } catch ServiceClientError.refused(_, 404, "unknown_instrument", _) {
            return nil
        }
    }
}

/// A bar that closed.
struct PastClose: Decodable, Sendable, Hashable {
    let end: Timestamp
    /// From when on it could be read.
    let knownAt: Timestamp
}
