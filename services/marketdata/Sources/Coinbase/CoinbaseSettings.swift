import ServiceRuntime

/// What is told of Coinbase Exchange, or of what speaks like it.
struct CoinbaseSettings: Sendable {
    let restURL: String
    let streamURL: String
    var limits: WebLimits

    init(from reader: inout SettingsReader) {
        restURL = reader.url(
            "AUSPEX_COINBASE_REST_URL",
            help: "where Coinbase Exchange's REST interface is",
            default: "https://api.exchange.coinbase.com",
            schemes: ["https", "http"]
        )
        streamURL = reader.url(
            "AUSPEX_COINBASE_STREAM_URL",
            help: "where Coinbase Exchange's feed is",
            default: "wss://ws-feed.exchange.coinbase.com",
            schemes: ["wss", "ws"]
        )
        limits = WebLimits(
            requestsPerSecond: reader.integer(
                "AUSPEX_COINBASE_REQUESTS_PER_SECOND",
                help: "requests to Coinbase a second at most; it allows an address 10",
                default: 5,
                range: 1...100
            )
        )
        limits.maximumRows = 200_000
    }

    /// Heartbeats come each second for each product.
    static func feed(url: String) -> FeedSettings { FeedSettings(url: url, heartbeat: .seconds(1), maximumSymbols: 100, messagesPerSecond: 20) }
}
