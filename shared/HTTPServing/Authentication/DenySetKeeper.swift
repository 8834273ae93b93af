internal import Contracts
public import ServiceRuntime
internal import Synchronization

/// Loads a deny set from auth and vouches for it, so that a revoked session is refused within a second normally, within 60 s in any partition.
///
/// It loads at start and at each (re)subscription to auth's events, and every five seconds while there is no subscription. A set that was loaded after
/// the subscription began is complete for as long as the subscription lasts. Any other set serves for 60 s from the moment up to which it is known to be
/// complete; from then on user authentication answers 503 until auth has answered again.
public final class DenySetKeeper: Component {
    /// The component's name.
    public let name = "denied sessions"

    private struct State {
        var isSubscribed = false
        /// Rises with each subscription: a load that began before it may lack what was said in between.
        var epoch = 0
        /// The subscription that a load came after: together they miss nothing.
        var completeEpoch: Int?
        /// Up to this moment nothing is missing.
        var knownAt: UInt64?
        var loadAt: UInt64? = 0
        var failures = 0

        var isComplete: Bool { isSubscribed && completeEpoch == epoch }
    }

    private let denied: DenySet
    private let load: @Sendable () async throws -> Void
    private let loop: EventLoop
    private let time: any TimeSource
    private let readiness: ReadinessCheck?
    private let state = Mutex(State())
    private let work = BackgroundTask()
    private let logger = Logger("deny-set")

    private static let bound: UInt64 = 60_000_000_000
    private static let reloadInterval: UInt64 = 5_000_000_000
    private static let longestRetry: UInt64 = 2_000_000_000
    /// A connection that died without a word is noticed after two missed heartbeats of the broker, 15 s each.
    private static let unnoticedLoss: UInt64 = 30_000_000_000

    /// A keeper of `denied`, which serves nobody until the first load.
    ///
    /// - Parameter load: puts what auth knows as revoked into the set; throws when auth does not answer.
    public init(
        _ denied: DenySet,
        loop: EventLoop,
        readiness: Readiness? = nil,
        time: any TimeSource = SystemTimeSource(),
        load: @escaping @Sendable () async throws -> Void
    ) {
        self.denied = denied
        self.loop = loop
        self.time = time
        self.load = load
        self.readiness = readiness?.register("denied_sessions")
        denied.vouch(until: 0)
    }

    /// A keeper that asks auth: `GET /internal/v1/sessions/revoked`.
    public convenience init(
        _ denied: DenySet,
        auth: ServiceClient,
        loop: EventLoop,
        readiness: Readiness? = nil,
        time: any TimeSource = SystemTimeSource()
    ) {
        self.init(denied, loop: loop, readiness: readiness, time: time) { try await denied.load(from: auth) }
    }

    /// Begins to load; does not fail when auth is away.
    public func start() async throws {
        work.start(on: loop, every: .milliseconds(100), time: time) { [self] in
            if let epoch = dueEpoch() { await attempt(epoch) }
            report()
        }
    }

    /// Stops loading; what is vouched for stays so for its time.
    public func stop() async {
        await work.stop()
    }

    /// To be called whenever the subscription to auth's events begins (also again) or is lost; saying so twice does no harm.
    public func subscriptionChanged(isSubscribed: Bool) {
        let now = time.monotonicNanoseconds()
        state.withLock { state in
            guard isSubscribed || state.isSubscribed else { return }
            if state.isComplete { state.knownAt = max(state.knownAt ?? 0, now - min(now, Self.unnoticedLoss)) }
            state.isSubscribed = isSubscribed
            if isSubscribed { state.epoch += 1 }
            state.loadAt = now
            state.failures = 0
            vouch(state)
        }
    }

    private func dueEpoch() -> Int? {
        let now = time.monotonicNanoseconds()
        return state.withLock { state in
            guard let loadAt = state.loadAt, now >= loadAt else { return nil }
            return state.epoch
        }
    }

    private func attempt(_ epoch: Int) async {
        // What auth says is as old as the question.
        let askedAt = time.monotonicNanoseconds()
        do {
            try await load()
            state.withLock { state in
                state.failures = 0
                state.knownAt = max(state.knownAt ?? 0, askedAt)
                if epoch == state.epoch {
                    if state.isSubscribed { state.completeEpoch = epoch }
                    state.loadAt = state.isSubscribed ? nil : askedAt + Self.reloadInterval
                }
                vouch(state)
            }
        } catch {
            if Task.isCancelled { return }
            let now = time.monotonicNanoseconds()
            let failures = state.withLock { state in
                state.failures += 1
                // A subscription that began meanwhile wants its load at once.
                if epoch == state.epoch { state.loadAt = now + min(Self.longestRetry, 100_000_000 << UInt64(min(state.failures, 10))) }
                return state.failures
            }
            if failures == 1 { logger.warning("the deny set could not be loaded; trying again", ["reason": .string("\(error)")]) }
        }
    }

    private func vouch(_ state: borrowing State) {
        denied.vouch(until: state.isComplete ? .max : state.knownAt.map { $0 + Self.bound } ?? 0)
    }

    private func report() {
        let isCurrent = denied.isCurrent(at: time.monotonicNanoseconds())
        readiness?.set(ready: isCurrent, detail: isCurrent ? "" : "auth has not said which sessions are revoked")
    }
}
