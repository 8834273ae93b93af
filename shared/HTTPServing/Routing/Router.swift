internal import Contracts
internal import ServiceRuntime
internal import Synchronization

/// The routes of a server: patterns such as `/api/signals/{id}`, each with the middleware that stands before it.
///
/// A path is found with or without a slash at its end; `HEAD` is answered by the `GET` route and `OPTIONS` by the list of methods. All routes are added
/// while the service is put together; a copy shares them.
public struct Router: Sendable {
    private let table: RouteTable
    private let middleware: [any Middleware]

    /// A router whose routes all stand behind `middleware`; `problemOf` turns errors of other modules into what a client may read.
    public init(middleware: [any Middleware] = [], problemOf: @escaping @Sendable (any Error) -> Problem? = { _ in nil }) {
        self.middleware = middleware
        table = RouteTable(problemOf: problemOf)
    }

    /// Adds a `GET` route.
    public mutating func get(_ path: String, _ handler: @escaping Handler) { on(.get, path, handler) }
    /// Adds a `POST` route; `maximumBodyBytes` replaces the server's limit.
    public mutating func post(_ path: String, maximumBodyBytes: Int? = nil, _ handler: @escaping Handler) {
        on(.post, path, maximumBodyBytes: maximumBodyBytes, handler)
    }
    /// Adds a `PUT` route; `maximumBodyBytes` replaces the server's limit.
    public mutating func put(_ path: String, maximumBodyBytes: Int? = nil, _ handler: @escaping Handler) {
        on(.put, path, maximumBodyBytes: maximumBodyBytes, handler)
    }
    /// Adds a `PATCH` route; `maximumBodyBytes` replaces the server's limit.
    public mutating func patch(_ path: String, maximumBodyBytes: Int? = nil, _ handler: @escaping Handler) {
        on(.patch, path, maximumBodyBytes: maximumBodyBytes, handler)
    }
    /// Adds a `DELETE` route.
    public mutating func delete(_ path: String, _ handler: @escaping Handler) { on(.delete, path, handler) }

    /// Adds a route of any method.
    public mutating func on(_ method: Method, _ path: String, maximumBodyBytes: Int? = nil, _ handler: @escaping Handler) {
        table.add(method, path, maximumBodyBytes: maximumBodyBytes, middleware.wrap(handler))
    }

    /// A view of this router whose routes stand behind further middleware, innermost last.
    public func grouped(_ middleware: any Middleware...) -> RouteGroup {
        RouteGroup(table: table, middleware: self.middleware + middleware)
    }

    /// Every route as `(method, pattern)`: for tests that compare them with the API description.
    public var routes: [(method: Method, pattern: String)] { table.all }

    /// Answers a request: finds the route, runs it, and turns whatever it throws into a problem.
    public func respond(to request: Request) async -> Response {
        await table.respond(to: request, match: table.match(request.method, request.head.bytes, request.pathRange))
    }

    func match(_ method: Method, _ head: HeaderBlock, _ path: Range<Int>) -> RouteMatch { table.match(method, head.bytes, path) }

    func respond(to request: Request, match: RouteMatch) async -> Response { await table.respond(to: request, match: match) }

    func freeze() { table.freeze() }
}

/// Routes that share middleware.
public struct RouteGroup: Sendable {
    let table: RouteTable
    let middleware: [any Middleware]

    /// Adds a `GET` route.
    public func get(_ path: String, _ handler: @escaping Handler) { on(.get, path, handler) }
    /// Adds a `POST` route; `maximumBodyBytes` replaces the server's limit.
    public func post(_ path: String, maximumBodyBytes: Int? = nil, _ handler: @escaping Handler) {
        on(.post, path, maximumBodyBytes: maximumBodyBytes, handler)
    }
    /// Adds a `PUT` route; `maximumBodyBytes` replaces the server's limit.
    public func put(_ path: String, maximumBodyBytes: Int? = nil, _ handler: @escaping Handler) {
        on(.put, path, maximumBodyBytes: maximumBodyBytes, handler)
    }
    /// Adds a `PATCH` route; `maximumBodyBytes` replaces the server's limit.
    public func patch(_ path: String, maximumBodyBytes: Int? = nil, _ handler: @escaping Handler) {
        on(.patch, path, maximumBodyBytes: maximumBodyBytes, handler)
    }
    /// Adds a `DELETE` route.
    public func delete(_ path: String, _ handler: @escaping Handler) { on(.delete, path, handler) }

    /// Adds a route of any method.
    public func on(_ method: Method, _ path: String, maximumBodyBytes: Int? = nil, _ handler: @escaping Handler) {
        table.add(method, path, maximumBodyBytes: maximumBodyBytes, middleware.wrap(handler))
    }

    /// The same routes behind further middleware.
    public func grouped(_ middleware: any Middleware...) -> RouteGroup {
        RouteGroup(table: table, middleware: self.middleware + middleware)
    }
}
