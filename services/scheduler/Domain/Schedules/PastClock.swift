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
        guard let grid = try? ScheduleGrid(publication.manifest.schedule) else { throw .nothingDue }
        switch grid {
        case .interval, .cron: self = publication.manifest.policy.inSession.map { .gridWithinSessions(of: $0, grid) } ?? .grid(grid)
        case .session(let session): self = .sessions(of: session.instrument, grid)
        case .barClose(let instrument, let seconds):
            if publication.feed == .replay { throw .replay(instrument) }
            self = .closes(of: WatchedBar(instrument: instrument, intervalSeconds: seconds))
        }
    }

    /// What of a grid in `(after, through]` falls into sessions, the first of it if there is more than `limit`; a close belongs to no session.
    static func points(of grid: ScheduleGrid, within market: MarketSessions, after: Timestamp, through: Timestamp, limit: Int) -> [Timestamp] {
        var found: [Timestamp] = []
        for session in market.sessions where session.upperBound > after && session.lowerBound <= through && found.count < limit {
            let first = max(after, session.lowerBound - .microseconds(1))
            let last = min(through, session.upperBound - .microseconds(1))
            found += grid.points(after: first, through: last, limit: limit - found.count)
        }
        return found
    }
}
