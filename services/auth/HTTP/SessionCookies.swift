import Contracts
import Cryptography
import HTTPServing

/// The cookies of a browser's session: scripts cannot read them, other sites cannot send them.
enum SessionCookies {
    static let refreshName = "auspex_refresh"
    /// The refresh token travels to no other path.
    private static let refreshPath = "/api/refresh"

    /// Sets both cookies.
    static func set(_ tokens: IssuedTokens, on response: inout Response, for request: Request, now: Timestamp) {
        let left = max(0, (tokens.session.endsAt - now).components.seconds)
        response.headers.add(
            "Set-Cookie",
            cookie(SessionAuthentication.cookieName, tokens.accessToken, path: "/", seconds: AccessTokenClaims.lifetimeSeconds, request)
        )
        response.headers.add("Set-Cookie", cookie(refreshName, tokens.refreshToken, path: refreshPath, seconds: left, request))
    }

    /// Takes both back.
    static func clear(on response: inout Response, for request: Request) {
        response.headers.add("Set-Cookie", cookie(SessionAuthentication.cookieName, "", path: "/", seconds: 0, request))
        response.headers.add("Set-Cookie", cookie(refreshName, "", path: refreshPath, seconds: 0, request))
    }

    private static func cookie(_ name: String, _ value: String, path: String, seconds: Int64, _ request: Request) -> String {
        // The gateway says whether the browser's side is encrypted; without TLS a Secure cookie would never come back.
        let secure = request.headers["X-Forwarded-Proto"] == "https" ? "; Secure" : ""
        return "\(name)=\(value); Path=\(path); Max-Age=\(seconds); HttpOnly; SameSite=Strict\(secure)"
    }
}
