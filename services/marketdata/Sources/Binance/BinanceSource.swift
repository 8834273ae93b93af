import Bars
import Contracts
import OutboundHTTP
import ServiceRuntime

/// Binance's public market data, and what speaks like it: klines and aggregated trades of the past, trades and klines as they happen. No key is needed.
struct BinanceSource: StreamingSource {
    static func description(_ settings: BinanceSettings) -> SourceDescription {
        SourceDescription(
            id: "binance",
            name: "Binance",
            licence: "Binance's, under its terms of use: for one's own use; passing the data on needs Binance's consent.",
            assetClasses: [.crypto],
            intervals: ["tick"] + BinanceInterval.all.keys.sorted { $0.seconds < $1.seconds }.map(\.text),
            streams: true,
            limits: SourceDescription.Limits(
                requestsPerSecond: settings.limits.requestsPerSecond,
                concurrentRequests: OutboundConfiguration().maximumConnections,
                fineHistoryDays: nil,
                notes: [
                    "requests are weighed by the minute: at most \(settings.limits.weightPerMinute ?? 0) of it are used here, counted together with the exchange's own count",
                    "bars of one second and trades reach back as far as the exchange keeps them; bars without a trade are left out",
                    "at most \(settings.limits.maximumRows) rows a question; streams of at most \(BinanceSettings.feed(url: "").maximumSymbols) symbols",
                    "not offered in every country: status 451 says so",
                ]
            )
        )
    }

    let description: SourceDescription
    let record = SourceRecord()
    let interface: WebInterface
    private let settings: BinanceSettings
    private let web: WebEnvironment

    init(_ settings: BinanceSettings, web: WebEnvironment) {
        self.settings = settings
        self.web = web
        description = Self.description(settings)
        interface = WebInterface(
            "binance",
            baseURL: settings.restURL,
            limits: settings.limits,
            web: web,
            record: record,
            headers: settings.apiKey.map { [(name: "X-MBX-APIKEY", value: $0)] } ?? [],
            weightHeader: "x-mbx-used-weight-1m",
            keyHint: settings.apiKey == nil ? "AUSPEX_BINANCE_API_KEY is not set" : "AUSPEX_BINANCE_API_KEY is not taken",
            complaint: { body in body["msg"]?.string }
        )
    }

    func health() async -> SourceHealth { record.health }

    func stream(_ kind: StreamKind) throws -> any SourceStream {
        let dialect: BinanceDialect
        switch kind {
        case .trades: dialect = BinanceDialect(.trades(aggregate: settings.aggregatesTrades, quotes: settings.wantsQuotes))
        case .bars(let seconds):
            guard BinanceInterval.text(BarInterval(seconds: seconds)) != nil, seconds <= 604_800 else {
                throw SourceError.notSupported("streamed bars of \(seconds) s")
            }
            dialect = BinanceDialect(.bars(seconds: seconds))
        }
        return WebFeed("binance", dialect, settings: BinanceSettings.feed(url: settings.streamURL), web: web, record: record) { [interface] symbol in
            // Of a symbol that there is not a stream would say nothing, for ever.
            let query = [("symbol", symbol), ("interval", "1m"), ("limit", "1")]
            try await interface.get("/api/v3/klines", query, weight: 2) { answer in _ = try parseAnswer(answer.body) }
        }
    }

    func history(_ request: HistoryRequest) async throws -> ImportedFile? {
        try BinanceDialect.check(request.symbol)
        switch request.kind {
        case .ticks: return try await trades(request)
        case .bars(let interval): return try await klines(request, interval)
        }
    }

    // MARK: Klines

    private static let page = 1_000

    private func klines(_ request: HistoryRequest, _ interval: BarInterval) async throws -> ImportedFile? {
        guard let text = BinanceInterval.text(interval) else { throw SourceError.notSupported("bars of \(interval.text)") }
        let askedAt = web.time.now()
        let until = min(request.range.upperBound, askedAt)
        guard request.range.lowerBound < until else { throw SourceError.notSupported("a range that has not begun") }
        let expected = (until.microseconds - request.range.lowerBound.microseconds) / (Int64(interval.seconds) * 1_000_000)
        guard expected <= settings.limits.maximumRows else {
            throw SourceError.notSupported("\(expected) bars at once; at most \(settings.limits.maximumRows), so ask for a shorter range")
        }
        var rows = AnswerRows()
        var from = request.range.lowerBound
        while from < until {
            let query = [
                ("symbol", request.symbol), ("interval", text), ("startTime", "\(Self.milliseconds(from))"),
                ("endTime", "\(Self.milliseconds(until) - 1)"), ("limit", "\(Self.page)"),
            ]
            let page = try await interface.get("/api/v3/klines", query, weight: 2) { [from] answer in
                try Self.klines(try parseAnswer(answer.body), from: from, interval: interval)
            }
            for row in page { rows.append(row) }
            guard page.count == Self.page, let last = page.last else { break }
            from = last.end
        }
        return try rows.file(
            of: request,
            interval: interval,
            assetClass: .crypto,
            askedAt: askedAt,
            notes: [note("klines \(text) of \(request.symbol)")]
        )
    }

    private static func klines(_ page: JSONValue, from: Timestamp, interval: BarInterval) throws(SourceError) -> [AnswerRow] {
        guard let elements = page.elements else { throw .broken("klines are a list") }
        var rows: [AnswerRow] = []
        for row in elements {
            guard let start = row[0]?.milliseconds, let last = row[6]?.milliseconds, let trades = row[8]?.integer else {
                throw .broken("a kline that lacks its times or its number of trades")
            }
            // The last millisecond of the kline is what its end is stamped with.
            let end = last + .milliseconds(1)
            if case .seconds(let seconds) = interval, end - start != .seconds(seconds) {
                throw .broken("a kline of another length than was asked for")
            }
            guard start >= rows.last?.end ?? from, end > start else { throw .broken("klines that do not follow one another") }
            rows.append(
                try AnswerRow(
                    start: start,
                    end: end,
                    open: row[1]?.exactNumber,
                    high: row[2]?.exactNumber,
                    low: row[3]?.exactNumber,
                    close: row[4]?.exactNumber,
                    volume: row[5]?.exactNumber,
                    trades: trades
                ).checked()
            )
        }
        return rows
    }

    // MARK: Trades

    private func trades(_ request: HistoryRequest) async throws -> ImportedFile? {
        let askedAt = web.time.now()
        // Seconds are whole or not at all: the first that begins in the range, and the last that does.
        let from = Self.wholeSecond(request.range.lowerBound)
        let until = min(Self.wholeSecond(request.range.upperBound), askedAt)
        guard from < until else { throw SourceError.notSupported("a range that has not begun") }
        var collected = AnswerTrades()
        // By time until the first is found, an hour at once, which is as much as exchanges of this kind take; from there on by number, as many trades may
        // have the same millisecond.
        var (begin, nextID) = (from, Int64?.none)
        while true {
            var query = [("symbol", request.symbol), ("limit", "\(Self.page)")]
            let end = nextID == nil ? min(begin + .seconds(3_600), until) : nil
            if let nextID { query.append(("fromId", "\(nextID)")) }
            if let end { query += [("startTime", "\(Self.milliseconds(begin))"), ("endTime", "\(Self.milliseconds(end) - 1)")] }
            let page = try await interface.get("/api/v3/aggTrades", query, weight: 4) { [nextID] answer in
                try Self.trades(try parseAnswer(answer.body), expected: nextID)
            }
            for trade in page where trade.time < until { collected.append(trade) }
            guard collected.count <= settings.limits.maximumRows else {
                throw SourceError.tooMany(maximumRows: settings.limits.maximumRows)
            }
            if let last = page.last {
                // A page that is not full ends the trades: all of them, or those of its hour.
                guard last.time < until, page.count == Self.page || end ?? until < until else { break }
                nextID = last.id + 1
            } else {
                guard let end, end < until else { break }
                begin = end
            }
        }
        return try collected.file(of: request, assetClass: .crypto, askedAt: askedAt, notes: [note("aggregated trades of \(request.symbol)")])
    }

    private static func trades(_ page: JSONValue, expected: Int64?) throws(SourceError) -> [AnswerTrade] {
        guard let elements = page.elements else { throw .broken("trades are a list") }
        var trades: [AnswerTrade] = []
        for row in elements {
            guard let id = row["a"]?.integer, let first = row["f"]?.integer, let last = row["l"]?.integer, last >= first,
                let time = row["T"]?.milliseconds, let price = row["p"]?.exactNumber, let size = row["q"]?.exactNumber
            else { throw .broken("a trade without number, time, price or size") }
            let next = trades.last.map { $0.id + 1 } ?? expected
            guard id == next ?? id else { throw .broken("trade \(id) where \(next ?? id) was to come") }
            trades.append(AnswerTrade(id: id, time: time, price: price, size: size, trades: last - first + 1))
        }
        return trades
    }

    private func note(_ what: String) -> String { "Binance was asked at \(settings.restURL): \(what)" }

    private static func milliseconds(_ moment: Timestamp) -> Int64 { -floorDivide(-moment.microseconds, 1_000) }

    private static func wholeSecond(_ moment: Timestamp) -> Timestamp { Timestamp(seconds: -floorDivide(-moment.microseconds, 1_000_000)) }
}
