import Bars
import Contracts

/// Binance's combined streams: `<symbol>@trade`, `@aggTrade`, `@bookTicker`, `@kline_<interval>`.
struct BinanceDialect: FeedDialect {
    /// What is watched of each symbol.
    enum Kind: Sendable, Equatable {
        /// Single trades, or those that one order made at one price as one.
        case trades(aggregate: Bool, quotes: Bool)
        case bars(seconds: Int)
    }

    static let numbersAreDense = true
    /// Streams in one request.
    private static let batch = 100

    let kind: Kind
    private var lastRequest = 0
    private var outstanding: [Int64: [String]] = [:]

    init(_ kind: Kind) { self.kind = kind }

    static func check(_ symbol: String) throws(SourceError) {
        let isOne =
            (1...20).contains(symbol.utf8.count)
            && symbol.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F }
        guard isOne else { throw .notSupported("the symbol '\(symbol.prefix(40))'; such as BTCUSDT would be right") }
    }

    var isSettled: Bool { outstanding.isEmpty }

    mutating func messages(watching: [String], unwatching: [String]) -> [String] {
        requests("SUBSCRIBE", watching) + requests("UNSUBSCRIBE", unwatching)
    }

    private mutating func requests(_ method: String, _ symbols: [String]) -> [String] {
        var texts: [String] = []
        for start in stride(from: 0, to: symbols.count, by: Self.batch) {
            let part = Array(symbols[start..<min(start + Self.batch, symbols.count)])
            lastRequest += 1
            outstanding[Int64(lastRequest)] = method == "SUBSCRIBE" ? part : []
            let names = part.flatMap { streams(of: $0) }.map { "\"\($0)\"" }.joined(separator: ",")
            texts.append("{\"method\":\"\(method)\",\"params\":[\(names)],\"id\":\(lastRequest)}")
        }
        return texts
    }

    private func streams(of symbol: String) -> [String] {
        let name = symbol.lowercased()
        switch kind {
        case .trades(let aggregate, let quotes): return ["\(name)@\(aggregate ? "aggTrade" : "trade")"] + (quotes ? ["\(name)@bookTicker"] : [])
        case .bars(let seconds): return ["\(name)@kline_\(BinanceInterval.text(.init(seconds: seconds)) ?? "")"]
        }
    }

    mutating func take(_ message: JSONValue) throws(SourceError) -> [SourceEvent] {
        if let id = message["id"]?.integer, let symbols = outstanding.removeValue(forKey: id) {
            guard let error = message["error"] else { return [] }
            let reason = error["msg"]?.string ?? "refused"
            return symbols.map { .refused(symbol: $0, reason: String(reason.prefix(200))) }
        }
        // An error that names no request is about nothing that can be helped.
        if let error = message["error"] { throw .broken("it says: \(error["msg"]?.string?.prefix(200) ?? "an error")") }
        let data = message["stream"] == nil ? message : message["data"] ?? .null
        guard case .object = data else { throw .broken("a message without data") }
        switch data["e"]?.string {
        case "trade": return [.trade(try trade(data, id: data["t"]?.integer))]
        case "aggTrade": return [.trade(try trade(data, id: data["a"]?.integer))]
        case "kline": return try kline(data)
        case nil where data["u"] != nil && data["b"] != nil: return [.quote(try quote(data))]
        default: return []
        }
    }

    private func trade(_ data: JSONValue, id: Int64?) throws(SourceError) -> SourceTrade {
        guard let symbol = data["s"]?.string, let id, let time = data["T"]?.milliseconds, let price = data["p"]?.exactNumber,
            let size = data["q"]?.exactNumber
        else { throw .broken("a trade without symbol, number, time, price or size") }
        return SourceTrade(symbol: symbol, time: time, price: price, size: size, qualifies: !size.isZero && !price.isZero, totalVolume: nil, id: id)
    }

    private func quote(_ data: JSONValue) throws(SourceError) -> SourceQuote {
        guard let symbol = data["s"]?.string else { throw .broken("a quote without a symbol") }
        return SourceQuote(
            symbol: symbol,
            bid: data["b"]?.exactNumber,
            bidSize: data["B"]?.exactNumber,
            ask: data["a"]?.exactNumber,
            askSize: data["A"]?.exactNumber
        )
    }

    private func kline(_ data: JSONValue) throws(SourceError) -> [SourceEvent] {
        guard let row = data["k"], let symbol = data["s"]?.string, let start = row["t"]?.milliseconds, let last = row["T"]?.milliseconds,
            let isOver = row["x"]?.bool, let trades = row["n"]?.integer, let open = row["o"]?.exactNumber, let high = row["h"]?.exactNumber,
            let low = row["l"]?.exactNumber, let close = row["c"]?.exactNumber, let volume = row["v"]?.exactNumber
        else { throw .broken("a kline that lacks a field") }
        let end = last + .milliseconds(1)
        guard case .bars(let seconds) = kind, end - start == .seconds(seconds) else { throw .broken("a kline of another length than was asked for") }
        // Without a trade there is no bar; that the interval is over is still worth knowing.
        guard trades > 0 else { return isOver ? [.clock(end)] : [] }
        let state: SourceBar.State = isOver ? .complete : .running
        return [
            .bar(
                SourceBar(
                    symbol: symbol,
                    state: state,
                    start: start,
                    seconds: seconds,
                    open: open,
                    high: high,
                    low: low,
                    close: close,
                    volume: volume,
                    trades: trades
                )
            )
        ]
    }
}

/// The lengths of klines.
enum BinanceInterval {
    static let all: [BarInterval: String] = [
        .seconds(1): "1s", .seconds(60): "1m", .seconds(180): "3m", .seconds(300): "5m", .seconds(900): "15m", .seconds(1_800): "30m",
        .seconds(3_600): "1h", .seconds(7_200): "2h", .seconds(14_400): "4h", .seconds(21_600): "6h", .seconds(28_800): "8h",
        .seconds(43_200): "12h", .days(1): "1d", .weeks(1): "1w", .months(1): "1M",
    ]

    static func text(_ interval: BarInterval) -> String? { all[interval] }
}
