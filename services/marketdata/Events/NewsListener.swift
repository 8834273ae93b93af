import Contracts
import HTTPServing
import Messaging
import ServiceRuntime
import Synchronization

/// Hears, on every replica, what makes remembered credentials wrong: changed keys, ended sessions, changed users.
///
/// It counts our own corrections as well. An event that no queue wants stays in the outbox for ever, and nobody else has to hear of corrections.
///
/// Nothing here is durable and nothing has to be: what is missed while the broker is away is bounded by the caches' own times. The deny set has a keeper,
/// which asks auth for it meanwhile.
final class NewsListener: Component {
    static let eventTypes = [KeyChanged.eventType, SessionRevoked.eventType, UserChanged.eventType, BarsRevised.eventType]

    let name = "news"
    private let broadcast: EventBroadcast
    private let keys: CachingAPIKeyVerifier
    private let keeper: DenySetKeeper
    private let loop: EventLoop
    private let time: any TimeSource
    private let work = Mutex<Task<Void, Never>?>(nil)

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
            service: "marketdata",
            listener: "news",
            eventTypes: Self.eventTypes,
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

    /// Subscribes, and tells the key cache and the deny set's keeper whenever the subscription is lost.
    func start() async throws {
        try await keeper.start()
        try await broadcast.start()
        let task = Task<Void, Never>(on: loop) { [self] in
            while !Task.isCancelled {
                // Said again and again: the word of a subscription may arrive after its end.
                if !broadcast.isSubscribed {
                    keys.subscriptionChanged(isSubscribed: false)
                    keeper.subscriptionChanged(isSubscribed: false)
                }
                guard (try? await time.sleep(for: .milliseconds(100))) != nil else { return }
            }
        }
        work.withLock { $0 = task }
    }

    /// Ends the subscription.
    func stop() async {
        let task = work.withLock { $0 }
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
            case BarsRevised.eventType: revisions.increment()
            default: break
            }
        } catch {
            Logger("news").warning("an event could not be read", ["type": .string(envelope.type), "reason": .string("\(error)")])
        }
    }

    private static let revisions = Metrics.shared.counter("marketdata_days_revised_total", help: "Corrected days, as heard by this replica.")
}
