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

    /// The providers that have prices of shares as they were traded, each where it is asked for them by `adjustment=unadjusted`. The prices of others, of
    /// the default one for certain, are divided by every split up to today: as raw history they would be known before the split was, and adjusted twice.
    static let unadjusted: [String: Unadjusted] = ["alpha_vantage": .everywhere, "fmp": .days, "polygon": .everywhere]

    /// Of which bars a provider has prices without adjustment.
    enum Unadjusted: Sendable {
        case everywhere, days

        func covers(_ interval: BarInterval) -> Bool { self == .everywhere || interval.isDaily }
    }

    static func description(_ settings: OpenBBSettings) -> SourceDescription {
        SourceDescription(
            id: "openbb",
            name: "OpenBB platform (\(settings.provider))",
            licence: "That of the provider behind it (\(settings.provider)); the platform itself is AGPL-3.0 and is only asked over HTTP.",
            assetClasses: unadjusted[settings.provider] == nil ? [.crypto, .forex] : [.equity, .crypto, .forex],
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
                    sharesNote(settings.provider),
                    "nothing is streamed, and trades are not to be had",
                ]
            )
        )
    }

    private static func sharesNote(_ provider: String) -> String {
        switch unadjusted[provider] {
        case .everywhere: "prices of shares are those that were traded, without any adjustment"
        case .days: "prices of shares are those that were traded, without any adjustment: \(provider) has them for days only"
        case nil: "no shares: \(provider) is not known to have their prices as they were traded; \(unadjustedProviders) would"
        }
    }

    private static let unadjustedProviders = "AUSPEX_OPENBB_PROVIDER=" + unadjusted.keys.sorted().joined(separator: ", ")

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
        if assetClass == .equity { try checkAdjustment(interval) }
        let askedAt = web.time.now()
        let until = min(request.range.upperBound, askedAt)
        guard request.range.lowerBound < until else { throw SourceError.notSupported("a range that has not begun") }
        let calendar = request.calendar ?? CalendarCatalogue.all[assetClass.usualCalendar] ?? CalendarCatalogue.alwaysOpen
        // A day more on either side: dates are on the exchange's clock, and whether the last one is part of the answer is the provider's.
        var query = [
            ("provider", settings.provider), ("symbol", request.symbol), ("interval", word),
            ("start_date", String((request.range.lowerBound - .seconds(86_400)).iso8601.prefix(10))),
            ("end_date", String((until + .seconds(86_400)).iso8601.prefix(10))),
        ]
        if assetClass == .equity { query.append(("adjustment", "unadjusted")) }
        let prices = assetClass == .equity ? ", prices without adjustment" : ""
        let notes = [
            "OpenBB was asked: \(router) \(request.symbol), provider \(settings.provider), interval \(word)\(prices); times without an offset are \(calendar.timeZone)"
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

    /// History is kept as it was traded, and adjusted when it is read: a provider's own adjustment has no place in it.
    private func checkAdjustment(_ interval: BarInterval) throws(SourceError) {
        guard let has = Self.unadjusted[settings.provider] else {
            throw .notSupported(
                "shares from OpenBB's provider \(settings.provider), which is not known to have prices without adjustment for splits; \(Self.unadjustedProviders) would be right"
            )
        }
        guard has.covers(interval) else {
            throw .notSupported(
                "shares in bars of \(interval.text) from OpenBB's provider \(settings.provider), which has prices without adjustment for days only; 1d would be right"
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
