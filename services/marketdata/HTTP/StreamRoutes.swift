import Contracts
import HTTPServing

/// Streams of bars.
struct StreamRoutes: Sendable {
    let streams: BarStreams

    func add(to router: inout Router, authentication: any Middleware) {
        router.grouped(authentication).get("/api/stream/bars", bars)
    }

    /// `GET /api/stream/bars`
    func bars(_ request: Request) async throws -> Response {
        let caller = try request.authenticated()
        try caller.require(scope: "bars:read")
        try request.query.reject(unknownExcept: ["topic", "after"], repeatable: ["topic"])
        let topics = try topics(request.query.all("topic"))
        let after = try resumePoint(request)
        let credential: StreamAdmission.Credential
        switch caller.credential {
        case .session(let session): credential = .login(session, caller.userID, userVersion: caller.userVersion ?? 0)
        case .apiKey:
            guard let key = request.shownKeySHA256 else { throw Problem.unauthorized() }
            credential = .apiKey(key)
        }
        do { try await streams.open(topics) } catch let error as MarketdataError { throw Self.problem(of: error) }
        return .events(
            EventStreamBody(until: caller.expiresAt) { stream in try await streams.serve(stream, topics, after: after, credential) }
        )
    }

    private func topics(_ texts: [String]) throws -> [StreamTopic] {
        guard !texts.isEmpty else { throw Problem.badRequest(code: "missing_parameter", detail: "At least one topic is needed.", field: "topic") }
        guard texts.count <= StreamSettings.topicsPerStream else {
            throw Problem.badRequest(
                code: "too_many_topics",
                detail: "A stream has at most \(StreamSettings.topicsPerStream) topics; \(texts.count) were asked for.",
                field: "topic"
            )
        }
        // In one order, so that all who listen to the same topics are one audience.
        return try Set(texts).sorted().map { try StreamTopic($0) }
    }

    /// The moment that the client has come to: the header of a browser that comes back goes before the parameter of its address.
    private func resumePoint(_ request: Request) throws -> Timestamp? {
        let (header, parameter) = (request.headers["Last-Event-ID"], request.query.string("after"))
        guard let text = header ?? parameter, !text.isEmpty else { return nil }
        guard let microseconds = Int64(text), BarQuery.hasBars(at: Timestamp(microseconds: microseconds)) else {
            throw Problem.badRequest(
                code: "invalid_parameter",
                detail: "The id of an event, which is a time in microseconds since 1970, would be right.",
                field: header == nil ? "after" : "Last-Event-ID"
            )
        }
        return Timestamp(microseconds: microseconds)
    }

    /// What is refused names the topic, and as a matter of the request alone.
    private static func problem(of error: MarketdataError) -> Problem {
        var problem = error.problem
        if problem.field == "instrument" || problem.field == "interval" { problem.field = "topic" }
        if case .intervalNotAvailable = error {
            return .badRequest(code: problem.code, detail: problem.detail, field: "topic")
        }
        return problem
    }
}
