import Contracts
import HTTPServing
import ServiceRuntime
import Synchronization

/// Who may look at charts: makes sessions, keeps them alive, and knows whether one still stands.
///
/// A token is a capability for bars on behalf of the account that made it (docs/decisions/chart-sessions.md). A session is looked up once and then known
/// to this replica until its end as far as it knows it; a heartbeat at another replica is found out when that end comes. What voids its maker's access
/// token or API key is asked in memory with each request.
final class ChartSessions: Sendable {
    private let store: ChartStore
    private let keys: any APIKeyVerifier
    private let denied: DenySet
    private let time: any TimeSource
    let limits: ChartLimits
    private let known = Mutex<[SHA256Digest: ChartSession]>([:])
    private static let maximumKnown = 20_000

    init(store: ChartStore, keys: any APIKeyVerifier, denied: DenySet, time: any TimeSource, limits: ChartLimits) {
        self.store = store
        self.keys = keys
        self.denied = denied
        self.time = time
        self.limits = limits
    }

    /// A new session for somebody who may read bars; `apiKeySHA256` is that of the key that was shown, if one was.
    func initiate(for principal: Principal, apiKeySHA256: SHA256Digest?) async throws -> (token: ChartSessionToken, session: ChartSession) {
        let maker: ChartSession.Maker
        switch principal.credential {
        case .session(let id): maker = .login(id, userVersion: principal.userVersion ?? 0)
        case .apiKey:
            guard let apiKeySHA256 else { throw Problem.unauthorized() }
            maker = .apiKey(apiKeySHA256)
        }
        let now = time.now()
        let token = ChartSessionToken.make()
        let session = ChartSession(
            id: .make(),
            accountID: principal.accountID,
            userID: principal.userID,
            maker: maker,
            createdAt: now,
            expiresAt: now + limits.sessionLifetime
        )
        guard try await store.create(session, tokenSHA256: token.sha256, atMost: limits.sessionsPerAccount) else {
            throw Problem.tooManyRequests(
                code: "too_many_chart_sessions",
                detail: "This account has \(limits.sessionsPerAccount) chart sessions, the most that it may: they end without heartbeats.",
                retryAfterSeconds: 60
            )
        }
        remember(session, token.sha256)
        return (token, session)
    }

    /// Keeps a session alive; gives its new end.
    func heartbeat(_ text: String) async throws -> ChartSession {
        var session = try await admit(text)
        let now = time.now()
        let end = now + limits.sessionLifetime
        guard let token = ChartSessionToken(parsing: text), try await store.renew(session.id, at: now, until: end) else {
            forget([session.id])
            throw Self.noSession
        }
        session.expiresAt = max(session.expiresAt, end)
        remember(session, token.sha256)
        return session
    }

    /// The session of a token; throws 401 when there is none, or none any more.
    func admit(_ text: String) async throws -> ChartSession {
        guard let token = ChartSessionToken(parsing: text) else { throw Self.noSession }
        let digest = token.sha256
        let now = time.now()
        var session = known.withLock { $0[digest] }
        if session == nil || session.map({ $0.expiresAt <= now }) == true {
            session = try await store.session(tokenSHA256: digest)
            guard let found = session, found.expiresAt > now else {
                known.withLock { _ = $0.removeValue(forKey: digest) }
                throw Self.noSession
            }
            remember(found, digest)
        }
        guard let session else { throw Self.noSession }
        try await requireMaker(of: session)
        return session
    }

    /// Forgets what has ended, here and in the store; gives the sessions among those that this replica holds something of which are gone.
    func sweep(holding held: Set<ChartSessionID>) async throws -> Set<ChartSessionID> {
        let now = time.now()
        _ = try await store.deleteEnded(by: now)
        // Small, once in half a minute, and found nowhere else: the deny set forgets a login when its last token has ended.
        let void = try await store.sessionsOfLogins().filter { isDenied($0) }.map(\.id)
        if !void.isEmpty { try await store.delete(void) }
        let here = held.union(known.withLock { $0.values.map(\.id) })
        guard !here.isEmpty else { return [] }
        let gone = here.subtracting(try await store.existing(Array(here)))
        forget(gone)
        return gone
    }

    /// Whether the access token or API key that the session was made with would still open the door.
    private func requireMaker(of session: ChartSession) async throws {
        switch session.maker {
        case .login:
            guard !isDenied(session) else { throw Self.noSession }
            guard denied.isCurrent(at: time.monotonicNanoseconds()) else {
                throw Problem.unavailable(code: "auth_unavailable", detail: "Whether this session has ended cannot be found out right now.")
            }
        case .apiKey(let sha256):
            let verdict = try await keys.verdict(on: sha256)
            let principal = Principal(
                userID: session.userID,
                accountID: session.accountID,
                roles: [],
                credential: .apiKey(verdict.keyID ?? .make(), scopes: verdict.scopes ?? [])
            )
            // A key whose credits or rate are used up has not ended: what they bound is counted where the key itself is shown.
            let stands = [.valid, .usageExceeded, .rateLimited].contains(verdict.outcome)
            guard stands, verdict.outcome != .valid || principal.has(scope: "bars:read") else { throw Self.noSession }
        }
    }

    private func isDenied(_ session: ChartSession) -> Bool {
        guard case .login(let login, let version) = session.maker else { return false }
        return denied.denies(session: login, user: session.userID, version: version)
    }

    private func remember(_ session: ChartSession, _ digest: SHA256Digest) {
        known.withLock { known in
            if known.count >= Self.maximumKnown { known.removeAll(keepingCapacity: true) }
            known[digest] = session
        }
    }

    private func forget(_ ids: Set<ChartSessionID>) {
        if ids.isEmpty { return }
        known.withLock { known in known = known.filter { !ids.contains($0.value.id) } }
    }

    /// The same for a token that never was, one that has ended, and one whose maker may no longer read: nothing is told about which.
    static var noSession: Problem {
        .unauthorized(code: "invalid_session_token", detail: "There is no such chart session, or it has ended: /utils/session/initiate begins one.")
    }
}
