import Bars
import HTTPServing

/// What somebody listens to: the bars of an interval of an instrument, as `1m:SPY` or `5s:BTCUSD@replay-3`.
struct StreamTopic: Sendable, Hashable {
    /// As the listener wrote it, which is how its events name it.
    let text: String
    let interval: BarInterval
    let symbol: String

    /// Reads a topic; a refusal names it.
    init(_ text: String) throws {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let interval = try? BarInterval(text: String(parts[0])) else {
            throw Problem.badRequest(
                code: "invalid_topic",
                detail: "A topic is an interval, a colon and a symbol, such as 1m:SPY, and not \(text.prefix(64)).",
                field: "topic"
            )
        }
        symbol = String(parts[1])
        guard InstrumentSymbol.canExist(symbol) else { throw Self.unknown(symbol) }
        self.text = text
        self.interval = interval
    }

    static func unknown(_ symbol: String) -> Problem {
        .notFound(code: "unknown_instrument", detail: "There is no instrument \(symbol.prefix(64)).", field: "topic")
    }
}
