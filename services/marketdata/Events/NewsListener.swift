import Contracts
import HTTPServing
import Messaging
import ServiceRuntime
import Synchronization

/// Hears, on every replica, what makes remembered credentials wrong: changed keys, ended sessions, changed users.
///
/// It counts our own corrections as well. An event that no queue wants stays in the outbox for ever, and nobody else has to hear of corrections.
///
/// Nothing here is durable and nothing has to be: what is missed while the broker is away is bounded by the caches' own times.
final class NewsListener: Component {
    static let eventTypes = [KeyChanged.eventType, SessionRevoked.eventType, UserChanged.eventType, BarsRevised.eventType]

    let name = "news"
    private let broadcast: EventBroadcast
    private let keys: CachingAPIKeyVerifier
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
                // Beside the news, not before it: auth may be slow to answer.
                Task(on: loop) { await Self.loadDenied(into: denied, from: auth, time: time) }
            },
            onEvent: { envelope in Self.apply(envelope, keys: keys, denied: denied) }
        )
    }

    /// Subscribes, and tells the key cache whenever the subscription is lost.
    func start() async throws {
        try await broadcast.start()
        let task = Task<Void, Never>(on: loop) { [self] in
            var wasSubscribed = false
            while !Task.isCancelled {
                let isSubscribed = broadcast.isSubscribed
                if wasSubscribed, !isSubscribed { keys.subscriptionChanged(isSubscribed: false) }
                wasSubscribed = isSubscribed
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

    private struct Denied: Decodable {
        struct Session: Decodable {
            var sessionID: SessionID
            var expiresAt: Timestamp
        }
        struct User: Decodable {
            var userID: UserID
            var userVersion: Int64
        }
        var sessions: [Session]
        var users: [User]
    }

    /// Asks auth for everything that is denied, until it answers.
    private static func loadDenied(into denied: DenySet, from auth: ServiceClient, time: any TimeSource) async {
        var wait = Duration.milliseconds(200)
        while !Task.isCancelled {
            do {
                let answer: Denied = try await auth.get("/internal/v1/sessions/revoked")
                for session in answer.sessions { denied.revoke(session: session.sessionID, until: session.expiresAt) }
                for user in answer.users { denied.raise(user: user.userID, version: user.userVersion) }
                return
            } catch {
                Logger("news").debug("the deny set could not be loaded; trying again", ["reason": .string("\(error)")])
                guard (try? await time.sleep(for: wait)) != nil else { return }
                wait = min(wait * 2, .seconds(10))
            }
        }
    }
}
