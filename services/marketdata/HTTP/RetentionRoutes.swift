import Bars
import Contracts
import HTTPServing
import ServiceRuntime

/// For how long bars are kept. A rule is named by what it is about: `?instrument=` and `?interval=`, all where one is absent. Administrators only.
struct RetentionRoutes: Sendable {
    let store: any MarketdataStore
    let rules: RetentionStore

    /// Adds the public routes; `authentication` finds out who asks.
    func add(to router: inout Router, authentication: any Middleware) {
        let people = router.grouped(authentication)
        people.get("/api/retention", list)
        people.put("/api/retention", put)
        people.delete("/api/retention", delete)
    }

    /// `GET /api/retention`
    private func list(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: ["instrument"])
        let found = try await rules.rules(of: try await instrument(request))
        return try .json(RetentionAnswer(items: found.map { RetentionRuleAnswer($0) }))
    }

    private struct NewRule: Decodable {
        let keepDays: Int?
        /// For ever is said, never meant by leaving something out.
        let isSaid: Bool

        enum CodingKeys: String, CodingKey { case keepDays }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            isSaid = container.contains(.keepDays)
            keepDays = try container.decodeIfPresent(Int.self, forKey: .keepDays)
        }
    }

    /// `PUT /api/retention`: the same again changes nothing.
    private func put(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        let scope = try await scope(request)
        let body = try request.json(NewRule.self)
        guard body.isSaid else {
            throw Problem.badRequest(code: "missing_field", detail: "This field is needed; null keeps for ever.", field: "keep_days")
        }
        let right = RetentionRule.keepDays
        if let days = body.keepDays, !right.contains(days) {
            throw MarketdataError.invalid(
                field: "keep_days",
                code: "invalid_keep_days",
                detail: "\(right.lowerBound) to \(right.upperBound) would be right, or null for ever."
            )
        }
        guard let rule = try await rules.put(scope, keepDays: body.keepDays) else { throw Self.noRule }
        Logger("retention").notice(
            "a retention rule was set",
            [
                "instrument": .string(rule.instrument ?? "all"), "interval_seconds": .string(rule.intervalSeconds.map(String.init) ?? "all"),
                "keep_days": .string(rule.keepDays.map(String.init) ?? "for ever"),
            ]
        )
        return try .json(RetentionRuleAnswer(rule))
    }

    /// `DELETE /api/retention`
    private func delete(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        let scope = try await scope(request)
        guard try await rules.delete(scope) else { throw Self.noRule }
        return .noContent
    }

    private static var noRule: Problem {
        Problem.notFound(code: "unknown_rule", detail: "There is no rule for exactly this instrument and interval.")
    }

    private func scope(_ request: Request) async throws -> RetentionScope {
        try request.query.reject(unknownExcept: ["instrument", "interval"])
        var seconds: Int?
        if let text = request.query.string("interval") {
            guard let interval = try? BarInterval(text: text) else {
                throw Problem.badRequest(code: "invalid_parameter", detail: "interval is like 1s, 1m or 1d.", field: "interval")
            }
            seconds = interval.seconds
        }
        return RetentionScope(instrument: try await instrument(request), intervalSeconds: seconds)
    }

    private func instrument(_ request: Request) async throws -> InstrumentID? {
        guard let symbol = request.query.string("instrument") else { return nil }
        guard InstrumentSymbol.canExist(symbol), let found = try await store.instrument(symbol: symbol) else {
            throw MarketdataError.unknownInstrument(symbol)
        }
        guard found.replayOf == nil else {
            throw MarketdataError.invalid(
                field: "instrument",
                code: "invalid_instrument",
                detail: "A replay has no bars of its own; the instrument that it replays would be right."
            )
        }
        return found.id
    }
}
