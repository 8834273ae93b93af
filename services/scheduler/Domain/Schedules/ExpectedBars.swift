import Contracts

/// When bars of one length of a live instrument close, as far as marketdata has said.
struct ExpectedBars: Sendable, Hashable, Codable {
    /// Bars that follow one another; the last one may be cut at the end.
    struct Stretch: Sendable, Hashable, Codable {
        let startsAt: Timestamp
        let endsAt: Timestamp
        let barMicroseconds: Int64
    }

    /// Since when a feed tells of the instrument; nil when none does, and nothing is expected then.
    let liveSince: Timestamp?
    let stretches: [Stretch]

    /// The closes in `(after, through]`, the first of them if there are more than `limit`; a bar that began before the feed did is not announced.
    func closes(after: Timestamp, through: Timestamp, limit: Int) -> [Timestamp] {
        guard let liveSince else { return [] }
        var found: [Timestamp] = []
        for stretch in stretches where stretch.endsAt > after && stretch.startsAt < through && stretch.barMicroseconds > 0 {
            let passed = max(0, max(after, liveSince).microseconds - stretch.startsAt.microseconds)
            var index = passed / stretch.barMicroseconds
            while found.count < limit {
                let start = Timestamp(microseconds: stretch.startsAt.microseconds + index * stretch.barMicroseconds)
                if start >= stretch.endsAt { break }
                let end = min(Timestamp(microseconds: start.microseconds + stretch.barMicroseconds), stretch.endsAt)
                if end > through { break }
                if end > after, start >= liveSince { found.append(end) }
                index += 1
            }
        }
        return found
    }
}

/// Schedules that wait for the same bars equally long.
struct BarDeadline: Sendable, Hashable {
    let instrument: String
    let intervalSeconds: Int
    /// For how long a bar's run is caught up.
    let windowSeconds: Int
}
