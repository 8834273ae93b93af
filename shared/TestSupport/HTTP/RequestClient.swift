public import Contracts
internal import Foundation
internal import FoundationNetworking
public import HTTPServing
public import ServiceRuntime

/// Sends requests to a router in process or to a live server, so that one test body serves both.
public struct RequestClient: Sendable {
    private enum Target: Sendable {
        case router(Router, EventLoop)
        case live(String)
    }

    private let target: Target
    /// Headers that every request carries.
    public var headers: [(String, String)] = []
    /// Where requests to a router in process seem to come from.
    public var remoteAddress = "127.0.0.1"

    /// Calls the router directly, on this loop.
    public init(router: Router, loop: EventLoop = TestLoop.shared) { target = .router(router, loop) }

    /// Calls a server over TCP; `baseURL` is like `http://127.0.0.1:8080`.
    public init(baseURL: String) { target = .live(baseURL) }

    /// A client whose requests carry one more header.
    public func with(header name: String, _ value: String) -> RequestClient {
        var copy = self
        copy.headers.append((name, value))
        return copy
    }

    /// The same client at another network address, for a router in process.
    public func at(_ address: String) -> RequestClient {
        var copy = self
        copy.remoteAddress = address
        return copy
    }

    /// An answer.
    public struct Answer: Sendable {
        /// The status.
        public let status: Int
        /// The header fields, names in lower case.
        public let headers: [String: String]
        /// The body.
        public let body: [UInt8]

        /// The body as text.
        public var text: String { String(decoding: body, as: UTF8.self) }

        /// The body as JSON.
        public func json() throws -> JSONValue { try WireJSON.parse(body) }

        /// The body as a value.
        public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value { try WireJSON.decode(type, from: body) }

        /// The `code` of a problem document; `nil` if the body is none.
        public var problemCode: String? { (try? json())?["code"]?.string }

        /// The `field` of a problem document; `nil` if it names none.
        public var problemField: String? { (try? json())?["field"]?.string }
    }

    /// Sends a request without a body.
    public func get(_ path: String, headers: [(String, String)] = []) async throws -> Answer { try await send(.get, path, headers: headers) }

    /// Sends a deletion.
    public func delete(_ path: String, headers: [(String, String)] = []) async throws -> Answer { try await send(.delete, path, headers: headers) }

    /// Sends a value as JSON.
    public func post(_ path: String, json: some Encodable, headers: [(String, String)] = []) async throws -> Answer {
        try await send(.post, path, headers: [("content-type", "application/json")] + headers, body: try WireJSON.encode(json))
    }

    /// Sends a value as JSON.
    public func put(_ path: String, json: some Encodable, headers: [(String, String)] = []) async throws -> Answer {
        try await send(.put, path, headers: [("content-type", "application/json")] + headers, body: try WireJSON.encode(json))
    }

    /// Sends any request.
    public func send(_ method: HTTPServing.Method, _ path: String, headers extra: [(String, String)] = [], body: [UInt8] = []) async throws -> Answer
    {
        switch target {
        case .router(let router, let loop):
            let all = headers + extra
            let address = remoteAddress
            return try await loop.run {
                let request = try Request(method: method, target: path, headers: all, body: body, remoteAddress: address)
                let response = await router.respond(to: request)
                var fields: [String: String] = [:]
                for (name, value) in response.headers.entries { fields[name.lowercased()] = value }
                if let type = response.contentType { fields["content-type"] = type }
                return Answer(status: response.status.code, headers: fields, body: response.bodyBytes)
            }
        case .live(let base):
            guard let url = URL(string: base + path) else { throw TestSupportError("no URL: \(base)\(path)") }
            var request = URLRequest(url: url)
            request.httpMethod = method.rawValue
            for (name, value) in headers + extra { request.setValue(value, forHTTPHeaderField: name) }
            if !body.isEmpty { request.httpBody = Data(body) }
            let (data, response) = try await URLSession.shared.data(for: request)
            guard let http = response as? HTTPURLResponse else { throw TestSupportError("no HTTP answer") }
            var fields: [String: String] = [:]
            for (name, value) in http.allHeaderFields { fields["\(name)".lowercased()] = "\(value)" }
            return Answer(status: http.statusCode, headers: fields, body: [UInt8](data))
        }
    }
}
