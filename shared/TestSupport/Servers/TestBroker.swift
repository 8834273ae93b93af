internal import Foundation
internal import FoundationNetworking

/// A RabbitMQ virtual host of one test.
public struct TestBroker: Sendable {
    /// Connects to the virtual host.
    public let url: String
    /// Its name.
    public let virtualHost: String
    /// The management API of the whole broker.
    public let adminURL: String

    /// Calls the management API, `path` relative to `/api/`; returns the answer's bytes.
    @discardableResult
    public func manage(_ method: String, _ path: String, body: String? = nil) async throws -> [UInt8] {
        try await TestBroker.call(method, path, body: body)
    }

    /// How many messages a queue holds, ready and unacknowledged; `nil` if there is no such queue.
    ///
    /// The management database lags by its sampling interval: wait with ``eventually(timeout:every:_:)``.
    public func messages(in queue: String) async throws -> Int? {
        struct Queue: Decodable { let messages: Int? }
        let escaped = queue.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? queue
        guard let bytes = try? await manage("GET", "queues/\(virtualHost)/\(escaped)") else { return nil }
        return try JSONDecoder().decode(Queue.self, from: Data(bytes)).messages ?? 0
    }

    /// Ends every connection to the virtual host, as a broker that restarts would.
    public func dropConnections() async throws {
        struct Connection: Decodable { let name: String }
        let connections = try JSONDecoder().decode([Connection].self, from: Data(try await manage("GET", "vhosts/\(virtualHost)/connections")))
        for connection in connections {
            let escaped = connection.name.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? connection.name
            _ = try? await manage("DELETE", "connections/\(escaped)")
        }
    }

    static func call(_ method: String, _ path: String, body: String?) async throws -> [UInt8] {
        guard var components = URLComponents(string: TestServers.brokerAdminURL) else {
            throw TestSupportError("AUSPEX_TEST_BROKER_ADMIN_URL is no URL")
        }
        let credentials = "\(components.user ?? "guest"):\(components.password ?? "guest")"
        components.user = nil
        components.password = nil
        guard let base = components.string, let url = URL(string: base + "/api/" + path) else { throw TestSupportError("no URL for \(path)") }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.setValue("Basic " + Data(credentials.utf8).base64EncodedString(), forHTTPHeaderField: "Authorization")
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.httpBody = body.map { Data($0.utf8) }
        let (data, response) = try await URLSession.shared.data(for: request)
        let status = (response as? HTTPURLResponse)?.statusCode ?? 0
        guard (200..<300).contains(status) else { throw TestSupportError("\(method) \(path) of the broker's management API answered \(status)") }
        return [UInt8](data)
    }
}

/// Lends a virtual host of its own to `body` and removes it afterwards.
public func withVirtualHost<Outcome>(
    caller: isolated (any Actor)? = #isolation,
    _ body: (TestBroker) async throws -> Outcome
) async throws -> Outcome {
    guard TestServers.hasBroker, var components = URLComponents(string: TestServers.brokerURL) else {
        throw TestSupportError("AUSPEX_TEST_BROKER_URL and AUSPEX_TEST_BROKER_ADMIN_URL are not set")
    }
    let name = "test-" + UUID().uuidString.lowercased()
    let user = components.user ?? "guest"
    components.path = "/" + name
    let broker = TestBroker(url: components.string ?? "", virtualHost: name, adminURL: TestServers.brokerAdminURL)
    _ = try await TestBroker.call("PUT", "vhosts/\(name)", body: nil)
    _ = try await TestBroker.call("PUT", "permissions/\(name)/\(user)", body: #"{"configure":".*","write":".*","read":".*"}"#)
    do {
        let outcome = try await body(broker)
        _ = try? await TestBroker.call("DELETE", "vhosts/\(name)", body: nil)
        return outcome
    } catch {
        _ = try? await TestBroker.call("DELETE", "vhosts/\(name)", body: nil)
        throw error
    }
}

/// Lends a key prefix of its own to `body`; the keys stay until the test server is thrown away.
public func withRedisPrefix<Outcome>(caller: isolated (any Actor)? = #isolation, _ body: (String) async throws -> Outcome) async throws -> Outcome {
    guard TestServers.hasRedis else { throw TestSupportError("AUSPEX_TEST_REDIS_URL is not set") }
    return try await body("test:" + UUID().uuidString.lowercased() + ":")
}
