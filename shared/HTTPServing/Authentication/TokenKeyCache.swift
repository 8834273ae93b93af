public import Cryptography
internal import Synchronization
public import ServiceRuntime

/// The public keys of access tokens, fetched from auth and kept: with auth down tokens are verified with the last keys.
///
/// A token of an unknown key makes one fetch in ten seconds for all; the keys are fetched anew every five minutes, before a new one begins to sign.
public final class TokenKeyCache: Component {
    /// The component's name.
    public let name = "token keys"

    private struct State {
        var keys: [String: VerifyingKey] = [:]
        var lastAttempt: UInt64?
        var fetching: Task<Void, Never>?
        var refresher: Task<Void, Never>?
    }

    private let fetch: @Sendable () async throws -> JWKSet
    private let time: any TimeSource
    private let control: EventLoop
    private let readiness: ReadinessCheck
    private let refreshInterval: Duration
    private let state = Mutex(State())
    private let logger = Logger("token-keys")
    private static let refetchInterval: UInt64 = 10_000_000_000

    /// A cache that fetches with `fetch`, as a rule `GET /.well-known/jwks.json` of auth.
    public init(
        control: EventLoop,
        readiness: Readiness,
        time: any TimeSource = SystemTimeSource(),
        refreshInterval: Duration = .seconds(300),
        fetch: @escaping @Sendable () async throws -> JWKSet
    ) {
        self.fetch = fetch
        self.time = time
        self.control = control
        self.refreshInterval = refreshInterval
        self.readiness = readiness.register("token_keys")
    }

    /// Begins to fetch; a service starts without auth and says so in `/readyz`.
    public func start() async throws {
        let task = Task(on: control) { [self] in
            var wait = Duration.milliseconds(200)
            while !Task.isCancelled {
                let succeeded = await attempt()
                // Without any key nobody is served: then it asks more often.
                wait = succeeded ? refreshInterval : min(wait * 2, isEmpty ? .seconds(2) : .seconds(10))
                do { try await time.sleep(for: wait) } catch { return }
            }
        }
        state.withLock { $0.refresher = task }
    }

    /// Stops fetching.
    public func stop() async {
        state.withLock { state in
            state.refresher?.cancel()
            state.refresher = nil
        }
    }

    /// Whether any keys have been fetched.
    public var isEmpty: Bool { state.withLock { $0.keys.isEmpty } }

    /// The key of a `kid`, if it is known.
    public func key(_ id: String) -> VerifyingKey? { state.withLock { $0.keys[id] } }

    /// Fetches the keys anew unless that was tried within ten seconds; joins a fetch that is under way.
    public func refetch() async {
        let now = time.monotonicNanoseconds()
        let running = state.withLock { state -> Task<Void, Never>? in
            if let fetching = state.fetching { return fetching }
            if let last = state.lastAttempt, now < last + Self.refetchInterval { return nil }
            state.lastAttempt = now
            let task = Task<Void, Never>(on: control) { [self] in
                await attempt()
                self.state.withLock { $0.fetching = nil }
            }
            state.fetching = task
            return task
        }
        await running?.value
    }

    @discardableResult
    private func attempt() async -> Bool {
        do {
            let keys = try await fetch().verifyingKeys()
            guard !keys.isEmpty else { return false }
            state.withLock { $0.keys = keys }
            readiness.set(ready: true)
            return true
        } catch {
            // The last keys stay in use, so this is not yet anybody's trouble.
            if isEmpty { readiness.set(ready: false, detail: "no token keys from auth yet") }
            logger.warning("token keys could not be fetched", ["error": .string("\(error)")])
            return false
        }
    }
}

extension TokenKeyCache {
    /// A cache that fetches from auth's `/.well-known/jwks.json`.
    public convenience init(auth: ServiceClient, control: EventLoop, readiness: Readiness, time: any TimeSource = SystemTimeSource()) {
        self.init(control: control, readiness: readiness, time: time) {
            try JWKSet(json: try await auth.send(.get, "/.well-known/jwks.json").body)
        }
    }
}
