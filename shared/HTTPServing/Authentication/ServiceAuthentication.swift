internal import Contracts
public import Cryptography
internal import Synchronization

/// Admits other services to `/internal` routes by their tokens (`Authorization: Service …`), and only those that the route names.
public struct ServiceAuthentication: Middleware {
    private enum CallerKey: RequestStorageKey { typealias Value = String }

    private final class Verified: Sendable { let tokens = Mutex<[String: ServiceTokenClaims]>([:]) }

    private let verifier: ServiceTokenVerifier
    private let audience: String
    private let allowedCallers: Set<String>
    /// A token serves its minute; its signature is checked once.
    private let verified = Verified()

    /// - Parameters:
    ///   - audience: the name of this service.
    ///   - allowedCallers: the names of the services that may call.
    public init(verifier: ServiceTokenVerifier, audience: String, allowedCallers: [String]) {
        self.verifier = verifier
        self.audience = audience
        self.allowedCallers = Set(allowedCallers)
    }

    /// Refuses with 401 without a good token, with 403 a service that may not call this.
    public func handle(_ request: Request, next: Handler) async throws -> Response {
        guard let authorization = request.head.value("authorization"), authorization.hasPrefix("Service ") else {
            throw Problem.unauthorized(code: "service_token_missing", detail: "This needs a service token.")
        }
        let caller = try service(of: String(authorization.dropFirst(8)))
        guard allowedCallers.contains(caller) else {
            throw Problem.forbidden(code: "caller_not_allowed", detail: "The service \(caller) may not call this.")
        }
        var request = request
        request.storage[CallerKey.self] = caller
        return try await next(request)
    }

    private func service(of token: String) throws -> String {
        let now = Timestamp.now()
        if let claims = verified.tokens.withLock({ $0[token] }), now.seconds < claims.expiresAt { return claims.service }
        let claims: ServiceTokenClaims
        do {
            claims = try verifier.verify(token, audience: audience, now: now)
        } catch {
            throw Problem.unauthorized(code: "invalid_service_token", detail: "The service token is not valid.")
        }
        verified.tokens.withLock { tokens in
            if tokens.count >= 256 { tokens = tokens.filter { $0.value.expiresAt > now.seconds } }
            if tokens.count >= 1024 { tokens.removeAll() }
            tokens[token] = claims
        }
        return claims.service
    }

    static func caller(of request: Request) -> String? { request.storage[CallerKey.self] }
}

extension Request {
    /// The service that calls, behind ``ServiceAuthentication``.
    public var callingService: String? { ServiceAuthentication.caller(of: self) }
}
