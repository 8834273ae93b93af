import HTTPServing

extension AuthError: ProblemRepresentable {
    /// What clients read of a refusal: the one place where auth's errors become HTTP.
    var problem: Problem {
        switch self {
        case .invalid(let field, let code, let detail): .badRequest(code: code, detail: detail, field: field)
        case .emailTaken: .conflict(code: "email_taken", detail: "There is an account with this e-mail address.", field: "email")
        case .registrationClosed: .forbidden(code: "registration_closed", detail: "New accounts are made by the operator of this installation.")
        case .invalidCredentials: .unauthorized(code: "invalid_credentials", detail: "The e-mail address or the password is wrong.")
        case .wrongPassword: .forbidden(code: "wrong_password", detail: "The current password is wrong.")
        case .throttled(let seconds):
            .tooManyRequests(code: "too_many_attempts", detail: "Too many attempts; wait \(seconds) s.", retryAfterSeconds: seconds)
        case .userDisabled: .forbidden(code: "user_disabled", detail: "This user has been disabled.")
        case .invalidRefreshToken: .unauthorized(code: "invalid_refresh_token", detail: "The refresh token is unknown or has ended; log in again.")
        case .refreshTokenReused:
            .unauthorized(code: "refresh_token_reused", detail: "The refresh token was used before, so its session has been ended; log in again.")
        case .unauthenticated: .unauthorized(code: "unauthorized", detail: "This needs a valid access token.")
        case .tokenInvalid: .unauthorized(code: "invalid_token", detail: "The access token is not valid.")
        case .tokenExpired: .unauthorized(code: "token_expired", detail: "The access token has expired; refresh it.")
        case .sessionRevoked: .unauthorized(code: "token_revoked", detail: "The session of this token is over; log in again.")
        case .tokenSuperseded: .unauthorized(code: "token_superseded", detail: "The user has changed since this token was made; refresh it.")
        case .keysNotAccepted:
            .forbidden(code: "insufficient_scope", detail: "Accounts are managed with an access token; no API key has a scope for it.")
        case .insufficientRole(let roles):
            .forbidden(code: "insufficient_role", detail: "This needs the role \(roles.names.joined(separator: " or ")).")
        case .crossSite: .forbidden(code: "cross_site", detail: "The session cookie is accepted from this site's own pages only.")
        case .notFound: .notFound()
        case .keyNotActive: .conflict(code: "key_not_active", detail: "The key has ended, is switched off, or has a successor already.")
        case .tooManyKeys(let maximum): .conflict(code: "too_many_keys", detail: "An account has at most \(maximum) open keys; revoke one.")
        case .scopeNotAllowed(let scope):
            .unprocessable(code: "scope_not_allowed", detail: "The scope \(scope) needs the role provider.", field: "scopes")
        case .notReady: .unavailable(code: "not_ready", detail: "No key to sign tokens with is loaded yet; try again.")
        }
    }
}
