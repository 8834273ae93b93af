import Contracts
import HTTPServing
import Messaging
import ServiceRuntime
import Synchronization

/// Hears, on every replica, what makes something in memory wrong: keys, sessions, subscriptions, predictions.
///
/// Nothing here is durable and nothing has to be: what is missed while the broker is away is bounded by the caches' own times. The deny set has a keeper,
/// which asks auth for it meanwhile.
final class NewsListener: Component {
    static let eventTypes = [
        KeyChanged.eventType, SessionRevoked.eventType, UserChanged.eventType, SubscriptionChanged.eventType, PredictionRecorded.eventType,
        SignalPublished.eventType, SignalUnpublished.eventType,
    ]

    /// What the news is for.
    struct Audience: Sendable {
        var keys: CachingAPIKeyVerifier
        var denied: DenySet
        var entitlements: EntitlementCache
        var predictions: RevisionWatch
        var hub: ChangeHub
    }

    let name = "news"
    private let broadcast: EventBroadcast
    private let audience: Audience
    private let keeper: DenySetKeeper
    private let loop: EventLoop
    private let time: any TimeSource
    private let work = Mutex<Task<Void, Never>?>(nil)

    init(
        brokerURL: String,
        audience: Audience,
        auth: ServiceClient,
        loop: EventLoop,
        time: any TimeSource,
        readiness: Readiness
    ) throws {
        self.audience = audience
        let keeper = DenySetKeeper(audience.denied, auth: auth, loop: loop, readiness: readiness, time: time)
        self.keeper = keeper
        self.loop = loop
        self.time = time
        broadcast = try EventBroadcast(
            service: "signals",
            listener: "news",
            eventTypes: Self.eventTypes,
            brokerURL: brokerURL,
            loop: loop,
            readiness: readiness,
            onSubscribed: {
                audience.keys.subscriptionChanged(isSubscribed: true)
                audience.entitlements.hearing(true)
                audience.hub.announceAll()
                keeper.subscriptionChanged(isSubscribed: true)
            },
            onEvent: { envelope in Self.apply(envelope, to: audience) }
        )
    }

    func start() async throws {
        try await keeper.start()
        try await broadcast.start()
        let task = Task(on: loop) { [self] in
            var wasSubscribed = false
            while !Task.isCancelled {
                let isSubscribed = broadcast.isSubscribed
                if wasSubscribed, !isSubscribed { audience.entitlements.hearing(false) }
                // Said again and again: the word of a subscription may arrive after its end.
                if !isSubscribed {
                    audience.keys.subscriptionChanged(isSubscribed: false)
                    keeper.subscriptionChanged(isSubscribed: false)
                }
                wasSubscribed = isSubscribed
                guard (try? await time.sleep(for: .milliseconds(100))) != nil else { return }
            }
        }
        work.withLock { $0 = task }
    }

    func stop() async {
        let task = work.withLock { $0 }
        task?.cancel()
        await task?.value
        await broadcast.stop()
        await keeper.stop()
    }

    /// One piece of news.
    static func apply(_ envelope: Envelope, to audience: Audience) {
        do {
            switch envelope.type {
            case KeyChanged.eventType:
                let event = try envelope.body(as: KeyChanged.self)
                audience.keys.keyChanged(event.keySHA256, generation: event.generation)
            case SessionRevoked.eventType:
                let event = try envelope.body(as: SessionRevoked.self)
                audience.denied.revoke(session: event.sessionID, until: event.tokenExpiresAt)
            case UserChanged.eventType:
                let event = try envelope.body(as: UserChanged.self)
                audience.denied.raise(user: event.userID, version: event.userVersion)
            case SubscriptionChanged.eventType:
                audience.entitlements.forget(try envelope.body(as: SubscriptionChanged.self).accountID)
            case PredictionRecorded.eventType: audience.predictions.heard(try envelope.body(as: PredictionRecorded.self).signalID)
            case SignalPublished.eventType: audience.predictions.heard(try envelope.body(as: SignalPublished.self).signalID)
            case SignalUnpublished.eventType: audience.predictions.heard(try envelope.body(as: SignalUnpublished.self).signalID)
            default: break
            }
        } catch {
            Logger("news").warning("an event could not be read", ["type": .string(envelope.type), "reason": .string("\(error)")])
        }
    }
}
