import Contracts
import Cryptography

/// The answer to a login or a refresh; the tokens are absent when they went into cookies.
struct TokensAnswer: Encodable, Sendable {
    let accessToken: String?
    let tokenType = "Bearer"
    /// Seconds until the access token ends.
    let expiresIn: Int64
    let refreshToken: String?
    let refreshExpiresAt: Timestamp
    let sessionID: SessionID
    let user: UserAnswer

    init(_ tokens: IssuedTokens, inCookies: Bool) {
        accessToken = inCookies ? nil : tokens.accessToken
        expiresIn = AccessTokenClaims.lifetimeSeconds
        refreshToken = inCookies ? nil : tokens.refreshToken
        refreshExpiresAt = tokens.session.endsAt
        sessionID = tokens.session.id
        user = UserAnswer(tokens.user)
    }
}
