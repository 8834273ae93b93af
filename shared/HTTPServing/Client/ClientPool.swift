internal import Contracts
internal import ServiceRuntime

/// The connections of one loop to other servers. Touched only on that loop, hence unchecked.
final class ClientPool: @unchecked Sendable {
    private struct Endpoint {
        var idle: [ClientConnection] = []
        var active = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let loop: EventLoop
    private let maximumPerEndpoint: Int
    private let idleNanoseconds: UInt64
    private var endpoints: [String: Endpoint] = [:]

    init(loop: EventLoop, configuration: HTTPClientConfiguration) {
        self.loop = loop
        maximumPerEndpoint = configuration.maximumConnectionsPerHost
        idleNanoseconds = UInt64(max(0, configuration.idleTimeout.inSeconds) * 1e9)
    }

    /// Runs one request on a kept or a new connection.
    func perform(_ request: ClientRequest, _ url: ClientURL, address: String, deadline: Duration) async throws -> ClientResponse {
        let key = "\(address):\(url.port)"
        let startedAt = monotonicNanoseconds()
        await takePlace(key)
        defer { leavePlace(key) }
        let waited = Duration.nanoseconds(Int64(monotonicNanoseconds() - startedAt))
        guard waited < deadline else { throw HTTPClientError.timedOut(host: url.endpoint) }
        let connection = try kept(key) ?? ClientConnection(loop: loop, host: url.endpoint, address: address, port: url.port)
        let response = try await connection.perform(
            Self.bytes(of: request, url),
            method: request.method,
            limit: request.maximumAnswerBytes,
            deadline: deadline - waited
        )
        if connection.isOpen, connection.isReusable { endpoints[key, default: Endpoint()].idle.append(connection) }
        return response
    }

    private func takePlace(_ key: String) async {
        if endpoints[key, default: Endpoint()].active < maximumPerEndpoint {
            endpoints[key, default: Endpoint()].active += 1
        } else {
            // Who leaves hands over its place.
            await withCheckedContinuation { endpoints[key, default: Endpoint()].waiting.append($0) }
        }
    }

    private func leavePlace(_ key: String) {
        if endpoints[key]?.waiting.isEmpty == false {
            endpoints[key]?.waiting.removeFirst().resume()
        } else {
            endpoints[key]?.active -= 1
        }
    }

    private func kept(_ key: String) -> ClientConnection? {
        let now = monotonicNanoseconds()
        while let connection = endpoints[key]?.idle.popLast() {
            if connection.isOpen, now < connection.idleSince + idleNanoseconds { return connection }
            connection.close()
        }
        return nil
    }

    func closeIdle() {
        for key in endpoints.keys {
            for connection in endpoints[key]?.idle ?? [] { connection.close() }
            endpoints[key]?.idle = []
        }
    }

    private static func bytes(of request: ClientRequest, _ url: ClientURL) -> [UInt8] {
        let out = OutputBuffer()
        out.append(request.method.rawValue)
        out.append(" ")
        out.append(url.target)
        out.append(" HTTP/1.1\r\nHost: ")
        out.append(url.hostHeader)
        for (name, value) in request.headers.entries where name.utf8.allSatisfy(\.isTokenCharacter) {
            out.append("\r\n")
            out.append(name)
            out.append(": ")
            out.append(headerValue: value)
        }
        if !request.body.isEmpty || request.method == .post || request.method == .put || request.method == .patch {
            out.append("\r\nContent-Length: ")
            out.append(request.body.count)
        }
        out.append("\r\n\r\n")
        out.append(request.body)
        return Array(out.bytes)
    }
}
