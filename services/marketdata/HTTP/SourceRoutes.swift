import HTTPServing

/// What is told of where the data comes from: a part of its own, as it asks no store.
struct SourceRoutes: Sendable {
    let sources: SourceCatalogue

    /// Adds the public route; `authentication` finds out who asks.
    func add(to router: inout Router, authentication: any Middleware) {
        router.grouped(authentication).get("/api/sources", list)
    }

    /// `GET /api/sources`
    private func list(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: [])
        return try .json(SourcesAnswer(items: await sources.report().map { SourceAnswer($0, $1) }))
    }
}
