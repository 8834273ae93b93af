internal import Contracts

/// What a handler answers.
public struct Response: Sendable {
    /// The body of an answer.
    public enum Body: Sendable {
        /// Nothing.
        case empty
        /// Bytes that are there.
        case bytes([UInt8])
        /// Server-sent events, for as long as both sides like.
        case events(EventStreamBody)
    }

    /// The status.
    public var status: Status
    /// Further headers; length, date and request id are written by the server.
    public var headers: Headers
    /// The media type of the body.
    public var contentType: String?
    /// The body.
    public var body: Body
    /// Let go when the client has taken the answer or is gone: such as the body's share of a bounded memory.
    public var held: (any AnyObject & Sendable)?

    /// An answer.
    public init(status: Status = .ok, headers: Headers = Headers(), contentType: String? = nil, body: Body = .empty) {
        self.status = status
        self.headers = headers
        self.contentType = contentType
        self.body = body
    }

    /// A value as JSON with snake_case keys.
    public static func json<T: Encodable>(_ value: T, status: Status = .ok) throws -> Response {
        Response(status: status, contentType: "application/json", body: .bytes(try WireJSON.encode(value)))
    }

    /// JSON that is encoded already.
    public static func json(bytes: [UInt8], status: Status = .ok) -> Response {
        Response(status: status, contentType: "application/json", body: .bytes(bytes))
    }

    /// Bytes of any media type.
    public static func bytes(_ bytes: [UInt8], contentType: String, status: Status = .ok) -> Response {
        Response(status: status, contentType: contentType, body: .bytes(bytes))
    }

    /// Plain text.
    public static func text(_ text: String, status: Status = .ok) -> Response {
        Response(status: status, contentType: "text/plain; charset=utf-8", body: .bytes(Array(text.utf8)))
    }

    /// A problem document.
    public static func problem(_ problem: Problem, requestID: String? = nil) -> Response {
        Response(
            status: problem.status,
            headers: problem.headers,
            contentType: "application/problem+json",
            body: .bytes(problem.json(requestID: requestID))
        )
    }

    /// 204
    public static var noContent: Response { Response(status: .noContent) }

    /// A stream of server-sent events.
    public static func events(_ body: EventStreamBody) -> Response {
        Response(status: .ok, contentType: "text/event-stream", body: .events(body))
    }

    /// The body's bytes; empty for a stream.
    public var bodyBytes: [UInt8] {
        if case .bytes(let bytes) = body { return bytes }
        return []
    }
}
