/// A handler with all its middleware, and what the server has to know before it reads the body.
final class Route: Sendable {
    let method: Method
    let pattern: String
    let handler: Handler
    /// How large a body this route takes; nil for the server's own limit.
    let maximumBodyBytes: Int?
    /// Counts up over all routes of a router, so that metrics need no dictionary of strings.
    let index: Int

    init(method: Method, pattern: String, handler: @escaping Handler, maximumBodyBytes: Int?, index: Int) {
        self.method = method
        self.pattern = pattern
        self.handler = handler
        self.maximumBodyBytes = maximumBodyBytes
        self.index = index
    }
}

/// What a path and a method lead to.
enum RouteMatch: Sendable {
    case found(Route, PathParameters)
    /// The path is known; the value is that of the `Allow` header.
    case otherMethods(allow: String)
    case options(allow: String)
    case unknown
    case malformed
}
