import Bars
import Contracts

/// Coinbase Exchange's feed: the channels `matches`, `ticker` (for the best bid and ask) and `heartbeat` (for its clock).
struct CoinbaseDialect: FeedDialect {
    static let numbersAreDense = true

    /// Products that were asked for and not heard of, in the order in which they were.
    private var outstanding: [String] = []

    static func check(_ symbol: String) throws(SourceError) {
        let parts = symbol.split(separator: "-", omittingEmptySubsequences: false)
        let isOne =
            parts.count == 2
            && parts.allSatisfy { part in
                (1...16).contains(part.utf8.count) && part.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) }
            }
        guard isOne else { throw .notSupported("the symbol '\(symbol.prefix(40))'; such as BTC-USD would be right") }
    }

    var isSettled: Bool { outstanding.isEmpty }

    /// One product a message: an unknown one would take the others of its message along.
    mutating func messages(watching: [String], unwatching: [String]) -> [String] {
        outstanding += watching
        return watching.map { message("subscribe", $0) } + unwatching.map { message("unsubscribe", $0) }
    }

    private func message(_ type: String, _ product: String) -> String {
        "{\"type\":\"\(type)\",\"product_ids\":[\"\(product)\"],\"channels\":[\"matches\",\"ticker\",\"heartbeat\"]}"
    }

    mutating func take(_ message: JSONValue) throws(SourceError) -> [SourceEvent] {
        guard let type = message["type"]?.string else { throw .broken("a message without a type") }
        switch type {
        case "match": return [.trade(try trade(message))]
        case "last_match":
            let last = try trade(message)
            return [.summary(SourceQuote(symbol: last.symbol), last: last.price)]
        case "ticker": return [.quote(try quote(message))]
        case "heartbeat":
            guard let time = message["time"]?.moment else { throw .broken("a heartbeat without a time") }
            return [.clock(time)]
        case "subscriptions":
            let listed = Set((message["channels"]?.elements ?? []).flatMap { ($0["product_ids"]?.elements ?? []).compactMap(\.string) })
            outstanding.removeAll { listed.contains($0) }
            return []
        case "error":
            let reason = [message["message"]?.string, message["reason"]?.string].compactMap { $0 }.joined(separator: ": ")
            // It names the product in words; where it does not, it is about the first that was not answered yet.
            let named = outstanding.first { reason.uppercased().contains($0) } ?? outstanding.first
            guard let named else { throw .broken("it says: \(reason.prefix(200))") }
            outstanding.removeAll { $0 == named }
            return [.refused(symbol: named, reason: String(reason.prefix(200)))]
        default: return []
        }
    }

    private func trade(_ message: JSONValue) throws(SourceError) -> SourceTrade {
        guard let symbol = message["product_id"]?.string, let id = message["trade_id"]?.integer, let time = message["time"]?.moment,
            let price = message["price"]?.exactNumber, let size = message["size"]?.exactNumber
        else { throw .broken("a match without product, number, time, price or size") }
        return SourceTrade(symbol: symbol, time: time, price: price, size: size, qualifies: !size.isZero, totalVolume: nil, id: id)
    }

    private func quote(_ message: JSONValue) throws(SourceError) -> SourceQuote {
        guard let symbol = message["product_id"]?.string else { throw .broken("a ticker without a product") }
        return SourceQuote(
            symbol: symbol,
            bid: message["best_bid"]?.exactNumber,
            bidSize: message["best_bid_size"]?.exactNumber,
            ask: message["best_ask"]?.exactNumber,
            askSize: message["best_ask_size"]?.exactNumber
        )
    }
}
