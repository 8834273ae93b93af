internal import Contracts
public import ServiceRuntime

/// One request, whole: its body has been read when a handler sees it.
public struct Request: Sendable {
    /// What is to be done.
    public let method: Method
    let head: HeaderBlock
    let pathRange: Range<Int>
    /// The parameters after the question mark.
    public let query: Query
    /// The body; empty when there is none.
    public var body: [UInt8]
    /// What stood in the route's `{names}`.
    public internal(set) var parameters = PathParameters()
    let peer: Peer
    /// Names the request in logs, answers and calls to other services.
    public internal(set) var requestID: String
    /// Values that middleware leaves for those behind it.
    public var storage = RequestStorage()
    /// Who asks, once an authentication middleware has found out.
    public var principal: Principal?
    /// The loop that serves the request; nil in a test without a server.
    public let loop: EventLoop?
    /// The pattern of the route that was found, such as `/api/signals/{id}`.
    public internal(set) var routePattern: String?

    init(
        method: Method,
        head: HeaderBlock,
        pathRange: Range<Int>,
        query: Query,
        body: [UInt8],
        peer: Peer,
        requestID: String,
        loop: EventLoop?
    ) {
        self.method = method
        self.head = head
        self.pathRange = pathRange
        self.query = query
        self.body = body
        self.peer = peer
        self.requestID = requestID
        self.loop = loop
    }

    /// A request that came over no wire, for tests; `target` is a path with or without a query.
    public init(
        method: Method,
        target: String,
        headers: [(String, String)] = [],
        body: [UInt8] = [],
        remoteAddress: String = "127.0.0.1"
    ) throws {
        var bytes: [UInt8] = Array(target.utf8)
        let path = target.utf8.firstIndex(of: 0x3F).map { target.utf8.distance(from: target.utf8.startIndex, to: $0) } ?? bytes.count
        guard let query = path < bytes.count ? Query(bytes: bytes[(path + 1)...]) : Query() else { throw MessageFault.malformedTarget.problem }
        var fields: [HeaderBlock.Field] = []
        for (name, value) in headers {
            let start = bytes.count
            bytes.append(contentsOf: name.utf8)
            let middle = bytes.count
            bytes.append(contentsOf: value.utf8)
            fields.append(
                .init(nameStart: Int32(start), nameEnd: Int32(middle), valueStart: Int32(middle), valueEnd: Int32(bytes.count))
            )
        }
        self.init(
            method: method,
            head: HeaderBlock(bytes: bytes, fields: fields),
            pathRange: 0..<path,
            query: query,
            body: body,
            peer: Peer(address: remoteAddress, isTrusted: false),
            requestID: RequestID.make(),
            loop: EventLoop.current
        )
    }

    /// The path as it was sent, without the query.
    public var path: String { head.text(pathRange) }

    /// The header fields.
    public var headers: Headers { Headers(head) }

    /// The client's address: the peer's, or what a trusted proxy says of it.
    public var remoteAddress: String {
        guard peer.isTrusted, let forwarded = head.value("x-forwarded-for") else { return peer.address }
        // The last entry is the one that our own proxy wrote; those before it are the client's claims.
        let last = forwarded.split(separator: ",").last.map { $0.trimmed } ?? ""
        return last.isEmpty || last.utf8.count > 64 ? peer.address : last
    }

    /// The body as JSON, strictly: wrong, missing and unknown fields are refused by their path.
    public func json<T: Decodable>(_ type: T.Type = T.self) throws -> T {
        if let contentType = head.value("content-type") {
            let mediaType = contentType.prefix { $0 != ";" }.trimmed.lowercased()
            guard mediaType == "application/json" || mediaType.hasSuffix("+json") else {
                throw Problem(status: .unsupportedMediaType, code: "unsupported_media_type", detail: "The body has to be application/json.")
            }
        }
        return try StrictJSON.decode(type, from: body)
    }

    /// A path parameter as a type; what has not its form names nothing, so it is a 404.
    public func parameter<T: LosslessStringConvertible>(_ name: String, as type: T.Type = T.self) throws -> T {
        guard let text = parameters[name], let value = T(text) else { throw Problem.notFound(field: name) }
        return value
    }
}

/// The other end of a connection.
final class Peer: Sendable {
    let address: String
    /// Whether it may speak for others in `X-Forwarded-For`.
    let isTrusted: Bool

    init(address: String, isTrusted: Bool) {
        self.address = address
        self.isTrusted = isTrusted
    }
}

extension StringProtocol {
    var trimmed: String {
        var view = Array(utf8)[...]
        while let first = view.first, first == 0x20 || first == 0x09 { view = view.dropFirst() }
        while let last = view.last, last == 0x20 || last == 0x09 { view = view.dropLast() }
        return String(decoding: view, as: UTF8.self)
    }
}
