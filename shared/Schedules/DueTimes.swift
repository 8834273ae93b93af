public import Contracts

/// When a schedule is due: its grid within the bounds of its policy, and with what is known of its market.
public struct DueTimes: Sendable, Hashable {
    /// The times, before bounds.
    public let grid: ScheduleGrid
    private let startAt: Timestamp
    private let endAt: Timestamp
    /// What is due while this market is closed is left out; nil where nothing is.
    private let filter: MarketSessions?

    /// Without bounds or a market to keep to.
    public init(_ grid: ScheduleGrid) {
        self.grid = grid
        startAt = .distantPast
        endAt = .distantFuture
        filter = nil
    }

    /// - Parameters:
    ///   - grid: what the cadence gives.
    ///   - policy: its bounds, and whether it keeps to a market's sessions.
    ///   - sessions: what is known of the market, see ``market(of:_:)``.
    public init(_ grid: ScheduleGrid, _ policy: SchedulePolicy, sessions: MarketSessions = .unknown) {
        self.grid = grid.knowing(sessions)
        startAt = policy.startAt ?? .distantPast
        endAt = policy.endAt ?? .distantFuture
        filter = policy.inSession == nil ? nil : sessions
    }

    /// The instrument whose market a schedule follows or keeps to; nil if it does neither.
    public static func market(of cadence: Cadence, _ policy: SchedulePolicy) -> String? {
        if case .session(let instrument, _) = cadence { return instrument }
        return policy.inSession
    }

    /// Up to here it can be said what is due. Later than that the market's sessions are not known yet.
    public var knownThrough: Timestamp {
        if case .session(let grid) = grid { return grid.sessions.knownThrough }
        return filter?.knownThrough ?? .distantFuture
    }

    /// Whether what is due then runs, so far as it depends on the market.
    public func isInSession(_ due: Timestamp) -> Bool { filter?.isOpen(at: due) ?? true }

    /// The first instant after `time` at which the market that due times must keep to opens or closes.
    public func nextMarketChange(after time: Timestamp) -> Timestamp? { filter?.nextChange(after: time) }

    /// The first due time after `time`.
    public func next(after time: Timestamp) -> Timestamp? {
        grid.next(after: max(time, startAt - .microseconds(1))).flatMap { $0 <= endAt ? $0 : nil }
    }

    /// The last due time in `(after, through]`.
    public func last(after: Timestamp, through: Timestamp) -> Timestamp? {
        grid.last(after: max(after, startAt - .microseconds(1)), through: min(through, endAt))
    }

    /// How many due times lie in `(after, through]`.
    public func count(after: Timestamp, through: Timestamp) -> Int {
        grid.count(after: max(after, startAt - .microseconds(1)), through: min(through, endAt))
    }

    /// The due times in `(after, through]`, the first of them if there are more than `limit`.
    public func points(after: Timestamp, through: Timestamp, limit: Int) -> [Timestamp] {
        grid.points(after: max(after, startAt - .microseconds(1)), through: min(through, endAt), limit: limit)
    }

    /// The due times in `(after, through]`, the last of them if there are more than `limit`.
    public func lastPoints(after: Timestamp, through: Timestamp, limit: Int) -> [Timestamp] {
        guard after < through, count(after: after, through: through) > limit else { return points(after: after, through: through, limit: limit) }
        // The latest second behind which there are still that many.
        var (low, high) = (after.seconds, through.seconds + 1)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if count(after: Timestamp(seconds: middle), through: through) >= limit { low = middle } else { high = middle }
        }
        return Array(points(after: max(after, Timestamp(seconds: low)), through: through, limit: limit + 1).suffix(limit))
    }
}
