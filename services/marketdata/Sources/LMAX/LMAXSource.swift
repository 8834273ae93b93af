import Bars
import Contracts
import OutboundHTTP
import ServiceRuntime

/// LMAX's public data: what happens now, without an account. The past is not to be had there.
struct LMAXSource: StreamingSource {
    static func description(_ settings: LMAXSettings) -> SourceDescription {
        SourceDescription(
            id: "lmax",
            name: "LMAX public data",
            licence: "LMAX's, under its market data terms: for one's own use, not to be passed on.",
            assetClasses: [.forex, .commodity, .index, .crypto],
            intervals: [],
            streams: true,
            limits: SourceDescription.Limits(
                requestsPerSecond: 1,
                concurrentRequests: 1,
                fineHistoryDays: 0,
                notes: [
                    "no history at all: neither trades nor bars of the past are public, so a hole in a stream cannot be filled",
                    "the market data interface behind an account has daily closing prices only, which are no bars; it is not asked",
                    "a trade's time is that of the message that told it; trades that fall between two messages are not told",
                    "the public demo venue by default: its prices are not those of a live venue",
                    "from documents only: no live connection was at hand",
                ]
            )
        )
    }

    let description: SourceDescription
    let record = SourceRecord()
    private let interface: WebInterface
    private let settings: LMAXSettings
    private let web: WebEnvironment

    init(_ settings: LMAXSettings, web: WebEnvironment) {
        self.settings = settings
        self.web = web
        description = Self.description(settings)
        // More than a request a second can shut an address out for an hour.
        interface = WebInterface(
            "lmax",
            baseURL: settings.restURL,
            limits: WebLimits(requestsPerSecond: 1, answerBytes: 1 << 20),
            web: web,
            record: record,
            keyHint: "public data should need no key",
            complaint: { body in body["message"]?.string ?? body["error_code"]?.string }
        )
    }

    func health() async -> SourceHealth { record.health }

    func history(_ request: HistoryRequest) async throws -> ImportedFile? {
        throw SourceError.notSupported("LMAX's public data has no history; what is streamed can be kept")
    }

    func stream(_ kind: StreamKind) throws -> any SourceStream {
        guard case .trades = kind else { throw SourceError.notSupported("streamed bars") }
        return WebFeed("lmax", LMAXDialect(), settings: LMAXSettings.feed(url: settings.streamURL), web: web, record: record) { [interface] symbol in
            // Of an instrument that there is not the stream says nothing.
            try await interface.get("/v1/instruments/\(symbol)") { answer in _ = try parseAnswer(answer.body) }
        }
    }
}

/// What is told of LMAX's public data.
struct LMAXSettings: Sendable {
    let restURL: String
    let streamURL: String

    init(from reader: inout SettingsReader) {
        restURL = reader.url(
            "AUSPEX_LMAX_REST_URL",
            help: "where LMAX's public data is asked for its instruments",
            default: "https://public-data-api.london-demo.lmax.com",
            schemes: ["https", "http"]
        )
        streamURL = reader.url(
            "AUSPEX_LMAX_STREAM_URL",
            help: "where LMAX's public data is streamed",
            default: "wss://public-data-api.london-demo.lmax.com/v1/web-socket",
            schemes: ["wss", "ws"]
        )
    }

    /// It ends connections that ping every 20 s (1008, "Excessive pings received").
    static func feed(url: String) -> FeedSettings {
        FeedSettings(url: url, pingAfter: .seconds(60), silenceLimit: .seconds(90), maximumSymbols: 100, messagesPerSecond: 1)
    }
}
