import Contracts
import ServiceRuntime

/// Counts attempts in the store, so that all replicas count together.
struct Throttling: Sendable {
    let store: any AuthStore
    let time: any TimeSource

    /// Counts one attempt for each subject before it is made; throws `AuthError.throttled` when one of them has to wait.
    func attempt(_ subjects: [(subject: ThrottleSubject, policy: ThrottlePolicy)]) async throws {
        let now = time.now()
        let wait = try await store.transaction { transaction -> Int? in
            // Always in the same order, so that two attempts cannot wait for one another.
            var states: [(ThrottleSubject, ThrottleState?)] = []
            for (subject, policy) in subjects.sorted(by: { $0.subject.kind.rawValue < $1.subject.kind.rawValue }) {
                var state = try await transaction.throttle(subject)
                if let wait = policy.attempt(&state, now: now) { return wait }
                states.append((subject, state))
            }
            for (subject, state) in states { try await transaction.setThrottle(subject, state) }
            return nil
        }
        if let wait { throw AuthError.throttled(retryAfterSeconds: wait) }
    }
}

extension AuthTransaction {
    /// A login succeeded: the account's count begins anew, and the address gets its attempt back.
    func forgive(account: ThrottleSubject, address: ThrottleSubject) async throws {
        // In the order in which `attempt` takes them.
        try await setThrottle(account, nil)
        if var state = try await throttle(address) {
            state.attempts = max(1, state.attempts) - 1
            state.blockedUntil = nil
            try await setThrottle(address, state.attempts == 0 ? nil : state)
        }
    }
}
