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
        let liveSince: Timestamp?
        let stretches: [ExpectedCloses.Stretch]
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
        let live = try await subscriptions.subscription(of: instrument.id)
        // Bars of a length that no stored one divides never close.
        guard let live, live.state != .refused,
            let plan = try? await reader.plan(for: instrument, interval: BarInterval(seconds: seconds), asOf: .max)
        else {
            return try .json(Answer(symbol: instrument.symbol, liveSince: nil, stretches: []))
        }
        let stretches = ExpectedCloses.stretches(of: plan.grid, after: from.microseconds, through: through.microseconds)
        return try .json(Answer(symbol: instrument.symbol, liveSince: live.changedAt, stretches: stretches))
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
