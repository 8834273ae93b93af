public import ServiceRuntime
internal import Synchronization

/// What a Redis is for. The two are servers of their own from the first day.
public enum RedisRole: String, Sendable {
    /// May forget anything at any time.
    case cache
    /// Forgets nothing; counts for rate limits.
    case limits
}

/// Redis, with one connection on each loop.
///
/// Every call fails with ``RedisError/unavailable`` at once while Redis is away, and after the command's time-out when it hangs.
public final class RedisClient: Component {
    /// For logs.
    public let name: String
    private let loops: [EventLoop]
    private let connections: [RedisConnection]
    private let resolver = HostResolver()
    private let address: RedisAddress
    private let commandTimeout: Duration
    private let scripts = Mutex<[String: [UInt8]]>([:])
    private let subscriptions = Mutex<[RedisConnection]>([])

    /// A client that connects when it is started.
    ///
    /// - Parameters:
    ///   - loops: the loops that will use it; the last one serves callers from elsewhere.
    ///   - check: told whether Redis is there; a cache that is away does not make a service unready, so it is usually left out.
    public init(url: String, loops: [EventLoop], role: RedisRole, commandTimeout: Duration = .milliseconds(500), check: ReadinessCheck? = nil) throws
    {
        precondition(!loops.isEmpty)
        name = "redis-\(role.rawValue)"
        self.loops = loops
        self.commandTimeout = commandTimeout
        let address = try RedisAddress(url)
        self.address = address
        let gauge = Metrics.shared.gauge(
            "auspex_redis_connections",
            help: "Connections to Redis that are up.",
            labels: ["role": role.rawValue]
        )
        let resolver = resolver
        connections = loops.map { loop in
            RedisConnection(loop: loop, address: address, resolver: resolver, commandTimeout: commandTimeout) { up in
                gauge.add(up ? 1 : -1)
                check?.set(ready: up, detail: up ? "" : "away")
            }
        }
    }

    /// Begins to connect; Redis need not be there.
    public func start() async throws {
        for (loop, connection) in zip(loops, connections) { loop.execute { connection.connect() } }
    }

    /// Closes the connections; what is under way fails.
    public func stop() async {
        for (loop, connection) in zip(loops, connections) { await Self.close(connection, on: loop) }
        let subscribed = subscriptions.withLock { $0 }
        for connection in subscribed { await Self.close(connection, on: loops[loops.count - 1]) }
        await resolver.stop()
    }

    /// Runs any command.
    public func command(_ arguments: [RedisArgument]) async throws(RedisError) -> RedisValue {
        let index = EventLoop.current.flatMap { current in loops.firstIndex { $0 === current } }
        let connection = connections[index ?? connections.count - 1]
        let result = await withCheckedContinuation { (continuation: CheckedContinuation<Result<RedisValue, RedisError>, Never>) in
            if index != nil {
                connection.send(arguments) { continuation.resume(returning: $0) }
            } else {
                loops[loops.count - 1].execute { connection.send(arguments) { continuation.resume(returning: $0) } }
            }
        }
        return try result.get()
    }

    /// The value of a key; nil when there is none.
    public func get(_ key: String) async throws(RedisError) -> [UInt8]? {
        try await command(["GET", RedisArgument(key)]).bytes
    }

    /// The values of several keys in one call, in order.
    public func mget(_ keys: [String]) async throws(RedisError) -> [[UInt8]?] {
        guard !keys.isEmpty else { return [] }
        guard let values = try await command(["MGET"] + keys.map { RedisArgument($0) }).array, values.count == keys.count else {
            throw .unexpectedAnswer
        }
        return values.map(\.bytes)
    }

    /// Sets a value; with `onlyIfAbsent` it tells whether it did.
    @discardableResult
    public func set(_ key: String, _ value: [UInt8], expireSeconds: Int? = nil, onlyIfAbsent: Bool = false) async throws(RedisError) -> Bool {
        var words: [RedisArgument] = ["SET", RedisArgument(key), RedisArgument(value)]
        if let expireSeconds { words += ["EX", RedisArgument(expireSeconds)] }
        if onlyIfAbsent { words.append("NX") }
        return try await command(words) != .none
    }

    /// Removes keys and tells how many were there.
    @discardableResult
    public func delete(_ keys: [String]) async throws(RedisError) -> Int {
        guard !keys.isEmpty else { return 0 }
        return Int(try await command(["DEL"] + keys.map { RedisArgument($0) }).integer ?? 0)
    }

    /// Adds to a number, and gives the sum.
    public func increment(_ key: String, by amount: Int = 1) async throws(RedisError) -> Int {
        guard let sum = try await command(["INCRBY", RedisArgument(key), RedisArgument(amount)]).integer else { throw .unexpectedAnswer }
        return Int(sum)
    }

    /// Runs a script, by its hash once Redis knows it.
    public func evaluate(_ script: RedisScript, keys: [String], arguments: [RedisArgument] = []) async throws(RedisError) -> RedisValue {
        let tail = [RedisArgument(keys.count)] + keys.map { RedisArgument($0) } + arguments
        if let hash = scripts.withLock({ $0[script.text] }) {
            do {
                return try await command(["EVALSHA", RedisArgument(hash)] + tail)
            } catch .refused(let text) where text.hasPrefix("NOSCRIPT") {
                // Redis was restarted or its scripts were flushed: it is told again below.
            }
        }
        if let hash = try await command(["SCRIPT", "LOAD", RedisArgument(script.text)]).bytes {
            scripts.withLock { $0[script.text] = hash }
        }
        return try await command(["EVAL", RedisArgument(script.text)] + tail)
    }

    /// Sends a message to whoever listens, and tells how many did.
    @discardableResult
    public func publish(_ channel: String, _ message: [UInt8]) async throws(RedisError) -> Int {
        Int(try await command(["PUBLISH", RedisArgument(channel), RedisArgument(message)]).integer ?? 0)
    }

    /// Listens to a channel until the stream is dropped, on a connection of its own that comes back by itself.
    ///
    /// Messages that were sent while the connection was away are lost; ``RedisMessage/subscribed`` marks each point from which none is.
    public func subscribe(_ channel: String) -> AsyncStream<RedisMessage> {
        let (stream, continuation) = AsyncStream.makeStream(of: RedisMessage.self, bufferingPolicy: .bufferingNewest(4_096))
        let loop = loops[loops.count - 1]
        let holder = SubscriptionHolder()
        let connection = RedisConnection(loop: loop, address: address, resolver: resolver, commandTimeout: commandTimeout) { up in
            if up { holder.subscribe?() }
        }
        holder.set { [weak connection] in
            connection?.send(["SUBSCRIBE", RedisArgument(channel)], lasting: true) { answer in
                guard case .success(.array(let parts)) = answer, parts.count == 3, let kind = parts[0].bytes else { return }
                if kind.elementsEqual("subscribe".utf8) { continuation.yield(.subscribed) }
                if kind.elementsEqual("message".utf8), let message = parts[2].bytes { continuation.yield(.message(message)) }
            }
        }
        subscriptions.withLock { $0.append(connection) }
        loop.execute { connection.connect() }
        continuation.onTermination = { [weak self] _ in
            loop.execute { connection.close() }
            self?.subscriptions.withLock { $0.removeAll { $0 === connection } }
        }
        return stream
    }

    private static func close(_ connection: RedisConnection, on loop: EventLoop) async {
        await withCheckedContinuation { continuation in
            loop.execute {
                connection.close()
                continuation.resume()
            }
        }
    }
}

/// A Lua script that runs inside Redis.
public struct RedisScript: Sendable, Hashable {
    let text: String

    /// A script by its text.
    public init(_ text: String) { self.text = text }
}

/// What a listener hears.
public enum RedisMessage: Sendable, Hashable {
    /// From here on nothing is missed.
    case subscribed
    /// A message.
    case message([UInt8])
}

/// Breaks the circle between a connection and what it does when it is up.
private final class SubscriptionHolder: Sendable {
    private let body = Mutex<(@Sendable () -> Void)?>(nil)

    var subscribe: (@Sendable () -> Void)? { body.withLock { $0 } }

    func set(_ newValue: @escaping @Sendable () -> Void) { body.withLock { $0 = newValue } }
}
