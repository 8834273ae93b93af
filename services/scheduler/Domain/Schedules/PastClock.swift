import Contracts
import Schedules

/// What says when a version would have been due in the past.
///
/// The bounds of its policy count for nothing: they say when it runs live, and the past before a start is what a backfill is for.
enum PastClock: Sendable, Hashable {
    /// The time alone.
    case grid(ScheduleGrid)
    /// Moments of a market's sessions.
    case sessions(of: String, ScheduleGrid)
    /// A grid of which only what falls into a market's sessions is due.
    case gridWithinSessions(of: String, ScheduleGrid)
    /// The closes of bars.
    case closes(of: WatchedBar)

    init(_ publication: SignalPublished) throws(Backfill.Refusal) {
        // What cannot be armed is never due.
        guard let grid = try? ScheduleGrid(publication.manifest.schedule) else { throw .nothingDue(followsMarket: false) }
        switch grid {
        case .interval, .cron: self = publication.manifest.policy.inSession.map { .gridWithinSessions(of: $0, grid) } ?? .grid(grid)
        case .session(let session): self = .sessions(of: session.instrument, grid)
        case .barClose(let instrument, let seconds):
            if publication.feed == .replay { throw .replay(instrument) }
            self = .closes(of: WatchedBar(instrument: instrument, intervalSeconds: seconds))
        }
    }

    /// What of a grid in `(after, through]` falls into sessions, the first of it if there is more than `limit`. A close belongs to no session.
    ///
    /// The grid is walked once, from what is due next to the session after that: a rare one is walked through years in one step and not again for each session.
    static func points(
        of grid: ScheduleGrid,
        within market: MarketSessions,
        after: Timestamp,
        through: Timestamp,
        limit: Int
    ) -> [Timestamp] {
        var found: [Timestamp] = []
        var position = after
        var rest = market.sessions[...]
        while found.count < limit {
            guard let due = grid.next(after: position), due <= through else { break }
            rest = rest.drop { $0.upperBound <= due }
            guard let session = rest.first else { break }
            if session.contains(due) { found.append(due) }
            position = max(due, session.lowerBound - .microseconds(1))
        }
        return found
    }
}
