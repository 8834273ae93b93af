internal import Contracts
public import Cryptography
public import ServiceRuntime
internal import Synchronization

/// Why a call to another service gave no value.
public enum ServiceClientError: Error, Sendable, CustomStringConvertible {
    /// It answered, but not with 2xx. `code` is the problem's code, if it sent one.
    case refused(service: String, status: Int, code: String, detail: String)
    /// It answered something that this version does not understand.
    case unreadable(service: String, reason: String)
    /// None of its replicas answered.
    case away(service: String, reason: String)

    /// The error in a line.
    public var description: String {
        switch self {
        case .refused(let service, let status, let code, let detail): "\(service) refused: \(status) \(code): \(detail)"
        case .unreadable(let service, let reason): "\(service) answered something unreadable: \(reason)"
        case .away(let service, let reason): "\(service) is away: \(reason)"
        }
    }

    /// The status of a refusal.
    public var status: Int? {
        if case .refused(_, let status, _, _) = self { return status }
        return nil
    }

    /// Whether trying again later makes sense: the service is away, or overloaded.
    public var isPassing: Bool {
        switch self {
        case .away: true
        case .refused(_, let status, _, _): status == 429 || status >= 502
        case .unreadable: false
        }
    }
}

/// Calls the internal routes of another service: one of its replicas in turn, with a service token and the trace of the request at hand.
public struct ServiceClient: Sendable {
    private struct Replica {
        let baseURL: String
        var failures = 0
        var avoidUntil: UInt64 = 0
    }

    private final class Replicas: Sendable {
        let state: Mutex<(next: Int, all: [Replica])>
        init(_ baseURLs: [String]) { state = Mutex((0, baseURLs.map { Replica(baseURL: $0) })) }
    }

    private let replicas: Replicas
    private let audience: String
    private let tokens: ServiceTokenSource?
    private let http: HTTPClient
    private let deadline: Duration
    private let rounds: Int
    private let time: any TimeSource

    /// The pause before the second round over the replicas; it doubles, give or take half.
    private static let firstPause = Duration.milliseconds(50)

    /// A client of the service `audience`; without `tokens` it can ask only what is public.
    ///
    /// - Parameter rounds: how often it goes over the replicas before it gives up.
    public init(
        baseURLs: [String],
        audience: String,
        tokens: ServiceTokenSource?,
        http: HTTPClient,
        deadline: Duration = .seconds(10),
        rounds: Int = 3,
        time: any TimeSource = SystemTimeSource()
    ) {
        precondition(!baseURLs.isEmpty, "a service needs a URL")
        replicas = Replicas(baseURLs.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 })
        self.audience = audience
        self.tokens = tokens
        self.http = http
        self.deadline = deadline
        self.rounds = rounds
        self.time = time
    }

    /// `GET`, decoded.
    public func get<T: Decodable>(
        _ path: String,
        query: [(String, String)] = [],
        headers: Headers = Headers(),
        as type: T.Type = T.self
    ) async throws -> T {
        try decode(try await send(.get, path, query: query, headers: headers))
    }

    /// `GET`, decoded; nil for a 404.
    public func getIfFound<T: Decodable>(
        _ path: String,
        query: [(String, String)] = [],
        headers: Headers = Headers(),
        as type: T.Type = T.self
    ) async throws -> T? {
        do {
            return try decode(try await send(.get, path, query: query, headers: headers))
        } catch let error as ServiceClientError where error.status == 404 {
            return nil
        }
    }

    /// `GET` of bytes; nil for a 404.
    public func getBytes(_ path: String, headers: Headers = Headers(), maximumBytes: Int = 256 * 1024 * 1024) async throws -> [UInt8]? {
        do {
            return try await send(.get, path, headers: headers, maximumAnswerBytes: maximumBytes).body
        } catch let error as ServiceClientError where error.status == 404 {
            return nil
        }
    }

    /// `POST` of JSON, decoded. `isIdempotent` when the other side takes the same call twice without harm: then it is retried.
    public func post<Body: Encodable, T: Decodable>(
        _ path: String,
        body: Body,
        headers: Headers = Headers(),
        isIdempotent: Bool = false,
        as type: T.Type = T.self
    ) async throws -> T {
        try decode(try await sendJSON(.post, path, body: body, headers: headers, isIdempotent: isIdempotent))
    }

    /// `POST` of JSON whose answer is of no interest.
    public func post<Body: Encodable>(_ path: String, body: Body, headers: Headers = Headers(), isIdempotent: Bool = false) async throws {
        _ = try await sendJSON(.post, path, body: body, headers: headers, isIdempotent: isIdempotent)
    }

    /// `PUT` of JSON, decoded.
    public func put<Body: Encodable, T: Decodable>(
        _ path: String,
        body: Body,
        headers: Headers = Headers(),
        as type: T.Type = T.self
    ) async throws -> T {
        try decode(try await sendJSON(.put, path, body: body, headers: headers, isIdempotent: true))
    }

    /// `PUT` of bytes, decoded.
    public func put<T: Decodable>(
        _ path: String,
        bytes: [UInt8],
        contentType: String = "application/octet-stream",
        headers: Headers = Headers(),
        as type: T.Type = T.self
    ) async throws -> T {
        var headers = headers
        headers["Content-Type"] = contentType
        return try decode(try await send(.put, path, headers: headers, body: bytes, isIdempotent: true))
    }

    private func sendJSON<Body: Encodable>(
        _ method: Method,
        _ path: String,
        body: Body,
        headers: Headers,
        isIdempotent: Bool
    ) async throws -> ClientResponse {
        var headers = headers
        headers["Content-Type"] = "application/json"
        return try await send(method, path, headers: headers, body: try WireJSON.encode(body), isIdempotent: isIdempotent)
    }

    private func decode<T: Decodable>(_ response: ClientResponse) throws -> T {
        do {
            return try response.json(T.self)
        } catch {
            throw ServiceClientError.unreadable(service: audience, reason: "\(error)")
        }
    }

    /// Sends a request to one replica after the other, and again after a pause, until one takes it; throws ``ServiceClientError`` unless the answer is 2xx.
    ///
    /// What may have been done already is sent again only if it is idempotent, which safe methods are. A replica that answers 502, 503 or 504 drains or
    /// has lost its database: it speaks for itself only.
    public func send(
        _ method: Method,
        _ path: String,
        query: [(String, String)] = [],
        headers: Headers = Headers(),
        body: [UInt8] = [],
        isIdempotent: Bool? = nil,
        maximumAnswerBytes: Int = 64 * 1024 * 1024,
        deadline: Duration? = nil
    ) async throws -> ClientResponse {
        var headers = headers
        if let tokens { headers["Authorization"] = "Service \(try tokens.token(audience: audience))" }
        if let context = RequestContext.current {
            headers["X-Request-ID"] = context.requestID
            headers["traceparent"] = context.trace.child().traceparent
        }
        var target = path
        if !query.isEmpty {
            let pairs = query.map { "\(PercentCoding.encode($0.0))=\(PercentCoding.encode($0.1))" }
            target += (path.contains("?") ? "&" : "?") + pairs.joined(separator: "&")
        }
        let isIdempotent = isIdempotent ?? method.isSafe
        // One deadline for all tries: who waits for the answer has only one.
        let limit = deadline ?? self.deadline
        let startedAt = monotonicNanoseconds()
        func remaining() -> Duration { limit - .nanoseconds(Int64(monotonicNanoseconds() - startedAt)) }
        var failure = ServiceClientError.away(service: audience, reason: "the deadline passed")
        for round in 0..<rounds {
            if round > 0 {
                let pause = Self.firstPause * (1 << (round - 1)) * Double.random(in: 0.5...1.5)
                guard pause < remaining() else { throw failure }
                try await time.sleep(for: pause)
            }
            for index in order() {
                let rest = remaining()
                guard rest > .zero else { throw failure }
                let url = replicas.state.withLock { $0.all[index].baseURL } + target
                do {
                    let response = try await http.send(
                        ClientRequest(method: method, url: url, headers: headers, body: body, deadline: rest, maximumAnswerBytes: maximumAnswerBytes)
                    )
                    let isUnable = (502...504).contains(response.status.code)
                    report(index, isGood: !isUnable)
                    if response.isSuccess { return response }
                    failure = refusal(response)
                    guard isUnable, isIdempotent else { throw failure }
                } catch let error as HTTPClientError {
                    report(index, isGood: false)
                    failure = .away(service: audience, reason: "\(error)")
                    guard error.mayBeRepeated(isIdempotent: isIdempotent) else { throw failure }
                }
            }
        }
        throw failure
    }

    private func refusal(_ response: ClientResponse) -> ServiceClientError {
        struct Document: Decodable {
            let code: String?
            let detail: String?
        }
        let document = try? response.json(Document.self)
        return .refused(
            service: audience,
            status: response.status.code,
            code: document?.code ?? "-",
            detail: String((document?.detail ?? "").prefix(300))
        )
    }

    /// The replicas in turn, those that failed lately at the end.
    private func order() -> [Int] {
        let now = monotonicNanoseconds()
        return replicas.state.withLock { state in
            let count = state.all.count
            state.next = (state.next + 1) % count
            let turn = (0..<count).map { (state.next + $0) % count }
            return turn.filter { state.all[$0].avoidUntil <= now } + turn.filter { state.all[$0].avoidUntil > now }
        }
    }

    private func report(_ index: Int, isGood: Bool) {
        let now = monotonicNanoseconds()
        replicas.state.withLock { state in
            if isGood {
                state.all[index].failures = 0
                state.all[index].avoidUntil = 0
            } else {
                state.all[index].failures = min(state.all[index].failures + 1, 6)
                state.all[index].avoidUntil = now + UInt64(500_000_000) << UInt64(state.all[index].failures - 1)
            }
        }
    }
}
