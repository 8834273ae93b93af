import Contracts

/// When bars of one length of a live instrument close, as far as marketdata has said.
struct ExpectedBars: Sendable, Hashable, Codable {
    /// Bars that follow one another; the last one may be cut at the end.
    struct Stretch: Sendable, Hashable, Codable {
        let startsAt: Timestamp
        let endsAt: Timestamp
        let barMicroseconds: Int64
    }

    /// A time in which a feed told of the instrument, and that is over.
    struct LiveSpan: Sendable, Hashable, Codable {
        let from: Timestamp
        let to: Timestamp
    }

    /// Since when a feed tells of the instrument; nil when none does, and nothing more is expected then.
    var liveSince: Timestamp?
    /// Why nothing is expected, in marketdata's word; nil when something is, or when the answer does not say.
    var silence: String?
    var stretches: [Stretch]
    /// When a feed told of it before: what closed then was expected, whatever has become of the feed. Ours, and never marketdata's.
    var earlier: [LiveSpan]?

    init(liveSince: Timestamp?, silence: String? = nil, stretches: [Stretch], earlier: [LiveSpan]? = nil) {
        self.liveSince = liveSince
        self.silence = silence
        self.stretches = stretches
        self.earlier = earlier
    }

    /// Whether it says that bars are expected, or in so many words that none are. An answer that merely has none says nothing.
    var isDefinite: Bool { liveSince != nil || silence != nil }

    /// This newer answer, with what the older one expected up to when it was last confirmed; what ended before `horizon` is nobody's business any more.
    func succeeding(_ older: ExpectedBars, confirmedAt confirmed: Timestamp, horizon: Timestamp) -> ExpectedBars {
        var joined = self
        var spans = (older.earlier ?? []).filter { $0.to > horizon }
        if let since = older.liveSince, since != liveSince, since < confirmed { spans.append(LiveSpan(from: since, to: confirmed)) }
        joined.earlier = spans.isEmpty ? nil : spans
        if liveSince == nil, !spans.isEmpty { joined.stretches = older.stretches }
        return joined
    }

    /// The closes in `(after, through]`, the first of them if there are more than `limit`; a bar that began before the feed did is not announced.
    func closes(after: Timestamp, through: Timestamp, limit: Int) -> [Timestamp] {
        let spans = (earlier ?? []) + (liveSince.map { [LiveSpan(from: $0, to: .distantFuture)] } ?? [])
        guard let first = spans.map(\.from).min() else { return [] }
        var found: [Timestamp] = []
        for stretch in stretches where stretch.endsAt > after && stretch.startsAt < through && stretch.barMicroseconds > 0 {
            let passed = max(0, max(after, first).microseconds - stretch.startsAt.microseconds)
            var index = passed / stretch.barMicroseconds
            while found.count < limit {
                let start = Timestamp(microseconds: stretch.startsAt.microseconds + index * stretch.barMicroseconds)
                if start >= stretch.endsAt { break }
                let end = min(Timestamp(microseconds: start.microseconds + stretch.barMicroseconds), stretch.endsAt)
                if end > through { break }
                if end > after, spans.contains(where: { start >= $0.from && end <= $0.to }) { found.append(end) }
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
