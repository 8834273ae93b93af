import Bars
import Contracts

/// LMAX's public data as it happens: the channel `TICKER`, a message for each trade with the best prices beside it.
struct LMAXDialect: FeedDialect {
    /// The numbers of trades are no whole numbers here, so nothing can be told from them but that two are the same.
    static let numbersAreDense = false

    /// The last trade of each instrument over this connection.
    private var lastTrades: [String: String] = [:]

    static func check(_ symbol: String) throws(SourceError) {
        let isOne =
            (1...40).contains(symbol.utf8.count)
            && symbol.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D }
        guard isOne else { throw .notSupported("the instrument '\(symbol.prefix(40))'; such as eur-usd would be right") }
    }

    /// No answer to a subscription is documented.
    var isSettled: Bool { true }

    mutating func messages(watching: [String], unwatching: [String]) -> [String] {
        for symbol in unwatching { lastTrades[symbol] = nil }
        return [("SUBSCRIBE", watching), ("UNSUBSCRIBE", unwatching)].filter { !$0.1.isEmpty }
            .map { type, symbols in
                let names = symbols.map { "\"\($0)\"" }.joined(separator: ",")
                return "{\"type\":\"\(type)\",\"channels\":[{\"name\":\"TICKER\",\"instruments\":[\(names)]}]}"
            }
    }

    mutating func take(_ message: JSONValue) throws(SourceError) -> [SourceEvent] {
        guard let type = message["type"]?.string else { throw .broken("a message without a type") }
        guard type == "TICKER" else {
            if type == "ERROR" { throw .broken("it says: \((message["message"]?.string ?? "an error").prefix(200))") }
            return []
        }
        guard let symbol = message["instrument_id"]?.string, let time = message["timestamp"]?.moment else {
            throw .broken("a ticker without instrument or time")
        }
        let quote = SourceQuote(
            symbol: symbol,
            bid: message["best_bid"]?.exactNumber,
            ask: message["best_ask"]?.exactNumber
        )
        // An instrument that was never traded has no trade in its ticker.
        guard let trade = message["trade_id"]?.string, let price = message["last_price"]?.exactNumber,
            let size = message["last_quantity"]?.exactNumber
        else { return [.quote(quote)] }
        let known = lastTrades.updateValue(trade, forKey: symbol)
        // The first tells how it stands: its trade may be of yesterday.
        guard let known else { return [.summary(quote, last: price)] }
        guard known != trade else { return [.quote(quote)] }
        let event = SourceTrade(symbol: symbol, time: time, price: price, size: size, qualifies: !size.isZero, totalVolume: nil)
        return [.quote(quote), .trade(event)]
    }
}
