import Contracts
import HTTPServing
import Messaging
import ServiceRuntime
import Synchronization

/// Hears, on every replica, what makes something in memory wrong: keys and sessions. What is missed is bounded by the caches' own times.
final class NewsListener: Component {
    let name = "news"
    private let broadcast: EventBroadcast
    private let keys: CachingAPIKeyVerifier
    private let loop: EventLoop
    private let time: any TimeSource
    private let running = Mutex<Task<Void, Never>?>(nil)

    init(
        brokerURL: String,
        keys: CachingAPIKeyVerifier,
        denied: DenySet,
        loop: EventLoop,
        time: any TimeSource,
        readiness: Readiness,
        reload: @escaping @Sendable () async -> Void
    ) throws {
        self.keys = keys
        self.loop = loop
        self.time = time
        broadcast = try EventBroadcast(
            service: "scheduler",
            listener: "news",
            eventTypes: [KeyChanged.eventType, SessionRevoked.eventType, UserChanged.eventType],
            brokerURL: brokerURL,
            loop: loop,
            readiness: readiness,
            onSubscribed: {
                keys.subscriptionChanged(isSubscribed: true)
                // Beside the news, not before it: auth may be slow to answer.
                Task(on: loop) { await reload() }
            },
            onEvent: { envelope in Self.apply(envelope, keys: keys, denied: denied) }
        )
    }

    func start() async throws {
        try await broadcast.start()
        running.withLock { running in
            running = Task(on: loop) { [self] in
                var wasSubscribed = false
                while !Task.isCancelled {
                    let isSubscribed = broadcast.isSubscribed
                    if wasSubscribed, !isSubscribed { keys.subscriptionChanged(isSubscribed: false) }
                    wasSubscribed = isSubscribed
                    guard (try? await time.sleep(for: .milliseconds(200))) != nil else { return }
                }
            }
        }
    }

    func stop() async {
        let task = running.withLock { $0 }
        task?.cancel()
        await task?.value
        await broadcast.stop()
    }

    static func apply(_ envelope: Envelope, keys: CachingAPIKeyVerifier, denied: DenySet) {
        do {
            switch envelope.type {
            case KeyChanged.eventType:
                let event = try envelope.body(as: KeyChanged.self)
                keys.keyChanged(event.keySHA256, generation: event.generation)
            case SessionRevoked.eventType:
                let event = try envelope.body(as: SessionRevoked.self)
                denied.revoke(session: event.sessionID, until: event.tokenExpiresAt)
            case UserChanged.eventType:
                let event = try envelope.body(as: UserChanged.self)
                denied.raise(user: event.userID, version: event.userVersion)
            default: break
            }
        } catch {
            Logger("news").warning("an event could not be read", ["type": .string(envelope.type), "reason": .string("\(error)")])
        }
    }
}
