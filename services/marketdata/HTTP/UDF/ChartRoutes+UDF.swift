import Bars
import Contracts
import HTTPServing
import ServiceRuntime

/// The datafeed: what TradingView's library asks, in its words. Each stands at `/udf/…` for programs and at `/udf/session/TOKEN/…` for the library.
extension ChartRoutes {
    /// `GET …/config`
    func udfConfiguration(_ request: Request) async throws -> Response { try .json(UDFAnswer.Configuration()) }

    /// `GET …/symbols`
    func udfSymbol(_ request: Request) async throws -> Response {
        let symbol = try await datafeed.symbol(try request.query.required("symbol"))
        return try .json(UDFAnswer.Symbol(symbol, today: CivilDay(utcMicroseconds: time.now().microseconds)))
    }

    /// `GET …/search`
    func udfSearch(_ request: Request) async throws -> Response {
        func given(_ name: String) -> String? { request.query.string(name).flatMap { $0.isEmpty ? nil : $0 } }
        let limit = try request.query.integer("limit", range: 1...1_000, default: 30)
        let found = try await datafeed.search(given("query") ?? "", type: given("type"), exchange: given("exchange"), limit: limit)
        return try .json(found.map(UDFAnswer.Found.init))
    }

    /// `GET …/history`
    func udfHistory(_ request: Request) async throws -> Response {
        let query = request.query
        let symbol = try query.required("symbol")
        let interval = try UDFResolution.interval(try query.required("resolution"))
        let countback = try query.integer("countback", range: 0...Datafeed.maximumBars).flatMap { $0 == 0 ? nil : $0 }
        guard let to = try seconds("to", query) else {
            throw Problem.badRequest(code: "missing_parameter", detail: "The parameter to is needed.", field: "to")
        }
        guard let from = try seconds("from", query) ?? countback.map({ _ in to }) else {
            throw Problem.badRequest(code: "missing_parameter", detail: "from or countback is needed.", field: "from")
        }
        guard from <= to else { throw Problem.badRequest(code: "invalid_parameter", detail: "from is not after to.", field: "from") }
        let history = try await datafeed.history(symbol, interval, .init(from: from, to: to, countback: countback))
        return .json(bytes: UDFAnswer.json(history))
    }

    /// `GET …/time`
    func udfTime(_ request: Request) async throws -> Response { .text("\(time.now().seconds)") }

    /// `GET …/marks`
    func udfMarks(_ request: Request) async throws -> Response {
        _ = try await datafeed.description(try request.query.required("symbol"))
        return .json(bytes: UDFAnswer.marks)
    }

    /// A time in seconds; what lies beyond the years that have bars is taken for their ends.
    private func seconds(_ name: String, _ query: Query) throws -> Int64? {
        guard let text = query.string(name) else { return nil }
        guard let value = Int64(text) else {
            throw Problem.badRequest(code: "invalid_parameter", detail: "\(name) is a time in whole seconds since 1970.", field: name)
        }
        return min(max(value, CivilDay(year: 1_600, month: 1, day: 2).seconds), CivilDay(year: 2_400, month: 1, day: 1).seconds)
    }
}
