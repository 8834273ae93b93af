import Bars
import Contracts
import HTTPServing

/// What TradingView's library reads.
enum UDFAnswer {
    /// `/udf/config`
    struct Configuration: Encodable, Sendable {
        struct Named: Encodable, Sendable {
            let value: String
            let name: String
            var desc: String?
        }

        let supportedResolutions = UDFResolution.all
        let supportsSearch = true
        let supportsGroupRequest = false
        let supportsMarks = true
        let supportsTimescaleMarks = false
        let supportsTime = true
        let exchanges: [Named]
        let symbolsTypes: [Named]

        init() {
            let names = CalendarCatalogue.all.keys.map { $0.uppercased() }.sorted()
            exchanges = [Named(value: "", name: "All", desc: "")] + names.map { Named(value: $0, name: $0, desc: "") }
            let types = AssetClass.allCases.map(UDFAnswer.type(of:))
            symbolsTypes = [Named(value: "", name: "All")] + types.map { Named(value: $0, name: $0) }
        }
    }

    /// `/udf/symbols`
    struct Symbol: Encodable, Sendable {
        let name: String
        let ticker: String
        let fullName: String
        let description: String
        let type: String
        let exchange: String
        let listedExchange: String
        let timezone: String
        let session: String
        let sessionHolidays: String
        let corrections: String
        let minmov: Int64
        let pricescale: Int64
        let minmove2 = 0
        let fractional = false
        let hasIntraday: Bool
        let intradayMultipliers: [String]
        let hasSeconds: Bool
        let secondsMultipliers: [String]
        let hasTicks = false
        let hasDaily: Bool
        let hasWeeklyAndMonthly: Bool
        let hasEmptyBars = false
        let visiblePlotsSet: String
        let volumePrecision: Int
        let dataStatus: String
        let supportedResolutions: [String]
        let expired: Bool
        let format = "price"

        init(_ symbol: Datafeed.Symbol, today: CivilDay) {
            let instrument = symbol.instrument
            let hours = UDFSession(symbol.calendar)
            name = instrument.symbol
            ticker = instrument.symbol
            exchange = UDFAnswer.exchange(instrument)
            listedExchange = exchange
            fullName = "\(exchange):\(instrument.symbol)"
            description = instrument.symbol
            type = UDFAnswer.type(of: instrument.assetClass)
            timezone = symbol.calendar.timeZone == "UTC" ? "Etc/UTC" : symbol.calendar.timeZone
            session = hours.session
            sessionHolidays = hours.holidays
            corrections = hours.corrections
            let scale = instrument.tickSize.flatMap(UDFPriceScale.init(tick:)) ?? UDFPriceScale(bars: symbol.latest)
            minmov = scale.minimumMove
            pricescale = scale.scale
            let minutes = UDFResolution.minutes.map { "\($0)" }.filter(symbol.resolutions.contains)
            intradayMultipliers = minutes
            // Seconds belong to intraday for the library, whichever of them there are.
            secondsMultipliers = UDFResolution.seconds.filter { symbol.resolutions.contains("\($0)S") }.map { "\($0)" }
            hasSeconds = !secondsMultipliers.isEmpty
            hasIntraday = !minutes.isEmpty || hasSeconds
            hasDaily = symbol.resolutions.contains("1D")
            hasWeeklyAndMonthly = symbol.resolutions.contains("1W") && symbol.resolutions.contains("1M")
            let volumes = symbol.latest.volume
            visiblePlotsSet = volumes == nil ? "ohlc" : "ohlcv"
            volumePrecision = volumes.map { min(UDFPriceScale.decimals($0), 8) } ?? 0
            // Nothing here is said to stream that nobody feeds.
            let isFed = instrument.feed == .replay || (symbol.series.map(\.lastDay).max().map { $0 + 1 >= today } ?? false)
            dataStatus = isFed ? "streaming" : "endofday"
            supportedResolutions = UDFResolution.all.filter(symbol.resolutions.contains)
            expired = !instrument.active
        }
    }

    /// One of `/udf/search`
    struct Found: Encodable, Sendable {
        let symbol: String
        let fullName: String
        let description: String
        let exchange: String
        let ticker: String
        let type: String

        init(_ instrument: Instrument) {
            symbol = instrument.symbol
            exchange = UDFAnswer.exchange(instrument)
            fullName = "\(exchange):\(instrument.symbol)"
            description = instrument.symbol
            ticker = instrument.symbol
            type = UDFAnswer.type(of: instrument.assetClass)
        }
    }

    /// `/udf/marks`: a table without rows, as nothing that marketdata itself knows is a mark on a chart.
    static let marks = Array(#"{"id":[],"time":[],"color":[],"text":[],"label":[],"labelFontColor":[],"minSize":[]}"#.utf8)

    /// The library's word for a class of instruments.
    static func type(of assetClass: AssetClass) -> String {
        switch assetClass {
        case .equity: "stock"
        case .forex: "forex"
        case .future: "futures"
        default: assetClass.rawValue
        }
    }

    /// The calendar stands for the exchange: it is what is known of it.
    static func exchange(_ instrument: Instrument) -> String { instrument.calendar.uppercased() }

    /// `/udf/history`, numbers written digit by digit as they are stored.
    static func json(_ history: Datafeed.History) -> [UInt8] {
        switch history {
        case .none(let nextTime):
            return Array((nextTime.map { "{\"s\":\"no_data\",\"nextTime\":\($0)}" } ?? "{\"s\":\"no_data\"}").utf8)
        case .bars(let bars, let times):
            // The library takes no two bars of one time, and none that goes back.
            let rows = (0..<bars.count).filter { $0 == 0 || times[$0] > times[$0 - 1] }
            var bytes: [UInt8] = []
            bytes.reserveCapacity(rows.count * 72 + 128)
            bytes.append(contentsOf: "{\"s\":\"ok\",\"t\":[".utf8)
            for (place, row) in rows.enumerated() {
                if place > 0 { bytes.append(0x2C) }
                bytes.append(contentsOf: String(times[row]).utf8)
            }
            for (name, column) in [("o", bars.open), ("h", bars.high), ("l", bars.low), ("c", bars.close)] {
                append(name, column, rows, to: &bytes)
            }
            // Unknown volumes are null, never 0; where none is known there is no column.
            if let volume = bars.volume, rows.contains(where: { !volume.isMissing(at: $0) }) { append("v", volume, rows, to: &bytes) }
            bytes.append(contentsOf: "]}".utf8)
            return bytes
        }
    }

    private static func append(_ name: String, _ column: ScaledColumn, _ rows: [Int], to bytes: inout [UInt8]) {
        bytes.append(contentsOf: "],\"\(name)\":[".utf8)
        for (place, row) in rows.enumerated() {
            if place > 0 { bytes.append(0x2C) }
            bytes.append(contentsOf: (column.text(at: row) ?? "null").utf8)
        }
    }

    /// A refusal in the words that the library understands: any object with an `s` that is not `ok` is an error to it, whatever the status.
    static func refusal(_ problem: Problem) -> Response {
        var writer = HTTPServing.JSONWriter()
        writer.beginObject()
        writer.member("s", "error")
        writer.member("errmsg", problem.code == "unknown_instrument" ? "unknown_symbol" : problem.detail)
        writer.member("code", problem.code)
        if let field = problem.field { writer.member("field", field) }
        for (key, value) in problem.extra.sorted(by: { $0.key < $1.key }) { writer.member(key, raw: WireJSON.encode(value)) }
        writer.endObject()
        return Response(status: problem.status, headers: problem.headers, contentType: "application/json", body: .bytes(writer.bytes))
    }
}
