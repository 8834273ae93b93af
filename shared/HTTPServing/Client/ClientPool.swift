internal import Contracts
internal import ServiceRuntime

/// The connections of one loop to other servers. Touched only on that loop, hence unchecked.
final class ClientPool: @unchecked Sendable {
    private struct Endpoint {
        var idle: [ClientConnection] = []
        var active = 0
        let waiting: WaitingLine<Void>
    }

    private struct LookUp {
        var isUnderWay = false
        let waiting: WaitingLine<[String]>
    }

    private let loop: EventLoop
    private let maximumPerEndpoint: Int
    private let maximumWaiters: Int
    private let idleNanoseconds: UInt64
    private let lookUp: @Sendable (String) async throws -> [String]
    private var endpoints: [String: Endpoint] = [:]
    private var lookUps: [String: LookUp] = [:]
    private var turn = 0

    init(
        loop: EventLoop,
        configuration: HTTPClientConfiguration,
        lookUp: @escaping @Sendable (String) async throws -> [String] = NameResolver.ask
    ) {
        self.loop = loop
        self.lookUp = lookUp
        maximumPerEndpoint = configuration.maximumConnectionsPerHost
        maximumWaiters = configuration.maximumWaitersPerHost
        idleNanoseconds = UInt64(max(0, configuration.idleTimeout.inSeconds) * 1e9)
    }

    /// Runs one request on a kept or a new connection, within `deadline` from the first look-up to the last byte.
    func perform(_ request: ClientRequest, _ url: ClientURL, deadline: Duration) async throws -> ClientResponse {
        let startedAt = monotonicNanoseconds()
        func remaining() throws -> Duration {
            let rest = deadline - .nanoseconds(Int64(monotonicNanoseconds() - startedAt))
            guard rest > .zero else { throw HTTPClientError.timedOut(host: url.endpoint) }
            return rest
        }
        let address = NameResolver.isNumeric(url.host) ? url.host : try await self.address(of: url, within: remaining())
        let key = "\(address):\(url.port)"
        try await takePlace(key, url, within: remaining())
        defer { leavePlace(key) }
        // The place may have been given to somebody who was cancelled at that moment: no connection is spent on that one.
        try Task.checkCancellation()
        let rest = try remaining()
        let connection = try kept(key) ?? ClientConnection(loop: loop, host: url.endpoint, address: address, port: url.port)
        let response = try await connection.perform(
            Self.bytes(of: request, url),
            method: request.method,
            limit: request.maximumAnswerBytes,
            deadline: rest
        )
        if connection.isOpen, connection.isReusable { endpoints[key]?.idle.append(connection) }
        return response
    }

    /// How many requests to an address are under way and how many wait. Call it on the loop.
    func load(of address: String, port: Int) -> (active: Int, waiting: Int) {
        let endpoint = endpoints["\(address):\(port)"]
        return (endpoint?.active ?? 0, endpoint?.waiting.count ?? 0)
    }

    private func takePlace(_ key: String, _ url: ClientURL, within limit: Duration) async throws {
        let line = endpoints[key]?.waiting ?? WaitingLine(loop: loop)
        if endpoints[key] == nil { endpoints[key] = Endpoint(waiting: line) }
        // Who leaves hands over its place.
        try await line.wait(atMost: limit, orThrow: .timedOut(host: url.endpoint)) { () throws(HTTPClientError) in
            if endpoints[key]?.active ?? 0 < maximumPerEndpoint {
                endpoints[key]?.active += 1
                return ()
            }
            guard line.count < maximumWaiters else { throw .tooManyWaiting(host: url.endpoint) }
            return nil
        }
    }

    private func leavePlace(_ key: String) {
        if endpoints[key]?.waiting.give(()) != true { endpoints[key]?.active -= 1 }
    }

    /// One of the addresses of a name, each in its turn; all who want the same name wait for one look-up, which outlives them.
    private func address(of url: ClientURL, within limit: Duration) async throws -> String {
        let name = url.host
        let line = lookUps[name]?.waiting ?? WaitingLine(loop: loop)
        if lookUps[name] == nil { lookUps[name] = LookUp(waiting: line) }
        let addresses = try await line.wait(atMost: limit, orThrow: .timedOut(host: url.endpoint)) { () throws(HTTPClientError) in
            guard line.count < maximumWaiters else { throw .tooManyWaiting(host: url.endpoint) }
            if lookUps[name]?.isUnderWay == false { begin(lookUpOf: name, for: line) }
            return nil
        }
        guard !addresses.isEmpty else { throw HTTPClientError.nameNotResolved(name) }
        turn &+= 1
        return addresses[turn % addresses.count]
    }

    private func begin(lookUpOf name: String, for line: WaitingLine<[String]>) {
        lookUps[name]?.isUnderWay = true
        Task(on: loop) { [self] in
            let result: Result<[String], any Error>
            do { result = .success(try await lookUp(name)) } catch { result = .failure(error) }
            lookUps[name]?.isUnderWay = false
            line.giveAll(result)
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
