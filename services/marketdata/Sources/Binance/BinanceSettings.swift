import ServiceRuntime

/// What is told of Binance, or of an exchange that speaks like it.
struct BinanceSettings: Sendable {
    let restURL: String
    let streamURL: String
    let apiKey: String?
    let aggregatesTrades: Bool
    let wantsQuotes: Bool
    var limits: WebLimits

    init(from reader: inout SettingsReader) {
        restURL = reader.url(
            "AUSPEX_BINANCE_REST_URL",
            help: "where Binance's REST interface is",
            default: "https://api.binance.com",
            schemes: ["https", "http"]
        )
        streamURL = reader.url(
            "AUSPEX_BINANCE_STREAM_URL",
            help: "where Binance's combined streams are",
            default: "wss://stream.binance.com:9443/stream",
            schemes: ["wss", "ws"]
        )
        apiKey = reader.optionalString("AUSPEX_BINANCE_API_KEY", help: "key for Binance, which public data does not need", secret: true)
        aggregatesTrades = reader.boolean(
            "AUSPEX_BINANCE_AGGREGATE_TRADES",
            help: "stream what one order traded at one price as one trade: fewer messages, the same bars",
            default: false
        )
        wantsQuotes = reader.boolean("AUSPEX_BINANCE_QUOTES", help: "stream the best bid and ask as well: many times the messages", default: false)
        limits = WebLimits(requestsPerSecond: 20)
        limits.weightPerMinute = reader.integer(
            "AUSPEX_BINANCE_WEIGHT_PER_MINUTE",
            help: "weight of requests to Binance a minute at most; the exchange allows an address 6000 in all",
            default: 3_000,
            range: 10...100_000
        )
    }

    /// The exchange ends each connection after 24 hours, takes five messages a second, and pings by itself every 20 s.
    static func feed(url: String) -> FeedSettings {
        FeedSettings(url: url, renewAfter: .seconds(23 * 3_600), maximumSymbols: 400)
    }
}
