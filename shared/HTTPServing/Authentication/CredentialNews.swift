public import Contracts
public import ServiceRuntime

/// What a replica makes of auth's news: a changed key is forgotten, a revoked session and an outdated user are refused.
///
/// Nothing here is durable and nothing has to be: what is missed while no news comes is bounded by the key cache's own times, and by the keeper of the deny
/// set, which asks auth for it meanwhile. How the news comes is the service's affair: it subscribes to ``eventTypes`` and passes everything on.
public final class CredentialNews: Component {
    /// The events to be passed to ``hear(_:)``.
    public static let eventTypes = [KeyChanged.eventType, SessionRevoked.eventType, UserChanged.eventType]

    /// The component's name.
    public let name = "credentials"
    private let keys: CachingAPIKeyVerifier
    private let denied: DenySet
    private let keeper: DenySetKeeper?

    /// Keeps `keys` and `denied` right; without a keeper the set is what is heard, and is vouched for without end.
    public init(keys: CachingAPIKeyVerifier, denied: DenySet, keeper: DenySetKeeper? = nil) {
        self.keys = keys
        self.denied = denied
        self.keeper = keeper
    }

    /// Keeps `keys` and `denied` right; the deny set serves nobody until auth has been asked for it.
    public convenience init(
        keys: CachingAPIKeyVerifier,
        denied: DenySet,
        auth: ServiceClient,
        loop: EventLoop,
        readiness: Readiness? = nil,
        time: any TimeSource = SystemTimeSource()
    ) {
        self.init(keys: keys, denied: denied, keeper: DenySetKeeper(denied, auth: auth, loop: loop, readiness: readiness, time: time))
    }

    /// Begins to load the deny set; does not fail when auth is away.
    public func start() async throws { try await keeper?.start() }

    /// Stops loading it.
    public func stop() async { await keeper?.stop() }

    /// To be called whenever the subscription to auth's events begins (also again) or is lost; saying so twice does no harm.
    public func subscriptionChanged(isSubscribed: Bool) {
        keys.subscriptionChanged(isSubscribed: isSubscribed)
        keeper?.subscriptionChanged(isSubscribed: isSubscribed)
    }

    /// One piece of news; anything that is none of auth's is left alone.
    public func hear(_ envelope: Envelope) throws {
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
    }
}
