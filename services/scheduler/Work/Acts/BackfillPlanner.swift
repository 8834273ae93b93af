import Contracts
import HTTPServing
import Schedules
import ServiceRuntime

/// What marketdata knows of the past of a market.
struct PastMarkets: Sendable {
    /// The sessions that begin in a stretch; nil if there is no such instrument.
    let sessions: @Sendable (_ market: String, _ from: Timestamp, _ through: Timestamp) async throws -> MarketSessions?
    /// The bars that ended in a stretch, the first `limit` of them; nil if there is no such instrument.
    let closes: @Sendable (_ bar: WatchedBar, _ from: Timestamp, _ through: Timestamp, _ limit: Int) async throws -> [PastClose]?
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
    private let logger = Logger("backfills")
    /// As much is asked for at once.
    static let piece = Duration.seconds(380 * 86_400)
    /// A session that lasts into a piece began no longer before it.
    static let longestSession = Duration.seconds(7 * 86_400)
    /// One due time more than a backfill may have is enough to refuse it.
    private static let enough = Backfill.maximumDueTimes + 1

    init(markets: PastMarkets) {
        self.markets = markets
    }

    /// The backfill of a range, and its due times where a market gave them.
    func plan(
        _ schedule: Schedule,
        publication: SignalPublished,
        asked: Backfill.Asked,
        now: Timestamp
    ) async throws -> (backfill: Backfill, dueTimes: [Backfill.DueTime]) {
        try Backfill.check(asked, now: now)
        let after = Backfill.start(asked.from, now: now)
        let dueTimes: [Backfill.DueTime]
        switch try PastClock(publication) {
        case .grid(let grid): return (try Backfill.of(grid, schedule, publication: publication, asked: asked, now: now), [])
        case .closes(let bar):
            dueTimes = try await self.asked(of: bar.instrument) { try await markets.closes(bar, after, asked.to, Self.enough) }
                // What a live run saw when its bar closed.
                .map { Backfill.DueTime(dueAt: $0.end, asOf: max($0.end, $0.knownAt)) }
        case .sessions(let market, let grid):
            dueTimes = try await pieces(of: market, after: after, through: asked.to) { sessions, after, through, limit in
                (grid.knowing(sessions).points(after: after, through: through, limit: limit), through)
            }
        case .gridWithinSessions(let market, let grid):
            dueTimes = try await pieces(of: market, after: after, through: asked.to) { sessions, after, through, limit in
                PastClock.points(of: grid, within: sessions, after: after, through: through, limit: limit)
            }
        }
        return (try Backfill.of(dueTimes, schedule, publication: publication, asked: asked, now: now), dueTimes)
    }

    /// A piece of the range after the other: `find` gives what is due in one, and up to where nothing else is.
    private func pieces(
        of market: String,
        after: Timestamp,
        through: Timestamp,
        _ find: (MarketSessions, _ after: Timestamp, _ through: Timestamp, _ limit: Int) -> (found: [Timestamp], through: Timestamp)
    ) async throws -> [Backfill.DueTime] {
        var found: [Timestamp] = []
        var position = after
        while position < through, found.count < Self.enough {
            let (start, end) = (position, min(through, position + Self.piece))
            let sessions = try await asked(of: market) { try await markets.sessions(market, start - Self.longestSession, end) }
            let piece = find(sessions, start, end, Self.enough - found.count)
            found += piece.found
            position = max(end, piece.through)
        }
        return found.map { Backfill.DueTime(dueAt: $0, asOf: $0) }
    }

    private func asked<Answer>(of instrument: String, _ ask: () async throws -> Answer?) async throws -> Answer {
        do {
            guard let answer = try await ask() else { throw Backfill.Refusal.unknownInstrument(instrument) }
            return answer
        } catch let error as ServiceClientError {
            let refusal = Backfill.Refusal(error)
            let fields: [String: LogValue] = ["instrument": .string(instrument), "reason": .string(error.description)]
            switch refusal {
            case .refused: break
            case .marketFault: logger.error("marketdata does not say the past of a market as it should", fields)
            default: logger.warning("marketdata does not say the past of a market at the moment", fields)
            }
            throw refusal
        }
    }
}

extension Backfill.Refusal {
    /// What becomes of an answer that is none.
    init(_ error: ServiceClientError) {
        self =
            switch error {
            // Only of more stored bars than one question may read.
            case .refused(_, 422, let code, let detail) where code == "too_many_base_rows": .refused(code: code, detail: detail, field: "to")
            // Bars of the schedule's length cannot be made, or whatever else is wrong with it.
            case .refused(_, 422, let code, let detail): .refused(code: code, detail: detail, field: "id")
            case .refused(_, 409, "days_removed", _), .refused(_, 429, _, _): .marketBusy
            default: error.isPassing ? .marketAway : .marketFault
            }
    }
}
