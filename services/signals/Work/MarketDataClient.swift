import Contracts
import HTTPServing

/// Marketdata behind its internal API.
struct MarketDataClient: MarketData {
    let marketdata: ServiceClient

    private struct Instrument: Decodable {
        var symbol: String
        var feed: FeedKind
        var baseIntervalSeconds: Int?
        var active: Bool?
    }

    private struct Bars: Decodable {
        struct Columns: Decodable {
            var start: [Timestamp]
            var end: [Timestamp]
            var open: [DecimalText?]
            var close: [DecimalText?]
        }
        var bars: Columns
        var nextStart: Timestamp?
    }

    func instrument(_ symbol: String) async throws -> InstrumentFacts? {
        // A symbol may hold characters that mean something in a path.
        let path = "/internal/v1/instruments/" + PercentCoding.encode(symbol)
        guard let found: Instrument = try await marketdata.getIfFound(path), found.active != false else { return nil }
        return InstrumentFacts(symbol: found.symbol, feed: found.feed, baseIntervalSeconds: max(1, found.baseIntervalSeconds ?? 60))
    }

    func lastBar(_ symbol: String, intervalSeconds: Int, asOf: Timestamp) async throws -> OutcomeBar? {
        let answer = try await ask([
            ("instrument", symbol), ("interval", Self.text(intervalSeconds)), ("as_of", asOf.iso8601), ("countback", "1"), ("format", "json"),
        ])
        return Self.rows(answer).last
    }

    func bars(_ symbol: String, intervalSeconds: Int, asOf: Timestamp, start: Timestamp, end: Timestamp) async throws -> [OutcomeBar] {
        guard end > start else { return [] }
        var found: [OutcomeBar] = []
        var next: Timestamp? = start
        while let from = next, from < end {
            let answer = try await ask([
                ("instrument", symbol), ("interval", Self.text(intervalSeconds)), ("as_of", asOf.iso8601), ("start", from.iso8601),
                ("end", end.iso8601),
                ("limit", "50000"), ("format", "json"),
            ])
            found += Self.rows(answer)
            // A part that leads nowhere must not be asked for for ever.
            next = answer?.nextStart.flatMap { $0 > from ? $0 : nil }
        }
        return found
    }

    private func ask(_ query: [(String, String)]) async throws -> Bars? {
        do {
            return try await marketdata.getIfFound("/internal/v1/bars", query: query)
        } catch let error as ServiceClientError where error.status == 400 || error.status == 422 {
            throw BarsRefused(reason: error.description)
        }
    }

    private static func rows(_ answer: Bars?) -> [OutcomeBar] {
        guard let columns = answer?.bars else { return [] }
        let count = min(columns.start.count, columns.end.count, columns.open.count, columns.close.count)
        return (0..<count).compactMap { index in
            guard let open = columns.open[index], let close = columns.close[index] else { return nil }
            return OutcomeBar(start: columns.start[index], end: columns.end[index], open: open, close: close)
        }
    }

    /// The largest unit that says it exactly: a day is `1d`, which is not the same as 86,400 seconds of an exchange.
    static func text(_ seconds: Int) -> String {
        for (unit, length) in [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)] where seconds % length == 0 {
            return "\(seconds / length)\(unit)"
        }
        return "\(seconds)s"
    }
}
