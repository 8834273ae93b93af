import Bars
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

/// The routes of charts: sessions, the columns that a page shows, and the datafeed that TradingView's library reads.
struct ChartRoutes: Sendable {
    let sessions: ChartSessions
    let charts: Charts
    let datafeed: Datafeed
    let time: any TimeSource
    /// Fetches what a chart lacks before it is opened.
    var fetchFirst: FetchFirst?

    /// What comes next in such a path is a token, and stays out of every log.
    static let secretPathPrefixes = ["/udf/session/"]

    /// Adds them all; `authentication` finds out who asks where no session token does.
    func add(to router: inout Router, authentication: any Middleware) {
        let crossOrigin = CrossOrigin(origins: sessions.limits.origins)
        let open = router.grouped(crossOrigin)
        router.grouped(crossOrigin, authentication).get("/utils/session/initiate", initiate)
        open.post("/utils/session/heartbeat", maximumBodyBytes: 4_096, heartbeat)
        open.get("/historical", historical)
        open.get("/historical/chunk", chunk)
        var paths = ["/utils/session/initiate", "/utils/session/heartbeat", "/historical", "/historical/chunk"]
        let feed: [(String, Handler)] = [
            ("config", udfConfiguration), ("symbols", udfSymbol), ("search", udfSearch), ("history", udfHistory), ("time", udfTime),
            ("marks", udfMarks),
        ]
        for (name, handler) in feed {
            // The library's adapter sends nothing but a path below the one that it was given: so the token may stand in that.
            for path in ["/udf/\(name)", "/udf/session/{session_token}/\(name)"] {
                open.get(path) { request in try await udf(request, authentication, handler) }
                paths.append(path)
            }
        }
        for path in paths { router.on(.options, path) { crossOrigin.preflight($0) } }
    }

    // MARK: Sessions

    private struct SessionAnswer: Encodable {
        let sessionToken: String?
        let expiresAt: Timestamp
        let heartbeatSeconds: Int64
        let timeoutSeconds: Int64
    }

    /// `GET /utils/session/initiate`
    func initiate(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let principal = try request.authenticated()
        try principal.require(scope: "bars:read")
        let (token, session) = try await sessions.initiate(for: principal, apiKeySHA256: request.shownKeySHA256)
        return try secret(answer(session, token: token.text))
    }

    private struct Heartbeat: Decodable { let sessionToken: String }

    /// `POST /utils/session/heartbeat`: the token in the body or as a parameter
    func heartbeat(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["session_token"])
        let text = try request.query.string("session_token") ?? request.json(Heartbeat.self).sessionToken
        return try secret(answer(try await sessions.heartbeat(text), token: nil))
    }

    private func answer(_ session: ChartSession, token: String?) -> SessionAnswer {
        SessionAnswer(
            sessionToken: token,
            expiresAt: session.expiresAt,
            heartbeatSeconds: sessions.limits.heartbeat.components.seconds,
            timeoutSeconds: sessions.limits.sessionLifetime.components.seconds
        )
    }

    private func secret(_ answer: SessionAnswer) throws -> Response {
        var response = try Response.json(answer)
        response.headers["Cache-Control"] = "no-store"
        return response
    }

    // MARK: Columns

    /// `GET /historical/`
    func historical(_ request: Request) async throws -> Response {
        let session = try await admitted(request)
        let query = request.query
        try query.reject(unknownExcept: ["session_token", "symbol", "interval", "start", "end"])
        let symbol = try query.required("symbol")
        guard InstrumentSymbol.canExist(symbol) else { throw MarketdataError.unknownInstrument(symbol) }
        let question = ChartQuestion(
            symbol: symbol,
            interval: try BarQuery.interval(try query.required("interval")),
            range: try ChartRange(start: try query.required("start"), end: try query.required("end"))
        )
        let lacking = try await fetchFirst?.prepare(question)
        var response = try await columns(request) { try await charts.open(question, for: session, gzip: $0) }
        if let lacking { response.headers[FetchFirst.header] = lacking }
        return response
    }

    /// `GET /historical/chunk`
    func chunk(_ request: Request) async throws -> Response {
        let session = try await admitted(request)
        let query = request.query
        try query.reject(unknownExcept: ["session_token", "request_id", "before", "limit"])
        guard let id = ChartRequestID(try query.required("request_id")) else {
            throw Problem.notFound(code: "unknown_request", detail: "This session has no such chart.", field: "request_id")
        }
        _ = try query.required("before")
        guard let before = try query.timestamp("before"), BarQuery.hasBars(at: before) else {
            throw Problem.badRequest(code: "invalid_parameter", detail: BarQuery.years, field: "before")
        }
        let limit = try query.integer("limit", range: 1...ChartLimits.points, default: ChartLimits.points)
        return try await columns(request) { try await charts.chunk(id, before: before, limit: limit, for: session, gzip: $0) }
    }

    private func columns(_ request: Request, _ make: (Bool) async throws -> Charts.Part) async throws -> Response {
        let packs = acceptsGzip(request)
        let part: Charts.Part
        do { part = try await make(packs) } catch let error as MarketdataError { throw Self.problem(of: error) ?? error.problem }
        var response = Response.json(bytes: part.bytes)
        response.headers["X-Auspex-As-Of"] = part.asOf.iso8601
        response.headers["Vary"] = "Accept-Encoding"
        if part.bytes.starts(with: [0x1F, 0x8B]) { response.headers["Content-Encoding"] = "gzip" }
        response.headers["Cache-Control"] = "private, no-cache"
        return response
    }

    private func acceptsGzip(_ request: Request) -> Bool {
        guard let accepted = request.headers["Accept-Encoding"] else { return false }
        return accepted.split(separator: ",").contains { coding in
            let parts = coding.split(separator: ";").map { $0.filter { $0 != " " }.lowercased() }
            return parts.first == "gzip" && !parts.dropFirst().contains { $0 == "q=0" || $0.hasPrefix("q=0.0") }
        }
    }

    private func admitted(_ request: Request) async throws -> ChartSession {
        guard let text = request.query.string("session_token"), !text.isEmpty else {
            throw Problem.unauthorized(
                code: "session_token_missing",
                detail: "This needs the session_token of a chart session: /utils/session/initiate begins one."
            )
        }
        return try await sessions.admit(text)
    }

    // MARK: The datafeed's door

    /// Lets in who shows a session token (in the path, or as a parameter) or may read bars by a header; refuses in the datafeed's own words.
    private func udf(_ request: Request, _ authentication: any Middleware, _ handler: @escaping Handler) async throws -> Response {
        do {
            if let text = request.parameters["session_token"] ?? request.query.string("session_token") {
                _ = try await sessions.admit(text)
                return try await handler(request)
            }
            return try await authentication.handle(request) { request in
                try request.authenticated().require(scope: "bars:read")
                return try await handler(request)
            }
        } catch {
            guard let problem = Self.problem(of: error) else { throw error }
            return UDFAnswer.refusal(problem)
        }
    }

    /// What clients read of an error; nothing for one that is to be logged.
    static func problem(of error: any Error) -> Problem? {
        switch error {
        case let problem as Problem: return problem
        case let error as MarketdataError:
            var problem = error.problem
            // Charts speak of symbols and of stretches; they count nothing back.
            if problem.field == "instrument" { problem.field = "symbol" }
            if problem.field == "countback" || problem.field == "limit" { problem.field = "interval" }
            return problem
        case let error as any ProblemRepresentable: return error.problem
        default: return MarketdataRoutes.problem(of: error)
        }
    }
}
