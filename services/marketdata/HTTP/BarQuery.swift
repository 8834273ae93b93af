import Bars
import Contracts
import HTTPServing

/// Reads a question for bars out of a request's parameters.
enum BarQuery {
    /// How the answer is written.
    enum Format: String, CaseIterable { case json, binary, csv, arrow }

    static let names = [
        "instrument", "interval", "start", "end", "countback", "limit", "as_of", "revisions_as_of", "partial", "session", "anchor", "price", "format",
        "adjustment", "fill",
    ]

    /// `others` are parameters that the route reads itself.
    static func read(_ query: Query, besides others: [String] = []) throws -> (request: BarRequest, format: Format) {
        try query.reject(unknownExcept: names + others)
        let symbol = try query.required("instrument")
        guard InstrumentSymbol.canExist(symbol) else { throw MarketdataError.unknownInstrument(symbol) }
        var request = BarRequest(symbol: symbol, interval: try interval(try query.required("interval")))
        request.start = try moment("start", query)
        request.end = try moment("end", query)
        request.asOf = try moment("as_of", query)
        request.revisionsAsOf = try moment("revisions_as_of", query)
        request.countback = try query.integer("countback", range: 1...50_000)
        request.limit = try query.integer("limit", range: 1...50_000, default: 5_000)
        request.partial = try query.boolean("partial")
        request.session = try query.choice("session", of: SessionKind.allCases.map(\.rawValue)).flatMap { SessionKind(rawValue: $0) }
        request.anchor = try query.choice("anchor", of: BarAnchor.allCases.map(\.rawValue)).flatMap { BarAnchor(rawValue: $0) }
        request.price = try query.choice("price", of: PriceSide.allCases.map(\.rawValue)).flatMap { PriceSide(rawValue: $0) }
        request.adjustment = try query.choice("adjustment", of: Adjustment.allCases.map(\.rawValue)).flatMap { Adjustment(rawValue: $0) } ?? .raw
        request.fillsForward = try query.choice("fill", of: ["none", "forward"]) == "forward"
        if request.countback != nil {
            guard request.start == nil else {
                throw Problem.badRequest(
                    code: "invalid_parameter",
                    detail: "countback counts back from end: give it or start, not both.",
                    field: "countback"
                )
            }
            if query.string("limit") == nil { request.limit = 50_000 }
        }
        if let start = request.start, let end = request.end, end <= start {
            throw Problem.badRequest(code: "invalid_parameter", detail: "end is after start.", field: "end")
        }
        // Without start and countback, the latest bars are what most people look for.
        if request.start == nil, request.countback == nil { request.countback = min(request.limit, 500) }
        let format = try query.choice("format", of: Format.allCases.map(\.rawValue)).flatMap { Format(rawValue: $0) } ?? .json
        if request.fillsForward, format != .json {
            throw Problem.badRequest(
                code: "fill_needs_json",
                detail: "Only JSON has a mark for bars that fill an empty interval: format=json would be right.",
                field: "fill"
            )
        }
        return (request, format)
    }

    static func interval(_ text: String) throws -> BarInterval {
        do { return try BarInterval(text: text) } catch {
            throw Problem.badRequest(
                code: "invalid_parameter",
                detail: "interval is like 15s, 1m, 4h, 1d, 1w or 1M, at most a year.",
                field: "interval"
            )
        }
    }

    /// A time within the years that have bars.
    static func moment(_ name: String, _ query: Query) throws -> Timestamp? {
        guard let moment = try query.timestamp(name) else { return nil }
        guard hasBars(at: moment) else { throw Problem.badRequest(code: "invalid_parameter", detail: years, field: name) }
        return moment
    }

    /// Whether there may be bars at a time: far outside there are none, and arithmetic on such times would leave 64 bits.
    static func hasBars(at moment: Timestamp) -> Bool { (1_600...2_400).contains(CivilDate(of: moment).fields.year) }

    /// What would be right.
    static let years = "A time within the years 1600 to 2400 would be right."
}
