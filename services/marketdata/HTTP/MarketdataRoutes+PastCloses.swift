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
        let knownAt: Timestamp
    }

    /// In order; an interval without a bar is left out.
    let closes: [Close]
    let hasMore: Bool

    init(_ found: PastCloses) {
        symbol = found.symbol
        closes = found.closes.map { Close(end: $0.end, knownAt: $0.knownAt) }
        hasMore = found.hasMore
    }
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
        guard InstrumentSymbol.canExist(symbol) else { throw MarketdataError.unknownInstrument(symbol) }
        let question = PastClosesQuestion(
            symbol: symbol,
            interval: BarInterval(seconds: seconds),
            after: from,
            through: through,
            limit: limit
        )
        let found = try await reader.pastCloses(question)
        return try await importer.cpu.run { try .json(PastClosesAnswer(found)) }
    }
}
