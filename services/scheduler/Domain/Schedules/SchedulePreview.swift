import Contracts
import Schedules

/// The next due times of a cadence, as far as they can be known ahead.
struct SchedulePreview: Encodable, Sendable {
    /// A due time.
    struct Line: Encodable, Sendable {
        let dueAt: Timestamp
        let localTime: String
        let zone: String
        /// What clocks do on that day.
        let note: String?
    }

    static let length = 10

    let cadence: Cadence
    let nextDueTimes: [Line]
    /// What is to be known of all of them.
    let note: String?

    /// Throws what keeps the cadence from being armed.
    init(_ cadence: Cadence, policy: SchedulePolicy, sessions: MarketSessions = .unknown, after now: Timestamp) throws(ScheduleError) {
        self.cadence = cadence
        let grid = try ScheduleGrid(cadence)
        if case .barClose(let instrument, let seconds) = grid {
            // Only market data knows when a market is open, and a replay has hours of its own.
            let end = (now.seconds / Int64(seconds) + 1) * Int64(seconds)
            nextDueTimes = []
            note =
                seconds < 86_400
                ? """
                Due whenever a bar of \(instrument) closes, which bars say themselves: none while its market is closed. The bar that would be running now \
                ends at \(Timestamp(seconds: end)); it closes about a quarter of a second later.
                """ : "Due whenever a bar of \(instrument) closes, at the end of its market's day: bars say themselves when that is."
            return
        }
        let due = DueTimes(grid, policy, sessions: sessions)
        var points = due.points(after: now, through: due.knownThrough, limit: Self.length)
        // Of those that keep to a market only those that would run.
        if policy.inSession != nil, due.knownThrough > now {
            points = []
            var position = now
            for _ in 0..<10_000 where points.count < Self.length {
                guard let next = due.next(after: position), next <= due.knownThrough else { break }
                if due.isInSession(next) { points.append(next) }
                position = next
            }
        }
        nextDueTimes = points.map { due in
            let local = grid.localTime(of: due)
            return Line(dueAt: due, localTime: local.text, zone: local.zone, note: local.note)
        }
        var notes: [String] = []
        if policy.jitterSeconds > 0 { notes.append("Each run becomes claimable up to \(policy.jitterSeconds) s after its due time.") }
        if let market = DueTimes.market(of: cadence, policy) {
            notes.append(
                due.knownThrough > now
                    ? "The sessions of \(market) are known up to \(due.knownThrough), and may still change."
                    : "When the market of \(market) is open is known once the schedule is live."
            )
        }
        if points.count < Self.length, let end = policy.endAt, end < due.knownThrough { notes.append("The schedule ends after these.") }
        note = notes.isEmpty ? nil : notes.joined(separator: " ")
    }
}
