public import Contracts

/// When a market is open, as far as that is known.
public struct MarketSessions: Sendable, Hashable {
    /// Disjoint, in order of time; an open belongs to its session, a close does not.
    public let sessions: [Range<Timestamp>]
    /// Sessions that begin up to here are all known.
    public let knownThrough: Timestamp

    /// Nothing is known.
    public static let unknown = MarketSessions([], knownThrough: .distantPast)

    /// Takes sessions in any order; due times are whole seconds, so sessions are.
    public init(_ sessions: [Range<Timestamp>], knownThrough: Timestamp) {
        var disjoint: [Range<Timestamp>] = []
        for session in sessions.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            let opens = max(session.lowerBound.floored(to: .seconds(1)), disjoint.last?.upperBound ?? .distantPast)
            let closes = session.upperBound.floored(to: .seconds(1))
            if opens < closes { disjoint.append(opens..<closes) }
        }
        self.sessions = disjoint
        self.knownThrough = knownThrough
    }

    /// Whether the market is open at an instant.
    public func isOpen(at time: Timestamp) -> Bool {
        let index = firstIndex(closingAfter: time)
        return index < sessions.count && sessions[index].contains(time)
    }

    /// The first instant after `time` at which the market opens or closes; nil when none is known.
    public func nextChange(after time: Timestamp) -> Timestamp? {
        let index = firstIndex(closingAfter: time)
        guard index < sessions.count else { return nil }
        return sessions[index].lowerBound > time ? sessions[index].lowerBound : sessions[index].upperBound
    }

    /// The index of the first session that ends after an instant.
    func firstIndex(closingAfter time: Timestamp) -> Int {
        var low = 0
        var high = sessions.count
        while low < high {
            let middle = (low + high) / 2
            if sessions[middle].upperBound > time { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
