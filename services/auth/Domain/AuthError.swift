import Contracts

/// Every way in which auth refuses something; `HTTP/AuthError+Problem.swift` says it to clients.
enum AuthError: Error, Equatable {
    /// A field holds what it must not; `detail` says what would be right.
    case invalid(field: String, code: String, detail: String)
    /// Somebody registered this address before.
    case emailTaken
    /// Registration is closed on this installation.
    case registrationClosed
    /// Unknown address or wrong password: the two are not told apart.
    case invalidCredentials
    /// The password given to confirm a change is wrong.
    case wrongPassword
    /// Too many attempts; try again after this many seconds.
    case throttled(retryAfterSeconds: Int)
    /// The user has been disabled.
    case userDisabled
    /// The refresh token is unknown, has ended, or its session is over.
    case invalidRefreshToken
    /// The refresh token was used before: its session has been revoked.
    case refreshTokenReused
    /// There is no access token.
    case unauthenticated
    /// The access token is malformed, forged, or of a session that nobody knows.
    case tokenInvalid
    /// The access token has ended: refresh it.
    case tokenExpired
    /// The session of the access token is over.
    case sessionRevoked
    /// The user has changed since the access token was made: refresh it.
    case tokenSuperseded
    /// An API key was shown where only a person may act.
    case keysNotAccepted
    /// The caller has none of the roles that the route asks for.
    case insufficientRole([Role])
    /// A cookie session was used by another site's page.
    case crossSite
    /// There is no such thing, or it is somebody else's.
    case notFound
    /// The key has ended or has a successor already.
    case keyNotActive
    /// The account has as many keys as it may.
    case tooManyKeys(maximum: Int)
    /// The roles do not allow a key with this scope.
    case scopeNotAllowed(String)
    /// No token-signing key is at hand: the store has not been reached yet.
    case notReady
}
