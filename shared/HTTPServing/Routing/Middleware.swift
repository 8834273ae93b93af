/// Answers a request.
public typealias Handler = @Sendable (Request) async throws -> Response

/// Wraps handlers: may look at a request, change it, answer instead, or look at the answer.
public protocol Middleware: Sendable {
    /// Handles the request, as a rule by calling `next`.
    func handle(_ request: Request, next: Handler) async throws -> Response
}

extension Array where Element == any Middleware {
    /// One handler out of all: the first middleware is the outermost. Composed once, when a route is added.
    func wrap(_ handler: @escaping Handler) -> Handler {
        var wrapped = handler
        for middleware in reversed() {
            let next = wrapped
            wrapped = { request in try await middleware.handle(request, next: next) }
        }
        return wrapped
    }
}
