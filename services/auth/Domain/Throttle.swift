import Contracts
import Cryptography

/// What attempts are counted by.
struct ThrottleSubject: Sendable, Hashable {
    /// What kind of attempts.
    enum Kind: String, Sendable, Codable, CaseIterable {
        /// Logins with one e-mail address, known or not, from networks that have not logged in with it before.
        case loginAccount = "login_account"
        /// Logins from one network.
        case loginAddress = "login_address"
        /// Logins with one e-mail address from one network.
        case loginPlace = "login_place"
        /// Passwords that the sessions of one user were asked for.
        case passwordUser = "password_user"
        /// Registrations from one network.
        case registrationAddress = "registration_address"
    }

    let kind: Kind
    /// A hash, so that the table names nobody.
    let sha256: SHA256Digest
    /// The hash of the account that a place belongs to.
    let accountSHA256: SHA256Digest?

    private init(_ kind: Kind, _ sha256: SHA256Digest, accountSHA256: SHA256Digest? = nil) {
        self.kind = kind
        self.sha256 = sha256
        self.accountSHA256 = accountSHA256
    }

    static func login(email: String) -> ThrottleSubject {
        // The raw text where it is no address, as a malformed one must count as well; else its one spelling, or blanks around it would begin a new count.
        ThrottleSubject(.loginAccount, SHA256.digest(utf8: EmailAddress(email)?.text ?? email.lowercased()))
    }

    static func login(address: String) -> ThrottleSubject {
        ThrottleSubject(.loginAddress, SHA256.digest(utf8: LoginPlace.network(of: address)))
    }

    static func login(place: LoginPlace) -> ThrottleSubject {
        ThrottleSubject(
            .loginPlace,
            SHA256.digest(Array(place.accountSHA256.bytes) + Array(place.networkSHA256.bytes)),
            accountSHA256: place.accountSHA256
        )
    }

    static func password(of user: UserID) -> ThrottleSubject {
        ThrottleSubject(.passwordUser, SHA256.digest(utf8: user.description))
    }

    static func registration(address: String) -> ThrottleSubject {
        ThrottleSubject(.registrationAddress, SHA256.digest(utf8: LoginPlace.network(of: address)))
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

    /// More than one network can fail within any hour, so that one attacker alone never holds up the owner elsewhere.
    static let loginAccount = ThrottlePolicy(freeAttempts: 30, windowSeconds: 3_600, maximumWaitSeconds: 900)
    static let loginPlace = ThrottlePolicy(freeAttempts: 10, windowSeconds: 3_600, maximumWaitSeconds: 900)
    static let passwordUser = ThrottlePolicy(freeAttempts: 10, windowSeconds: 3_600, maximumWaitSeconds: 900)
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
