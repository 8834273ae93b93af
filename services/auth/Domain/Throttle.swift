import Contracts
import Cryptography

/// What attempts are counted by.
struct ThrottleSubject: Sendable, Hashable {
    /// What kind of attempts.
    enum Kind: String, Sendable, Codable, CaseIterable {
        /// Logins with one e-mail address, known or not.
        case loginAccount = "login_account"
        /// Logins from one network address.
        case loginAddress = "login_address"
        /// Registrations from one network address.
        case registrationAddress = "registration_address"
    }

    let kind: Kind
    /// A hash, so that the table names nobody.
    let sha256: SHA256Digest

    static func login(email: String) -> ThrottleSubject {
        // The raw text, not a parsed address: a malformed one must count as well.
        ThrottleSubject(kind: .loginAccount, sha256: SHA256.digest(utf8: email.lowercased()))
    }

    static func login(address: String) -> ThrottleSubject {
        ThrottleSubject(kind: .loginAddress, sha256: SHA256.digest(utf8: network(of: address)))
    }

    static func registration(address: String) -> ThrottleSubject {
        ThrottleSubject(kind: .registrationAddress, sha256: SHA256.digest(utf8: network(of: address)))
    }

    /// One customer holds a whole IPv6 /64, so its addresses count as one.
    static func network(of address: String) -> String {
        guard address.contains(":"), !address.contains(".") else { return address }
        let halves = address.split(separator: "::", omittingEmptySubsequences: false)
        var groups = halves[0].split(separator: ":").map(String.init)
        if halves.count > 1 {
            let tail = halves[1].split(separator: ":").map(String.init)
            groups += Array(repeating: "0", count: max(0, 8 - groups.count - tail.count)) + tail
        }
        return groups.prefix(4).joined(separator: ":")
    }
}

/// How many attempts a subject has made, and until when it has to wait.
struct ThrottleState: Sendable, Hashable {
    var attempts: Int
    var windowStartedAt: Timestamp
    var blockedUntil: Timestamp?
}

/// How attempts are slowed down: some are free, each further one doubles the wait.
struct ThrottlePolicy: Sendable, Hashable {
    /// Attempts per window without any wait.
    var freeAttempts: Int
    /// After this time the count begins anew, in seconds.
    var windowSeconds: Int64
    /// The longest wait, in seconds.
    var maximumWaitSeconds: Int64

    static let loginAccount = ThrottlePolicy(freeAttempts: 10, windowSeconds: 3_600, maximumWaitSeconds: 900)
    static let loginAddress = ThrottlePolicy(freeAttempts: 50, windowSeconds: 900, maximumWaitSeconds: 900)

    /// Counts one attempt before it is made, so that parallel ones cannot slip through together; a blocked subject's attempt changes nothing.
    ///
    /// - Returns: the seconds to wait when the attempt must not be made, else nil.
    func attempt(_ state: inout ThrottleState?, now: Timestamp) -> Int? {
        var current = state ?? ThrottleState(attempts: 0, windowStartedAt: now)
        if let until = current.blockedUntil, until > now { return Self.seconds(until - now) }
        if now >= current.windowStartedAt + .seconds(windowSeconds) { current = ThrottleState(attempts: 0, windowStartedAt: now) }
        current.attempts += 1
        current.blockedUntil = nil
        if current.attempts >= freeAttempts {
            let doublings = min(current.attempts - freeAttempts, 20)
            current.blockedUntil = now + .seconds(min(1 << Int64(doublings), maximumWaitSeconds))
        }
        state = current
        return nil
    }

    private static func seconds(_ wait: Duration) -> Int { Int(max(1, (wait.wholeMicroseconds + 999_999) / 1_000_000)) }
}
