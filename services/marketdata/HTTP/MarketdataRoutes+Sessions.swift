import Bars
import Contracts
import HTTPServing
import ServiceRuntime

/// When the market of an instrument is open.
struct SessionsAnswer: Encodable, Sendable {
    let symbol: String
    let calendar: String
    /// The sessions that begin in the stretch that was asked for, in order; a pause at noon divides one.
    let sessions: [Session]

    struct Session: Encodable, Sendable {
        let opensAt: Timestamp
        let closesAt: Timestamp
    }
}

extension MarketdataRoutes {
    /// So long a stretch may be asked for.
    private static let longestStretch = Duration.seconds(400 * 86_400)

    /// `GET /internal/v1/instruments/{symbol}/sessions`: the regular sessions that begin in `[from, through]`
    func internalSessions(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["from", "through"])
        guard let from = try request.query.timestamp("from"), let through = try request.query.timestamp("through"), from <= through,
            through - from <= Self.longestStretch
        else {
            throw MarketdataError.invalid(
                field: "through",
                code: "invalid_through",
                detail: "`from`, and a time up to 400 days later, would be right."
            )
        }
        let symbol = request.parameters["symbol"] ?? ""
        guard InstrumentSymbol.canExist(symbol), let found = try await store.description(of: symbol, on: .moment(time.now())) else {
            throw MarketdataError.unknownInstrument(symbol)
        }
        let calendar = try await calendars.calendar(named: found.instrument.calendar)
        let answer = SessionsAnswer(
            symbol: found.instrument.symbol,
            calendar: calendar.name,
            sessions: MarketHours(try TradingClock(calendar)).sessions(from: from.microseconds, through: through.microseconds).map {
                .init(opensAt: Timestamp(microseconds: $0.lowerBound), closesAt: Timestamp(microseconds: $0.upperBound))
            }
        )
        return try .json(answer)
    }
}

/// The regular sessions of a calendar.
struct MarketHours: Sendable {
    private let clock: TradingClock

    init(_ clock: TradingClock) { self.clock = clock }

    /// Those that begin in `[from, through]`, in order; microseconds since 1970.
    func sessions(from: Int64, through: Int64) -> [Range<Int64>] {
        var found: [Range<Int64>] = []
        // A trading date can begin on the evening before.
        var day = clock.tradingDate(of: from) + -1
        let last = clock.tradingDate(of: through) + 1
        while day <= last {
            if let session = clock.session(on: day, kind: .regular) {
                for part in parts(of: session, on: day) where from <= part.lowerBound && part.lowerBound <= through { found.append(part) }
            }
            day = day + 1
        }
        return found
    }

    private func parts(of session: Range<Int64>, on day: CivilDay) -> [Range<Int64>] {
        guard let pause = clock.pause(on: day, kind: .regular), session.overlaps(pause) else { return [session] }
        let before = session.lowerBound..<max(session.lowerBound, min(pause.lowerBound, session.upperBound))
        let after = min(max(pause.upperBound, session.lowerBound), session.upperBound)..<session.upperBound
        return [before, after].filter { !$0.isEmpty }
    }
}
