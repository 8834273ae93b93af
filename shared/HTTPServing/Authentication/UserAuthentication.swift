internal import Contracts
internal import Cryptography

/// Finds out who asks: by access token (bearer or the cookie `auspex_access`) or, where the route takes them, by API key.
public struct UserAuthentication: Middleware {
    private let tokens: AccessTokenVerifier
    private let apiKeys: (any APIKeyVerifier)?
    private let limiter: (any APIKeyLimiter)?
    private let isRequired: Bool

    /// - Parameters:
    ///   - apiKeys: what checks API keys; nil for routes that take none.
    ///   - limiter: what counts the use of API keys that have a budget; nil to count nothing.
    ///   - isRequired: false lets requests without any credential through, with no principal; a bad credential is refused all the same.
    public init(tokens: AccessTokenVerifier, apiKeys: (any APIKeyVerifier)? = nil, limiter: (any APIKeyLimiter)? = nil, isRequired: Bool = true) {
        self.tokens = tokens
        self.apiKeys = apiKeys
        self.limiter = limiter
        self.isRequired = isRequired
    }

    /// Sets the request's principal, or refuses it with 401.
    public func handle(_ request: Request, next: Handler) async throws -> Response {
        var request = request
        switch try Credential.find(in: request) {
        case .apiKey(let text):
            guard let apiKeys else {
                throw Problem.unauthorized(code: "api_key_not_accepted", detail: "This route takes an access token, not an API key.")
            }
            return try await APIKeyAuthentication.admit(request, text, verifier: apiKeys, limiter: limiter, next: next)
        case .accessToken(let token):
            let claims = try await tokens.verify(token)
            request.principal = Principal(
                userID: claims.userID,
                accountID: claims.accountID,
                roles: claims.roles,
                credential: .session(claims.sessionID),
                expiresAt: Timestamp(seconds: claims.expiresAt),
                userVersion: claims.userVersion
            )
        case nil:
            if isRequired { throw Problem.unauthorized() }
        }
        return try await next(request)
    }

    private enum Credential {
        case accessToken(String)
        case apiKey(String)

        static func find(in request: Request) throws -> Credential? {
            if let key = request.head.value("x-api-key") { return .apiKey(key) }
            if let authorization = request.head.value("authorization") {
                let parts = authorization.split(separator: " ", maxSplits: 1)
                guard parts.count == 2, parts[0].lowercased() == "bearer" else {
                    throw Problem.unauthorized(code: "unknown_scheme", detail: "The Authorization header should be: Bearer TOKEN.")
                }
                let token = parts[1].trimmed
                return token.hasPrefix(APIKeyText.marker) ? .apiKey(token) : .accessToken(token)
            }
            guard let token = cookie("auspex_access", in: request) else { return nil }
            try requireSameOrigin(request)
            return .accessToken(token)
        }

        private static func cookie(_ name: String, in request: Request) -> String? {
            guard let header = request.head.value("cookie") else { return nil }
            for pair in header.split(separator: ";") {
                let parts = pair.split(separator: "=", maxSplits: 1)
                if parts.count == 2, parts[0].trimmed == name { return parts[1].trimmed }
            }
            return nil
        }

        /// A browser sends cookies along with other sites' requests too: what changes something must come from our own pages.
        private static func requireSameOrigin(_ request: Request) throws {
            if let site = request.head.value("sec-fetch-site") {
                if site == "same-origin" || site == "none" { return }
            } else if let origin = request.head.value("origin") {
                let host = request.head.value("host") ?? ""
                if let separator = origin.firstRange(of: "://"), String(origin[separator.upperBound...]) == host { return }
            } else if request.method.isSafe {
                return
            }
            throw Problem.forbidden(code: "cross_origin", detail: "With the cookie this may only be asked from our own pages; use a bearer token.")
        }
    }
}
