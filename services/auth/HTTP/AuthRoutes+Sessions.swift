import Contracts
import HTTPServing
import ServiceRuntime

extension AuthRoutes {
    private struct LoginBody: Decodable {
        let email: String
        let password: String
        /// For browsers: the tokens go into cookies that scripts cannot read, and not into the body.
        let useCookies: Bool?
    }

    private struct RefreshBody: Decodable {
        let refreshToken: String
    }

    /// `GET /.well-known/jwks.json`
    func jwks(_ request: Request) async throws -> Response {
        var response = Response.bytes(tokenKeys.document, contentType: "application/jwk-set+json")
        response.headers["Cache-Control"] = "public, max-age=\(TokenKeyRing.documentMaxAgeSeconds)"
        return response
    }

    /// `POST /api/login`
    func login(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let body = try request.json(LoginBody.self)
        let tokens = try await metrics.counting("login") {
            try await sessions.login(email: body.email, password: body.password, origin: request.origin)
        }
        return try answer(tokens, to: request, inCookies: body.useCookies ?? false)
    }

    /// `POST /api/refresh`: the token in the body, or the cookie of a browser's session with an empty body.
    func refresh(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        guard request.body.isEmpty, let cookie = request.cookie(SessionCookies.refreshName) else {
            let body = try request.json(RefreshBody.self)
            let tokens = try await metrics.counting("refresh") { try await sessions.refresh(body.refreshToken, origin: request.origin) }
            return try answer(tokens, to: request, inCookies: false)
        }
        guard SameOrigin.holds(for: request) else { throw AuthError.crossSite }
        let tokens = try await metrics.counting("refresh") { try await sessions.refresh(cookie, origin: request.origin) }
        return try answer(tokens, to: request, inCookies: true)
    }

    /// `POST /api/logout`, and `GET` for clients of the old kind.
    func logout(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        // HEAD reaches a GET route, but must not change anything.
        guard request.method != .head else { return .noContent }
        let caller = try request.caller()
        try await store.transaction { transaction in
            try await sessions.revoke(caller.session.id, .logout, by: caller.user, origin: request.origin, in: transaction)
        }
        var response = Response.noContent
        SessionCookies.clear(on: &response, for: request)
        return response
    }

    /// `GET /api/me/sessions`
    func listSessions(_ request: Request) async throws -> Response {
        let caller = try request.caller()
        let page = try PageRequest<SessionTag>(request)
        let now = time.now()
        let live = try await store.transaction {
            try await $0.liveSessions(of: caller.user.id, at: now, after: page.after, limit: page.limit + 1)
        }
        return try page.response(live.map { SessionAnswer($0, current: caller.session.id) }, id: \.id)
    }

    /// `DELETE /api/me/sessions/{id}`
    func revokeSession(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let caller = try request.caller()
        let id = try request.parameter("id", as: SessionID.self)
        return try await idempotency.run(request) { transaction in
            try await sessions.revoke(id, .owner, by: caller.user, origin: request.origin, in: transaction)
            return .noContent
        }
    }

    private func answer(_ tokens: IssuedTokens, to request: Request, inCookies: Bool) throws -> Response {
        var response = try Response.json(TokensAnswer(tokens, inCookies: inCookies))
        response.headers["Cache-Control"] = "no-store"
        if inCookies { SessionCookies.set(tokens, on: &response, for: request, now: time.now()) }
        return response
    }
}
