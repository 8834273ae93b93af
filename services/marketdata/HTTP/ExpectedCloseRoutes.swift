import Bars
import Contracts
import HTTPServing
import ServiceRuntime

/// When the bars of a live instrument will close, for whoever waits for their closes and wants to notice that one was never told.
struct ExpectedCloseRoutes: Sendable {
    let store: any MarketdataStore
    let subscriptions: LiveSubscriptionStore
    let reader: BarReader
    let time: any TimeSource

    func add(to router: inout Router, authentication: any Middleware) {
        router.grouped(authentication).get("/internal/v1/instruments/{symbol}/closes", closes)
    }

    /// So long a stretch may be asked for.
    private static let longestStretch = Duration.seconds(60 * 86_400)

    private struct Answer: Encodable, Sendable {
        let symbol: String
        /// Since when a feed is to tell of it; absent when none is, and then nothing is expected.
        var liveSince: Timestamp?
        /// Why nothing is expected; absent when something is.
        var silence: Silence?
        var stretches: [ExpectedCloses.Stretch] = []
    }

    /// Why no bar of an instrument will close. Without such a word nobody may conclude that from an answer.
    private enum Silence: String, Encodable, Sendable {
        /// No feed is to tell of it.
        case notLive = "not_live"
        /// Its feed refuses it.
        case refused
        /// Bars of this length cannot be made of those that are stored.
        case notMade = "not_made"
    }

    /// `GET /internal/v1/instruments/{symbol}/closes`: the bars of a length that close in `(from, through]`
    private func closes(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["from", "through", "interval_seconds"])
        guard let from = try request.query.timestamp("from"), let through = try request.query.timestamp("through"), from <= through,
            through - from <= Self.longestStretch
        else {
            throw MarketdataError.invalid(
                field: "through",
                code: "invalid_through",
                detail: "`from`, and a time up to 60 days later, would be right."
            )
        }
        let seconds = try request.query.integer("interval_seconds", range: 5...366 * 86_400, default: 60)
        let symbol = request.parameters["symbol"] ?? ""
        guard InstrumentSymbol.canExist(symbol), let found = try await store.description(of: symbol, on: .moment(time.now())) else {
            throw MarketdataError.unknownInstrument(symbol)
        }
        let instrument = found.instrument
        guard let live = try await subscriptions.subscription(of: instrument.id) else {
            return try .json(Answer(symbol: instrument.symbol, silence: .notLive))
        }
        if live.state == .refused { return try .json(Answer(symbol: instrument.symbol, silence: .refused)) }
        guard let grid = try await grid(of: instrument, seconds: seconds) else {
            return try .json(Answer(symbol: instrument.symbol, silence: .notMade))
        }
        let stretches = ExpectedCloses.stretches(of: grid, after: from.microseconds, through: through.microseconds)
        return try .json(Answer(symbol: instrument.symbol, liveSince: live.changedAt, stretches: stretches))
    }

    /// The grid of the bars; nil when no stored length divides theirs. That there is no answer at the moment, as with the database away, says nothing of the kind.
    private func grid(of instrument: Instrument, seconds: Int) async throws -> (any BarGrid)? {
        do {
            return try await reader.plan(for: instrument, interval: BarInterval(seconds: seconds), asOf: .max).grid
        } catch MarketdataError.intervalNotAvailable {
            return nil
        }
    }
}

/// The bars of a grid, many in a few words.
enum ExpectedCloses {
    /// Bars of one length that follow one another; the last one may be cut at the end.
    struct Stretch: Encodable, Sendable, Hashable {
        let startsAt: Timestamp
        let endsAt: Timestamp
        let barMicroseconds: Int64
    }

    /// More are not said at once; two months have not nearly as many sessions.
    private static let maximum = 1_000

    /// The bars that end in `(after, through]`.
    static func stretches(of grid: any BarGrid, after: Int64, through: Int64) -> [Stretch] {
        var found: [Stretch] = []
        func add(_ start: Int64, _ end: Int64, _ length: Int64) {
            guard end > after, start < end else { return }
            found.append(
                Stretch(startsAt: Timestamp(microseconds: start), endsAt: Timestamp(microseconds: end), barMicroseconds: length)
            )
        }
        var at = after
        while at < through, found.count < maximum {
            let position = at
            switch grid.stretch(at: position) {
            case .gap(let until): at = until
            case .period(let start, let end, let spanEnd):
                if end <= through { add(start, end, end - start) }
                at = spanEnd
            case .bars(let origin, let length, let until):
                let first = origin + floorDivide(position - origin, length) * length
                // The last bar that ends in time; one that is cut by the end of the session is shorter.
                add(first, until <= through ? until : origin + floorDivide(through - origin, length) * length, length)
                at = until
            }
            if at <= position { break }
        }
        return found
    }
}
