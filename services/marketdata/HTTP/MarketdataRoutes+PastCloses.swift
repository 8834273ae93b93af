import Bars
import Contracts
import HTTPServing
import ServiceRuntime

/// When bars of an instrument closed, for whoever runs the past of what waits for them.
struct PastClosesAnswer: Encodable, Sendable {
    let symbol: String
    /// A bar that closed.
    struct Close: Encodable, Sendable {
        let end: Timestamp
        /// From when on it could be read: its end for history, and the moment of its close for what a feed told.
        let knownAt: Timestamp
    }

    /// In order; an interval without a bar is left out.
    let closes: [Close]
    /// Whether there are more than were asked for.
    let hasMore: Bool
}

extension MarketdataRoutes {
    /// `GET /internal/v1/instruments/{symbol}/past-closes`: the bars that ended in `(from, through]`, of the same grid by which live bars close.
    func internalPastCloses(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["interval_seconds", "from", "through", "limit"])
        guard let from = try request.query.timestamp("from"), let through = try request.query.timestamp("through"), from <= through else {
            throw MarketdataError.invalid(field: "through", code: "invalid_through", detail: "`from`, and a time not before it, would be right.")
        }
        let seconds = try request.query.integer("interval_seconds", range: 5...366 * 86_400, default: 60)
        let limit = try request.query.integer("limit", range: 1...20_000, default: 5_000)
        let symbol = request.parameters["symbol"] ?? ""
        let now = time.now()
        guard InstrumentSymbol.canExist(symbol), let found = try await store.description(of: symbol, on: .moment(now)) else {
            throw MarketdataError.unknownInstrument(symbol)
        }
        let instrument = found.instrument
        // The bars of a replay are its source's, and closed when they were released.
        if instrument.feed == .replay { return try .json(PastClosesAnswer(symbol: instrument.symbol, closes: [], hasMore: false)) }
        var question = BarRequest(symbol: instrument.symbol, interval: BarInterval(seconds: seconds))
        // A bar that ends behind `from` may begin before it, and its nominal length does not say when: a month has 31 days too.
        let first = max(from, Timestamp(seconds: 0)).microseconds
        let grid = try await reader.plan(for: instrument, interval: question.interval, asOf: now.microseconds).grid
        if case .bucket(let start, _, _) = grid.slot(at: first) {
            question.start = Timestamp(microseconds: start)
        } else {
            question.start = Timestamp(microseconds: first)
        }
        question.end = max(through, Timestamp(seconds: 0))
        question.limit = limit + 2
        let answer = try await reader.read(question, of: instrument)
        let ends = answer.bars.ends.filter { from.microseconds < $0 && $0 <= through.microseconds }
        let told = Array(ends.prefix(limit))
        let moments = try await reader.moments(ofBarsThatEnd: told, interval: question.interval, of: instrument, asOf: now.microseconds)
        return try .json(
            PastClosesAnswer(
                symbol: instrument.symbol,
                closes: zip(told, moments).map { .init(end: Timestamp(microseconds: $0), knownAt: Timestamp(microseconds: $1)) },
                hasMore: ends.count > limit || answer.nextStart != nil
            )
        )
    }
}
