import Bars
import Contracts
import OutboundHTTP
import ServiceRuntime

/// A user's own OpenBB platform (`openbb-api`) as a source of history: whatever provider stands behind it there, with the keys that are kept there.
struct OpenBBSource: Source {
    /// The lengths that its most used provider knows, by its words.
    static let intervals: [BarInterval: String] = [
        .seconds(60): "1m", .seconds(120): "2m", .seconds(300): "5m", .seconds(900): "15m", .seconds(1_800): "30m", .seconds(3_600): "1h",
        .days(1): "1d",
    ]

    static func description(_ settings: OpenBBSettings) -> SourceDescription {
        SourceDescription(
            id: "openbb",
            name: "OpenBB platform (\(settings.provider))",
            licence: "That of the provider behind it (\(settings.provider)); the platform itself is AGPL-3.0 and is only asked over HTTP.",
            assetClasses: [.equity, .crypto, .forex],
            intervals: intervals.keys.sorted { $0.seconds < $1.seconds }.map(\.text),
            streams: false,
            limits: SourceDescription.Limits(
                requestsPerSecond: settings.limits.requestsPerSecond,
                concurrentRequests: OutboundConfiguration().maximumConnections,
                fineHistoryDays: nil,
                notes: [
                    "which intervals there are and how far they reach back is the provider's: yfinance has minutes of the last days only",
                    "times without an offset are taken for the exchange's own clock",
                    "keys of providers are kept in OpenBB's own settings, never here",
                    "nothing is streamed, and trades are not to be had",
                ]
            )
        )
    }

    let description: SourceDescription
    let record = SourceRecord()
    private let interface: WebInterface
    private let settings: OpenBBSettings
    private let web: WebEnvironment

    init(_ settings: OpenBBSettings, url: String, web: WebEnvironment) {
        self.settings = settings
        self.web = web
        description = Self.description(settings)
        interface = WebInterface(
            "openbb",
            baseURL: url,
            limits: settings.limits,
            web: web,
            record: record,
            // Bad gateway: the provider behind it refused.
            keyStatuses: [401, 403, 502],
            keyHint: "OpenBB's own settings hold the keys",
            complaint: Self.complaint
        )
    }

    static func entry(_ settings: OpenBBSettings, web: WebEnvironment) -> SourceCatalogue.Entry {
        guard let url = settings.url else { return .absent(description(settings), settings: "AUSPEX_OPENBB_URL") }
        return .configured(OpenBBSource(settings, url: url, web: web))
    }

    func health() async -> SourceHealth { record.health }

    func history(_ request: HistoryRequest) async throws -> ImportedFile? {
        guard case .bars(let interval) = request.kind else { throw SourceError.notSupported("trades") }
        guard let word = Self.intervals[interval] else { throw SourceError.notSupported("bars of \(interval.text)") }
        guard (1...40).contains(request.symbol.utf8.count), request.symbol.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x2C }) else {
            throw SourceError.notSupported("the symbol '\(request.symbol.prefix(40))'")
        }
        let assetClass = request.assetClass ?? AssetClass.guess(symbol: request.instrument)
        let router: String
        switch assetClass {
        case .equity: router = "equity"
        case .crypto: router = "crypto"
        case .forex: router = "currency"
        case .commodity, .future, .index, .cfd: throw SourceError.notSupported("\(assetClass.rawValue) from OpenBB")
        }
        let askedAt = web.time.now()
        let until = min(request.range.upperBound, askedAt)
        guard request.range.lowerBound < until else { throw SourceError.notSupported("a range that has not begun") }
        let calendar = request.calendar ?? CalendarCatalogue.all[assetClass.usualCalendar] ?? CalendarCatalogue.alwaysOpen
        // A day more on either side: dates are on the exchange's clock, and whether the last one is part of the answer is the provider's.
        let query = [
            ("provider", settings.provider), ("symbol", request.symbol), ("interval", word),
            ("start_date", String((request.range.lowerBound - .seconds(86_400)).iso8601.prefix(10))),
            ("end_date", String((until + .seconds(86_400)).iso8601.prefix(10))),
        ]
        let notes = [
            "OpenBB was asked: \(router) \(request.symbol), provider \(settings.provider), interval \(word); times without an offset are \(calendar.timeZone)"
        ]
        return try await interface.get("/api/v1/\(router)/price/historical", query) { answer in
            // No content: there is nothing in that range.
            if answer.status == 204 || answer.body.isEmpty { return nil }
            let rows = try parseAnswer(answer.body)["results"]?.elements
            guard let rows else { throw SourceError.broken("an answer without results") }
            return try OpenBBRows(calendar: calendar, interval: interval).file(
                rows,
                of: request,
                assetClass: assetClass,
                askedAt: askedAt,
                notes: notes
            )
        }
    }

    /// `{"detail": "…"}` or `{"detail": [{"msg": …, "loc": […]}]}`.
    static func complaint(_ body: JSONValue) -> String? {
        if let text = body["detail"]?.string { return text }
        guard let first = body["detail"]?[0] else { return nil }
        let place = first["loc"]?.elements?.last?.string
        return [place, first["msg"]?.string].compactMap { $0 }.joined(separator: ": ")
    }
}

/// What is told of the user's OpenBB platform.
struct OpenBBSettings: Sendable {
    let url: String?
    let provider: String
    let limits: WebLimits

    init(from reader: inout SettingsReader) {
        url = reader.optionalString(
            "AUSPEX_OPENBB_URL",
            help: "where your openbb-api listens, such as http://127.0.0.1:6900; the source exists only with it"
        )
        if let url, !url.hasPrefix("http://"), !url.hasPrefix("https://") {
            reader.report("AUSPEX_OPENBB_URL must be a URL that begins with http:// or https://")
        }
        provider = reader.string("AUSPEX_OPENBB_PROVIDER", help: "which of OpenBB's providers is asked", default: "yfinance")
        limits = WebLimits(requestsPerSecond: 2, deadline: .seconds(60))
    }
}
