import Contracts
import HTTPServing
import Messaging
import ServiceRuntime
import Synchronization

/// Hears, on every replica, what makes something in memory wrong: keys and sessions. What is missed is bounded by the caches' own times, and by the
/// keeper of the deny set, which asks auth for it meanwhile.
final class NewsListener: Component {
    let name = "news"
    private let broadcast: EventBroadcast
    private let keys: CachingAPIKeyVerifier
    private let keeper: DenySetKeeper
    private let loop: EventLoop
    private let time: any TimeSource
    private let running = Mutex<Task<Void, Never>?>(nil)

    init(
        brokerURL: String,
        keys: CachingAPIKeyVerifier,
        denied: DenySet,
        auth: ServiceClient,
        loop: EventLoop,
        time: any TimeSource,
        readiness: Readiness
    ) throws {
        self.keys = keys
        let keeper = DenySetKeeper(denied, auth: auth, loop: loop, readiness: readiness, time: time)
        self.keeper = keeper
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
                keeper.subscriptionChanged(isSubscribed: true)
            },
            onEvent: { envelope in Self.apply(envelope, keys: keys, denied: denied) }
        )
    }

    func start() async throws {
        try await keeper.start()
        try await broadcast.start()
        running.withLock { running in
            running = Task(on: loop) { [self] in
                while !Task.isCancelled {
                    // Said again and again: the word of a subscription may arrive after its end.
                    if !broadcast.isSubscribed {
                        keys.subscriptionChanged(isSubscribed: false)
                        keeper.subscriptionChanged(isSubscribed: false)
                    }
                    guard (try? await time.sleep(for: .milliseconds(100))) != nil else { return }
                }
            }
        }
    }

    func stop() async {
        let task = running.withLock { $0 }
        task?.cancel()
        await task?.value
        await broadcast.stop()
        await keeper.stop()
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
