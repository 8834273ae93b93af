public import Contracts
internal import Synchronization

/// Sessions and users whose access tokens are void although they have not ended: small, in memory, fed by events and loaded by ``DenySetKeeper``.
public final class DenySet: Sendable {
    private struct State {
        var sessions: [SessionID: Timestamp] = [:]
        var users: [UserID: (version: Int64, until: Timestamp)] = [:]
        var sweptAt = Timestamp(microseconds: 0)
    }

    private let state = Mutex(State())
    /// A moment of the monotonic clock in nanoseconds; without a keeper the set is vouched for without end.
    private let vouchedUntil = Atomic<UInt64>(.max)

    /// Nothing denied yet.
    public init() {}

    /// Denies a session until its last token has ended.
    public func revoke(session: SessionID, until: Timestamp) {
        state.withLock { state in
            state.sessions[session] = max(until, state.sessions[session] ?? until)
            Self.sweep(&state)
        }
    }

    /// Denies the tokens of a user that were made for an older version of it.
    public func raise(user: UserID, version: Int64) {
        state.withLock { state in
            // A token made just before the change lives 15 minutes more; the rest covers clocks that differ.
            let until = Timestamp.now() + .seconds(20 * 60)
            state.users[user] = (max(version, state.users[user]?.version ?? version), until)
            Self.sweep(&state)
        }
    }

    /// Whether a token's session or user is denied.
    public func denies(session: SessionID, user: UserID, version: Int64) -> Bool {
        state.withLock { state in
            if state.sessions.isEmpty && state.users.isEmpty { return false }
            if state.sessions[session] != nil { return true }
            if let changed = state.users[user], version < changed.version { return true }
            return false
        }
    }

    /// Whether the set may still be relied on: past a limit it may lack sessions that were revoked since.
    public func isCurrent(at monotonicNanoseconds: UInt64) -> Bool { monotonicNanoseconds < vouchedUntil.load(ordering: .acquiring) }

    func vouch(until monotonicNanoseconds: UInt64) { vouchedUntil.store(monotonicNanoseconds, ordering: .releasing) }

    /// How many entries there are.
    public var count: Int { state.withLock { $0.sessions.count + $0.users.count } }

    private static func sweep(_ state: inout State) {
        let now = Timestamp.now()
        guard now > state.sweptAt + .seconds(60) else { return }
        state.sweptAt = now
        let limit = now - .seconds(60)
        state.sessions = state.sessions.filter { $0.value > limit }
        state.users = state.users.filter { $0.value.until > limit }
    }
}

extension DenySet {
    private struct Answer: Decodable {
        struct DeniedSession: Decodable {
            let sessionID: SessionID
            let expiresAt: Timestamp
        }
        struct ChangedUser: Decodable {
            let userID: UserID
            let userVersion: Int64
        }
        let sessions: [DeniedSession]
        let users: [ChangedUser]
    }

    /// Adds what auth knows as revoked. A partition that swallows the question must not hold up the next one for long.
    public func load(from auth: ServiceClient) async throws {
        let answer = try await auth.send(.get, "/internal/v1/sessions/revoked", deadline: .seconds(4)).json(Answer.self)
        for session in answer.sessions { revoke(session: session.sessionID, until: session.expiresAt) }
        for user in answer.users { raise(user: user.userID, version: user.userVersion) }
    }
}
