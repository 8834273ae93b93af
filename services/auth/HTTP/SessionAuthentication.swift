import Contracts
import HTTPServing

/// Finds out who calls: an access token in `Authorization`, or the session cookie when one of this site's own pages sent it.
///
/// Unlike the other services, auth asks its store on every request, so that a revoked session ends here at once.
struct SessionAuthentication: Middleware {
    static let cookieName = "auspex_access"

    let sessions: Sessions
    /// Any of these roles is enough; everybody may when empty.
    var roles: [Role] = []

    func handle(_ request: Request, next: Handler) async throws -> Response {
        let (session, user) = try await sessions.authenticate(try accessToken(of: request))
        guard roles.isEmpty || roles.contains(where: user.roles.contains) else { throw AuthError.insufficientRole(roles) }
        var request = request
        request.storage[CallerKey.self] = Caller(session: session, user: user)
        request.principal = Principal(
            userID: user.id,
            accountID: user.accountID,
            roles: user.roles.names,
            credential: .session(session.id),
            expiresAt: session.endsAt
        )
        return try await next(request)
    }

    private func accessToken(of request: Request) throws -> String {
        if request.headers["X-API-Key"] != nil { throw AuthError.keysNotAccepted }
        if let authorization = request.headers["Authorization"] {
            let words = authorization.split(separator: " ", omittingEmptySubsequences: true)
            guard words.count == 2, words[0].lowercased() == "bearer" else { throw AuthError.unauthenticated }
            if words[1].hasPrefix("aus_") { throw AuthError.keysNotAccepted }
            return String(words[1])
        }
        guard let cookie = request.cookie(Self.cookieName) else { throw AuthError.unauthenticated }
        guard SameOrigin.holds(for: request) else { throw AuthError.crossSite }
        return cookie
    }
}
