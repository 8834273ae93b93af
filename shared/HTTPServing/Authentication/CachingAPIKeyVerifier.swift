public import Contracts
internal import Synchronization
public import ServiceRuntime

/// Keeps verdicts on API keys so that most requests ask nobody, and keeps the promise about revoked keys: gone within a second normally, within 60 s in
/// any partition.
///
/// An entry lives 60 s and is refreshed in the background from 30 s on. While the service is not subscribed to auth's events it counts as fresh for 5 s
/// only; with auth away as well it serves 60 s at most, then requests get a 503. Every (re)subscription drops all entries, as events may have
/// been missed. Refusals are never kept.
public final class CachingAPIKeyVerifier: APIKeyVerifier {
    private struct Entry {
        var verdict: APIKeyVerdict
        var storedAt: UInt64
        var triedAt: UInt64 = 0
        /// Whether auth did not answer when it was last asked about the key.
        var isAuthAway = false
    }

    private struct State {
        var entries: [SHA256Digest: Entry] = [:]
        /// The least generation that may still be stored, for keys of which an event came; forgotten after two minutes.
        var leastGeneration: [SHA256Digest: (generation: Int64, at: UInt64)] = [:]
        var asking: [SHA256Digest: Task<APIKeyVerdict, any Error>] = [:]
        var isSubscribed = false
        /// Rises whenever all entries are dropped: an answer that was asked for before is not stored after.
        var epoch = 0
    }

    private enum Decision {
        case serve(APIKeyVerdict)
        case serveAndRefresh(APIKeyVerdict)
        case ask(fallback: APIKeyVerdict?)
    }

    private let source: any APIKeyVerifier
    private let time: any TimeSource
    private let control: EventLoop
    private let state = Mutex(State())
    private static let lifetime: UInt64 = 60_000_000_000
    private static let refreshAge: UInt64 = 30_000_000_000
    private static let unsubscribedAge: UInt64 = 5_000_000_000
    private static let maximumEntries = 100_000

    /// A cache before `source`, as a rule ``ServiceAPIKeyVerifier``; refreshes run on `control`.
    public init(source: any APIKeyVerifier, control: EventLoop, time: any TimeSource = SystemTimeSource()) {
        self.source = source
        self.control = control
        self.time = time
    }

    /// To be called whenever the subscription to `auth.key.changed.v1` begins (also again) or is lost.
    public func subscriptionChanged(isSubscribed: Bool) {
        state.withLock { state in
            state.isSubscribed = isSubscribed
            guard isSubscribed else { return }
            state.entries.removeAll(keepingCapacity: true)
            state.asking.removeAll()
            state.epoch += 1
        }
    }

    /// To be called with each `auth.key.changed.v1`: what is known of the key is dropped, and nothing older is stored again.
    public func keyChanged(_ keySHA256: SHA256Digest, generation: Int64) {
        let now = time.monotonicNanoseconds()
        state.withLock { state in
            state.leastGeneration[keySHA256] = (max(generation, state.leastGeneration[keySHA256]?.generation ?? generation), now)
            if let entry = state.entries[keySHA256], (entry.verdict.generation ?? 0) < generation { state.entries[keySHA256] = nil }
            // An answer under way may be older than the change: it is asked for anew.
            state.asking[keySHA256] = nil
            if state.leastGeneration.count > 10_000 {
                state.leastGeneration = state.leastGeneration.filter { $0.value.at + 2 * Self.lifetime > now }
            }
        }
    }

    /// The verdict, from memory if it is fresh enough.
    public func verdict(on keySHA256: SHA256Digest) async throws -> APIKeyVerdict {
        switch decide(keySHA256) {
        case .serve(let verdict): return verdict
        case .serveAndRefresh(let verdict):
            _ = ask(keySHA256)
            return verdict
        case .ask(let fallback):
            do {
                return try await ask(keySHA256).value
            } catch {
                if let fallback { return fallback }
                throw Problem.unavailable(code: "authentication_unavailable", detail: "API keys cannot be checked right now.")
            }
        }
    }

    private func decide(_ keySHA256: SHA256Digest) -> Decision {
        let now = time.monotonicNanoseconds()
        let wallClock = time.now()
        return state.withLock { state in
            guard let entry = state.entries[keySHA256] else { return .ask(fallback: nil) }
            let age = now &- entry.storedAt
            if let end = entry.verdict.expiresAt, end <= wallClock {
                state.entries[keySHA256] = nil
                return .ask(fallback: nil)
            }
            guard age < Self.lifetime else {
                state.entries[keySHA256] = nil
                return .ask(fallback: nil)
            }
            if state.isSubscribed {
                // One try a second: an auth that is away must not be asked once a request.
                if age < Self.refreshAge || now &- entry.triedAt < 1_000_000_000 { return .serve(entry.verdict) }
                state.entries[keySHA256]?.triedAt = now
                return .serveAndRefresh(entry.verdict)
            }
            if age < Self.unsubscribedAge { return .serve(entry.verdict) }
            // The first waits to see whether auth answers; as long as it does not, nobody waits, and it is asked once a second.
            guard entry.isAuthAway, now &- entry.triedAt < Self.unsubscribedAge else { return .ask(fallback: entry.verdict) }
            if now &- entry.triedAt < 1_000_000_000 { return .serve(entry.verdict) }
            state.entries[keySHA256]?.triedAt = now
            return .serveAndRefresh(entry.verdict)
        }
    }

    /// Asks, once for all who wait for the same key.
    private func ask(_ keySHA256: SHA256Digest) -> Task<APIKeyVerdict, any Error> {
        state.withLock { state in
            if let running = state.asking[keySHA256] { return running }
            let epoch = state.epoch
            // An entry's age counts from before the question: auth may have looked at once and answered late.
            let askedAt = time.monotonicNanoseconds()
            let task = Task(on: control) { [self] () async throws -> APIKeyVerdict in
                do {
                    let verdict = try await source.verdict(on: keySHA256)
                    return keep(verdict, keySHA256, epoch: epoch, askedAt: askedAt) ? verdict : try await source.verdict(on: keySHA256)
                } catch {
                    finished(keySHA256, epoch: epoch)
                    throw error
                }
            }
            state.asking[keySHA256] = task
            return task
        }
    }

    private func finished(_ keySHA256: SHA256Digest, epoch: Int) {
        let now = time.monotonicNanoseconds()
        state.withLock { state in
            guard state.epoch == epoch else { return }
            state.asking[keySHA256] = nil
            state.entries[keySHA256]?.isAuthAway = true
            state.entries[keySHA256]?.triedAt = now
        }
    }

    /// Stores a good verdict; false when it is older than a change that we have heard of since.
    private func keep(_ verdict: APIKeyVerdict, _ keySHA256: SHA256Digest, epoch: Int, askedAt: UInt64) -> Bool {
        state.withLock { state in
            guard state.epoch == epoch else { return true }
            state.asking[keySHA256] = nil
            if let least = state.leastGeneration[keySHA256], (verdict.generation ?? 0) < least.generation, verdict.outcome == .valid { return false }
            guard verdict.outcome == .valid else {
                state.entries[keySHA256] = nil
                return true
            }
            if state.entries.count >= Self.maximumEntries { state.entries.removeAll(keepingCapacity: true) }
            state.entries[keySHA256] = Entry(verdict: verdict, storedAt: askedAt)
            return true
        }
    }
}

/// Asks auth: `POST /internal/v1/keys/verify`.
public struct ServiceAPIKeyVerifier: APIKeyVerifier {
    private struct Question: Encodable { let keySHA256: SHA256Digest }

    private let auth: ServiceClient

    /// Asks through a client of auth.
    public init(auth: ServiceClient) { self.auth = auth }

    /// The verdict of auth at this moment.
    public func verdict(on keySHA256: SHA256Digest) async throws -> APIKeyVerdict {
        try await auth.post("/internal/v1/keys/verify", body: Question(keySHA256: keySHA256), isIdempotent: true)
    }
}
