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
/// What is kept here of markets is for what is ahead, and goes back five weeks: of the past marketdata is asked, for sessions in pieces of about a year, some
/// at once, and no longer than somebody may be kept waiting. What it says is written down with the backfill, so that its runs stay the same ones whatever
/// becomes of calendar and bars meanwhile.
struct BackfillPlanner: Sendable {
    let markets: PastMarkets
    let time: any TimeSource
    private let turns: Turns
    private let logger = Logger("backfills")
    /// So many pieces are asked for at a time: fifty years are forty-nine.
    static let piecesAtOnce = 8
    /// So many are asked for at a time by all who plan at this replica, as much as two: the rest waits for its turn, within its patience.
    static let piecesAtOnceOfAll = 16
    /// For so long marketdata is waited for, however many pieces there are. Less than the 15 s for which our own clients wait: who has given up would not
    /// know that his backfill was begun, and be refused another one.
    static let patience = Duration.seconds(12)
    /// A session that lasts into a piece began no longer before it.
    static let longestSession = Duration.seconds(7 * 86_400)
    /// One due time more than a backfill may have is enough to refuse it.
    private static let enough = Backfill.maximumDueTimes + 1

    init(markets: PastMarkets, time: any TimeSource, turns: Turns = Turns(BackfillPlanner.piecesAtOnceOfAll)) {
        self.markets = markets
        self.time = time
        self.turns = turns
    }

    /// The backfill of a range, and its due times where a market gave them.
    func plan(
        _ schedule: Schedule,
        publication: SignalPublished,
        asked: Backfill.Asked,
        now: Timestamp
    ) async throws -> (backfill: Backfill, dueTimes: [Backfill.DueTime]) {
        let stretch = try asked.stretch(now: now)
        let dueTimes: [Backfill.DueTime]
        switch try PastClock(publication) {
        case .grid(let grid): return (try Backfill.of(grid, in: stretch, schedule, publication: publication, asked: asked, now: now), [])
        case .closes(let bar):
            dueTimes = try await patiently(of: bar.instrument) { try await markets.closes(bar, stretch.after, stretch.through, Self.enough) }
                // What a live run saw when its bar closed.
                .map { Backfill.DueTime(dueAt: $0.end, asOf: max($0.end, $0.knownAt)) }
        case .sessions(let market, let grid):
            dueTimes = try await inPieces(PastPieces(of: stretch), of: market) { sessions, piece, limit in
                grid.knowing(sessions).points(after: piece.after, through: piece.through, limit: limit)
            }
        case .gridWithinSessions(let market, let grid):
            dueTimes = try await inPieces(PastPieces(of: stretch, whereDue: grid), of: market) { sessions, piece, limit in
                PastClock.points(of: grid, within: sessions, after: piece.after, through: piece.through, limit: limit)
            }
        }
        return (try Backfill.of(dueTimes, schedule, publication: publication, asked: asked, now: now), dueTimes)
    }

    /// What `find` gives of each piece, in order, up to one due time too many.
    private func inPieces(
        _ pieces: PastPieces,
        of market: String,
        _ find: @escaping @Sendable (MarketSessions, Backfill.Stretch, _ limit: Int) -> [Timestamp]
    ) async throws -> [Backfill.DueTime] {
        try await patiently(of: market) {
            var found: [Timestamp] = []
            var rest = pieces
            while found.count < Self.enough {
                let next = rest.next(Self.piecesAtOnce)
                guard !next.isEmpty else { break }
                guard let sessions = try await sessions(of: market, in: next) else { return nil }
                for (piece, sessions) in zip(next, sessions) where found.count < Self.enough {
                    found += find(sessions, piece, Self.enough - found.count)
                }
            }
            return found.map { Backfill.DueTime(dueAt: $0, asOf: $0) }
        }
    }

    /// The sessions of each piece, asked for at once; nil if there is no such market.
    private func sessions(of market: String, in pieces: [Backfill.Stretch]) async throws -> [MarketSessions]? {
        try await withThrowingTaskGroup(of: (Int, MarketSessions?).self) { group in
            for (place, piece) in pieces.enumerated() {
                group.addTask {
                    let from = piece.after - Self.longestSession
                    return (place, try await turns.take { try await markets.sessions(market, from, piece.through) })
                }
            }
            var known = [MarketSessions](repeating: .unknown, count: pieces.count)
            for try await (place, sessions) in group {
                guard let sessions else {
                    group.cancelAll()
                    return nil
                }
                known[place] = sessions
            }
            return known
        }
    }

    /// Marketdata's answer, unless it takes too long.
    private func patiently<Answer: Sendable>(of instrument: String, _ ask: @escaping @Sendable () async throws -> Answer?) async throws -> Answer {
        try await asked(of: instrument) {
            try await withThrowingTaskGroup(of: Answer?.self) { group in
                group.addTask { try await ask() }
                group.addTask {
                    try await time.sleep(for: Self.patience)
                    throw ServiceClientError.away(service: "marketdata", reason: "it has not said all within \(Self.patience)")
                }
                defer { group.cancelAll() }
                return try await group.next() ?? nil
            }
        }
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
