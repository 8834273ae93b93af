import Contracts
import HTTPServing
import Schedules

/// What marketdata knows of the past of a market.
struct PastMarkets: Sendable {
    /// The sessions that begin in a stretch; nil if there is no such instrument.
    let sessions: @Sendable (_ market: String, _ from: Timestamp, _ through: Timestamp) async throws -> MarketSessions?
    /// The ends of the bars that ended in a stretch, the first `limit` of them; nil if there is no such instrument.
    let closes: @Sendable (_ bar: WatchedBar, _ from: Timestamp, _ through: Timestamp, _ limit: Int) async throws -> [Timestamp]?
}

extension PastMarkets {
    init(marketdata: ServiceClient) {
        sessions = { try await marketdata.sessions(of: $0, from: $1, through: $2) }
        closes = { try await marketdata.pastCloses(of: $0, from: $1, through: $2, limit: $3) }
    }
}

/// Finds out when a schedule was due in a past range.
///
/// What is kept here of markets is for what is ahead, and goes back five weeks: of the past marketdata is asked, for sessions a year after the other.
/// What it says is written down with the backfill, so that its runs stay the same ones whatever becomes of calendar and bars meanwhile.
struct BackfillPlanner: Sendable {
    let markets: PastMarkets
    /// As much is asked for at once.
    static let piece = Duration.seconds(380 * 86_400)
    /// A session that lasts into a piece began no longer before it.
    static let longestSession = Duration.seconds(7 * 86_400)

    /// The backfill of a range, and its due times where a market gave them.
    func plan(
        _ schedule: Schedule,
        publication: SignalPublished,
        from: Timestamp,
        to: Timestamp,
        overlap: Backfill.Overlap,
        now: Timestamp
    ) async throws -> (backfill: Backfill, dueTimes: [Timestamp]?) {
        try Backfill.check(from: from, to: to, now: now)
        let clock = try PastClock(publication)
        var dueTimes: [Timestamp]?
        if case .grid = clock {} else { dueTimes = try await self.dueTimes(clock, after: Backfill.start(from, now: now), through: to) }
        let backfill = try Backfill.planned(
            schedule,
            publication: publication,
            from: from,
            to: to,
            overlap: overlap,
            now: now,
            dueTimes: dueTimes
        )
        return (backfill, dueTimes)
    }

    /// The due times in `(after, through]`; one more than a backfill may have is enough.
    private func dueTimes(_ clock: PastClock, after: Timestamp, through: Timestamp) async throws -> [Timestamp] {
        let enough = Backfill.maximumDueTimes + 1
        switch clock {
        case .grid(let grid): return grid.points(after: after, through: through, limit: enough)
        case .closes(let bar):
            guard let closes = try await asked({ try await markets.closes(bar, after, through, enough) }) else {
                throw Backfill.Refusal.unknownInstrument(bar.instrument)
            }
            return closes
        case .sessions(let market, let grid):
            return try await pieces(of: market, after: after, through: through, limit: enough) { sessions, after, through, limit in
                grid.knowing(sessions).points(after: after, through: through, limit: limit)
            }
        case .gridWithinSessions(let market, let grid):
            return try await pieces(of: market, after: after, through: through, limit: enough) { sessions, after, through, limit in
                PastClock.points(of: grid, within: sessions, after: after, through: through, limit: limit)
            }
        }
    }

    private func pieces(
        of market: String,
        after: Timestamp,
        through: Timestamp,
        limit: Int,
        _ dueTimes: (MarketSessions, _ after: Timestamp, _ through: Timestamp, _ limit: Int) -> [Timestamp]
    ) async throws -> [Timestamp] {
        var found: [Timestamp] = []
        var position = after
        while position < through, found.count < limit {
            let end = min(through, position + Self.piece)
            found += dueTimes(try await sessions(of: market, position, end), position, end, limit - found.count)
            position = end
        }
        return found
    }

    private func sessions(of market: String, _ after: Timestamp, _ through: Timestamp) async throws -> MarketSessions {
        guard let sessions = try await asked({ try await markets.sessions(market, after - Self.longestSession, through) }) else {
            throw Backfill.Refusal.unknownInstrument(market)
        }
        return sessions
    }

    private func asked<Answer>(_ ask: () async throws -> Answer) async throws -> Answer {
        do {
            return try await ask()
        } catch ServiceClientError.refused(_, 422, let code, let detail) {
            // Bars of this length cannot be made, or only of more stored ones than one question may read.
            throw Backfill.Refusal.refused(code: code, detail: detail)
        } catch is ServiceClientError {
            throw Backfill.Refusal.marketAway
        }
    }
}
