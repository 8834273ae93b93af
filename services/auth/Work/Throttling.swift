import Contracts
import ServiceRuntime

/// Counts attempts in the store, so that all replicas count together.
struct Throttling: Sendable {
    let store: any AuthStore
    let time: any TimeSource

    typealias Count = (subject: ThrottleSubject, policy: ThrottlePolicy)

    /// Counts one attempt for each subject before it is made; throws `AuthError.throttled` when one of them has to wait.
    func attempt(_ counts: [Count]) async throws {
        let now = time.now()
        let wait = try await store.transaction { try await $0.count(counts, at: now) }
        if let wait { throw AuthError.throttled(retryAfterSeconds: wait) }
    }

    /// Counts a login before it is made. What strangers have done to the account holds up strangers only: see docs/decisions/login-throttling.md.
    func attemptLogin(email: String, address: String) async throws -> LoginAttempt {
        let now = time.now()
        let place = LoginPlace(email: email, address: address)
        let (wait, attempt) = try await store.transaction { transaction in
            let attempt = LoginAttempt(email: email, address: address, isKnownPlace: try await transaction.isKnown(place))
            return (try await transaction.count(attempt.counts, at: now), attempt)
        }
        if let wait { throw AuthError.throttled(retryAfterSeconds: wait) }
        return attempt
    }
}

/// A login that was counted, and by what.
struct LoginAttempt: Sendable {
    let place: LoginPlace
    let account: ThrottleSubject
    let address: ThrottleSubject
    let isKnownPlace: Bool

    init(email: String, address: String, isKnownPlace: Bool) {
        place = LoginPlace(email: email, address: address)
        account = .login(email: email)
        self.address = .login(address: address)
        self.isKnownPlace = isKnownPlace
    }

    var counts: [Throttling.Count] {
        [(address, .loginAddress), (.login(place: place), .loginPlace)] + (isKnownPlace ? [] : [(account, .loginAccount)])
    }
}

extension AuthTransaction {
    /// Counts one attempt for each subject; when one of them has to wait it gives the seconds, and nothing is counted.
    func count(_ counts: [Throttling.Count], at now: Timestamp) async throws -> Int? {
        // Always in the same order, so that two attempts cannot wait for one another.
        var states: [(ThrottleSubject, ThrottleState?)] = []
        for (subject, policy) in counts.sorted(by: { $0.subject.kind.rawValue < $1.subject.kind.rawValue }) {
            var state = try await throttle(subject)
            if let wait = policy.attempt(&state, now: now) { return wait }
            states.append((subject, state))
        }
        for (subject, state) in states { try await setThrottle(subject, state) }
        return nil
    }

    /// A login succeeded: its place is known from now on and its count begins anew; account and address get this one attempt back and no other.
    func forgive(_ attempt: LoginAttempt, at now: Timestamp) async throws {
        // In the order in which `count` takes them.
        if !attempt.isKnownPlace { try await giveBack(attempt.account) }
        try await giveBack(attempt.address)
        try await setThrottle(.login(place: attempt.place), nil)
        try await remember(attempt.place, at: now)
    }

    private func giveBack(_ subject: ThrottleSubject) async throws {
        guard var state = try await throttle(subject) else { return }
        state.attempts = max(1, state.attempts) - 1
        state.blockedUntil = nil
        try await setThrottle(subject, state.attempts == 0 ? nil : state)
    }
}
