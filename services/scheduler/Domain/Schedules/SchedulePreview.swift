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
    init(_ cadence: Cadence, policy: SchedulePolicy, after now: Timestamp) throws(ScheduleError) {
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
        let start = max(now, policy.startAt.map { $0 - .microseconds(1) } ?? .distantPast)
        let points = grid.points(after: start, through: policy.endAt ?? .distantFuture, limit: Self.length)
        nextDueTimes = points.map { due in
            let local = grid.localTime(of: due)
            return Line(dueAt: due, localTime: local.text, zone: local.zone, note: local.note)
        }
        var notes: [String] = []
        if policy.jitterSeconds > 0 { notes.append("Each run becomes claimable up to \(policy.jitterSeconds) s after its due time.") }
        if let market = policy.inSession { notes.append("Those that fall outside the sessions of \(market) are skipped.") }
        if points.count < Self.length, policy.endAt != nil { notes.append("The schedule ends after these.") }
        note = notes.isEmpty ? nil : notes.joined(separator: " ")
    }
}
