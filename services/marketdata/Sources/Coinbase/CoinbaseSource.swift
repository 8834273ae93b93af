import Bars
import Contracts
import OutboundHTTP
import ServiceRuntime

/// Coinbase Exchange's public market data, and what speaks like it: candles and recent trades of the past, matches as they happen. No key is needed.
struct CoinbaseSource: StreamingSource {
    /// The lengths of candles.
    static let intervals: [BarInterval] = [.seconds(60), .seconds(300), .seconds(900), .seconds(3_600), .seconds(21_600), .days(1)]
    /// Candles in one answer.
    private static let candlesPage = 300
    /// Trades in one answer.
    private static let tradesPage = 1_000

    static func description(_ settings: CoinbaseSettings) -> SourceDescription {
        SourceDescription(
            id: "coinbase",
            name: "Coinbase Exchange",
            licence: "Coinbase's, under its market data terms: for one's own use; passing the data on needs Coinbase's consent.",
            assetClasses: [.crypto],
            intervals: ["tick"] + intervals.map(\.text),
            streams: true,
            limits: SourceDescription.Limits(
                requestsPerSecond: settings.limits.requestsPerSecond,
                concurrentRequests: OutboundConfiguration().maximumConnections,
                fineHistoryDays: nil,
                notes: [
                    "candles of 1, 5, 15 minutes, 1 and 6 hours and a day; the vendor says that they may be incomplete",
                    "trades are told newest first and cannot be looked up by time: the last \(settings.limits.maximumRows) are within reach",
                    "no bars are streamed; at most \(CoinbaseSettings.feed(url: "").maximumSymbols) symbols a stream",
                ]
            )
        )
    }

    let description: SourceDescription
    let record = SourceRecord()
    private let interface: WebInterface
    private let settings: CoinbaseSettings
    private let web: WebEnvironment

    init(_ settings: CoinbaseSettings, web: WebEnvironment) {
        self.settings = settings
        self.web = web
        description = Self.description(settings)
        interface = WebInterface(
            "coinbase",
            baseURL: settings.restURL,
            limits: settings.limits,
            web: web,
            record: record,
            keyHint: "public data should need no key",
            complaint: { body in body["message"]?.string }
        )
    }

    func health() async -> SourceHealth { record.health }

    func stream(_ kind: StreamKind) throws -> any SourceStream {
        guard case .trades = kind else { throw SourceError.notSupported("streamed bars") }
        return WebFeed("coinbase", CoinbaseDialect(), settings: CoinbaseSettings.feed(url: settings.streamURL), web: web, record: record)
    }

    func history(_ request: HistoryRequest) async throws -> ImportedFile? {
        try CoinbaseDialect.check(request.symbol)
        switch request.kind {
        case .ticks: return try await trades(request)
        case .bars(let interval): return try await candles(request, interval)
        }
    }

    // MARK: Candles

    private func candles(_ request: HistoryRequest, _ interval: BarInterval) async throws -> ImportedFile? {
        guard Self.intervals.contains(interval) else { throw SourceError.notSupported("bars of \(interval.text)") }
        let askedAt = web.time.now()
        let until = min(request.range.upperBound, askedAt)
        guard request.range.lowerBound < until else { throw SourceError.notSupported("a range that has not begun") }
        let seconds = Int64(interval.seconds)
        let (first, last) = (-floorDivide(-request.range.lowerBound.seconds, seconds), floorDivide(until.seconds, seconds))
        guard last - first <= settings.limits.maximumRows else {
            throw SourceError.notSupported("\(last - first) bars at once; at most \(settings.limits.maximumRows), so ask for a shorter range")
        }
        var rows = AnswerRows()
        for page in stride(from: first, through: last, by: Self.candlesPage) {
            // Both ends are part of the answer.
            let range = Timestamp(seconds: page * seconds)...Timestamp(seconds: min(page + Int64(Self.candlesPage) - 1, last) * seconds)
            let query = [("granularity", "\(seconds)"), ("start", range.lowerBound.iso8601), ("end", range.upperBound.iso8601)]
            let page = try await interface.get("/products/\(request.symbol)/candles", query) { answer in
                try Self.candles(try parseAnswer(answer.body), range: range, seconds: seconds)
            }
            for row in page { rows.append(row) }
        }
        return try rows.file(
            of: request,
            interval: interval,
            assetClass: .crypto,
            askedAt: askedAt,
            notes: [note("candles of \(interval.text)", request)]
        )
    }

    /// Rows are time, low, high, open, close, volume; the newest is first.
    private static func candles(_ page: JSONValue, range: ClosedRange<Timestamp>, seconds: Int64) throws(SourceError) -> [AnswerRow] {
        guard let elements = page.elements else { throw .broken("candles are a list") }
        var rows: [AnswerRow] = []
        for row in elements.reversed() {
            guard let at = row[0]?.integer, at % seconds == 0, row.elements?.count == 6 else {
                throw .broken("a candle without its time or with other fields")
            }
            let start = Timestamp(seconds: at)
            guard range.contains(start) else { continue }
            rows.append(
                try AnswerRow(
                    start: start,
                    end: start + .seconds(seconds),
                    open: row[3]?.exactNumber,
                    high: row[2]?.exactNumber,
                    low: row[1]?.exactNumber,
                    close: row[4]?.exactNumber,
                    volume: row[5]?.exactNumber
                ).checked()
            )
        }
        return rows
    }

    // MARK: Trades

    private func trades(_ request: HistoryRequest) async throws -> ImportedFile? {
        let askedAt = web.time.now()
        let from = Timestamp(seconds: -floorDivide(-request.range.lowerBound.microseconds, 1_000_000))
        let until = min(Timestamp(seconds: -floorDivide(-request.range.upperBound.microseconds, 1_000_000)), askedAt)
        guard from < until else { throw SourceError.notSupported("a range that has not begun") }
        // Newest first, page after page, until one is older than what is asked for.
        var matches: [AnswerTrade] = []
        var seen = 0
        var before: Int64?
        while true {
            let query = [("limit", "\(Self.tradesPage)")] + (before.map { [("after", "\($0)")] } ?? [])
            let page = try await interface.get("/products/\(request.symbol)/trades", query) { [before] answer in
                try Self.matches(try parseAnswer(answer.body), before: before)
            }
            seen += page.count
            matches += page.filter { $0.time >= from && $0.time < until }
            guard let oldest = page.last, oldest.time >= from, oldest.id > 1 else { break }
            guard seen < settings.limits.maximumRows else { throw SourceError.beyondReach("trades before the last \(seen)") }
            before = oldest.id
        }
        var collected = AnswerTrades()
        for match in matches.reversed() { collected.append(match) }
        return try collected.file(of: request, assetClass: .crypto, askedAt: askedAt, notes: [note("trades", request)])
    }

    private static func matches(_ page: JSONValue, before: Int64?) throws(SourceError) -> [AnswerTrade] {
        guard let elements = page.elements else { throw .broken("trades are a list") }
        var matches: [AnswerTrade] = []
        var last = before
        for row in elements {
            guard let id = row["trade_id"]?.integer, let time = row["time"]?.moment, let price = row["price"]?.exactNumber,
                let size = row["size"]?.exactNumber
            else { throw .broken("a trade without number, time, price or size") }
            // Numbers have no gaps: a jump is a trade that was left out.
            guard id == last.map({ $0 - 1 }) ?? id else { throw .broken("trade \(id) where \((last ?? 0) - 1) was to come") }
            last = id
            matches.append(AnswerTrade(id: id, time: time, price: price, size: size))
        }
        return matches
    }

    private func note(_ what: String, _ request: HistoryRequest) -> String {
        "Coinbase was asked at \(settings.restURL): \(what) of \(request.symbol)"
    }
}
