import HTTPServing

/// Lets pages of other origins read what they have a token for.
///
/// The token in the request is the whole authority: no cookie is needed, and none is allowed along (`Access-Control-Allow-Credentials` is never sent), so a
/// page can read nothing that it could not have fetched by itself. That is why any origin may by default.
struct CrossOrigin: Middleware {
    let origins: [String]

    func handle(_ request: Request, next: Handler) async throws -> Response {
        guard let allowed = allowed(request) else { return try await next(request) }
        do {
            var response = try await next(request)
            for (name, value) in allowed { response.headers.add(name, value) }
            // Pages see few headers unless they are told that they may.
            let shown = ["X-Auspex-As-Of", FetchFirst.header].filter { response.headers[$0] != nil }
            if !shown.isEmpty { response.headers.add("Access-Control-Expose-Headers", shown.joined(separator: ", ")) }
            return response
        } catch {
            // Refusals are read by the page too.
            guard var problem = ChartRoutes.problem(of: error) else { throw error }
            for (name, value) in allowed { problem.headers.add(name, value) }
            throw problem
        }
    }

    /// Answers a browser that asks beforehand whether it may.
    func preflight(_ request: Request) -> Response {
        var response = Response.noContent
        guard let allowed = allowed(request) else { return response }
        for (name, value) in allowed { response.headers.add(name, value) }
        response.headers.add("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
        response.headers.add("Access-Control-Allow-Headers", "Authorization, Content-Type, X-API-Key")
        response.headers.add("Access-Control-Max-Age", "3600")
        return response
    }

    private func allowed(_ request: Request) -> [(String, String)]? {
        if origins.contains("*") { return [("Access-Control-Allow-Origin", "*")] }
        if origins.isEmpty { return nil }
        // The answer depends on who asks, also where it is a refusal: caches have to know.
        guard let origin = request.headers["Origin"], origins.contains(origin) else { return [("Vary", "Origin")] }
        return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
    }
}
